"""TLS from without: a session's own certificate and a CA's, what `hato up` says of a wrong one before it starts anything,
the pass phrase of a key, what is encrypted unless the user says otherwise, and tunnels."""

import fcntl
import json
import os
import re
import shutil
import socket
import termios
import threading
import unittest
from pathlib import Path

from harness import BUILD, HATO, Case, alive, command_line, limit, main

PHRASE = "a phrase with blanks: ä"


class Relay:
    """Another port for one that listens on loopback, as the near end of a tunnel is. Carries bytes and knows nothing of them."""

    def __init__(self, port):
        self.to, self.ends, self.carried = port, [], bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    def carry(self, one, other):
        try:
            while data := one.recv(65536):
                self.carried += data
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for end in (self.listener, *self.ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Encrypted(Case):
    LIMIT = 120.0

    def setUp(self):
        super().setUp()
        self.env["HATO_LAUNCHERS_PATH"] = str(BUILD / "tests" / "launchers")
        self.env["HATO_FAKE_DIR"] = str(self.dir)
        self.env["HATO_CONFIG"] = str(self.dir / "hato.conf")
        self.env["HATO_SITE_CONFIG"] = str(self.dir / "site.conf")
        self.env["HATO_MUNGE_SOCKET"] = str(self.dir / "no-munged")
        for name in ("hato.conf", "site.conf"):
            (self.dir / name).touch()
        self.addCleanup(lambda: self.hato("down", rc=None))

    def up(self, *words, **more):
        """A session without daemons; what it listens at beyond its socket."""
        self.hato("up", "-n", "0", *words, **more)
        return self.urls()

    def session(self):
        return self.dir / "state" / "hato" / "default"

    def urls(self):
        return json.loads((self.session() / "address").read_text())["urls"][1:]

    def log(self):
        return (self.session() / "log").read_text()

    def credential(self, role):
        return self.session() / f"{role}.credential"

    def port(self, url):
        return int(re.search(r":(\d+)(/|$)", url)[1])

    def daemons(self):
        return self.hato_json("status")[0]["daemons"]

    def daemon(self, url, *words, credential="daemon"):
        return self.start_hato("daemon", "--url", url, "--credential-file", self.credential(credential), "--slots", "1", *words)

    def map_over(self, url):
        done = self.hato("map", "--url", url, "--credential-file", self.credential("client"), "echo", "{}", input="one\ntwo\nthree\n")
        self.assertEqual(done.out, "one\ntwo\nthree\n")


@unittest.skipUnless(shutil.which("openssl"), "certificates are made with openssl")
class Certificates(Encrypted):
    """Of a CA that the test is."""

    def setUp(self):
        super().setUp()
        self.key("ca")
        self.openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Test CA", "-days", "30", "-out", "ca.pem")
        self.leaf("login")
        self.chain = ("--tls-certificate", "login.chain", "--tls-key", "login.key")

    def openssl(self, *words, **more):
        self.run_command("openssl", *words, **more)

    def key(self, name):
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        (self.cwd / f"{name}.key").chmod(0o600)

    def leaf(self, name, days=30):
        """name.key, name.pem, name.chain; for login.example."""
        self.key(name)
        (self.cwd / "names").write_text("subjectAltName=DNS:login.example\n")
        self.openssl("req", "-new", "-key", f"{name}.key", "-subj", "/CN=login.example", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days,
                     "-extfile", "names", "-out", f"{name}.pem")
        (self.cwd / f"{name}.chain").write_text((self.cwd / f"{name}.pem").read_text() + (self.cwd / "ca.pem").read_text())

    def encrypt_key(self):
        """login.key becomes one with a pass phrase."""
        self.openssl("pkcs8", "-topk8", "-in", "login.key", "-v2", "aes256", "-passout", "stdin", "-out", "login.enc", input=PHRASE + "\n")
        (self.cwd / "login.enc").chmod(0o600)
        (self.cwd / "login.enc").rename(self.cwd / "login.key")

    def phrase_file(self, text, mode=0o600):
        path = self.cwd / "phrase"
        path.write_text(text)
        path.chmod(mode)
        return path

    def refused(self, *words, rc=4):
        """By `hato up`, in these words, with nothing started."""
        *options, said = words
        done = self.hato("up", "-n", "1", "--listen", "tls+tcp://127.0.0.1:0", *options, rc=rc)
        self.assertIn(said, done.err)
        self.nothing_started()
        return done

    def nothing_started(self):
        self.assertEqual(self.below("dispatcher"), [])
        for name in ("address", "client.credential", "log"):
            self.assertFalse((self.session() / name).exists(), name)

    def test_a_chain_serves_daemons_and_clients(self):
        tls, wss = self.up("--listen", "tls+tcp://127.0.0.1:0", "--listen", "wss://127.0.0.1:0/hato", *self.chain)
        self.assertRegex(tls, r"^tls\+tcp://127\.0\.0\.1:\d+$")
        self.assertRegex(wss, r"^wss://127\.0\.0\.1:\d+/hato$")
        self.assertEqual(self.credential("daemon").read_text().split(":")[4], "login.example")
        self.daemon(tls)
        self.daemon(wss)
        self.wait_for(lambda: len(self.daemons()) == 2, 30, "two daemons")
        for url in (tls, wss):
            self.map_over(url)
        # As the rest of the world sees it.
        self.openssl("s_client", "-connect", tls.removeprefix("tls+tcp://"), "-CAfile", "ca.pem", "-verify_hostname", "login.example",
                     "-verify_return_error", "-brief")
        self.openssl("s_client", "-connect", tls.removeprefix("tls+tcp://"), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", rc=1)

    def test_the_ca_may_be_a_file_of_its_own(self):
        self.refused("--tls-certificate", "login.pem", "--tls-key", "login.key", "stands alone and is not its own")
        (url,) = self.up("--listen", "tls+tcp://127.0.0.1:0", "--tls-certificate", "login.pem", "--tls-key", "login.key", "--tls-ca", "ca.pem")
        self.daemon(url)
        self.map_over(url)

    def test_through_a_tunnel_it_is_the_sessions_certificate_that_is_verified(self):
        (url,) = self.up("--listen", "tls+tcp://127.0.0.1:0", *self.chain)
        tunnel = Relay(self.port(url))
        self.addCleanup(tunnel.close)
        near = f"tls+tcp://localhost:{tunnel.port}"
        self.daemon(near)
        self.map_over(near)
        self.assertEqual(len(self.daemons()), 1)
        carried = bytes(tunnel.carried)
        self.assertGreater(len(carried), 1000)
        for secret in (b"three", *(bytes.fromhex(self.credential(r).read_text().split(":")[3]) for r in ("client", "daemon"))):
            self.assertNotIn(secret, carried)

    def test_another_certificate_of_the_same_ca_is_not_believed(self):
        self.up("--listen", "tls+tcp://127.0.0.1:0", *self.chain)
        self.leaf("other")
        self.hato("up", "-n", "0", "--session", "other", "--listen", "tls+tcp://127.0.0.1:0", "--tls-certificate", "other.chain", "--tls-key", "other.key")
        self.addCleanup(lambda: self.hato("down", "--session", "other", rc=None))
        url = json.loads((self.session().parent / "other" / "address").read_text())["urls"][1]
        done = self.daemon(url).wait()
        self.assertEqual(done.rc, 4)
        self.assertIn("who answers there has another certificate than the dispatcher", done.err)
        done = self.hato("status", "--url", url, "--credential-file", self.credential("client"), rc=3)
        self.assertIn("has another certificate", done.err)

    def test_what_is_wrong_is_said_before_anything_is_started(self):
        self.refused("--tls-certificate", "login.chain", "--tls-key", "none.key", "cannot open the key none.key")
        self.refused("--tls-certificate", "none.chain", "--tls-key", "login.key", "none.chain")
        self.refused("--tls-certificate", "login.chain", "--tls-certificate needs --tls-key", rc=2)
        self.refused("--tls-key", "login.key", "--tls-key needs --tls-certificate", rc=2)
        self.refused("--tls-certificate", "login.chain", "--tls-key", "ca.key", "the key ca.key is not that of the certificate login.chain")
        self.refused("--tls-certificate", "login.key", "--tls-key", "login.key", "holds no certificate in PEM")
        self.refused("--tls-certificate", "login.chain", "--tls-key", "login.pem", "mode")
        (self.cwd / "login.pem").chmod(0o600)
        self.refused("--tls-certificate", "login.chain", "--tls-key", "login.pem", "holds no private key in PEM")
        self.refused(*self.chain, "--tls-ca", "other.pem", "other.pem")
        (self.cwd / "login.key").chmod(0o644)
        self.refused(*self.chain, "the key login.key has mode 0644, which lets others read it; wanted 0600: chmod 600 login.key")
        (self.cwd / "login.key").chmod(0o640)
        self.refused(*self.chain, "has mode 0640")
        self.leaf("old", days=-1)
        self.refused("--tls-certificate", "old.chain", "--tls-key", "old.key", "the certificate old.chain expired on 20")

    def test_a_configuration_file_names_one_for_all_sessions(self):
        (self.dir / "site.conf").write_text(
            f"[session]\ntls-certificate = {self.cwd}/login.chain\ntls-key = {self.cwd}/login.key\nlisten = tls+tcp://127.0.0.1:0\n")
        (url,) = self.up()
        self.assertEqual(self.credential("daemon").read_text().split(":")[4], "login.example")
        self.daemon(url)
        self.map_over(url)

    # ------------------------------------------------------------ an encrypted key

    def phrase_is_nowhere(self):
        """Neither in the arguments and environment of the dispatcher in the background, nor in a file."""
        (server,) = self.below("dispatcher")
        seen = [(Path(f"/proc/{server}/cmdline")).read_bytes()]
        try:
            seen.append(Path(f"/proc/{server}/environ").read_bytes())
        except PermissionError:  # only root may
            pass
        seen += [p.read_bytes() for p in self.dir.rglob("*") if p.is_file() and p.name != "phrase"]
        for data in seen:
            self.assertNotIn(PHRASE.encode(), data)

    def test_the_pass_phrase_from_a_file(self):
        self.encrypt_key()
        path = self.phrase_file(PHRASE + "\nand more\n", 0o644)
        self.refused(*self.chain, "--tls-pass-file", path, f"the pass phrase's file {path} has mode 0644, which lets others read it; wanted 0600")
        self.refused(*self.chain, "--tls-pass-file", self.cwd, f"the pass phrase's file {self.cwd} is not a plain file")
        self.refused(*self.chain, "--tls-pass-file", self.phrase_file("a wrong one\n"), "the key login.key: that is not its pass phrase")
        self.refused(*self.chain, "--tls-pass-file", "none", "cannot open the pass phrase's file none")
        (url,) = self.up("--listen", "tls+tcp://127.0.0.1:0", *self.chain, "--tls-pass-file", self.phrase_file(PHRASE + "\nand more\n"))
        self.phrase_is_nowhere()
        self.daemon(url)
        self.map_over(url)

    def test_a_pass_phrase_without_a_newline_is_one(self):
        self.encrypt_key()
        self.up("--listen", "tls+tcp://127.0.0.1:0", *self.chain, "--tls-pass-file", self.phrase_file(PHRASE))

    def test_without_a_terminal_and_a_file_it_is_said_what_is_wanted(self):
        self.encrypt_key()
        done = self.refused(*self.chain, "the key login.key is encrypted, and there is no terminal to ask for its pass phrase")
        self.assertIn("--tls-pass-file names a file with it", done.err)

    def up_at_a_terminal(self, phrase):
        """Asks there, even when the input is something else; shows nothing of the answer."""
        terminal = self.start_terminal(HATO, "up", "-n", "0", "--listen", "tls+tcp://127.0.0.1:0", *self.chain,
                                       preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.wait_for(lambda: "Pass phrase of login.key: " in terminal.read(), 20, "the question")
        hidden = lambda: not termios.tcgetattr(terminal.master)[3] & termios.ECHO
        self.wait_for(hidden, 30, "that the answer is not shown")
        terminal.type(phrase + "\n")
        done = terminal.wait(self)
        self.assertNotIn(phrase, done.out)
        self.assertTrue(termios.tcgetattr(terminal.master)[3] & termios.ECHO, "the terminal is left as it was")
        return done

    def test_the_pass_phrase_at_the_terminal(self):
        self.encrypt_key()
        done = self.up_at_a_terminal("a wrong one")
        self.assertEqual(done.rc, 4, done.out)
        self.assertIn("the key login.key: that is not its pass phrase", done.out)
        self.nothing_started()
        done = self.up_at_a_terminal(PHRASE)
        self.assertEqual(done.rc, 0, done.out)
        self.assertIn("session default is up", done.out)
        self.phrase_is_nowhere()
        (url,) = self.urls()
        self.daemon(url)
        self.map_over(url)


class Policy(Encrypted):
    """What is encrypted unless the user says otherwise."""

    def printed(self):
        return set(re.findall(r"([a-z+]+)://", self.hato("launch", "--print").out))

    def beyond(self):
        """Skips where this machine has no address that others could dial."""
        done = self.hato("launch", "--print", rc=None)
        if "has no address beyond loopback" in done.err:
            self.skipTest("this machine has no address beyond loopback")
        self.assertEqual(done.rc, 0, repr(done))

    def dialled(self):
        """The addresses that the only daemon was given."""
        (pid,) = [p for p in self.below("daemon", "--url") if alive(p) and command_line(p)[1:2] == ["daemon"]]
        return command_line(pid)[command_line(pid).index("--url") + 1]

    def tunnelled(self):
        """The scheme of what daemons dial that come through a tunnel to loopback."""
        self.hato("launch", "--launcher", "fake", "-n", "1", "-o", "tunnel=true")
        scheme, host = re.fullmatch(r"([a-z+]+)://([0-9.]+):\d+", self.dialled()).groups()
        self.assertEqual(host, "127.0.0.1")
        return scheme

    @limit(150)
    def test_auto(self):
        self.up()
        self.beyond()
        self.assertEqual(self.printed(), {"tls+tcp"})
        self.assertEqual(self.tunnelled(), "tcp")
        self.assertNotIn("LISTENING-PLAIN", self.log())

    @limit(150)
    def test_always(self):
        self.up("--tls", "always")
        self.beyond()
        self.assertEqual(self.printed(), {"tls+tcp"})
        self.assertEqual(self.tunnelled(), "tls+tcp")

    @limit(150)
    def test_never(self):
        self.up("--tls", "never")
        self.beyond()
        self.assertEqual(self.printed(), {"tcp"})
        self.assertEqual(self.tunnelled(), "tcp")
        self.assertRegex(self.log(), r"warn LISTENING-PLAIN listens at tcp://\S+, where nothing is encrypted: who is on the way reads all but")

    def test_what_else_is_said_is_an_error(self):
        done = self.hato("up", "-n", "0", "--tls", "sometimes", rc=2)
        self.assertIn("auto, always", done.err)

    def test_a_plain_listener_that_was_asked_for_is_warned_of(self):
        self.up("--listen", "tcp://0.0.0.0:0")
        self.assertIn("LISTENING-PLAIN", self.log())

    def test_a_plain_listener_on_loopback_is_not(self):
        self.up("--listen", "tcp://127.0.0.1:0")
        self.assertNotIn("LISTENING-PLAIN", self.log())

    def launched(self, *words):
        """A daemon by a launcher that starts daemons on other machines; what it dialled."""
        self.up(*words)
        self.beyond()
        submit = "setsid sh -c {daemon:q} >daemon.log 2>&1 & echo 1"
        self.hato("launch", "--launcher", "command", "-n", "1", "-o", f"submit=cd {self.cwd} && {submit}", timeout=60)
        self.assertEqual(self.hato("run", "--", "echo", "here").out, "here\n")
        return self.dialled()

    @limit(150)
    def test_launched_daemons_dial_by_tls(self):
        for url in self.launched().split(","):
            self.assertRegex(url, r"^tls\+tcp://")
        (address,) = [d["address"] for d in self.daemons()]
        self.assertNotRegex(address, r"^(127\.|\[::1\])")

    @limit(150)
    def test_launched_daemons_dial_without_it_where_the_user_says_so(self):
        self.assertRegex(self.launched("--tls", "never"), r"^tcp://")

    @limit(150)
    def test_munge_that_is_required_and_not_there(self):
        done = self.hato("up", "-n", "0", "--munge", "require", "--listen", "tls+tcp://127.0.0.1:0", rc=3)
        self.assertIn("MUNGE is required, and no munged answers on this machine", done.err)
        self.assertEqual(self.below("dispatcher"), [])
        # Within the machine it is not asked for; a launch beyond it fails, and the session is what it was.
        self.hato("up", "-n", "1", "--munge", "require")
        self.assertEqual(self.hato("run", "--", "echo", "here").out, "here\n")
        done = self.hato("launch", "--launcher", "fake", "-n", "1", "-o", "tunnel=true", rc=4)
        self.assertIn("MUNGE is required, and no munged answers on this machine", done.err)


if __name__ == "__main__":
    main()
