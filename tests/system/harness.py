"""What the system tests stand on: whole programs, run as a user runs them.

A file test_<what>.py holds classes derived from Case, and ends with main(). Each
of its test methods is one ctest test: `test_x.py --list` prints them with their
limits in seconds, `test_x.py Class.method` runs one, no argument runs all.

    from harness import Case, limit, main

    class Map(Case):
        @limit(30)
        def test_keeps_order(self):
            done = self.hato("map", "echo", "{}", input="a\\nb\\n")
            self.assertEqual(done.out, "a\\nb\\n")

    main()

Each test has a home of its own. Whatever it started is ended with it, by number:
this process is the subreaper of all its descendants, so that none escapes. Reports
of the sanitizers, from any of them, fail the test. Nothing here sleeps to wait: wait_for
asks again until a deadline.
"""

import ctypes
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("HATO_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get("HATO_BUILD_DIR", SOURCE / "build" / "release"))
HATO = BUILD / "bin" / "hato"
# Sanitized programs are several times slower: limits and deadlines grow by this.
PATIENCE = float(os.environ.get("HATO_PATIENCE", "1"))

PR_SET_CHILD_SUBREAPER = 36


def limit(seconds):
    """The time limit of a test method (of an unsanitized build); else its class's LIMIT."""

    def mark(method):
        method.limit = seconds
        return method

    return mark


class TestTimeout(Exception):
    pass


def pause(seconds=0.01):
    select.select([], [], [], seconds)


def stat_of(pid):
    """(state, parent) of a process, or None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return state, int(parent)


def alive(pid):
    """A zombie is not alive."""
    found = stat_of(pid)
    return found is not None and found[0] not in "ZX"


def processes():
    """{pid: (state, parent)} of all there are."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(name)
            if stat:
                found[int(name)] = stat
    return found


def descendants(of=None, zombies=False):
    """The processes below one (this one), at any depth."""
    table, below, fresh = processes(), [], [of or os.getpid()]
    for _ in range(10):  # one whose parent ended while we read is another's child by now
        if all(parent in table or not parent for _, parent in table.values()):
            break
        table = processes()
    children = {}
    for pid, (_, parent) in table.items():
        children.setdefault(parent, []).append(pid)
    while fresh:
        fresh = [child for pid in fresh for child in children.get(pid, [])]
        below += fresh
    return [pid for pid in below if zombies or table[pid][0] not in "ZX"]


def command_line(pid):
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [word.decode(errors="replace") for word in words[:-1]]


class Done:
    """What became of a command that has ended."""

    def __init__(self, args, rc, out, err):
        self.args, self.rc, self.out, self.err = args, rc, out, err

    def __repr__(self):
        return f"{self.args} -> {self.rc}\nstdout:\n{self.out[-4000:]}\nstderr:\n{self.err[-4000:]}"


class Running:
    """A command that was started. Its output goes to files, which may be read at any time."""

    def __init__(self, args, process, folder):
        self.args, self.process, self.pid, self.folder = args, process, process.pid, folder

    def out(self):
        return (self.folder / "stdout").read_text(errors="replace")

    def err(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def rc(self):
        """None while it runs; minus the signal, as subprocess has it."""
        return self.process.poll()

    def signal(self, number):
        self.process.send_signal(number)

    def signal_group(self, number):
        """As a terminal's Ctrl-C does it: everything in its process group."""
        os.killpg(self.pid, number)

    def wait(self, seconds=60):
        self.process.wait(seconds * PATIENCE)
        return Done(self.args, self.process.returncode, self.out(), self.err())


# What the leak check at a program's end says of a thread that is gone: the program was killed under it.
KILLED_WHILE_CHECKED = re.compile(r"(==\d+==(Unable to get registers from|Could not attach to|Could not detach from) thread .*\n?)+")


def report_in(file):
    """A sanitizer's report; "" where it is only of a check that a kill has interrupted."""
    text = file.read_text(errors="replace")
    return "" if KILLED_WHILE_CHECKED.fullmatch(text) else text


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, args, process, master):
        self.args, self.process, self.pid, self.master, self.text = args, process, process.pid, master, ""

    def read(self):
        """What it has written so far."""
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO: all of the other side is closed
                break
            if not data:
                break
            self.text += data.decode(errors="replace")
        return self.text

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, test, seconds=60):
        test.wait_for(lambda: self.read() is not None and self.process.poll() is not None, seconds, f"{self.args}")
        return Done(self.args, self.process.returncode, self.read(), "")


