"""The templates of the launcher `command`, in docs/launchers and in its guide: each is read as a profile and
gets as far as its submit command, which is not there."""

import re

from harness import SOURCE, Case, limit, main


def sections():
    """{name: text} of every [profile NAME] in them."""
    found = {}
    files = [*sorted((SOURCE / "docs/launchers").glob("*.conf")), SOURCE / "docs/launchers-command.md"]
    for file in files:
        text = file.read_text()
        if file.suffix == ".md":
            blocks = re.findall(r"(?:^    .*\n|^\n)+", text, re.M)
            text = "\n".join(re.sub(r"^    ", "", block, flags=re.M) for block in blocks)
        for block in re.split(r"^(?=\[profile )", text, flags=re.M)[1:]:
            found[re.match(r"\[profile (\S+)\]", block)[1]] = block
    return found


class Templates(Case):
    @limit(120)
    def test_each_gets_as_far_as_its_submit(self):
        commands = {"gridengine": "qsub", "srun": "srun", "mine": "my-submit", "lsf": "bsub", "oar": "oarsub",
                    "condor": "condor_submit", "flux": "flux"}
        found = sections()
        self.assertEqual(set(found), set(commands))
        file = self.dir / "hato.conf"
        file.write_text("\n".join(found.values()))
        only = self.dir / "bin"
        only.mkdir()
        (only / "sh").symlink_to("/bin/sh")
        self.env.update(HATO_CONFIG=str(file), PATH=str(only))
        self.hato("up", "-n", "0")
        for name, command in commands.items():
            with self.subTest(name):
                done = self.hato("launch", "--profile", name, "-n", "2", "--crash-limit", "1", "--wait", "60s", rc=None, timeout=60)
                self.assertRegex(done.err, rf"{command}.*not found|exited with 127|No such file")
        self.hato("down")


main()
