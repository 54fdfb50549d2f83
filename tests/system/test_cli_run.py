"""hato run: one task, as if it ran here. Each of these works the same with and without a session."""

import os
import signal
import subprocess

from harness import HATO, Case, limit, main


class Embedded(Case):
    session = False

    def setUp(self):
        super().setUp()
        if self.session:
            self.hato("up", "-n", "2")
            self.addCleanup(lambda: self.hato("down", rc=None))  # a sanitizer looks for leaks at the end

    def check_nothing_left(self):
        if self.session:
            self.hato("down")
        self.assert_nothing_left(30)

    def test_exit_status_and_output(self):
        done = self.hato("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7", rc=7)
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))
        self.assertEqual(self.hato("run", "echo", "{}", "a b").out, "{} a b\n")
        self.assertEqual(self.hato("run", "echo $((1 + 1)); exit 3", rc=3).out, "2\n")
        self.check_nothing_left()

    def test_signals(self):
        done = self.hato("run", "kill -9 $$", rc=137)
        self.assertEqual(done.err, "hato run: ended by signal 9 (KILL)\n")
        self.hato("run", "--", "sh", "-c", "kill -15 $$", rc=143)

    def test_error_values(self):
        plain = self.dir / "plain"
        plain.write_text("x")
        for words, code in ((["/nowhere/program"], 127), (["nosuchprogram"], 127), ([str(self.dir)], 126), ([str(plain)], 126),
                            (["--cwd", "/nowhere", "true"], 127), (["--timeout", "200ms", "sleep", "600"], 124)):
            with self.subTest(words):
                done = self.hato("run", *words, rc=code)
                self.assertIn(words[1] if words[0] == "--cwd" else words[-1] if code != 124 else "timed out", done.err)
                self.assertTrue(done.err.startswith("hato run: "), done.err)

    def test_output_is_live(self):
        go = self.cwd / "go"
        os.mkfifo(go)
        running = self.start_hato("run", f"echo first; echo warned >&2; read x < {go}; echo second")
        self.wait_for(lambda: running.out() == "first\n" and running.err() == "warned\n", 20, "the first line")
        self.assertIsNone(running.rc())
        go.write_text("x\n")
        done = running.wait()
        self.assertEqual((done.rc, done.out), (0, "first\nsecond\n"))

    def test_standard_input_from_a_pipe_and_a_file(self):
        self.assertEqual(self.hato("run", "cat", input="a\nb").out, "a\nb")
        self.assertEqual(self.hato("run", "cat", input="").out, "")
        (self.cwd / "file").write_text("x" * 1000000)
        with open(self.cwd / "file") as file:
            running = self.start_hato("run", "wc", "-c", stdin=file)
        self.assertEqual(running.wait().out.strip(), "1000000")
        self.assertEqual(self.hato("run", "--stdin", "file", "wc", "-c").out.strip(), "1000000")
        self.assertEqual(self.hato("run", "cat").out, "", "/dev/null")

    @limit(120)
    def test_long_output_of_long_input(self):
        payload = os.urandom(8_000_000)
        for _ in range(15):  # it is handed on to the last byte, also when its task has ended before
            done = self.hato("run", "tee /dev/null | cat", input=payload, binary=True)
            self.assertEqual((len(done.out), done.out == payload), (len(payload), True))

    def test_input_is_passed_on_as_it_comes(self):
        end, write = os.pipe()
        running = self.start_hato("run", "cat", stdin=end)
        os.close(end)
        os.write(write, b"one\n")
        self.wait_for(lambda: running.out() == "one\n", 20, "its echo")
        os.write(write, b"two\n")
        os.close(write)
        self.assertEqual(running.wait().out, "one\ntwo\n")

    def test_a_task_that_does_not_read_its_input(self):
        end, write = os.pipe()
        self.addCleanup(os.close, write)
        running = self.start_hato("run", "echo done", stdin=end)
        os.close(end)
        self.assertEqual(running.wait().out, "done\n")

    def test_a_terminal_is_no_input(self):
        done = self.start_terminal(HATO, "run", "cat; echo end").wait(self, 20)
        self.assertEqual((done.rc, done.out), (0, "end\r\n"))

    def test_much_output(self):
        done = self.hato("run", "head -c 5000000 /dev/zero", binary=True)
        self.assertEqual(len(done.out), 5000000)

    def test_output_that_nobody_reads(self):
        done = self.run_command("bash", "-c", "hato run yes | head -n 1; echo ${PIPESTATUS[0]}")
        self.assertEqual((done.out, done.err), ("y\n141\n", ""))
        self.check_nothing_left()

    def start_sleeper(self):
        running = self.start_hato("run", "trap 'touch asked; exit 0' TERM; echo $$; while :; do sleep 600 & wait; done")
        self.wait_for(lambda: running.out().endswith("\n"), 20, "the task at work")
        return running

    def test_interrupt_cancels(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            running = self.start_sleeper()
            running.signal_group(number)
            done = running.wait(20)
            self.assertEqual(done.rc, code, done)
            self.assertIn("cancelled", done.err)
            if self.session:  # without one its daemon ends too, and takes all processes with it
                self.wait_for((self.cwd / "asked").exists, 30, "the task was asked to end")
                (self.cwd / "asked").unlink()
            self.wait_for(lambda: not self.below("sleep"), 30, "all of the task is gone")
        self.check_nothing_left()

    def test_a_second_interrupt_does_not_wait(self):
        running = self.start_hato("run", "trap '' TERM; echo up; while :; do sleep 600 & wait; done")
        self.wait_for(lambda: running.out() == "up\n", 20, "the task at work")
        running.signal(signal.SIGINT)
        running.signal(signal.SIGTERM)
        self.assertIn(running.wait(4).rc, (130, 143, -signal.SIGTERM))
        self.check_nothing_left()

    def test_environment_and_folder(self):
        self.env["MINE"] = "yes"
        done = self.hato("run", "--env", "OTHER=a b", "--cwd", "/", 'echo "$MINE $OTHER $PWD"; umask')
        self.assertEqual(done.out.splitlines()[0], "yes a b /")
        self.assertEqual(self.hato("run", "pwd").out.strip(), str(self.cwd))
        self.env["HATO_CREDENTIAL"] = "0" * 64
        self.assertNotIn("HATO_CREDENTIAL", self.hato("run", "--env", "A=1", "env").out)
        self.assertNotIn("HATO_CREDENTIAL", self.hato("run", "env").out)

    def test_a_daemon_that_is_killed(self):
        running = self.start_hato("run", "--embedded", "touch started; sleep 600")
        self.wait_for((self.cwd / "started").exists, 20, "the task at work")
        for pid in self.below("daemon", of=running.pid):
            os.kill(pid, signal.SIGKILL)
        done = running.wait(20)
        self.assertEqual(done.rc, 125, done)
        self.assertIn("(error value 19)", done.err)

    def test_bad_usage(self):
        self.assertIn("COMMAND", self.hato("run", rc=2).err)
        self.assertIn("--timeout", self.hato("run", "--time-out", "1", "true", rc=2).err)
        self.assertIn("which command", self.hato("run", "", rc=2).err)


class Session(Embedded):
    session = True

    def test_the_session_is_used(self):
        pid = self.hato_json("status")[0]["daemons"][0]["pid"]
        up = {d["pid"] for d in self.hato_json("status")[0]["daemons"]}
        executor = int(self.hato("run", "echo $PPID").out)
        self.assertTrue(any(executor in self.below("executor", of=daemon) for daemon in up), (pid, executor))
        executor = int(self.hato("run", "--embedded", "echo $PPID").out)
        self.assertFalse(any(executor in self.below("executor", of=daemon) for daemon in up))


main()
