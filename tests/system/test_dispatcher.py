"""The dispatcher: its life, its port, attached and detached submissions, payloads, and several clients at once."""

import json
import os
import re
import signal
import socket
import stat
import struct
import threading
import time
from pathlib import Path

from harness import HATO, PATIENCE, alive, descendants, limit, main
from refclient import (DETACHED, EXPLICIT, FETCH, LIVE, STDIN_ARG, SUBSTITUTE, Client, Closed, Connection, Credential, Refused, Result, args,
                       command, frame, spec, submit)
from refdaemon import Daemon
from served import Served, mode, request, requests, value


class Life(Served):
    def test_folders_are_private_and_go_with_the_session(self):
        server = self.serve("--listen", "tcp://127.0.0.1:0")
        local = Path(server.socket).parent
        self.assertEqual((mode(server.folder), mode(local)), (0o700, 0o700))
        for whose in ("client", "daemon"):
            self.assertEqual(mode(server.credential_file(whose)), 0o600)
        for file in [f for folder in (server.folder, local) for f in folder.rglob("*")]:
            self.assertEqual(mode(file) & 0o077, 0, file) if not stat.S_ISSOCK(os.lstat(file).st_mode) else None
        server.running.signal(signal.SIGTERM)
        self.assertEqual(server.running.wait(20).rc, 0)
        self.assertEqual(list(server.folder.glob("*.credential")), [])
        self.assertFalse((server.folder / "lock").exists())
        self.assertFalse(local.exists())

    def test_the_secret_stands_in_no_command_line_or_environment(self):
        server = self.serve("--listen", "tcp://127.0.0.1:0")
        client = self.client(server)
        self.assertEqual(request(client, "launch", launcher="local", n=2, wait=True)["connected"], 2)
        secret = server.credential("daemon").secret.hex()
        first = self.shell(client, "env; cat /proc/self/environ; tr '\\0' ' ' < /proc/$PPID/environ", flags=0)
        said = next(client.results(first, 1)).out.decode(errors="replace")
        self.assertNotIn(secret, said)
        self.assertNotIn("HATO_CREDENTIAL", said)
        for pid in descendants() + [server.pid]:
            for name in ("cmdline", "environ"):
                try:
                    found = Path(f"/proc/{pid}/{name}").read_bytes()
                except (PermissionError, FileNotFoundError, ProcessLookupError):  # only root may; it has ended
                    found = b""
                self.assertNotIn(secret, found.decode(errors="replace"), (pid, name))

    def test_over_tcp_with_the_secret(self):
        server = self.serve("--listen", "tcp://127.0.0.1:0")
        self.assertEqual(len(server.urls), 2)
        self.assertNotEqual(server.tcp()[1], 0)
        with self.assertRaises(Refused):
            Client(server.tcp(), Credential(bytes(32)))
        with self.assertRaises(Refused):
            Daemon(server.tcp(), credential=Credential(b"x" * 32, 2))
        client = Client(server.tcp(), server.credential())
        daemon = Daemon(server.tcp(), credential=server.credential("daemon"))
        first = client.submit(client.specification(["x"]), [b"over tcp"])
        task = daemon.next()
        daemon.run(task, out=task.argument)
        self.assertEqual(next(client.results(first, 1)).out, b"over tcp")
        self.start_hato("daemon", "--url", server.urls[1], "--credential-file", server.credential_file("daemon"), "--slots", "2")
        self.wait_for(lambda: self.ask(server)["slots"] == 3)
        wrong = self.dir / "wrong"
        wrong.write_text(f"hato1:daemon:0:{'0' * 64}:-:-:-\n")
        wrong.chmod(0o600)
        done = self.hato("daemon", "--url", server.urls[1], "--credential-file", wrong, rc=4)
        self.assertIn("not admitted", done.err)
        done = self.hato("status", "--url", server.urls[1], "--credential-file", server.credential_file(), "--json")
        self.assertEqual(json.loads(done.out)["pid"], server.pid)

    def test_an_idle_session_ends(self):
        idle = 2 * PATIENCE  # within which we are to be a client of it
        server = self.serve("--idle", f"{idle:.0f}s")
        client, daemon = self.client(server), self.daemon(server)
        first = client.submit(client.specification(["x"]), count=1, flags=DETACHED)
        daemon.run(daemon.next())
        request(client, "wait", all=True)
        client.close()
        self.stays_up(server, 1.5 * idle, "a result was not collected")
        again = self.client(server)
        self.stays_up(server, 1.5 * idle, "there is a client")
        again.connection.send(frame(FETCH, struct.pack("<Q", first)))
        next(again.results(first, 1))
        again.close()
        self.dismissed(daemon)
        self.assertEqual(server.running.wait(10).rc, 0)
        self.assertIn("idle", server.log())

    def dismissed(self, daemon):
        """Its dispatcher ends: it is told to drain at once, and goes."""
        daemon.until(lambda: daemon.drains, 10)
        self.assertEqual(daemon.drains, [1])
        daemon.goodbye()

    def stays_up(self, server, seconds, why):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.assertTrue(server.alive(), why)
            time.sleep(0.05)

    def test_it_ends_with_the_process_it_is_tied_to(self):
        tied = self.start("sleep", "1000")
        server = self.serve("--while", tied.pid)
        daemon = self.daemon(server)
        self.assertTrue(server.alive())
        tied.signal(signal.SIGKILL)
        tied.wait()
        self.dismissed(daemon)
        self.assertEqual(server.running.wait(10).rc, 0)
        self.assertIn("has ended", server.log())
        done = self.hato("dispatcher", "--while", tied.pid, rc=None)
        self.assertNotEqual(done.rc, 0)
        self.assertIn(str(tied.pid), done.err)

    def test_a_local_folder_whose_path_is_too_long(self):
        long = self.dir / "run" / ("x" * 60) / ("y" * 60)
        long.mkdir(parents=True, mode=0o700)
        self.env["HATO_LOCAL_DIR"] = str(long)
        server = self.serve()
        self.assertLessEqual(len(server.socket), 107)
        self.assertNotIn("xxxx", server.urls[0])
        self.assertEqual(self.ask(server)["pid"], server.pid)
        self.hato("status")

    def test_a_local_folder_without_sockets(self):
        self.env["HATO_LOCAL_DIR"] = "/proc"
        server = self.serve()
        self.assertNotIn("/proc", server.urls[0])
        self.assertEqual(self.ask(server)["pid"], server.pid)
        self.hato("status")

    def test_down_ends_everything_and_reset_resolves_to_19(self):
        for op, value_of in (("down", None), ("reset", 19)):
            with self.subTest(op):
                server = self.serve()
                client, daemon = self.client(server), self.daemon(server)
                running = self.real_daemon(server)
                first = client.submit(client.specification(["sleep", "1000"]), count=1000)
                asked = self.ask(server, op)
                self.assertEqual(asked["unresolved"], 1000)
                self.dismissed(daemon)
                try:
                    while True:
                        client.step()
                except Closed:
                    pass
                client.close()
                self.assertEqual([client.resolved.get(t) for t in (first, first + 999)], [value_of] * 2)
                self.assertEqual(server.running.wait(20).rc, 0)
                self.assertEqual(running.wait(20).rc, 0)


