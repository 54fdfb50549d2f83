"""A thousand strangers at the port: the work goes on, ours are admitted, the log stays short, and the end comes when it is asked for."""

import json
import select
import signal
import subprocess

from harness import BUILD, PATIENCE, limit, main
from served import Served

FLOOD = BUILD / "tests" / "bench" / "bench_flood"


class Flood(Served):
    def setUp(self):
        super().setUp()
        self.server = self.serve("--listen", "tcp://127.0.0.1:0")
        self.url = next(u for u in self.server.urls if u.startswith("tcp://"))

    def join(self):
        """A real daemon, by tcp."""
        return self.start_hato("daemon", "--url", self.url, "--credential-file", self.server.credential_file("daemon"), "--slots", 2)

    def daemons(self, n):
        self.wait_for(lambda: len(self.hato_json("status", "--json")[0]["daemons"]) == n, 30, f"{n} daemons")

    def strangers(self, *more):
        """All of them have come once when this returns."""
        flood = self.popen([FLOOD, "--url", self.url, "-n", 1000, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.ended, flood)
        self.wait_for(lambda: self.said(flood).get("connects", 0) >= 1000, 60, "a thousand strangers")
        return flood

    def said(self, flood):
        """The next line, if there is one."""
        if not select.select([flood.stdout], [], [], 0.1)[0]:
            return {}
        line = flood.stdout.readline()
        self.assertTrue(line, "the flood ended")
        return json.loads(line)

    def ended(self, flood):
        flood.stdin.close()
        self.assertEqual(flood.wait(30 * PATIENCE), 0)
        flood.stdout.close()

    @limit(120)
    def test_the_work_goes_on_and_ours_are_admitted(self):
        self.join()
        self.daemons(1)
        self.strangers("--eager")
        lines = "".join(f"{i}\n" for i in range(500))
        for n in (2, 3):
            self.assertEqual(self.hato("map", "echo", "{}", input=lines).out, lines)
            self.join()
            self.daemons(n)
        self.assertEqual(self.hato("map", "echo", "{}", input=lines).out, lines)
        # A line for each of the first, and of thousands their number.
        refused = lambda: self.server.log().count("PEER-REFUSED")
        self.wait_for(lambda: refused() >= 100, 30, "a hundred lines")
        self.assertLess(refused(), 150)
        self.assertEqual(self.hato("down").rc, 0)
        self.server.wait_log("PEERS-REFUSED")
        self.assertRegex(self.server.log(), r"PEERS-REFUSED tcp://\S+: \d{3,} more were not admitted in the last \d+ s")

    @limit(120)
    def test_the_end_comes_while_they_come_and_go(self):
        self.join()
        self.daemons(1)
        self.strangers("--eager")
        self.server.running.signal(signal.SIGTERM)
        self.server.running.wait(30)
        self.assertEqual(self.server.running.rc(), 0)


main()
