"""Where a session's secrets are, and that they are nowhere else: no output, log, file, argument or environment
holds one but the credential files, and in memory they stand only in pages that no dump has."""

import contextlib
import json
import os
import re
import threading
import unittest
from pathlib import Path

from harness import BUILD, HATO, SOURCE, Case, alive, command_line, descendants, main
from spelled import forms, secret_of

CC = os.environ.get("CC", "cc")
SANITIZED = os.environ.get("HATO_SANITIZE", "")
CREDENTIAL_NAMES = ("secret", "*.credential")


def walk(*folders):
    """The files below, those that go meanwhile left out."""
    found = [Path(folder) / name for top in folders for folder, _, names in os.walk(top) for name in names]
    return [path for path in found if path.is_file()]


def credential_files(*folders):
    return [path for path in walk(*folders) if any(path.match(name) for name in CREDENTIAL_NAMES)]


def read_all(paths):
    """{path: its bytes}. Of a session at work some end in between: records get their names, launches are over."""
    found = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.read_bytes()
    return found


def mappings(pid):
    """(start, end, whether a dump of the process has it, its line in smaps)."""
    at = None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ", line)
        if head:
            at = (int(head[1], 16), int(head[2], 16), head[3], line)
        elif line.startswith("VmFlags:") and at and at[2][0] == "r" and not re.search(r"\[v(var|syscall|dso)", at[3]):
            yield at[0], at[1], "dd" not in line.split(), at[3]


def in_memory(pid, secrets):
    """{True: what a dump would have, False: what it would not}, each a list of words."""
    found = {True: [], False: []}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for start, end, dumped, line in mappings(pid):
            try:
                mem.seek(start)
                data = b""
                while len(data) < end - start and (more := mem.read(end - start - len(data))):
                    data += more
            except OSError:  # it has gone
                continue
            for secret in secrets:
                for name, form in (("raw", secret), ("hex", secret.hex().encode())):
                    found[dumped] += [f"{name} at {start + m.start():x} in {line}" for m in re.finditer(re.escape(form), data)]
    return found


class Watch(threading.Thread):
    """Notes the arguments and environments of all processes below this one, as long as it is open."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.over = set(), threading.Event()

    def run(self):
        while not self.over.wait(0.005):
            for pid in descendants():
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((name, Path(f"/proc/{pid}/{name}").read_bytes()))
                    except OSError:
                        pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Kept(Case):
    """A session, its credentials and where they are."""
    LIMIT = 120.0


    def folder(self):
        return self.dir / "state" / "hato" / "default"

    def urls(self):
        return json.loads((self.folder() / "address").read_text())["urls"]

    def tcp(self):
        return next(url for url in self.urls() if url.startswith("tcp:"))

    def credential(self, role):
        """The session's own file of a role."""
        path = self.folder() / f"{role}.credential"
        return path if path.exists() else self.folder() / "secret"

    def secrets(self):
        found = {secret_of(data.decode()) for data in read_all(credential_files(self.dir)).values()}
        self.assertTrue(found)
        return found

    def nothing_in(self, data, where):
        for secret in self.all_secrets:
            for name, form in forms(secret).items():
                self.assertNotIn(form, data, f"{name} of a secret in {where}")


