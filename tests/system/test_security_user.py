"""What another user of the same machine can get of a session, or do to it: nothing.

Two users that need no account: Alice, whose session it is, with an umask that hides nothing; and Mallory,
who is logged in there, too. Each test has an Alice of its own: where her local folder is in /tmp itself its
name has nothing but her number, and another test would take it away below her. To become them takes root:
without it these tests are left out."""

import contextlib
import json
import os
import re
import signal
import sys
import unittest
from pathlib import Path

from harness import HATO, SOURCE, Case, alive, command_line, descendants, main

ALICE, MALLORY = 20000 + os.getpid() % 40000, 19999


def reachable(path):
    """By everybody."""
    return path.exists() and all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


PYTHON = next((p for p in (Path(sys.executable), Path("/usr/bin/python3")) if reachable(p)), None)


def may_become_others():
    return os.geteuid() == 0 and PYTHON is not None and reachable(HATO)


# What is executed as Mallory: his answer is JSON.
LOOK = r"""
import json, os, socket, sys
asked = json.load(sys.stdin)
got = []
def attempt(what, path, act):
    try:
        act()
        got.append(f"{what} {path}")
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        pass
    except OSError as problem:
        got.append(f"{what} {path}: {problem}")
for path in asked["paths"]:
    attempt("list", path, lambda: os.listdir(path)) if path.endswith("/") else attempt("read", path, lambda: open(path, "rb").close())
    attempt("remove", path, lambda: os.rename(path.rstrip("/"), path.rstrip("/") + ".gone"))
    attempt("create in", path, lambda: open(os.path.join(os.path.dirname(path), "mallory"), "wb").close())
for path in asked.get("sockets", []):
    with socket.socket(socket.AF_UNIX) as s:
        attempt("connect to", path, lambda: s.connect(path))
for pid in asked.get("pids", []):
    for number in asked.get("signals", []):
        attempt("signal", pid, lambda: os.kill(pid, number))
    for name in ("environ", "maps", "mem", "smaps", "auxv", "stack", "io"):
        attempt("read", f"/proc/{pid}/{name}", lambda: open(f"/proc/{pid}/{name}", "rb").read(1))
    for name in ("fd", "map_files", "fdinfo"):
        attempt("list", f"/proc/{pid}/{name}", lambda: os.listdir(f"/proc/{pid}/{name}"))
    for name in ("cwd", "exe", "root"):
        attempt("follow", f"/proc/{pid}/{name}", lambda: os.readlink(f"/proc/{pid}/{name}"))
    for name in ("cmdline", "status", "stat", "comm", "cgroup", "mountinfo"):
        try:
            text = open(f"/proc/{pid}/{name}", "rb").read().decode(errors="replace")
        except OSError:
            continue
        got += [f"a secret in /proc/{pid}/{name}" for secret in asked["secrets"] if secret in text]
print(json.dumps(got))
"""


# One who asks nobody whom he speaks to.
KNOCK = r"""
import sys
sys.path.insert(0, sys.argv[1])
from refclient import Client, Refused
try:
    Client(sys.argv[2].replace("@", "\0"))
except Refused as refusal:
    print("refused:", refusal)
"""


