"""Launchers that misbehave in a session that works: its tasks are all done, its daemons stay, and what was wrong is said."""

import os
import signal

from harness import BUILD, HATO, Case, alive, limit, main


class Misuse(Case):
    """Two daemons with a stream of tasks, while launches are tried beside them."""

    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: self.hato("down", rc=None))
        self.env["HATO_LAUNCHERS_PATH"] = str(BUILD / "tests/launchers")
        self.env["HATO_FAKE_DIR"] = str(self.dir / "tmp")
        self.hato("up", "-n", "2")
        self.before = self.status()
        read, self.pipe = os.pipe()
        self.stream = self.start(HATO, "map", "echo", "task {}", stdin=read)
        os.close(read)
        self.fed = 0
        self.feed()

    def status(self):
        return self.hato_json("status")[0]

    def feed(self):
        """A hundred tasks more, some of them long enough to be at work during what follows."""
        lines = [f"{i}" for i in range(self.fed, self.fed + 100)]
        os.write(self.pipe, "".join(f"{line}\n" for line in lines).encode())
        self.fed += 100

    def unharmed(self):
        """The same dispatcher with the same daemons goes on with the tasks."""
        self.feed()
        self.wait_for(lambda: f"task {self.fed - 1}\n" in self.stream.out(), 30, "the tasks go on")
        now = self.status()
        self.assertEqual(now["pid"], self.before["pid"])
        names = [one["daemon"] for one in now["daemons"]]
        for one in self.before["daemons"]:
            self.assertIn(one["daemon"], names)

    def end_stream(self):
        os.close(self.pipe)
        done = self.stream.wait(60)
        self.assertEqual(done.rc, 0, repr(done))
        self.assertEqual(done.out, "".join(f"task {i}\n" for i in range(self.fed)))

    def launch_fake(self, *options):
        """One daemon of the fake's; returns when it has connected, however long what is wrong keeps it queued."""
        self.hato("launch", "--launcher", "fake", "-n", "1", "--wait", "60s", *options, timeout=60)

    def refused(self, launcher, words, *options, timeout=60):
        done = self.hato("launch", "--launcher", launcher, "-n", "1", *options, rc=None, timeout=timeout)
        self.assertNotEqual(done.rc, 0, repr(done))
        self.assertRegex(done.err, words)
        self.unharmed()
        return done

    @limit(120)
    def test_what_is_no_launcher(self):
        for name, words in {
            "bad_magic": r"hato_launcher_bad_magic\.so is not a launcher",
            "bad_major": r"launcher ABI 2\.7, this hato has 1\.",
            "bad_size": r"40 bytes",
            "bad_symbol": r"exports no 'hato_launcher_module'",
            "bad_name": r"calls itself 'slurm', expected 'bad_name'",
            "bad_operation": r"'cancel' is NULL",
            "bad_option": r"nodes.*many",
            "bad_reserved": r"'slots' has the name of a key that every profile has",
            "bad_probe": r"there is no qsub in PATH",
            "nosuch": r"nosuch",
        }.items():
            with self.subTest(name):
                self.refused(name, words)
        self.end_stream()

    @limit(120)
    def test_one_that_crashes_exits_or_hangs_as_it_is_loaded(self):
        self.refused("bad_crash", r"bad_crash.*signal 6")
        self.refused("bad_exit", r"bad_exit.*exited with 1.*fatal: no configuration")
        self.refused("bad_hang", r"bad_hang.*(time|answer|second| ms)")
        self.end_stream()

    @limit(120)
    def test_one_that_fails_hangs_crashes_or_exits_in_launch(self):
        for fault, words in {
            "launch-fail": r"there is no partition 'shrt'",
            "launch-hang": r"fake",
            "launch-crash": r"fake.*signal 6",
            "launch-exit": r"fake.*exited with 1.*fatal: there is no configuration",
        }.items():
            with self.subTest(fault):
                self.refused("fake", words, "-o", f"fault={fault}")
        self.end_stream()

    @limit(120)
    def test_one_that_fails_hangs_or_crashes_in_poll_loses_no_daemon(self):
        for fault in ("poll-fail", "poll-hang", "poll-crash"):
            with self.subTest(fault):
                had = len(self.status()["daemons"])
                # The daemon is queued for some polls, so that the fault comes before it does.
                self.launch_fake("-o", f"fault={fault}")
                self.assertEqual(len(self.status()["daemons"]), had + 1)
                self.unharmed()
        self.end_stream()

    @limit(120)
    def test_one_that_lies(self):
        # Its own launch it may end; the daemons of others, and their launch, are none of its business.
        done = self.refused("bad_lie", r"it says so")
        self.assertNotIn("\033", done.err)
        self.assertLess(len(done.err), 4000)
        launches = {one["launcher"]: one for one in self.status()["launches"]}
        self.assertEqual(launches["local"]["ended"], 0)
        self.assertEqual(launches["local"]["connected"], 2)
        # One that lies beside the truth is believed where it can be.
        self.launch_fake("-o", "fault=lie", "-o", "fault-times=0")
        self.assertEqual(len(self.status()["daemons"]), 3)
        self.unharmed()
        self.end_stream()

    def test_the_process_of_one_that_is_killed_is_started_again(self):
        self.launch_fake()
        hosts = self.below("launcher-host")
        self.assertEqual(len(hosts), 1)
        os.kill(hosts[0], 9)
        self.wait_for(lambda: not alive(hosts[0]), 10, "it is dead")
        self.launch_fake()
        self.assertEqual(len(self.status()["daemons"]), 4)
        self.unharmed()
        self.end_stream()


class Suite(Case):
    def test_an_interrupted_suite_leaves_nothing_running(self):
        self.env["HATO_LAUNCHERS_PATH"] = str(BUILD / "tests/launchers")
        self.env["HATO_FAKE_DIR"] = str(self.dir / "tmp")
        # Queued for as long as it is followed: the first launch is still under way, however late we come.
        running = self.start_hato("launchers", "test", "fake", "-o", "queue-polls=1000")
        self.wait_for(lambda: self.below("sleep", "600"), 30, "something is launched")
        running.signal(signal.SIGINT)
        done = running.wait()
        self.assertEqual(done.rc, 130, repr(done))
        self.assertIn("interrupted at: launch of 1", done.err)
        self.assert_nothing_left()
        self.assertEqual(list(self.cwd.iterdir()), [])


main()
