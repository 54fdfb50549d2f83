"""Where daemons dial: candidates that are dead, swallow what comes, refuse or are right, in every order; what the
options of a session narrow; and clients on another host, which find the session by its address file."""

import itertools
import json
import os
import re
import signal
import socket

from harness import PATIENCE, Case, limit, main

# Of a daemon that nobody admits: long enough that each address, begun 250 ms after the one before, has answered.
SHORT = f"{3 * PATIENCE:.0f}s"


class Where(Case):
    def up(self, name, *args):
        """A session without daemons; the urls that it listens at."""
        return json.loads(self.hato("up", "-n", "0", "--session", name, *args, "--json").out)["urls"]

    def secret(self, name):
        return self.dir / "state" / "hato" / name / "daemon.credential"

    def dead(self):
        """Where nobody listens, and until the test ends nobody does who does not ask for this port."""
        s = socket.socket()
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{s.getsockname()[1]}"

    def swallowing(self):
        """A port whose backlog is full: what comes is dropped, as a firewall does."""
        s = socket.socket()
        self.addCleanup(s.close)
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        full, connected = False, 0
        while not full:
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.settimeout(0.2 if connected else 30)
            try:
                filler.connect(s.getsockname())
                connected += 1
            except TimeoutError:
                full = True
        return f"tcp://127.0.0.1:{s.getsockname()[1]}"

    def start_daemon(self, *urls, name="good", timeout="60s", slots=1):
        words = [word for url in urls for word in ("--url", url)]
        return self.start_hato("daemon", *words, "--credential-file", self.secret(name), "--dial-timeout", timeout,
                               "--slots", slots)

    def daemons(self, name="good"):
        return self.hato_json("status", "--session", name)[0]["daemons"]

    def wait_daemons(self, n, name="good"):
        self.wait_for(lambda: len(self.daemons(name)) == n, 30, f"{n} daemons")