class Session(Kept):
    def test_only_credential_files_hold_one(self):
        outputs = []

        def hato(*args, **more):
            done = self.hato(*args, **{"rc": None, **more})
            outputs.append(done)
            return done

        with Watch() as watch:
            hato("up", "--listen", "tcp://127.0.0.1:0", "--log-level", "debug", rc=0)
            self.all_secrets = self.secrets()
            # A wrong one, and what is none, are no business of a message either.
            wrong = os.urandom(32)
            good = self.credential("daemon").read_text().strip()
            self.all_secrets |= {wrong, secret_of("f00d" * 16)}
            other = good.replace(secret_of(good).hex(), wrong.hex())
            (self.dir / "wrong").write_text(other + "\n")
            (self.dir / "wrong").chmod(0o600)
            (self.dir / "none").write_text("f00d" * 16 + "x\n")
            (self.dir / "none").chmod(0o600)
            for verbs in (
                ["launch", "-n", "2"], ["launch", "--print"], ["launch", "--launcher", "none"], ["launch", "-o", "nosuch=1"],
                ["launch", "--launcher", "command", "-o", "submit=false {command:q}"],
                ["launch", "--launcher", "command", "-n", "1", "-o", "submit=sh -c {command:q}", "--wait", "1s", "--launch-timeout", "2s"],
                ["launch", "--launcher", "ssh", "-o", "hosts=nowhere.invalid", "--wait", "1s"],
                ["launch", "--launcher", "slurm", "--wait", "1s"], ["launch", "--launcher", "pbs", "--wait", "1s"],
                ["launch", "-n", "1", "--", "env"],
                ["run", "--", "env"], ["run", "--", "sh", "-c", "tr '\\0' '\\n' </proc/$PPID/environ"], ["run", "--", "nosuchprogram"],
                ["submit", "--", "env"], ["wait", "--all"], ["output", "1-9"], ["tasks"], ["tasks", "--json"],
                ["status"], ["status", "--json"], ["launchers"], ["launchers", "--json"], ["help"], ["help", "daemon"],
                ["status", "--url", self.tcp()], ["status", "--url", self.tcp(), "--credential-file", self.dir / "wrong"],
                ["status", "--url", self.tcp(), "--credential-file", self.dir / "none"],
                ["status", "--url", self.tcp(), "--credential-file", self.credential("client"), "--log-level", "debug"],
                ["daemon", "--url", self.tcp(), "--credential-file", self.dir / "wrong", "--log-level", "debug", "--dial-timeout", "2s"],
                ["daemon", "--url", self.tcp(), "--credential-file", self.dir / "none", "--log-level", "debug", "--dial-timeout", "2s"],
                ["credentials"], ["credentials", "list", "--json"], ["status", "--security"], ["status", "--security", "--json"],
            ):
                hato(*verbs)
            hato("map", "echo", "{}", input="a\nb\n")
            for words in (other, "f00d" * 16 + "x"):
                hato("daemon", "--url", self.tcp(), "--log-level", "debug", "--dial-timeout", "2s", input=words + "\n")
            self.all_secrets |= self.secrets()
            files = self.files()
            hato("down", rc=0)
            files |= self.files()
        for done in outputs:
            self.nothing_in((done.out + done.err).encode(), repr(done.args))
        self.assertGreater(len(files), 5)
        for path, data in files.items():
            self.nothing_in(data, path)
        self.assertGreater(len(watch.seen), 5)  # those that live longer are always among them
        for name, data in watch.seen:
            self.nothing_in(data, f"{name} {data[:300]}")
        self.assertEqual(credential_files(self.dir), [], "left by a session that ended")

    def files(self):
        """All that was written, but for the credentials."""
        but = {*credential_files(self.dir), self.dir / "wrong", self.dir / "none"}
        return read_all(path for path in walk(self.dir) if path not in but)

    def test_a_credential_in_the_environment_is_read_once_and_seen_by_nobody(self):
        self.hato("up", "-n", "0", "--listen", "tcp://127.0.0.1:0")
        text = self.credential("daemon").read_text().strip()
        self.all_secrets = {secret_of(text)}
        given = {**self.env, "HATO_CREDENTIAL": text}
        daemon = self.start_hato("daemon", "--url", self.tcp(), "--slots", "1", env=given)
        seen = self.hato("run", "--", "sh", "-c", "env; tr '\\0' '\\n' </proc/$PPID/environ").out
        self.assertNotIn("HATO_CREDENTIAL", seen)
        for pid in [daemon.pid, *descendants(daemon.pid)]:
            try:
                self.nothing_in(Path(f"/proc/{pid}/environ").read_bytes(), command_line(pid))
            except (PermissionError, FileNotFoundError, ProcessLookupError):  # only root may; it has ended
                pass
        # Whoever has one in his environment hands it on to nobody, tasks and other systems' workers included.
        self.hato("launch", "-n", "1", "--slots", "1", env=given)
        self.assertNotIn("HATO_CREDENTIAL", self.hato("run", "--embedded", "--", "env", env=given).out)
        self.hato("down")
        self.hato("up", "-n", "0", env=given)
        out = self.dir / "worker"
        self.hato("launch", "-n", "1", "--", "sh", "-c", f"env >{out}.part; mv {out}.part {out}", env=given)
        self.wait_for(out.exists, 30, "the worker")
        self.assertNotIn("HATO_CREDENTIAL", out.read_text())
        server = self.below("dispatcher")[0]
        try:
            self.assertNotIn(b"HATO_CREDENTIAL=h", Path(f"/proc/{server}/environ").read_bytes())
        except PermissionError:
            pass


