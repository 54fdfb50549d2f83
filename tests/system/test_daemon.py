"""What the dispatcher and a daemon owe each other: by a daemon that says exactly what the test wants, and by
real ones that are killed, stopped and asked to go."""

import os
import signal
import time
from pathlib import Path

from harness import PATIENCE, alive, descendants, limit, main
from refclient import DETACHED, Result
from refdaemon import INTERRUPT, STARTED, TAKEN, runs
from served import Served, request, requests, value

RESET, CANCELLED, TIMED_OUT = 19, 20, 5


class Reference(Served):
    def setUp(self):
        super().setUp()
        self.server = self.serve()

    def work(self, count, slots=1, flags=0, **more):
        """A client with count tasks, and a daemon."""
        client = self.client(self.server)
        spec = client.specification(["echo", "{}"], **more)
        first = client.submit(spec, count=count, start=1, flags=flags)
        return client, first, self.daemon(self.server, slots) if slots else None

    # ------------------------------------------------------------------ a daemon's life

    def test_it_is_enlisted_and_gone_when_it_goes(self):
        daemon = self.daemon(self.server, 3, host="node7", version="1.2")
        other = self.daemon(self.server, 1)
        self.assertEqual((daemon.number, other.number), (1, 2))
        have = self.ask(self.server)
        self.assertEqual([(d["daemon"], d["host"], d["slots"], d["version"]) for d in have["daemons"]],
                         [(1, "node7", 3, "1.2"), (2, "reference", 1, "reference")])
        self.assertEqual(have["slots"], 4)
        daemon.goodbye()
        other.close()
        self.wait_for(lambda: self.ask(self.server)["slots"] == 0, what="both are gone")

    def test_tasks_come_in_order_and_no_more_than_slots(self):
        client, first, daemon = self.work(5, slots=2)
        a, b = daemon.take_all(2)
        daemon.quiet()
        self.assertEqual((a.number, b.number, daemon.assigned), (first, first + 1, []), "two slots: two tasks of unknown length")
        self.assertEqual((a.attempt, a.index, b.index, a.argument, b.argument), (1, 0, 1, b"1", b"2"))
        # Long ones: nothing is sent ahead.
        for task in (b, a, None, None, None):
            task = task or daemon.next()
            daemon.started(task)
            daemon.result(task, out=task.argument, wall_ns=10**9)
        got = list(client.results(first, 5))
        self.assertEqual([r.out for r in got], [b"1", b"2", b"3", b"4", b"5"])

    def test_short_tasks_are_sent_ahead(self):
        client, first, daemon = self.work(1000)
        self.assertGreater(len(self.until_ahead(daemon)), 1)

    def until_ahead(self, daemon):
        """Runs tasks so short that the dispatcher sends some ahead; those, not begun."""
        while True:
            tasks = daemon.take_all(1)
            daemon.quiet()
            tasks += daemon.assigned
            daemon.assigned = []
            if len(tasks) > 1:
                return tasks
            daemon.run(*tasks, wall_ns=1000, out=b"slow")

    def test_a_specification_comes_once_and_is_dropped(self):
        client, first, daemon = self.work(3, slots=1)
        for _ in range(3):
            daemon.run(daemon.next())
        list(client.results(first, 3))
        self.assertEqual(len(daemon.specs), 1)
        client.close()
        daemon.until(lambda: daemon.dropped)
        self.assertEqual(daemon.specs, {})

    # ------------------------------------------------------------------ it is lost

    def test_of_a_lost_daemon_what_began_is_19_and_the_rest_goes_elsewhere(self):
        client, first, daemon = self.work(4, slots=4)
        tasks = daemon.take_all(4)
        daemon.started(tasks[0], tasks[2])
        self.wait_counts(self.server, running=2)
        daemon.close()
        other = self.daemon(self.server, 4)
        again = other.take_all(2)
        self.assertEqual([(t.number, t.attempt) for t in again], [(first + 1, 2), (first + 3, 2)])
        other.run(*again, out=b"elsewhere")
        got = list(client.results(first, 4))
        self.assertEqual([value(r) for r in got], [RESET, 0, RESET, 0])
        self.assertEqual(got[1].out, b"elsewhere")

    def test_what_it_reported_before_it_died_counts(self):
        client, first, daemon = self.work(2, slots=2)
        a, b = daemon.take_all(2)
        daemon.run(a, out=b"kept")
        daemon.close()
        other = self.daemon(self.server)
        task = other.next()
        self.assertEqual((task.number, task.attempt), (b.number, 2))
        other.run(task)
        got = list(client.results(first, 2))
        self.assertEqual(got[0].out, b"kept")

    @limit(90)
    def test_what_it_said_last_is_heard(self):
        """STARTED on its way when the daemon dies is not lost: its task is not run twice."""
        client = self.client(self.server)
        number = client.specification(["x"])
        for _ in range(100):
            first = client.submit(number, count=1)
            daemon = self.daemon(self.server)
            daemon.started(daemon.next())
            daemon.close()
            self.wait_for(lambda: not self.ask(self.server)["daemons"])
            self.assertEqual(self.counts(self.server)["queued"], 0, "it is not tried again")
            self.assertEqual([value(r) for r in client.results(first, 1)], [RESET])

    def test_a_result_cut_in_the_middle_is_none(self):
        client, first, daemon = self.work(1)
        from refdaemon import record, results
        task = daemon.next()
        daemon.started(task)
        frame = results([record(task.number, task.attempt, out=b"x" * 1000)])
        daemon.send(frame[:-1])
        daemon.close()
        self.assertEqual([value(r) for r in client.results(first, 1)], [RESET])

    def test_detached_tasks_of_a_lost_daemon_are_kept_as_19(self):
        client, first, daemon = self.work(2, slots=2, flags=DETACHED)
        tasks = daemon.take_all(2)
        daemon.started(tasks[0])
        self.wait_counts(self.server, running=1)
        daemon.close()
        other = self.daemon(self.server)
        other.run(other.next())
        self.assertEqual(request(client, "wait", all=True), {"tasks": 2, "resolved": 2, "failed": 1})
        listed = requests(client, "tasks")
        self.assertEqual([(t["task"], t["state"], t.get("error")) for t in listed], [(first, "failed", RESET), (first + 1, "done", None)])

    # ------------------------------------------------------------------ who is not to be believed

    def test_an_older_attempts_result_is_dropped(self):
        client, first, daemon = self.work(1)
        task = daemon.next()
        daemon.drain()
        daemon.taken(task)
        other = self.daemon(self.server)
        again = other.next()
        self.assertEqual((again.number, again.attempt), (task.number, 2))
        daemon.started(task)
        daemon.result(task, out=b"late")
        self.wait_for(lambda: len(self.ask(self.server)["daemons"]) == 2)
        self.assertEqual(self.counts(self.server)["done"], 0)
        other.run(again, out=b"right")
        self.assertEqual([r.out for r in client.results(first, 1)], [b"right"])

    def test_reports_of_what_a_daemon_has_not_change_nothing(self):
        client, first, daemon = self.work(2)
        task = daemon.next()
        stranger = self.daemon(self.server, 1)
        theirs = stranger.next()
        stranger.send(runs(STARTED, [(1, 2**32 - 1, 1), (2**63, 2**32 - 1, 7), (task.number, 1, 1)]))
        stranger.send(runs(TAKEN, [(0, 2**32 - 1, 3), (task.number, 1, 1), (999, 1, 1)]))
        stranger.result(task, out=b"not mine")
        stranger.result(type(task)(12345, 1, 0, 0, b""), out=b"of nobody")
        daemon.run(task, out=b"mine")
        daemon.result(task, out=b"twice")
        self.assertEqual(next(client.results(first, 1)).out, b"mine")
        stranger.run(theirs, out=b"theirs")
        self.assertEqual([value(r) for r in client.results(first + 1, 1)], [0])

    # ------------------------------------------------------------------ giving back

    def test_the_end_of_an_array_is_shared_with_an_idle_daemon(self):
        client, first, slow = self.work(400)
        have = self.until_ahead(slow)
        slow.started(have[0])
        fast, theirs = self.daemon(self.server), []

        def work():
            fast.quiet()
            slow.quiet()
            tasks, fast.assigned = fast.assigned, []
            if tasks:
                fast.run(*tasks, out=b"fast", wall_ns=1000)
                theirs.extend(t.number for t in tasks)
            have.extend(slow.assigned)
            slow.assigned = []
            while slow.takes:
                n = min(slow.takes.pop(0), len(have) - 1)
                back = have[len(have) - n:]
                del have[len(have) - n:]
                slow.taken(*back)
            return len(have) == 1 and not self.counts(self.server)["queued"] + self.counts(self.server)["sent"]

        self.wait_for(work, 20, "the idle daemon has all but what runs")
        self.assertGreater(len(theirs), 0)
        slow.result(have[0], out=b"slow", wall_ns=1000)
        got = list(client.results(first, 400))
        self.assertEqual({value(r) for r in got}, {0})
        self.assertEqual(sum(r.out == b"fast" for r in got), len(theirs))

    def test_a_draining_daemon_is_given_nothing(self):
        client, first, daemon = self.work(3, slots=2)
        a, b = daemon.take_all(2)
        daemon.started(a)
        daemon.drain()
        daemon.taken(b)
        daemon.result(a, out=b"last")
        self.wait_counts(self.server, queued=2, done=1)
        daemon.quiet()
        self.assertEqual(daemon.assigned, [])
        other = self.daemon(self.server, 2)
        tasks = other.take_all(2)
        self.assertEqual([(t.number, t.attempt) for t in tasks], [(b.number, 2), (first + 2, 1)])
        other.run(*tasks)
        daemon.goodbye()
        self.assertEqual([value(r) for r in client.results(first, 3)], [0, 0, 0])

    # ------------------------------------------------------------------ interrupts

    def test_cancel_interrupts_what_runs(self):
        client, first, daemon = self.work(3, slots=2)
        a, b = daemon.take_all(2)
        daemon.started(a)
        self.wait_counts(self.server, running=1)
        request(client, "cancel", tasks=f"{first}-{first + 2}")
        self.assertEqual([value(r) for r in client.results(first, 3)], [CANCELLED] * 3)
        daemon.until(lambda: len(daemon.interrupts) == 2)
        self.assertEqual(sorted(daemon.interrupts), [(a.number, 1, CANCELLED), (b.number, 1, CANCELLED)])
        daemon.result(a, b, error=CANCELLED)
        client.submit(client.specs, count=1)
        self.assertEqual(daemon.next().number, first + 3, "the slots come back")

    def test_the_time_limit_is_kept_from_the_start(self):
        client, first, daemon = self.work(1, limit_ns=200_000_000)
        task = daemon.next()
        daemon.started(task)
        self.assertEqual([value(r) for r in client.results(first, 1)], [TIMED_OUT])
        daemon.until(lambda: daemon.interrupts)
        self.assertEqual(daemon.interrupts, [(task.number, 1, TIMED_OUT)])

    # ------------------------------------------------------------------ payloads

    def test_a_large_argument_begins_anew_on_another_daemon(self):
        argument = os.urandom(3_000_000)
        client = self.client(self.server)
        spec = client.specification(["cat"], stdin=2)
        first = client.submit(spec, [argument])
        daemon = self.daemon(self.server)
        task = daemon.next()
        self.assertEqual(task.total, len(argument))
        daemon.want(task, 1_000_000)
        self.pump(client, lambda: client.inputs[first][1] >= 1_000_000)
        daemon.until(lambda: len(daemon.input.get((task.number, 1), b"")) == 1_000_000)
        daemon.quiet()
        self.assertEqual(len(daemon.input[task.number, 1]), 1_000_000, "no more than its credit")
        daemon.close()  # it had not begun
        other = self.daemon(self.server)
        again = other.next()
        self.assertEqual(again.attempt, 2)
        other.want(again, len(argument))
        self.pump(client, lambda: client.inputs[first][1] == len(argument))
        other.until(lambda: (again.number, 2) in other.input_ended)
        self.assertEqual(other.input[again.number, 2], argument)
        other.run(again)
        self.assertEqual([value(r) for r in client.results(first, 1)], [0])

    def pump(self, client, condition):
        while not condition():
            client.step()

    def test_output_in_pieces_and_a_daemon_that_dies_in_the_middle(self):
        for dies in (False, True):
            with self.subTest(dies=dies):
                client, first, daemon = self.work(1)
                task = daemon.next()
                daemon.started(task)
                daemon.output(task, 1, b"a" * 100000)
                daemon.result(task, out=b"", out_total=200000)
                if dies:
                    self.pump(client, lambda: isinstance(client.resolved.get(first), Result))
                    daemon.close()
                else:
                    daemon.output(task, 1, b"b" * 100000, last=True)
                result = next(client.results(first, 1))
                self.assertIsInstance(result, Result)
                if dies:
                    self.assertEqual(client.ended[first, 1], RESET, "the stream says that it was cut")
                    self.assertEqual(len(result.out), 100000)
                else:
                    self.assertEqual(result.out, b"a" * 100000 + b"b" * 100000)
                client.close()
                daemon.close()