class Submissions(Served):
    def setUp(self):
        super().setUp()
        self.server = self.serve()

    def fetch(self, client, task):
        client.connection.send(frame(FETCH, struct.pack("<Q", task)))
        return next(client.results(task, 1))

    def test_numbers_are_small_and_contiguous(self):
        client, other = self.client(self.server), self.client(self.server)
        a = client.submit(client.specification(["x"]), count=10)
        b = other.submit(other.specification(["x"]), count=5, flags=DETACHED)
        c = client.submit(1, [b"q"])
        self.assertEqual((a, b, c), (1, 11, 16))

    def test_an_attached_submission_ends_with_its_client(self):
        client, daemon = self.client(self.server), self.daemon(self.server, 2)
        number = client.specification(["x"])
        first = client.submit(number, count=1_000_000)
        detached = client.submit(number, count=2, flags=DETACHED)
        a, b = daemon.take_all(2)
        daemon.started(a)
        client.connection.close()
        # Some of the detached may come before the interrupts are through.
        daemon.until(lambda: len(daemon.interrupts) >= 2 or (daemon.interrupts and daemon.assigned))
        daemon.result(*[t for t in (a, b) if t.number < detached], error=7)
        self.wait_for(lambda: self.counts(self.server)["failed"] >= 1_000_000, 20)
        for _ in range(2):
            task = daemon.next()
            self.assertGreaterEqual(task.number, detached)
            daemon.run(task, out=b"went on")
        again = self.client(self.server)
        self.assertEqual(request(again, "wait", all=True), {"tasks": 2, "resolved": 2, "failed": 0})
        self.assertEqual(self.fetch(again, detached).out, b"went on")
        listed = requests(again, "tasks")
        self.assertEqual([t["task"] for t in listed], [detached, detached + 1], "attached ones are forgotten")
        self.assertEqual(first, 1)

    def test_arguments_that_never_come(self):
        client = self.client(self.server)
        number = client.specification(["x"])
        client.connection.send(submit(1, number, 5, EXPLICIT, DETACHED) + args(1, [b"a", b"b"]))
        daemon = self.daemon(self.server, 2)
        daemon.run(*daemon.take_all(2))
        client.connection.close()
        again = self.client(self.server)
        self.assertEqual(request(again, "wait", all=True), {"tasks": 5, "resolved": 5, "failed": 3})
        lost = self.fetch(again, 3)
        self.assertEqual((value(lost), lost.words), (19, "its client was lost before its argument had come"))
        self.assertEqual(value(self.fetch(again, 1)), 0)

    def test_billions_cost_what_becomes_of_them(self):
        """Each of these would be minutes and gigabytes a task at a time, and the test would not end."""
        count = 4_000_000_000
        client, daemon = self.client(self.server), self.daemon(self.server)
        number = client.specification(["x"])
        before = self.server.rss()
        first = client.submit(number, count=count, start=0, flags=DETACHED)
        last = first + count - 1
        daemon.run(daemon.next(), out=b"a result", wall_ns=10**9)  # long: none is sent ahead
        running = daemon.next()
        daemon.started(running)
        self.wait_counts(self.server, done=1, running=1, queued=count - 2)
        self.assertEqual([t["task"] for t in requests(client, "tasks", state="running")], [running.number])
        self.assertEqual([t["task"] for t in requests(client, "tasks", state="done")], [first])
        self.assertEqual(requests(client, "tasks", state="failed"), [])
        self.assertEqual(request(client, "cancel", tasks=f"{first + 1_000_000_000}-{first + 2_999_999_999}"), {"cancelled": 2_000_000_000})
        half = f"{first + 1_000_000_000}-{first + 2_999_999_999}"
        self.assertEqual(request(client, "wait", tasks=half), {"tasks": 2_000_000_000, "resolved": 2_000_000_000, "failed": 2_000_000_000})
        self.assertEqual(request(client, "wait", tasks=f"{first}-{last}", any=True)["resolved"], 2_000_000_001)
        self.assertEqual(value(self.fetch(client, first + 2_000_000_000)), 20)
        self.assertEqual(value(self.fetch(client, last)), 11)
        self.assertEqual(request(client, "forget", tasks=f"{first + 1_500_000_000}-{last}"), {"forgotten": 1_500_000_000})
        self.assertEqual(value(self.fetch(client, first + 2_000_000_000)), 12)
        request(client, "cancel", all=True)
        self.assertEqual(request(client, "wait", all=True), {"tasks": count, "resolved": count, "failed": count - 1})
        daemon.until(lambda: daemon.interrupts)
        self.assertEqual([task for task, _, _ in daemon.interrupts], [running.number])
        self.assertEqual([t["state"] for t in requests(client, "tasks", tasks=f"{last - 1}-{last}")], ["failed", "failed"])
        self.assertEqual([t["task"] for t in requests(client, "tasks", state="done")], [first])
        self.assertEqual(self.fetch(client, first).out, b"a result")
        self.assertEqual(request(client, "forget", all=True), {"forgotten": 2_500_000_000})
        if not os.environ.get("HATO_SANITIZE"):
            self.assertLess(self.server.rss() - before, 8 * 1024, "KiB")

    def test_billions_of_arguments_that_never_come(self):
        count = 4_000_000_000
        client = self.client(self.server)
        client.connection.send(spec(1, command(["x"])) + submit(1, 1, count, EXPLICIT, DETACHED) + args(1, [b"a"]))
        while 1 not in client.accepted:
            client.step()
        first = client.accepted[1]
        listed = requests(client, "tasks", tasks=f"{first}-{first + 1}")
        self.assertEqual([t["state"] for t in listed], ["queued", "queued"])
        self.assertEqual(requests(client, "tasks", state="running"), [])
        client.connection.close()
        again = self.client(self.server)
        self.assertEqual(request(again, "wait", tasks=f"{first + 1}-{first + count - 1}")["failed"], count - 1)
        lost = self.fetch(again, first + count - 1)
        self.assertEqual((value(lost), lost.words), (19, "its client was lost before its argument had come"))
        self.assertEqual(request(again, "forget", all=True), {"forgotten": count - 1})

    def test_a_repeated_submission_is_recognised(self):
        mine = 77
        client = self.client(self.server, identity=mine)
        number = client.specification(["x"])
        first = client.submit(number, [b"a", b"b"], flags=DETACHED)
        client.connection.close()  # its answer is lost, as far as it knows
        again = self.client(self.server, identity=mine)
        again.connection.send(spec(9, command(["x"])) + submit(1, 9, 2, EXPLICIT, DETACHED) + args(1, [b"a", b"b"]))
        while 1 not in again.accepted:
            again.step()
        self.assertEqual(again.accepted.pop(1), first)
        daemon = self.daemon(self.server, 5)
        tasks = daemon.take_all(2)
        daemon.quiet()
        self.assertEqual(([t.number for t in tasks], daemon.assigned), ([first, first + 1], []))
        other = self.client(self.server, identity=mine + 1)
        self.assertEqual(other.submit(other.specification(["x"]), count=1), first + 2, "another client's 1 is another")

    def test_fetch_of_kept_results(self):
        client, _ = self.client(self.server), self.real_daemon(self.server, 2)
        script = "head -c 300000 /dev/zero | tr '\\0' o; head -c 200000 /dev/zero | tr '\\0' e >&2; exit 3"
        big = self.shell(client, script, flags=DETACHED)
        small = self.shell(client, "echo out; echo err >&2", flags=DETACHED)
        self.assertEqual(request(client, "wait", all=True)["failed"], 1)
        client.connection.close()
        for _ in range(2):  # reading consumes nothing
            reader = self.client(self.server)
            result = self.fetch(reader, big)
            self.assertEqual((result.out, result.err, result.wait_status), (b"o" * 300000, b"e" * 200000, 3 << 8))
            result = self.fetch(reader, small)
            self.assertEqual((result.out, result.err), (b"out\n", b"err\n"))
        used = self.ask(self.server)["spool"]["used"]
        self.assertGreater(used, 400000)
        self.assertEqual(request(reader, "forget", tasks=str(big))["forgotten"], 1)
        self.assertLess(self.ask(self.server)["spool"]["used"], 100000)
        self.assertEqual(value(self.fetch(reader, big)), 12)
        self.assertEqual(value(self.fetch(reader, 999)), 12)
        self.assertEqual(self.fetch(reader, small).out, b"out\n")

    def test_fetch_of_what_is_not_resolved(self):
        client = self.client(self.server)
        first = client.submit(client.specification(["x"]), count=2, flags=DETACHED)
        self.assertEqual(value(self.fetch(client, first)), 11)
        request(client, "cancel", tasks=str(first))
        self.wait_for(lambda: value(self.fetch(client, first)) == 20)
        self.assertEqual(value(self.fetch(client, first + 1)), 11)

    @limit(90)
    def test_five_megabytes_through_each_hop(self):
        client, _ = self.client(self.server), self.real_daemon(self.server, 2)
        number = client.specification(["cat"], stdin=STDIN_ARG, env={"PATH": os.environ["PATH"]}, cwd="/")
        arguments = [os.urandom(5_000_000), os.urandom(70_000), b"small"]
        first = client.submit(number, arguments)
        got = [r.out for r in client.results(first, 3)]
        self.assertTrue(got == arguments, "attached")
        first = client.submit(number, arguments, flags=DETACHED)
        while any(state[1] < len(state[0]) for state in client.inputs.values()):
            client.step()
        client.close()
        reader = self.client(self.server)
        self.assertEqual(request(reader, "wait", all=True)["failed"], 0)
        for i, argument in enumerate(arguments):
            self.assertTrue(self.fetch(reader, first + i).out == argument, f"detached {i}")
        request(reader, "forget", all=True)
        self.assertLessEqual(self.ask(self.server)["spool"]["used"], 16384)

    def test_a_detached_client_that_leaves_in_the_middle_of_an_argument(self):
        client = self.client(self.server)
        number = client.specification(["cat"], stdin=STDIN_ARG)
        argument = os.urandom(5_000_000)
        first = client.submit(number, [argument], flags=DETACHED)
        client.inputs[first][0] = argument[:1_000_000] + argument  # never all of it
        while client.inputs[first][1] < 1_000_000:
            client.step()
        client.connection.close()
        reader = self.client(self.server)
        self.assertEqual(request(reader, "wait", all=True), {"tasks": 1, "resolved": 1, "failed": 1})
        result = self.fetch(reader, first)
        self.assertEqual(value(result), 19)
        self.assertIn("client was lost", result.words)
        request(reader, "forget", all=True)
        self.assertLessEqual(self.ask(self.server)["spool"]["used"], 16384)

    def test_pieces_that_come_after_their_record(self):
        client, daemon = self.client(self.server), self.daemon(self.server)
        number = client.specification(["x"])
        for order in ((1, 2), (2, 1)):
            first = client.submit(number, count=1, flags=DETACHED)
            task = daemon.next()
            daemon.started(task)
            daemon.result(task, out=b"o", err=b"e", out_total=100001, err_total=100001)
            for channel in order:
                daemon.output(task, channel, b"oe"[channel - 1 : channel] * 100000, last=True)
            self.assertEqual(request(client, "wait", tasks=str(first)), {"tasks": 1, "resolved": 1, "failed": 0})
            result = self.fetch(client, first)
            self.assertEqual((result.out, result.err), (b"o" * 100001, b"e" * 100001))

    def test_a_cancelled_tasks_output_is_not_kept(self):
        client, daemon = self.client(self.server), self.daemon(self.server)
        first = client.submit(client.specification(["x"]), count=1, flags=DETACHED)
        task = daemon.next()
        daemon.started(task)
        daemon.output(task, 1, b"z" * 200000)
        self.wait_for(lambda: self.ask(self.server)["spool"]["used"] > 0)
        request(client, "cancel", tasks=str(first))
        self.assertEqual(request(client, "wait", all=True)["failed"], 1)
        request(client, "forget", all=True)
        daemon.output(task, 1, b"z" * 200000, last=True)
        daemon.result(task, error=20, out_total=400000)
        self.wait_for(lambda: self.ask(self.server)["spool"]["used"] == 0)
        client.submit(1, count=1)
        self.assertEqual(daemon.next().number, first + 1)

    def test_waiting_concerns_the_tasks_there_are(self):
        client, other, daemon = self.client(self.server), self.client(self.server), self.daemon(self.server, 2)
        number = client.specification(["x"])
        client.submit(number, count=2, flags=DETACHED)
        a, b = daemon.take_all(2)
        other.token += 1
        other.replies[other.token] = ["", False]
        other.connection.send(frame(26, struct.pack("<I", other.token) + b'{"op":"wait","all":true}'))
        request(other, "status")  # it waits by now
        daemon.run(a)
        later = client.submit(number, count=3, flags=DETACHED)
        for _ in range(3):
            task = daemon.next()
            self.assertGreaterEqual(task.number, later)
            daemon.run(task)
        self.wait_for(lambda: self.counts(self.server)["done"] == 4)
        request(other, "status")
        self.assertFalse(other.replies[other.token - 2][1], "one of those it asked for is not resolved")
        daemon.run(b)
        token = other.token - 2
        while not other.replies[token][1]:
            other.step()
        self.assertEqual(json.loads(other.replies[token][0])["resolved"], 2)

    def test_any(self):
        client, daemon = self.client(self.server), self.daemon(self.server, 2)
        client.submit(client.specification(["x"]), count=2, flags=DETACHED)
        a, b = daemon.take_all(2)
        daemon.run(b)
        self.assertEqual(request(client, "wait", all=True, any=True)["resolved"], 1)

    def test_live_output_comes_before_the_task_ends(self):
        client, _ = self.client(self.server), self.real_daemon(self.server)
        first = self.shell(client, f"echo now; while [ ! -e {self.dir}/go ]; do sleep 0.02; done; echo later", flags=0)
        live = client.specification(["/bin/sh", "-c", f"echo now; while [ ! -e {self.dir}/go2 ]; do sleep 0.02; done; echo later"],
                                    env={"PATH": os.environ["PATH"]}, cwd="/", flags=SUBSTITUTE | LIVE)
        (self.dir / "go").touch()
        self.assertEqual(next(client.results(first, 1)).out, b"now\nlater\n")
        second = client.submit(live, [b""])
        while not any(key[0] == second and b"now" in data for key, data in client.early.items()):
            client.step()
        (self.dir / "go2").touch()
        self.assertEqual(next(client.results(second, 1)).out, b"now\nlater\n")