@unittest.skipIf(SANITIZED, "a sanitizer keeps what was freed")
class Memory(Kept):
    """Of our own processes only root can see it, of a host program its user."""

    def only_where_no_dump_has_it(self, pid, secrets, there=None):
        found = in_memory(pid, secrets)
        self.assertEqual(found[True], [], command_line(pid))
        if there is not None:
            self.assertEqual(bool(found[False]), there, (command_line(pid), found[False]))

    @unittest.skipUnless(os.geteuid() == 0, "the memory of hato's processes is shown to root alone")
    def test_of_dispatcher_daemons_and_clients(self):
        self.hato("up", "-n", "1", "--listen", "tcp://127.0.0.1:0")
        secrets = self.secrets()
        text = self.credential("daemon").read_text().strip()
        by_hand = [
            self.start_hato("daemon", "--url", self.tcp(), "--slots", "1", env={**self.env, "HATO_CREDENTIAL": text}),
            self.start_hato("daemon", "--url", self.tcp(), "--slots", "1", "--credential-file", self.credential("daemon")),
        ]
        piped = self.popen([HATO, "daemon", "--url", self.tcp(), "--slots", "1", "--credential-file", "-"], stdin=-1)
        piped.stdin.write(text.encode() + b"\n")
        piped.stdin.close()
        self.wait_for(lambda: len(self.hato_json("status")[0]["daemons"]) == 4, 30, "four daemons")
        self.hato("launch", "-n", "1")
        client = self.start_hato("run", "--url", self.tcp(), "--credential-file", self.credential("client"), "--", "sleep", "600")
        # The client is admitted, and done with its credential, when the task runs.
        self.wait_for(lambda: self.called("sleep", "600"), 30, "the task")
        secrets |= self.secrets()
        (server,) = self.below("dispatcher")
        self.only_where_no_dump_has_it(server, secrets, True)
        self.only_where_no_dump_has_it(client.pid, secrets)
        daemons = self.below("daemon")
        self.assertEqual(len(daemons), 5)
        for pid in daemons:
            self.assertEqual(in_memory(pid, secrets), {True: [], False: []}, command_line(pid))
        for pid in self.below("executor"):
            self.assertEqual(in_memory(pid, secrets), {True: [], False: []}, command_line(pid))
        self.assertTrue(all(alive(one.pid) for one in (*by_hand, piped, client)))

    def host(self, *args):
        program = self.dir / "secret_host"
        self.run_command(CC, "-std=c17", f"-I{SOURCE / 'core' / 'include'}", f"-I{BUILD / 'generated'}",
                         SOURCE / "tests" / "fixtures" / "secret_host.c", "-o", program, BUILD / "lib" / "libhato.so",
                         f"-Wl,-rpath,{BUILD / 'lib'}")
        # What is handed to a launch's daemon on its standard input is noted on its way.
        between = self.dir / "between"
        between.write_text(f'#!/bin/sh\numask 077; [ "$1" = daemon ] || exec {HATO} "$@"\n'
                           f't=$(cat); seen={self.dir}/seen$$; printf %s "$t" >$seen; mv $seen $seen.credential; printf %s "$t" | {HATO} "$@"\n')
        between.chmod(0o755)
        inside, self.outside = os.pipe()
        self.addCleanup(os.close, self.outside)
        host = self.start(program, *args, stdin=inside, env={**self.env, "HATO_BINARY": str(between)})
        os.close(inside)
        self.wait_for(lambda: "open" in host.out() or host.rc() is not None, 30, "the pool")
        self.assertIsNone(host.rc(), host.err())
        return host

    def close(self, host):
        os.write(self.outside, b"\n")
        self.wait_for(lambda: "closed" in host.out(), 20, "the pool's end")

    def test_of_a_program_with_a_dispatcher_inside(self):
        host = self.host()
        # It waits for the daemon of its second launch, and not for that of the first.
        self.wait_for(lambda: len(list(self.dir.glob("seen*.credential"))) >= 2, 30, "each launch's own")
        secrets = self.secrets()
        self.only_where_no_dump_has_it(host.pid, secrets, True)
        self.close(host)
        self.assertEqual(in_memory(host.pid, secrets), {True: [], False: []})

    def test_of_a_program_that_is_a_client(self):
        self.hato("up", "-n", "0", "--listen", "tcp://127.0.0.1:0")
        secrets = self.secrets()
        host = self.host(self.tcp(), self.credential("client"))
        self.only_where_no_dump_has_it(host.pid, secrets)
        self.close(host)
        self.assertEqual(in_memory(host.pid, secrets), {True: [], False: []})


if __name__ == "__main__":
    main()