class Heartbeats(Served):
    def test_a_silent_daemon_is_lost_after_three(self):
        server = self.serve("--heartbeat", "700ms")  # three are more than we may be kept waiting between two of ours
        daemon = self.daemon(server)
        self.assertEqual(daemon.heartbeat_ms, 700)
        for beats in (1, 2):
            daemon.until(lambda: daemon.heartbeats >= beats)
            began = time.monotonic()
            daemon.heartbeat()
        daemon.ended(20)
        self.assertGreater(time.monotonic() - began, 2)
        server.wait_log("silent for three heartbeats")
        self.assertEqual(self.ask(server)["daemons"], [])

    def test_a_stopped_daemon_is_lost_and_its_work_is_done_elsewhere(self):
        server = self.serve("--heartbeat", f"{PATIENCE:.0f}s")  # the other must not be lost as well
        client = self.client(server)
        stopped = self.real_daemon(server)
        first = self.shell(client, f"echo $$ >> {self.dir}/pids; exec sleep 1000")
        self.wait_counts(server, running=1)
        os.kill(stopped.pid, signal.SIGSTOP)
        self.assertEqual([value(r) for r in client.results(first, 1)], [RESET])
        self.real_daemon(server)
        second = self.shell(client, "echo here")
        self.assertEqual(next(client.results(second, 1)).out, b"here\n")
        os.kill(stopped.pid, signal.SIGCONT)
        done = stopped.wait(20)
        self.assertEqual(done.rc, 5, repr(done))
        pid = int((self.dir / "pids").read_text())
        self.wait_for(lambda: not alive(pid), what="its task has ended with it")