class Case(unittest.TestCase):
    maxDiff = None
    LIMIT = 60.0  # seconds, of each test that has none of its own
    libc = ctypes.CDLL(None, use_errno=True)
    place = "/tmp"  # of each test's folder

    # ------------------------------------------------------------ its own world

    def setUp(self):
        self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.started, self.spawning, self.count = {}, False, 0
        signal.signal(signal.SIGCHLD, lambda *_: self.reap())
        # Short, as a socket's path is at most 107 bytes.
        self.dir = Path(tempfile.mkdtemp(prefix="ht-", dir=self.place))
        self.addCleanup(self.tear_down)
        for name in ("home", "state", "run", "config", "tmp", "cwd", "io", "san"):
            (self.dir / name).mkdir(mode=0o700)
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HATO_", "SLURM_", "PBS_", "XDG_")) and name not in ("TMPDIR", "CTEST_INTERACTIVE_DEBUG_MODE")
        }
        self.env.update(
            HOME=str(self.dir / "home"),
            XDG_STATE_HOME=str(self.dir / "state"),
            HATO_LOCAL_DIR=str(self.dir / "run"),
            XDG_RUNTIME_DIR=str(self.dir / "run"),
            XDG_CONFIG_HOME=str(self.dir / "config"),
            TMPDIR=str(self.dir / "tmp"),
            LC_ALL="C.UTF-8",
            PATH=f"{HATO.parent}:{os.environ.get('PATH', '')}",
        )
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            given = self.env.get(name, "")
            self.env[name] = f"{given}{':' if given else ''}log_path={self.dir / 'san' / 'report'}"
        self.cwd = self.dir / "cwd"
        signal.signal(signal.SIGALRM, self.out_of_time)
        signal.setitimer(signal.ITIMER_REAL, limit_of(type(self), self._testMethodName) * PATIENCE)

    def out_of_time(self, *_):
        raise TestTimeout(f"still running after its limit; below it: {[(p, command_line(p)) for p in descendants()]}")

    def tear_down(self):
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.end_all()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        reports = "\n".join(filter(None, map(report_in, sorted((self.dir / "san").iterdir()))))
        if self.failed():
            self.show_logs()
        subprocess.run(["chmod", "-R", "u+rwX", str(self.dir)], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        if reports:
            self.fail(f"a sanitizer reported:\n{reports[:20000]}")

    def failed(self):
        outcome = getattr(self, "_outcome", None)
        result = getattr(outcome, "result", None)
        return bool(outcome and not outcome.success) or bool(result and any(t is self for t, _ in result.failures + result.errors))

    def show_logs(self):
        """Of sessions, launched daemons, and what commands said on standard error."""
        files = [f for name in ("log", "*.log", "stderr") for f in sorted(self.dir.rglob(name)) if f.is_file() and f.stat().st_size]
        if len(files) > 40:
            print(f"--- the first 40 of {len(files)} logs", file=sys.stderr)
        for file in files[:40]:
            try:
                print(f"--- {file}\n{file.read_text(errors='replace')[-6000:]}", file=sys.stderr)
            except OSError as problem:
                print(f"--- {file}: {problem}", file=sys.stderr)

    def end_all(self):
        """Ends every process below this one, whoever started it, however it detached itself."""
        deadline = time.monotonic() + 20 * PATIENCE
        while time.monotonic() < deadline:
            left = descendants(zombies=True)
            if not left:
                return
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for process in self.started.values():
                process.poll()
            self.reap(everything=True)
            pause()
        raise RuntimeError(f"processes that do not end: {descendants(zombies=True)}")

    def reap(self, everything=False):
        """What we have adopted is waited for as init would, else a dead process looks alive to others."""
        if self.spawning:
            return  # a child that is not yet in `started` is not an adopted one
        table = processes()
        for pid, (state, parent) in table.items():
            if parent == os.getpid() and state == "Z" and (everything or pid not in self.started):
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    # ---------------------------------------------------------------- starting

    def popen(self, args, **more):
        more.setdefault("cwd", self.cwd)
        more.setdefault("env", self.env)
        more.setdefault("start_new_session", True)
        self.spawning = True
        try:
            process = subprocess.Popen([str(arg) for arg in args], **more)
            self.started[process.pid] = process
        finally:
            self.spawning = False
        self.reap()
        return process

    def run_command(self, *args, input=None, timeout=60, rc=0, binary=False, **more):
        """Runs to its end; rc is what it must exit with (None: anything)."""
        encode = (lambda text: text) if binary else (lambda text: text.decode(errors="replace"))
        data = input.encode() if isinstance(input, str) else input
        process = self.popen(
            args, stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        try:
            out, err = process.communicate(data, timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.fail(f"not ended after {timeout} s: {Done(args, None, encode(out), encode(err))}")
        done = Done(args, process.returncode, encode(out), encode(err))
        if rc is not None:
            self.assertEqual(done.rc, rc, repr(done))
        return done

    def hato(self, *args, **more):
        return self.run_command(HATO, *args, **more)

    def hato_json(self, *args, **more):
        """The objects that a verb prints with --json, one a line."""
        return [json.loads(line) for line in self.hato(*args, "--json", **more).out.splitlines()]

    def start(self, *args, stdin=subprocess.DEVNULL, **more):
        self.count += 1
        folder = self.dir / "io" / str(self.count)
        folder.mkdir()
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            process = self.popen(args, stdin=stdin, stdout=out, stderr=err, **more)
        return Running(args, process, folder)

    def start_hato(self, *args, **more):
        return self.start(HATO, *args, **more)

    def start_terminal(self, *args, stdin=None, **more):
        """On a pseudo-terminal: its output, and its input too unless stdin is given."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        process = self.popen(args, stdin=slave if stdin is None else stdin, stdout=slave, stderr=slave, **more)
        os.close(slave)
        return Terminal(args, process, master)

    # ----------------------------------------------------------------- waiting

    def wait_for(self, predicate, seconds=10, what="the condition"):
        """Asks until the answer is true, and returns it. The last question is asked when time is over, not before."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            over = time.monotonic() > deadline
            answer = predicate()
            if answer:
                return answer
            if over:
                self.fail(f"not within {seconds * PATIENCE:.0f} s: {what}; below us: {[(p, command_line(p)) for p in descendants()]}")
            pause()

    def below(self, *words, of=None):
        """Descendants whose command line holds these words, each as a whole word."""
        return [pid for pid in descendants(of) if all(word in command_line(pid) for word in words)]

    def called(self, *words):
        """Descendants whose command line is exactly these words: not a shell that is given them, nor a process that
        one has just forked, which shows its parent's words until it executes its own."""
        return [pid for pid in descendants() if command_line(pid) == list(words)]

    def wait_called(self, count, *words):
        """As called, when there are so many."""
        return self.wait_for(lambda: len(found := self.called(*words)) == count and found, 20, f"{count} of {words}")

    def assert_nothing_left(self, seconds=10):
        """No process is left of what this test started (after a moment: ends take time to be seen)."""
        self.wait_for(lambda: not descendants(), seconds, "all processes ended")


def limit_of(case, name):
    return getattr(getattr(case, name), "limit", case.LIMIT)


def main():
    module = sys.modules["__main__"]
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Case) and c is not Case]
    if sys.argv[1:] == ["--list"]:
        for one in classes:
            for name in unittest.defaultTestLoader.getTestCaseNames(one):
                print(f"{one.__name__}.{name} {limit_of(one, name):.0f}")
        return
    unittest.main(module=module, verbosity=2)