class Several(Served):
    def test_clients_take_turns(self):
        server = self.serve()
        greedy, modest = self.client(server), self.client(server)
        daemon = self.daemon(server)
        a = greedy.submit(greedy.specification(["x"]), count=100_000)
        task = daemon.next()
        b = modest.submit(modest.specification(["x"]), count=10)
        order = []
        for _ in range(21):
            daemon.run(task, wall_ns=10**9)
            task = daemon.next()
            order.append("modest" if task.number >= b else "greedy")
        self.assertEqual(order.count("modest"), 10, order)
        self.assertEqual(a, 1)
        self.assertEqual([value(r) for r in modest.results(b, 10)], [0] * 10)

    def test_detached_ones_take_turns_with_attached(self):
        server = self.serve()
        one, two, daemon = self.client(server), self.client(server), self.daemon(server)
        one.submit(one.specification(["x"]), count=1000, flags=DETACHED)
        task = daemon.next()
        b = two.submit(two.specification(["x"]), count=3)
        for _ in range(8):
            daemon.run(task, wall_ns=10**9)
            task = daemon.next()
        self.assertEqual([value(r) for r in two.results(b, 3)], [0] * 3)

    @limit(90)
    def test_many_at_once_each_get_their_own(self):
        server = self.serve()
        for _ in range(2):
            self.real_daemon(server, 2)
        trouble = []

        def work(k):
            try:
                client = Client(server.socket)
                number = client.specification(["echo", f"{k}:{{}}"], env={"PATH": os.environ["PATH"]}, cwd="/")
                first = client.submit(number, count=50, start=0)
                for i, result in enumerate(client.results(first, 50)):
                    if result.out != f"{k}:{i}\n".encode():
                        trouble.append((k, i, result))
                client.close()
            except Exception as problem:  # a thread's failure must be the test's
                trouble.append((k, repr(problem)))

        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60 * PATIENCE)
        self.assertEqual(trouble, [])
        self.assertEqual(self.counts(server)["done"], 400)
        self.wait_for(lambda: len(self.ask(server)["clients"]) == 1, what="all are gone but us")


main()