@unittest.skipUnless(may_become_others(), "becoming other users takes root, and a build that they may reach")
class Another(Case):
    LIMIT = 120.0

    def setUp(self):
        super().setUp()
        self.dir.chmod(0o711)
        (self.dir / "san").chmod(0o1777)
        self.home = self.dir / "alice"
        self.home.mkdir(mode=0o755)
        os.chown(self.home, ALICE, ALICE)
        self.shared = self.dir / "shared"  # as /tmp is
        self.shared.mkdir()
        self.shared.chmod(0o1777)
        self.env.update(HOME=str(self.home), XDG_STATE_HOME=str(self.home / "state"), TMPDIR=str(self.shared),
                        XDG_CONFIG_HOME=str(self.home), HATO_LOCAL_DIR=str(self.shared))
        self.cwd = self.home

    def alice(self, *args, **more):
        return self.hato(*args, user=ALICE, group=ALICE, extra_groups=[], umask=0, **more)

    def as_mallory(self, *args, **more):
        env = {**self.env, "HOME": "/", "XDG_STATE_HOME": str(self.shared / "mallory-state")}
        return self.run_command(*args, user=MALLORY, group=MALLORY, extra_groups=[], cwd="/", env=env, **more)

    def mallory_gets(self, paths=(), **more):
        asked = {"paths": [str(p) + ("/" if p.is_dir() else "") for p in paths], "secrets": self.secrets(), **more}
        return json.loads(self.as_mallory(PYTHON, "-c", LOOK, input=json.dumps(asked)).out)

    def make(self, path, uid, mode, text=None):
        """A folder, or a file with this text."""
        if text is None:
            path.mkdir()
        else:
            path.write_text(text)
        path.chmod(mode)
        os.chown(path, uid, uid, follow_symlinks=False)
        return path

    # The session's folder is named by its owner alone.
    def session(self):
        return self.home / "state" / "hato" / "default"

    def credentials(self):
        return [p for p in self.session().iterdir() if p.name == "secret" or p.name.endswith(".credential")]

    def secrets(self):
        texts = [p.read_text().strip() for p in self.credentials()]
        return [field for text in texts for field in (text.split(":")[3] if ":" in text else text,)]

    def up(self, *more):
        self.alice("up", "--listen", "tcp://127.0.0.1:0", *more)
        urls = json.loads((self.session() / "address").read_text())["urls"]
        self.socket = urls[0].removeprefix("ipc://")
        self.tcp = next(url for url in urls if url.startswith("tcp:"))

    def log(self):
        return (self.session() / "log").read_text()

    def test_nothing_of_a_session_can_be_read_or_replaced(self):
        self.up()
        self.alice("launch", "-n", "1")
        self.alice("submit", "--", "sh", "-c", "echo said")
        self.alice("wait", "--all")
        local = Path(self.socket).parent
        kept = [p for top in (self.session(), local.parent) for p in (top, *top.rglob("*"))]
        self.assertGreater(len(kept), 8)
        for path in kept:
            with contextlib.suppress(FileNotFoundError):  # a record that was on its way to its name
                self.assertEqual(path.lstat().st_uid, ALICE, path)
        for folder in (self.session(), self.session() / "logs", local, local.parent):
            self.assertEqual(folder.stat().st_mode & 0o7777, 0o700, folder)
        self.assertTrue(self.secrets())
        for path in self.credentials():
            self.assertEqual(path.stat().st_mode & 0o7777, 0o600, path)
        self.assertEqual(self.mallory_gets(kept, sockets=[self.socket]), [])
        self.alice("down")

    def knock(self, socket):
        """Refused with no reason given; it stands in the log, once."""
        said = self.as_mallory(PYTHON, "-c", KNOCK, SOURCE / "tests" / "system", socket).out
        self.assertIn("refused: not admitted", said)
        reason = f"belongs to user {MALLORY}, not to the session's"
        self.wait_for(lambda: reason in self.log(), 30, "the reason in the log")
        self.assertEqual(self.log().count(reason), 1)

    def test_the_socket_itself_refuses_another_user(self):
        self.up()
        for path in (Path(self.socket).parent.parent, Path(self.socket).parent):
            path.chmod(0o755)
        Path(self.socket).chmod(0o777)
        done = self.as_mallory(HATO, "status", "--url", f"ipc://{self.socket}", rc=3)
        self.assertIn(f"user {ALICE} listens there, not the one we are", done.err)
        self.knock(self.socket)
        self.assertIn("session default", self.alice("status").out)

    def test_nor_can_another_pose_as_the_dispatcher(self):
        self.up()
        address = Path(self.socket)
        address.unlink()
        for path in (address.parent.parent, address.parent):
            path.chmod(0o777)
        script = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\nimport os\nos.chmod(sys.argv[1], 0o777)\n"
                  "s.listen()\nprint('listens', flush=True)\nc, _ = s.accept()\nprint(len(c.recv(4096)), flush=True)\n")
        him = self.start(PYTHON, "-c", script, address, user=MALLORY, group=MALLORY, extra_groups=[], cwd="/")
        self.wait_for(lambda: "listens" in him.out(), 30, "that he listens")
        done = self.alice("status", "--url", f"ipc://{address}", rc=3)
        self.assertIn(f"{MALLORY}", done.err)
        self.assertEqual(him.wait().out.split()[-1], "0", "something was said to him")

    def test_an_abstract_socket_refuses_another_user(self):
        name = f"hato-test-{os.getpid()}"
        self.alice("up", "--listen", f"abstract://{name}")
        self.as_mallory(HATO, "status", "--url", f"abstract://{name}", rc=3)
        self.knock(f"@{name}")
        self.alice("status", "--url", f"abstract://{name}")

    def test_processes_show_and_heed_nobody_else(self):
        self.up()
        self.alice("launch", "-n", "1")
        self.alice("submit", "--", "sleep", "600")
        task = self.wait_for(lambda: self.below("sleep", "600"), 30, "the task")[0]
        pids = [pid for pid in descendants() if alive(pid)]
        verbs = {command_line(pid)[1] for pid in pids if command_line(pid)[0].endswith("hato")}
        self.assertLessEqual({"dispatcher", "daemon", "executor"}, verbs)
        numbers = [0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR1]
        self.assertEqual(self.mallory_gets(pids=pids, signals=numbers), [])
        self.assertTrue(all(alive(pid) for pid in pids))
        # Nor do ours heed Alice's own other processes; executors, who have no secret, and tasks do.
        script = "import sys\nfor pid in sys.argv[1:]:\n  try: print(pid, len(open(f'/proc/{pid}/environ', 'rb').read()))\n  except PermissionError: pass"
        done = self.run_command(PYTHON, "-c", script, *pids, user=ALICE, group=ALICE, extra_groups=[])
        seen = {int(line.split()[0]) for line in done.out.splitlines()}
        self.assertIn(task, seen)
        for pid in pids:
            ours = command_line(pid)[0].endswith("hato") and command_line(pid)[1] != "executor"
            self.assertEqual(pid not in seen, ours, command_line(pid))

    def test_tasks_may_dump_as_they_might_before(self):
        self.up("--log-level", "info")
        self.alice("launch", "-n", "1")
        ask = "ulimit -Sc; ulimit -Hc; stat -c %u /proc/self/status"
        self.assertEqual(self.alice("run", "--", "sh", "-c", ask).out,
                         self.run_command("sh", "-c", ask, user=ALICE, group=ALICE, extra_groups=[]).out)

    def test_what_tells_daemons_apart_is_shown_as_arguments(self):
        """By which launchers find them again, as nobody sees their environment."""
        self.up("-n", "2")
        daemons = self.wait_for(lambda: len(found := self.below("daemon", "--mark")) == 2 and found, 30, "two daemons")
        marks = [word for pid in daemons for word in command_line(pid) if word.startswith("HATO_")]
        self.assertEqual(len({word for word in marks if word.startswith("HATO_LAUNCH_TAG=")}), 1, marks)
        self.assertLessEqual({"HATO_MEMBER=0", "HATO_MEMBER=1"}, set(marks))

    def test_daemons_of_a_killed_dispatcher_are_found_by_their_marks(self):
        """And ended; another user's process that shows the same is none of them."""
        self.up("-n", "2")
        daemons = self.wait_for(lambda: len(found := self.below("daemon", "--mark")) == 2 and found, 30, "two daemons")
        marks = [word for word in command_line(daemons[0]) if re.match("HATO_[A-Z_]+=", word)]
        self.assertEqual(len(marks), 2)
        his = self.start(PYTHON, "-c", "import time; time.sleep(600)", *marks, user=MALLORY, group=MALLORY, extra_groups=[], cwd="/")
        (dispatcher,) = self.below("dispatcher")
        for pid in daemons:
            os.kill(pid, signal.SIGSTOP)  # else they end by themselves
        os.kill(dispatcher, signal.SIGKILL)
        self.wait_for(lambda: not alive(dispatcher), 30, "the dispatcher's end")
        # As the record of a launch whose daemons do not end with their dispatcher.
        tag = next(word.removeprefix("HATO_LAUNCH_TAG=") for word in marks if "TAG" in word)
        one = {"tag": tag, "launcher": "local", "count": 2, "daemons": True, "options": [], "record": ""}
        self.make(self.session() / "launches", ALICE, 0o600, json.dumps({"version": 1, "launches": [one]}))
        self.up("-n", "0")
        self.wait_for(lambda: "LEFTOVER-" in self.log(), 20, "what the next dispatcher found")
        self.assertRegex(self.log(), r"LEFTOVER-ENDED launch \S+ by local, of a dispatcher that was killed: what was left of it is ended")
        self.assertFalse(any(alive(pid) for pid in daemons))
        self.assertIsNone(his.rc())

    def squatted(self, make):
        """Alice's session, where Mallory has made what Alice's local folder would be."""
        place = self.shared / f"hato-{ALICE}"
        make(place)
        del self.env["HATO_LOCAL_DIR"]
        others = Path("/tmp") / f"hato-{ALICE}"
        self.addCleanup(lambda: others.exists() and others.rmdir())
        self.up()
        local = Path(self.socket).parent
        self.assertNotIn(self.shared, local.parents)
        self.alice("run", "--", "true")
        self.alice("down")
        return self.log()

    def test_a_local_folder_of_another_is_not_used(self):
        his = self.make(self.shared / "his", MALLORY, 0o777)
        said = self.squatted(lambda place: self.make(place, MALLORY, 0o777))
        self.assertIn(f"hato-{ALICE} belongs to uid {MALLORY}, not to uid {ALICE}", said)
        self.assertEqual(list(his.iterdir()) + list((self.shared / f"hato-{ALICE}").iterdir()), [])

    def test_a_local_folder_that_is_a_link_is_not_used(self):
        his = self.make(self.shared / "his", MALLORY, 0o777)

        def link(place):
            place.symlink_to(his)
            os.chown(place, MALLORY, MALLORY, follow_symlinks=False)

        self.assertIn(f"hato-{ALICE} is a symbolic link, wanted a folder", self.squatted(link))
        self.assertEqual(list(his.iterdir()), [])

    def test_nor_one_that_others_could_replace(self):
        def open_to_all(place):
            self.shared.chmod(0o777)

        self.assertIn("has mode 0777, so that others could replace", self.squatted(open_to_all))
        self.assertFalse((self.shared / f"hato-{ALICE}").exists())

    def test_a_session_of_another_is_not_entered(self):
        self.make(self.shared / "session", MALLORY, 0o777)
        done = self.alice("up", "--session", self.shared / "session", rc=4)
        self.assertIn(f"belongs to uid {MALLORY}, not to uid {ALICE}", done.err)
        self.make(self.shared / "open", ALICE, 0o750)
        done = self.alice("up", "--session", self.shared / "open", rc=4)
        self.assertIn("has mode 0750, which lets others in; it must be 0700: chmod 700", done.err)

    def test_credential_files_are_checked_as_ssh_checks_keys(self):
        self.up()
        good = next(p for p in self.credentials() if p.name in ("secret", "client.credential"))
        text = good.read_text()

        def refused(path, words):
            for verb in (("status", "--url", self.tcp), ("daemon", "--url", self.tcp, "--dial-timeout", "1s")):
                done = self.alice(*verb, "--credential-file", path, rc=None)
                self.assertEqual(done.rc, 4, repr(done))
                self.assertIn(words, done.err, repr(done))
                self.assertNotIn(self.secrets()[0], done.out + done.err)

        mine = self.home
        refused(self.make(mine / "open", ALICE, 0o644, text), "has mode 0644, which lets others read it; wanted 0600: chmod 600")
        refused(self.make(mine / "group", ALICE, 0o640, text), "has mode 0640")
        refused(self.make(self.shared / "his", MALLORY, 0o644, text), f"belongs to uid {MALLORY}, not to uid {ALICE}")
        refused(self.make(mine / "folder", ALICE, 0o700), "is not a plain file")
        os.mkfifo(mine / "fifo")
        os.chown(mine / "fifo", ALICE, ALICE)
        refused(mine / "fifo", "is not a plain file")
        (mine / "link").symlink_to(good)
        os.chown(mine / "link", ALICE, ALICE, follow_symlinks=False)
        refused(mine / "link", "is a symbolic link")
        refused(self.make(mine / "empty", ALICE, 0o600, ""), "empty")
        refused(self.make(mine / "half", ALICE, 0o600, text[:60]), "half")
        self.assertIn("session default", self.alice("status", "--url", self.tcp, "--credential-file", good).out)


if __name__ == "__main__":
    main()