class Real(Served):
    """Daemons as they are, killed and asked to go in the middle of work."""

    TREE = "echo $$ >> {d}/pids; setsid sleep 1000 & echo $! >> {d}/pids; (sleep 1000 & echo $! >> {d}/pids; wait) & " \
           "echo $! >> {d}/pids; wait"

    def pids(self):
        try:
            return [int(line) for line in (self.dir / "pids").read_text().split()]
        except FileNotFoundError:
            return []

    def tree(self, client, n=1, flags=0):
        """Tasks whose children leave their process group; their first number, when all have begun."""
        first = self.shell(client, self.TREE.format(d=self.dir), [b"x"] * n, flags)
        self.wait_for(lambda: len(self.pids()) == 4 * n and all(alive(p) for p in self.pids()), 20, "the tasks have begun")
        return first

    def assert_tree_gone(self):
        self.wait_for(lambda: not any(alive(p) for p in self.pids()), 20, f"all of {self.pids()} have ended")

    def test_kill_9_of_a_daemon_ends_all_descendants_of_its_tasks(self):
        server = self.serve()
        client, daemon = self.client(server), self.real_daemon(server, 2)
        first = self.tree(client, 2)
        os.kill(daemon.pid, signal.SIGKILL)
        self.assertEqual([value(r) for r in client.results(first, 2)], [RESET] * 2)
        self.assert_tree_gone()
        self.wait_for(lambda: not self.below("executor"), 10, "its executors have ended")

    def test_kill_9_of_an_executor(self):
        server = self.serve()
        client, daemon = self.client(server), self.real_daemon(server, 1)
        first = self.tree(client)
        next_one = self.shell(client, "echo still here")
        (executor,) = self.executors(daemon)
        os.kill(executor, signal.SIGKILL)
        lost, after = next(client.results(first, 1)), next(client.results(next_one, 1))
        self.assertEqual(value(lost), RESET)
        self.assertIsInstance(lost, Result)
        self.assertRegex(lost.words, r"(?i)killed|SIGKILL|signal 9")
        self.assertEqual(after.out, b"still here\n", "the slot comes back")
        self.assert_tree_gone()
        self.assertTrue(alive(daemon.pid))

    def executors(self, daemon):
        return [p for p in descendants(daemon.pid) if Path(f"/proc/{p}/exe").exists()
                and os.readlink(f"/proc/{p}/exe").endswith("/hato")]

    def test_kill_9_of_a_client_ends_its_attached_tasks_only(self):
        server = self.serve()
        self.real_daemon(server, 3)
        started = self.start_hato("run", "--", "/bin/sh", "-c", self.TREE.format(d=self.dir))
        self.wait_for(lambda: len(self.pids()) == 4, 20, "the task has begun")
        mine = self.client(server)
        detached = self.shell(mine, f"echo $$ > {self.dir}/detached; while [ ! -e {self.dir}/go ]; do sleep 0.02; done; echo went on",
                              flags=DETACHED)
        self.wait_for(lambda: (self.dir / "detached").exists())
        mine.connection.close()
        os.kill(started.pid, signal.SIGKILL)
        self.assert_tree_gone()
        self.assertEqual(self.counts(server)["running"], 1)
        (self.dir / "go").touch()
        again = self.client(server)
        self.assertEqual(request(again, "wait", tasks=str(detached))["failed"], 0)
        self.assertEqual(self.hato("output", detached).out, "went on\n")

    def test_kill_9_of_the_dispatcher_ends_daemons_and_tasks_and_is_recognised(self):
        server = self.serve()
        client = self.client(server)
        daemons = [self.real_daemon(server), self.real_daemon(server)]
        self.tree(client, 2)
        os.kill(server.pid, signal.SIGKILL)
        for daemon in daemons:
            self.assertEqual(daemon.wait(20).rc, 5)
        self.assert_tree_gone()
        server.running.wait(10)
        done = self.hato("status", rc=None)
        self.assertNotEqual(done.rc, 0)
        self.assertRegex(done.err, "dead|stale")
        self.assertIn(str(server.pid), done.err)
        again = self.serve()
        again.wait_log("SESSION-STALE")
        self.assertEqual(self.ask(again)["tasks"]["queued"], 0)

    def test_sigterm_of_a_daemon_gives_back_and_reports(self):
        server = self.serve()
        client, daemon = self.client(server), self.real_daemon(server, 1)
        first = self.shell(client, f"trap 'echo saved; exit 3' TERM; touch {self.dir}/begun; while :; do sleep 0.02; done")
        second = self.shell(client, "echo elsewhere")
        self.wait_for(lambda: (self.dir / "begun").exists(), 20)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(20).rc, 0)
        ended = next(client.results(first, 1))
        self.assertEqual(ended.out, b"saved\n")
        self.real_daemon(server)
        self.assertEqual(next(client.results(second, 1)).out, b"elsewhere\n")
        self.assertNotIn("silent", server.log())

    def test_a_daemon_without_its_dispatcher_is_told(self):
        done = self.hato("daemon", "--url", f"ipc://{self.dir}/none.sock", "--dial-timeout", "200ms", rc=3)
        self.assertIn("none.sock", done.err)


main()