class Daemons(Where):
    @limit(90)
    def test_every_order(self):
        good = self.up("good", "--listen", "tcp://127.0.0.1:0")[1]
        refusing = self.up("other", "--listen", "tcp://127.0.0.1:0")[1]
        kinds = [good, refusing, self.dead(), self.swallowing()]
        orders = list(itertools.permutations(kinds))
        for begun, order in enumerate(orders, 1):
            self.start_daemon(",".join(order))
            if begun % 6 == 0:
                self.wait_daemons(begun)
        self.assertEqual(self.daemons("other"), [])
        done = self.hato("run", "--session", "good", "echo", "all of them came")
        self.assertEqual(done.out, "all of them came\n")

    def test_repeated_and_joined(self):
        url = self.up("good", "--listen", "tcp://127.0.0.1:0")[1]
        self.start_daemon(self.dead(), f"ipc://{self.dir}/a,b,{self.dead()},{url}")
        self.wait_daemons(1)

    def test_refused_by_all_that_answer(self):
        one, two = (self.up(name, "--listen", "tcp://127.0.0.1:0")[1] for name in ("one", "two"))
        self.up("good")
        done = self.start_daemon(one, two, timeout="1h").wait(20)
        self.assertEqual(done.rc, 4)
        self.assertIn(f"{one}, {two}: refused: not admitted", done.err)
        dead, swallowing = self.dead(), self.swallowing()
        done = self.start_daemon(f"{dead},{one},{swallowing}", timeout=SHORT).wait(20)
        self.assertEqual(done.rc, 4)
        for words in (f"{one}: refused", f"{dead}: nobody listens there", f"{swallowing}: nobody answers there"):
            self.assertIn(words, done.err)

    def test_never_connected(self):
        self.up("good")
        dead, swallowing = self.dead(), self.swallowing()
        done = self.start_daemon(dead, swallowing, f"ipc://{self.dir}/none", timeout=SHORT).wait(20)
        self.assertEqual(done.rc, 3)
        self.assertIn(f"{dead}, ipc://{self.dir}/none: nobody listens there", done.err)
        self.assertIn(f"{swallowing}: nobody answers there", done.err)

    def test_a_signal_ends_its_dialling(self):
        self.up("good")
        daemon = self.start_daemon(self.swallowing(), timeout="1h")
        self.wait_for(lambda: self.blocked(daemon) & 1 << signal.SIGTERM - 1, 20, "it takes signals")
        daemon.signal(signal.SIGTERM)
        done = daemon.wait(20)
        self.assertEqual(done.rc, 3)
        self.assertRegex(done.err, r"given up before anybody admitted us; tcp://127\.0\.0\.1:\d+: nobody answers there")

    def blocked(self, running):
        with open(f"/proc/{running.process.pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"SigBlk:\s*(\w+)", file.read())[1], 16)

    def test_a_session_that_comes_later(self):
        url = self.dead()
        daemon = self.start_daemon(self.swallowing(), url)
        self.wait_for(lambda: self.blocked(daemon) & 1 << signal.SIGTERM - 1, 20, "it runs")
        self.up("good", "--listen", url)
        self.wait_daemons(1)

    def test_websocket(self):
        urls = self.up("good", "--listen", "ws://127.0.0.1:0/hato", "--listen", "ws://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0")
        self.assertRegex(urls[1], r"^ws://127\.0\.0\.1:\d+/hato$")
        for n, url in enumerate(urls[1:3], 1):
            self.start_daemon(url)
            self.wait_daemons(n)
        payload = os.urandom(5_000_000)
        for _ in range(3):
            self.assertEqual(self.hato("run", "--session", "good", "cat", input=payload, binary=True).out, payload)
        numbers = "".join(f"{n}\n" for n in range(1000))
        self.assertEqual(self.hato("map", "--session", "good", "echo", "{}", input=numbers).out, numbers)
        # One is not taken for the other, in words; and their ends are heard.
        for url in (urls[1].replace("ws://", "tcp://").removesuffix("/hato"), urls[3].replace("tcp://", "ws://")):
            done = self.start_daemon(url, timeout=SHORT).wait(20)
            self.assertIn(done.rc, (3, 4), done.err)
            self.assertIn(url, done.err)
        self.hato("down", "--session", "good")

    def test_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        url = self.up("good", "--listen", "tcp://[::1]:0")[1]
        self.assertRegex(url, r"^tcp://\[::1\]:\d+$")
        self.start_daemon(url)
        self.wait_daemons(1)


class Sessions(Where):
    def refuse(self, *args, rc, words):
        done = self.hato("up", "-n", "0", *args, rc=rc)
        self.assertIn(words, done.err)
        self.hato("status", rc=3)

    def test_bad_options_are_said_at_once(self):
        self.refuse("--interface", "nosuch0", rc=4, words='network interface "nosuch0" is not there; there are: lo')
        self.refuse("--dial-host", "login1:5555", rc=2, words='host to dial "login1:5555"')
        for port in ("0", "x", "7000-6000", "1-70000", "-5", "5-"):
            self.refuse("--port=" + port, rc=2, words=f'--port is "{port}"')
        self.refuse("--listen", "tcp://[fe80::1%lo]:0", rc=4, words="an address of one link")
        self.refuse("--listen", "tcp://::1:0", rc=4, words="stands in brackets")

    def test_the_address_names_what_others_dial(self):
        self.up("good", "--listen", "tcp://0.0.0.0:0", "--dial-host", "login1", "--dial-host", "fd00::2")
        address = json.loads((self.dir / "state" / "hato" / "good" / "address").read_text())
        self.assertRegex(" ".join(address["urls"]), r"^ipc://\S+ tcp://login1:(\d+) tcp://\[fd00::2\]:\1$")
        self.up("lo", "--listen", "tcp://0.0.0.0:0", "--interface", "lo")
        address = json.loads((self.dir / "state" / "hato" / "lo" / "address").read_text())
        self.assertRegex(address["urls"][1], r"^tcp://127\.\S+$")

    def test_nothing_listens_beyond_before_it_is_needed(self):
        urls = self.up("good", "--port", "6000-6010", "--dial-host", "login1")
        self.assertEqual(len(urls), 1)
        self.assertTrue(urls[0].startswith("ipc://"))

    def test_a_client_on_another_host(self):
        """As one there sees it: the address file is another host's, the first of its addresses is dead."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.connect(("198.51.100.1", 9))
            except OSError:
                self.skipTest("no network but loopback here")
            mine = s.getsockname()[0]
        self.up("good", "--listen", f"tcp://{mine}:0")
        file = self.dir / "state" / "hato" / "good" / "address"
        address = json.loads(file.read_text())
        address["host"] = "elsewhere"
        dead = f"tcp://{mine}:{self.dead().rsplit(':', 1)[1]}"
        address["urls"] = ["ipc:///nowhere/s", "tcp://127.0.0.1:1", dead, address["urls"][1]]
        file.write_text(json.dumps(address))
        self.assertEqual(self.hato_json("status", "--session", "good")[0]["session"], "good")


main()
