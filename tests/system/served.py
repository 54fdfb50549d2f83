"""A dispatcher in the foreground and what talks to it: for tests of the dispatcher and of faults."""

import json
import os
import re
import signal
import stat
from pathlib import Path

from harness import HATO, Case, alive, pause  # noqa: F401 (for the tests that import from here)
from refclient import DETACHED, Client, Connection, Credential, Result
from refdaemon import Daemon


class Server:
    """`hato dispatcher`, with what its log said."""

    def __init__(self, test, running):
        self.test, self.running, self.pid = test, running, running.pid
        self.wait_log("SESSION-START")
        state = Path(test.env["XDG_STATE_HOME"]) / "hato"
        self.folder = state / test.env.get("HATO_SESSION", "default")
        self.address = json.loads((self.folder / "address").read_text())
        self.urls = self.address["urls"]
        self.socket = self.urls[0].removeprefix("ipc://")

    def log(self):
        return self.running.err()

    def wait_log(self, words, seconds=20):
        def said():
            if self.running.rc() is not None and words not in self.log():
                self.test.fail(f"the dispatcher ended ({self.running.rc()}): {self.log()}")
            return words in self.log()

        self.test.wait_for(said, seconds, f"{words} in the log:\n{self.log()[-2000:]}")

    def credential_file(self, whose="client"):
        return self.folder / f"{whose}.credential"

    def credential(self, whose="client"):
        return Credential.read(self.credential_file(whose))

    def tcp(self):
        """(host, port) of its tcp address."""
        url = next(u for u in self.urls if u.startswith("tcp://"))
        host, port = re.fullmatch(r"tcp://(.+):(\d+)", url).groups()
        return host, int(port)

    def rss(self):
        """KiB resident."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text()).group(1))

    def alive(self):
        return alive(self.pid)


class Served(Case):
    def serve(self, *args, prefix=(), log="info", **more):
        server = Server(self, self.start(*prefix, HATO, "dispatcher", "--log-level", log, *args, **more))
        self.addCleanup(self.end, server)
        return server

    def end(self, server):
        """An orderly end, in which a sanitizer looks for leaks."""
        if server.alive():
            server.running.signal(signal.SIGTERM)
            self.assertEqual(server.running.wait(30).rc, 0, server.log()[-3000:])

    def client(self, server, **more):
        client = Client(server.socket, **more)
        self.addCleanup(client.connection.close)
        return client

    def daemon(self, server, slots=1, **more):
        daemon = Daemon(server.socket, slots, server.credential("daemon"), **more)
        self.addCleanup(daemon.close)
        return daemon

    def real_daemon(self, server, slots=1, *args):
        running = self.start_hato("daemon", "--url", server.urls[0], "--credential-file", server.credential_file("daemon"), "--slots", slots, "--log-level", "info", *args)
        self.wait_for(lambda: any(d["pid"] == running.pid for d in self.ask(server)["daemons"]), 20, "the daemon is enlisted")
        return running

    def ask(self, server, op="status", **more):
        """One control request, on a connection of its own; its one object."""
        client = Client(server.socket)
        try:
            return request(client, op, **more)
        finally:
            client.close()

    def counts(self, server):
        return self.ask(server)["tasks"]

    def wait_counts(self, server, seconds=20, **wanted):
        """Until status says so many queued, running, done and so on."""
        def agree():
            have = self.counts(server)
            return all(have[name] == n for name, n in wanted.items())

        self.wait_for(agree, seconds, f"{wanted} in {self.counts(server)}")

    def shell(self, client, script, arguments=(b"",), flags=0, **more):
        """Submits a task of a shell script for each argument; the number of the first."""
        spec = client.specification(["/bin/sh", "-c", script, "sh", "{}"], env={"PATH": os.environ["PATH"]}, cwd=self.cwd, **more)
        return client.submit(spec, list(arguments), flags=flags)


def request(client, op, **more):
    return json.loads(client.control(json.dumps({"op": op, **more})))


def requests(client, op, **more):
    return [json.loads(line) for line in client.control(json.dumps({"op": op, **more})).splitlines()]


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def value(result):
    """The error value of what a task came to; 0: a result."""
    return result.error if isinstance(result, Result) else result
