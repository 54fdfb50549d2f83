"""docs/guide.md is true: its commands are run, in order, and print what it says."""

import re

from harness import SOURCE, Case, limit, main

GUIDE = SOURCE / "docs" / "guide.md"


class Guide(Case):
    @limit(180)
    def test_every_example(self):
        shell = "\n".join(self.examples())
        self.assertGreater(len(self.examples()), 20)
        # One shell for all, as a reader would type them.
        done = self.run_command("sh", "-c", shell, timeout=150, rc=None)
        outputs = done.out.split("\x01\n")[1:]
        for (command, wanted), found in zip(self.pairs(), outputs):
            with self.subTest(command):
                self.assertRegex(found, self.pattern(wanted), command)
        self.assertEqual(len(outputs), len(self.pairs()), done)
        self.assert_nothing_left(30)

    def pairs(self):
        found = []
        for block in re.findall(r"^```console\n(.*?)^```", GUIDE.read_text(), re.M | re.S):
            for line in block.splitlines():
                if line.startswith("$ "):
                    found.append((line[2:], []))
                else:
                    found[-1][1].append(line)
        return found

    def examples(self):
        return ["exec 2>&1"] + [f"printf '\\001\\n'; {command}" for command, _ in self.pairs()]

    def pattern(self, lines):
        """… alone on a line stands for any lines, within one for anything."""
        out = ""
        for line in lines:
            out += r"(.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        return re.compile(rf"\A{out}\Z")


main()
