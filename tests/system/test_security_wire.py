"""What goes over the wire, recorded between the programs: over TCP no secret, over TLS nothing that was meant for the
other end. And the wrong credential in real programs' hands: refused, said on both sides, with nothing of why."""

import contextlib
import re
import socket
import threading

from harness import main
from served import Served
from spelled import forms

MARKER = "What-Nobody-Else-May-Read"


class Wire:
    """A port before another one, that keeps all that goes by, both ways."""

    def __init__(self, test, port):
        self.far, self.lock = port, threading.Lock()
        self.kept = {}  # (number of the connection, way): bytes
        self.sockets, self.open = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.take, daemon=True).start()
        test.addCleanup(self.close)

    def take(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.far))
            except OSError:
                return
            with self.lock:
                number = len(self.sockets)
                self.sockets += [near, far]
                self.open += 2
            for way, source, sink in (("up", near, far), ("down", far, near)):
                threading.Thread(target=self.carry, args=((number, way), source, sink), daemon=True).start()

    def carry(self, name, source, sink):
        with self.lock:
            kept = self.kept[name] = bytearray()
        try:
            while data := source.recv(1 << 16):
                with self.lock:
                    kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # shut, not closed: the other way may be waiting for one of them
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        with self.lock:
            self.open -= 1

    def idle(self):
        with self.lock:
            return self.sockets and self.open == 0

    def said(self):
        """All of it: each way of each connection on its own."""
        with self.lock:
            return [bytes(data) for data in self.kept.values()]

    def close(self):
        for each in [self.listener, *self.sockets]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


class OnTheWire(Served):
    def url(self, server, scheme):
        return next(url for url in server.urls if url.startswith(scheme + "://"))

    def record(self, scheme):
        """A session with a daemon and a client, on a wire that is tapped: (what went by, the credentials)."""
        server = self.serve("--listen", f"{scheme}://127.0.0.1:0")
        port = int(self.url(server, scheme).rpartition(":")[2])
        wire = Wire(self, port)
        url = f"{scheme}://127.0.0.1:{wire.port}"
        daemon = self.start_hato("daemon", "--url", url, "--credential-file", server.credential_file("daemon"), "--slots", 2)
        self.wait_for(lambda: self.ask(server)["daemons"], 20, f"the daemon is enlisted: {daemon.err()}")
        as_client = ("--url", url, "--credential-file", server.credential_file("client"))
        arguments = self.dir / "arguments"
        arguments.write_text("".join(f"{MARKER}-argument-{i}\n" for i in range(50)))
        done = self.hato("map", *as_client, "-a", arguments, "sh", "-c", "echo {}; echo seen >&2")
        self.assertEqual(sorted(done.out.splitlines()), sorted(arguments.read_text().splitlines()))
        long = self.hato("map", *as_client, "-a", arguments, f"printf '{MARKER}-output-%0100000d' 5; : {{}}")
        self.assertIn(f"{MARKER}-output-", long.out)
        self.hato("status", *as_client)
        self.assertEqual(len(self.ask(server)["daemons"]), 1)
        daemon.signal(15)
        daemon.wait(20)
        self.wait_for(wire.idle, 20, "all connections have ended")
        return wire.said(), [server.credential(whose) for whose in ("client", "daemon")]

    def assert_not_said(self, said, secret, what):
        for name, form in forms(secret).items():
            for part in said:
                self.assertNotIn(form, part, f"{what}: {name}")
        for part in said:  # nor a part of it
            for at in range(0, 24):
                self.assertNotIn(secret[at : at + 8], part, f"{what}, from byte {at}")

    def test_plain_shows_work_but_no_secret(self):
        said, credentials = self.record("tcp")
        self.assertEqual(len(said), 2 * 4, "a daemon's connection and three clients'")
        everything = b"\n".join(said)
        for part in (f"{MARKER}-argument-7".encode(), f"{MARKER}-output-".encode()):
            self.assertIn(part, everything, "what is looked for can be seen")
        for credential in credentials:
            self.assert_not_said(said, credential.secret, f"role {credential.role}")

    def test_tls_shows_neither(self):
        said, credentials = self.record("tls+tcp")
        self.assertEqual(len(said), 2 * 4)
        for part in said:
            self.assertEqual(part[:2], b"\x16\x03", "a TLS handshake")
            self.assertNotIn(MARKER.encode(), part)
            self.assertNotIn(b"HT\x02", part[:2000])  # hato's own frames
        self.assertGreater(sum(map(len, said)), 50 * 100_000, "the work went this way")
        for credential in credentials:
            self.assert_not_said(said, credential.secret, f"role {credential.role}")


