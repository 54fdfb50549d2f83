"""Sessions: up, submit, status, wait, output, cancel, tasks, forget, launch, down."""

import json
import os
import signal
import subprocess

from harness import HATO, PATIENCE, Case, alive, limit, main


class Up(Case):
    def setUp(self):
        super().setUp()
        # Ended in order, where a test leaves one: a sanitizer looks for leaks at the end.
        self.addCleanup(lambda: self.hato("down", rc=None))

    def status(self, *words):
        return self.hato_json("status", *words)[0]

    @limit(120)
    def test_the_user_lines(self):
        simulate = self.cwd / "simulate"
        simulate.write_text("#!/bin/sh\ntest $2 -lt 900 || sleep 0.01\necho seed $2\n")
        simulate.chmod(0o755)
        up = self.hato("up", "-n", "4")
        self.assertIn("4 daemons, 4 slots", up.out)
        self.assertEqual(self.hato("submit", "--array", "1-1000", "--", "./simulate", "--seed", "{}").out, "1-1000\n")
        status = self.hato("status").out
        self.assertIn("slots: ", status)
        self.hato("wait", "--all", timeout=60)
        self.assertEqual(self.hato("output", "17").out, "seed 17\n")
        self.assertEqual(self.hato("output", "1-1000").out, "".join(f"seed {i}\n" for i in range(1, 1001)))
        self.assertEqual(self.hato("output", "--all").out, "".join(f"seed {i}\n" for i in range(1, 1001)))
        self.hato("cancel", "40-80")  # all are resolved: passed over
        self.assertEqual(self.hato("output", "40").out, "seed 40\n")
        self.assertEqual(self.hato("run", "--", "sh", "-c", "exit 5", rc=5).out, "")
        self.assertEqual(self.hato("map", "echo", "{}", input="a\nb\n").out, "a\nb\n")
        self.hato("down")
        self.assert_nothing_left()
        self.assertEqual(list((self.dir / "run").rglob("s")), [])

    def test_cancelling_a_part_of_an_array(self):
        self.hato("up", "-n", "2")
        # What is to run waits for a file; so nothing is over before it is cancelled.
        self.hato("submit", "--array", "1-100", "--", "until test -e go; do read x < /dev/null; sleep 0.01; done; echo {}")
        self.wait_for(lambda: self.status()["tasks"]["running"] == 2, 20, "two at work")
        self.hato("cancel", "1,40-80")
        (self.cwd / "go").touch()
        done = self.hato("wait", "--all", rc=1)
        self.assertIn("42 failed", done.err)
        self.assertEqual([t["error"] for t in self.hato_json("tasks", "40-80")], [20] * 41)
        self.assertEqual(self.hato("output", "2-39").out, "".join(f"{i}\n" for i in range(2, 40)))
        done = self.hato("output", "39-41", rc=1)
        self.assertEqual(done.out, "39\n")
        self.assertIn("task 40: cancelled", done.err)
        self.assertEqual(len(self.hato_json("tasks", "--state", "done")), 58)
        self.assertEqual(len(self.hato("tasks", "--state", "failed").out.splitlines()), 43)

    def test_submissions_of_all_kinds(self):
        self.hato("up", "-n", "1", "--slots", "2")
        self.assertEqual(self.hato("submit", "--", "echo", "{}").out, "1\n")
        self.assertEqual(self.hato("submit", "--array", "10-20:5", "--", "echo {} $HATO_TASK_INDEX $HATO_TASK_ID").out, "2-4\n")
        self.assertEqual(self.hato("submit", "--array", "-1-1", "--", "sh", "-c", "echo i $HATO_TASK_INDEX").out, "5-7\n")
        self.assertEqual(self.hato("submit", "-a", "-", "--", "printf", "%s\\n", input="a b\n$(id)\n").out, "8-9\n")
        self.assertEqual(self.hato("submit", "-a", "-", "-0", "--", "echo {}", input="a\nb\0c\0").out, "10-11\n")
        done = self.hato("submit", "--json", "--env", "A=x", "--cwd", "/", "--", "echo $A; pwd")
        self.assertEqual(json.loads(done.out), {"first": 12, "last": 12, "count": 1})
        (self.cwd / "in").write_text("from a file\n")
        self.hato("submit", "--stdin", "in", "cat")
        self.hato("submit", "--output-to", "o.{id}", "echo in a file")
        self.hato("submit", "--timeout", "100ms", "--", "sleep", "600")
        self.hato("wait", "1-14")
        self.assertEqual(self.hato("output", "1-13").out, "{}\n10 1 2\n15 2 3\n20 3 4\ni 1\ni 2\ni 3\na b\n$(id)\na\nb\nc\nx\n/\nfrom a file\n")
        self.assertEqual((self.cwd / "o.14").read_text(), "in a file\n")
        self.hato("wait", "15", rc=1)
        self.assertIn("timed out", self.hato("output", "15", rc=1).err)

    def test_bad_submissions(self):
        self.hato("up", "-n", "0")
        for words, said in ((["--array", "5-1", "true"], "FIRST-LAST"), (["--array", "a", "true"], "FIRST-LAST"),
                            (["--array", "1-2", "-a", "x", "true"], "one of them"), (["-a", "nosuch", "true"], "nosuch"),
                            ([], "COMMAND"), (["-a", "/dev/null", "true"], "no lines")):
            self.assertIn(said, self.hato("submit", *words, rc=2).err)
        self.assertEqual(self.hato("tasks").out, "")

    def test_output_of_both_streams_and_json(self):
        self.hato("up", "-n", "1")
        self.hato("submit", "--", "echo out; echo err >&2; exit 3")
        self.hato("wait", "1", rc=1)
        self.assertEqual(self.hato("output", "1").out, "out\n")
        self.assertEqual(self.hato("output", "--err", "1").out, "err\n")
        both = self.hato("output", "--both", "1")
        self.assertEqual((both.out, both.err), ("out\n", "err\n"))
        one = self.hato_json("output", "1")[0]
        self.assertEqual((one["task"], one["exit"], one["out"], one["err"]), (1, 3, "out\n", "err\n"))
        self.assertEqual(json.loads(self.hato("wait", "--json", "1", rc=1).out)["failed"], 1)
        self.assertIn("which tasks", self.hato("output", rc=2).err)
        self.assertIn("task 7", self.hato("output", "7", rc=1).err)
        self.assertIn("1-", self.hato("output", "x", rc=2).err)
        self.assertEqual(self.hato("forget", "1").out, "1 forgotten\n")
        self.assertIn("nothing is kept", self.hato("output", "1", rc=1).err)

    def test_output_that_is_large_and_of_tasks_that_run(self):
        self.hato("up", "-n", "1")
        self.hato("submit", "head -c 3000000 /dev/zero")
        self.hato("submit", "sleep 600")
        self.hato("wait", "1")
        self.assertEqual(len(self.hato("output", "1", binary=True).out), 3000000)
        self.assertIn("not resolved yet", self.hato("output", "2", rc=1).err)
        self.assertEqual(len(self.hato("output", "--all", binary=True).out), 3000000)
        self.hato("wait", "--any", "1,2")

    def test_up_on_a_live_session_changes_nothing(self):
        first = json.loads(self.hato("up", "-n", "1", "--json").out)
        again = self.hato("up", "-n", "3")
        self.assertIn("was up already", again.out)
        self.assertIn("1 daemon, 1 slot", again.out)
        self.assertEqual(self.status()["pid"], first["pid"])
        self.assertTrue(first["started"])
        self.assertFalse(json.loads(self.hato("up", "--json").out)["started"])

    def test_two_at_once_end_in_one_dispatcher(self):
        both = [self.start_hato("up", "-n", "1") for _ in range(3)]
        done = [one.wait(30) for one in both]
        self.assertEqual([one.rc for one in done], [0, 0, 0], done)
        self.assertEqual(sum("is up" in one.out for one in done), 1, done)
        self.wait_for(lambda: len(self.below("dispatcher")) == 1, 10, "one dispatcher")
        self.wait_for(lambda: len(self.status()["daemons"]) == 1, 10, "one daemon")

    def test_reset(self):
        old = json.loads(self.hato("up", "-n", "1", "--json").out)["pid"]
        self.hato("submit", "--array", "1-10", "sleep", "600")
        waiter = self.start_hato("wait", "--all")
        self.wait_for(lambda: len(self.status()["clients"]) == 2, 10, "somebody waits")
        done = self.hato("up", "--reset", "-n", "1")
        self.assertIn("10 of its tasks were unresolved", done.err)
        self.assertFalse(alive(old))
        self.assertNotEqual(self.status()["pid"], old)
        self.assertEqual(self.status()["tasks"]["queued"], 0)
        self.assertNotEqual(waiter.wait(20).rc, 0)
        self.assertEqual(self.hato("submit", "true").out, "1\n")

    def test_a_dead_session_is_recognised(self):
        self.hato("up", "-n", "1")
        os.kill(self.status()["pid"], signal.SIGKILL)
        self.assert_nothing_left(20)
        done = self.hato("status", rc=3)
        self.assertIn("hato up", done.err)
        self.assertRegex(done.err, "dead|ended|gone|no longer")
        again = self.hato("up", "-n", "1")
        self.assertIn("starting anew", again.err)
        self.assertEqual(self.hato("run", "echo", "x").out, "x\n")
        os.kill(self.status()["pid"], signal.SIGKILL)
        self.assert_nothing_left(20)
        self.hato("down")
        self.assertIn("not up", self.hato("down", rc=3).err)

    def test_no_session(self):
        for words in (["status"], ["wait", "--all"], ["output", "1"], ["submit", "true"], ["tasks"], ["cancel", "1"], ["down"],
                      ["launch"], ["forget", "1"]):
            done = self.hato(*words, rc=3)
            if words != ["down"]:
                self.assertIn("hato up", done.err)

    def test_it_ends_when_idle(self):
        self.hato("up", "-n", "1", "--idle", f"{2 * PATIENCE:.0f}s")
        self.assert_nothing_left(20)
        self.hato("status", rc=3)

    def test_it_ends_with_a_process(self):
        sleeper = self.start("sleep", "600")
        self.hato("up", "-n", "1", "--while", sleeper.pid)
        self.hato("status")
        sleeper.signal(signal.SIGKILL)
        sleeper.wait()
        self.assert_nothing_left(20)

    def test_an_uncollected_result_is_no_idleness(self):
        self.hato("up", "-n", "1", "--idle", f"{4 * PATIENCE:.0f}s")
        self.hato("submit", "echo", "kept")
        self.hato("wait", "1")
        self.assertEqual(self.hato("output", "1").out, "kept\n")

    def test_clients_by_url_and_credential_file(self):
        up = json.loads(self.hato("up", "-n", "1", "--listen", "tcp://127.0.0.1:0", "--json").out)
        url = next(u for u in up["urls"] if u.startswith("tcp://"))
        self.assertNotIn(":0", url[-2:])
        self.assertIn(f"listens at {url}", self.hato("up").out)
        secret = next((self.dir / "state").rglob("client.credential"))
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)
        elsewhere = dict(self.env, XDG_STATE_HOME=str(self.dir / "tmp"), HATO_LOCAL_DIR=str(self.dir / "tmp"))
        dial = ["--url", url, "--credential-file", secret]
        self.assertEqual(self.hato("run", *dial, "echo", "far", env=elsewhere).out, "far\n")
        self.assertEqual(self.hato("map", *dial, "echo", "{}", env=elsewhere, input="a\nb\n").out, "a\nb\n")
        self.assertEqual(self.hato("submit", *dial, "echo", "kept", env=elsewhere).out.strip().isdigit(), True)
        self.hato("wait", *dial, "--all", env=elsewhere)
        self.assertEqual(self.hato("output", *dial, "--all", env=elsewhere).out, "kept\n")
        wrong = self.dir / "wrong"
        wrong.write_text(f"hato1:client:0:{'0' * 64}:-:-:-\n")
        wrong.chmod(0o600)
        self.hato("status", "--url", url, "--credential-file", wrong, env=elsewhere, rc=3)
        self.hato("status", "--url", url, env=elsewhere, rc=None)
        wrong.chmod(0o644)
        self.assertIn("wrong", self.hato("status", "--url", url, "--credential-file", wrong, env=elsewhere, rc=None).err)
        self.hato("down", *dial, env=elsewhere)
        self.assert_nothing_left()

    def test_many_addresses_are_all_listened_at_or_refused(self):
        many = ["--listen", "tcp://127.0.0.1:0"]
        too_many = self.hato("up", "-n", "0", *many * 150, rc=None)
        self.assertNotEqual(too_many.rc, 0)
        self.assertIn("fewer addresses to listen at", too_many.err)
        up = json.loads(self.hato("up", "-n", "0", *many * 40, "--json").out)
        self.assertEqual(len([l for l in up["listeners"] if l["url"].startswith("tcp:")]), 40)

    def test_sessions_by_name_and_by_path(self):
        self.hato("up", "-n", "0", "--session", "one")
        self.hato("up", "-n", "0", "--session", self.dir / "two")
        self.env["HATO_SESSION"] = "one"
        one = self.status()
        two = self.status("--session", self.dir / "two")
        self.assertNotEqual(one["pid"], two["pid"])
        self.hato("down")
        self.hato("down", "--session", self.dir / "two")
        self.assert_nothing_left()

    def test_a_path_is_of_where_one_is(self):
        for how in ({}, {"env": {**self.env, "HATO_SESSION": "./mine"}}):
            words = () if how else ("--session", "./mine")
            self.assertIn(f"session {self.cwd}/mine is up", self.hato("up", "-n", "1", *words, **how).out)
            self.assertEqual(self.hato("run", *words, "--", "echo", "here", **how).out, "here\n")
            self.assertEqual(self.hato("run", "--session", self.cwd / "mine", "--", "echo", "here").out, "here\n")
            self.hato("down", *words, **how)

    def test_launching_more(self):
        self.hato("up", "-n", "0")
        self.assertEqual(self.status()["slots"], 0)
        self.hato("launch", "-n", "2")
        self.hato("launch", "-n", "1", "--slots", "3")
        status = self.status()
        self.assertEqual((status["slots"], len(status["daemons"])), (5, 3))
        self.assertRegex(self.hato("status").out, r"launch 1 by local, .* ago: 2 connected")
        self.assertIn("launcher", self.hato("launch", "--launcher", "nosuch", rc=None).err)

    def test_launchers_are_listed_and_shown(self):
        self.assertRegex(self.hato("launchers").out, r"(?m)^local +\S")
        self.assertIn("local", [one["name"] for one in self.hato_json("launchers")])
        self.assertIn("local", self.hato("launchers", "show", "local").out)
        self.assertIn("nosuch", self.hato("launchers", "show", "nosuch", rc=2).err)
        self.assertIn("show NAME", self.hato("launchers", "shwo", rc=2).err)

    def test_reports_that_cannot_be_written(self):
        self.hato("up", "-n", "0")
        for words in ("status", "status --json", "tasks", "submit true", "output 1", "help map"):
            done = self.run_command("sh", "-c", f"hato submit true > /dev/null; hato {words} > /dev/full", rc=None)
            self.assertNotEqual(done.rc, 0, words)
            if words not in ("help map", "output 1"):
                self.assertIn("No space left", done.err, words)
        done = self.run_command("bash", "-c", "hato submit --array 1-20000 true; hato tasks --json | head -n 1; echo ${PIPESTATUS[0]}")
        self.assertEqual(done.err, "")

    def test_options_of_embedded_pools_are_said_to_be_passed_over(self):
        self.hato("up", "-n", "1")
        done = self.hato("map", "-j", "3", "echo", "{}", input="a\n")
        self.assertEqual(done.out, "a\n")
        self.assertIn("-j is passed over", done.err)

    def test_a_map_is_not_kept(self):
        self.hato("up", "-n", "1")
        self.hato("map", "echo", "{}", input="a\nb\n")
        self.assertEqual(self.hato("tasks").out, "")
        self.assertEqual(self.hato("submit", "true").out, "3\n")

    def test_a_client_that_is_killed_leaves_nothing_running(self):
        self.hato("up", "-n", "1")
        running = self.start_hato("map", "touch started; sleep 600; : {}", stdin=self.lines(5))
        self.wait_for((self.cwd / "started").exists, 20, "a task at work")
        running.signal(signal.SIGKILL)
        running.wait()
        self.wait_for(lambda: not any(self.status()["tasks"][state] for state in ("queued", "sent", "running")), 20, "all cancelled")
        self.wait_for(lambda: not self.below("sleep"), 10, "its process gone")

    def lines(self, n):
        path = self.cwd / "lines"
        path.write_text("".join(f"{i}\n" for i in range(n)))
        file = open(path)
        self.addCleanup(file.close)
        return file

    def test_two_clients_at_once(self):
        self.hato("up", "-n", "2")
        self.lines(500)
        many = [self.start_hato("map", "-a", "lines", "echo", "{}") for _ in range(3)]
        for one in many:
            done = one.wait(60)
            self.assertEqual((done.rc, done.out), (0, "".join(f"{i}\n" for i in range(500))), done)

    def test_ending_while_a_map_is_under_way(self):
        self.hato("up", "-n", "1")
        running = self.start_hato("map", "touch started; sleep 600; : {}", stdin=self.lines(3))
        self.wait_for((self.cwd / "started").exists, 20, "a task at work")
        self.wait_for(lambda: sum(self.status()["tasks"][state] for state in ("queued", "sent", "running")) == 3, 20, "all three")
        down = self.hato("down")
        self.assertIn("3 tasks were unresolved", down.err)
        done = running.wait(20)
        self.assertIn(done.rc, (1, 3), done)
        self.assertIn("hato map: ", done.err)
        self.assert_nothing_left()


main()