class WrongHands(Served):
    def setUp(self):
        super().setUp()
        self.server = self.serve("--listen", "tcp://127.0.0.1:0", "--listen", "tls+tcp://127.0.0.1:0")
        self.remote = [url for url in self.server.urls if not url.startswith("ipc:")]
        self.assertEqual([url.partition(":")[0] for url in self.remote], ["tcp", "tls+tcp"])

    def refusals(self):
        return re.findall(r"PEER-REFUSED.*", self.server.log())

    def refused_by_peer(self, n, reason):
        """So many in all, each of them once."""
        self.wait_for(lambda: len(self.refusals()) >= n, 20, f"{n} refusals: {self.refusals()}")
        self.assertEqual(len(self.refusals()), n, self.refusals())
        self.assertIn(reason, self.refusals()[-1])

    def altered(self, whose, **changes):
        """A copy of a credential file, some of its words others."""
        names = ("mark", "role", "number", "secret", "name", "fingerprint", "anchor")
        words = dict(zip(names, self.server.credential_file(whose).read_text().strip().split(":")))
        words.update(changes)
        path = self.dir / "tmp" / f"{whose}.altered"
        path.write_text(":".join(words[name] for name in names) + "\n")
        path.chmod(0o600)
        return path

    def test_a_daemons_credential_does_not_submit(self):
        daemons = self.server.credential_file("daemon")
        for url in self.remote:
            for words in (("status",), ("run", "true"), ("map", "-a", "/dev/null", "true")):
                done = self.hato(*words[:1], "--url", url, "--credential-file", daemons, *words[1:], rc=None)
                self.assertNotEqual(done.rc, 0, done)
                self.assertIn(f"{daemons} holds a daemon's credential; wanted a client's", done.err)
                self.assertEqual(done.out, "")
        # Nor when it says that it is a client's: its secret is not.
        for n, url in enumerate(self.remote, 1):
            done = self.hato("status", "--url", url, "--credential-file", self.altered("daemon", role="client"), rc=None)
            self.assertNotEqual(done.rc, 0, done)
            self.assertIn("refused: not admitted", done.err)
            self.refused_by_peer(n, "its proof is wrong: it does not hold the credential that it names, a client's")
        self.assertEqual(self.counts(self.server)["done"], 0)

    def test_a_clients_credential_is_no_daemons(self):
        clients = self.server.credential_file("client")
        for url in self.remote:
            done = self.hato("daemon", "--url", url, "--credential-file", clients, rc=None)
            self.assertNotEqual(done.rc, 0, done)
            self.assertIn("a client's", done.err)
        for n, url in enumerate(self.remote, 1):
            done = self.hato("daemon", "--url", url, "--credential-file", self.altered("client", role="daemon"), rc=None)
            self.assertNotEqual(done.rc, 0, done)
            self.assertIn("refused: not admitted", done.err)
            self.refused_by_peer(n, "does not hold the credential that it names, that of daemons started by hand")
        self.assertEqual(self.ask(self.server)["daemons"], [])

    def test_all_refusals_sound_alike(self):
        good = self.server.credential("daemon").secret.hex()
        wrong = [
            {"secret": good[:-1] + ("0" if good[-1] != "0" else "1")},
            {"number": "77"},
            {"number": "77", "secret": "00" * 32},
        ]
        for url in self.remote:
            before, said = len(self.refusals()), set()
            for n, changes in enumerate(wrong, 1):
                done = self.hato("daemon", "--url", url, "--credential-file", self.altered("daemon", **changes), rc=None)
                self.assertNotEqual(done.rc, 0, done)
                said.add(re.sub(r"^\S+ ", "", done.err.strip().splitlines()[-1]))
                self.refused_by_peer(before + n, "launch 77's" if "number" in changes else "started by hand")
            self.assertEqual(len(said), 1, said)
        self.assertNotIn(good, self.server.log())

    def test_another_sessions_certificate(self):
        """What a relay with a certificate of its own would be: the dispatcher's is not the one of the credential."""
        mine = self.server.credential_file("daemon").read_text().strip().split(":")
        self.env["HATO_SESSION"] = "other"
        other = self.serve("--listen", "tls+tcp://127.0.0.1:0")
        url = next(url for url in other.urls if url.startswith("tls+tcp://"))
        file = self.altered("daemon", secret=other.credential("daemon").secret.hex())
        self.assertNotEqual(other.credential("daemon").fingerprint.hex(), mine[5])
        done = self.hato("daemon", "--url", url, "--credential-file", file, rc=None)
        self.assertNotEqual(done.rc, 0, done)
        self.assertIn("another certificate than the dispatcher", done.err)
        self.assertEqual(self.ask(other)["daemons"], [])


if __name__ == "__main__":
    main()
