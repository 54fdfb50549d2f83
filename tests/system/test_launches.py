"""Launches: profiles, replacement, time-outs, what a killed dispatcher left, other systems' workers."""

import json
import os
import shutil
import signal

from harness import BUILD, HATO, PATIENCE, Case, alive, command_line, limit, main, stat_of

FAKES = BUILD / "tests" / "launchers"


class Launches(Case):
    def setUp(self):
        super().setUp()
        self.env["HATO_LAUNCHERS_PATH"] = str(FAKES)
        self.env["HATO_FAKE_DIR"] = str(self.dir)
        self.env["HATO_CONFIG"] = str(self.dir / "hato.conf")
        self.env["HATO_SITE_CONFIG"] = str(self.dir / "site.conf")
        self.addCleanup(lambda: self.hato("down", rc=None))

    def configure(self, text, site=""):
        (self.dir / "hato.conf").write_text(text)
        (self.dir / "site.conf").write_text(site)

    def status(self):
        return self.hato_json("status")[0]

    def launches(self):
        return self.status()["launches"]


class Replacement(Launches):
    def test_a_daemon_that_is_killed_is_replaced(self):
        self.hato("up", "-n", "2")
        os.kill(self.status()["daemons"][0]["pid"], signal.SIGKILL)
        self.wait_for(lambda: len(self.launches()) == 2 and len(self.status()["daemons"]) == 2, 30, "its replacement")
        first, second = self.launches()
        self.assertEqual((first["ended"], first["connected"]), (1, 1))
        self.assertEqual((second["replaces"], second["count"], second["connected"]), (first["launch"], 1, 1))
        self.assertEqual(first["members"][first["members"][0]["state"] != "ended"]["signal"], 9)
        self.assertIn("in the place of daemons of launch 1", self.hato("status").out)

    def test_none_is_replaced_when_none_may_be(self):
        self.hato("up", "-n", "1", "--crash-limit", "0")
        os.kill(self.status()["daemons"][0]["pid"], signal.SIGKILL)
        self.wait_for(lambda: self.launches()[0]["over"], 20, "its end")
        self.assertNotIn("next_in", self.launches()[0])
        self.assertEqual(len(self.launches()), 1)

    def up_with_a_copy(self, *words):
        """A session of a copy of the program, which can be exchanged below it: its path."""
        program = self.cwd / "hato"
        shutil.copy(HATO, program)
        self.run_command(program, "up", *words)
        return program

    def exchange(self, program, script):
        new = self.cwd / "new"
        new.write_text("#!/bin/sh\n" + script)
        new.chmod(0o755)
        new.rename(program)

    @limit(120)
    def test_a_loop_of_failures_is_given_up_and_says_why(self):
        self.exchange(self.up_with_a_copy("-n", "1"), "echo cannot work here >&2; exit 7\n")
        os.kill(self.status()["daemons"][0]["pid"], signal.SIGKILL)
        self.wait_for(lambda: "error" in self.launches()[0], 60, "that it is given up")
        launches = self.launches()
        self.assertEqual(len(launches), 5)
        self.assertRegex(launches[0]["error"], r"given up after 5 failures in a row: exited with 7")
        self.assertIn("cannot work here", launches[1]["members"][0]["log"])
        self.assertIn("given up after 5", self.hato("status").out)

    def test_whoever_asked_is_shown_the_log_of_what_is_given_up(self):
        self.exchange(self.up_with_a_copy("-n", "0"), "echo cannot work here >&2; exit 7\n")
        self.assertRegex(self.hato("launch", "-n", "1", "--crash-limit", "1", rc=4).err,
                         r"the launch failed: given up after 1 failure: exited with 7; the log of a daemon ends:\ncannot work here")

    def test_a_replacement_that_is_refused_is_asked_for_again_up_to_the_limit(self):
        submit = self.cwd / "submit"
        submit.write_text('#!/bin/sh\n[ -e refuse ] && { echo no room here >&2; exit 1; }\n'
                          'setsid sh -c "$1" >daemon.log 2>&1 &\necho 1\n')
        submit.chmod(0o755)
        self.configure(f"[profile default]\nlauncher = command\nsubmit = cd {self.cwd} && ./submit {{daemon:q}}\n"
                       "crash-limit = 3\n")
        self.hato("up", "-n", "1")
        (self.cwd / "refuse").touch()
        os.kill(self.status()["daemons"][0]["pid"], signal.SIGKILL)
        self.wait_for(lambda: len(all_ := self.launches()) > 1 and "error" in all_[1], 30, "that it is refused")
        self.assertIn("no room here", self.launches()[1]["error"])
        self.wait_for(lambda: "error" in self.launches()[0], 30, "that it is given up")
        self.assertEqual(len(self.launches()), 3)
        self.assertRegex(self.launches()[0]["error"], "given up after 3 failures in a row: .*no room here")

    def test_an_orderly_end_is_no_failure(self):
        self.hato("up", "-n", "1")
        os.kill(self.status()["daemons"][0]["pid"], signal.SIGTERM)
        self.wait_for(lambda: self.launches()[0]["over"], 20, "its end")
        self.assertEqual(self.launches()[0]["members"][0]["exit"], 0)
        self.assertNotIn("next_in", self.launches()[0])

    def test_one_that_does_not_connect_in_time_is_ended(self):
        self.exchange(self.up_with_a_copy("-n", "0"), "exec sleep 1000\n")
        done = self.hato("launch", "-n", "1", "--launch-timeout", "1s", "--crash-limit", "0", rc=4)
        self.assertIn("did not connect in time", done.err)
        self.assertEqual(self.below("sleep"), [])

    def late_and_here(self):
        """A launch by a launcher that ends whole launches only: one is to be ended, as it did not connect; the
        other has, and keeps both. Its daemon's pid, and the late one's."""
        self.exchange(self.up_with_a_copy("-n", "0"), f'[ "$HATO_FAKE_TASK" = 2 ] && exec sleep 1000\nexec {HATO} "$@"\n')
        in_time = f"{max(5, 3 * PATIENCE):.0f}s"  # for the other, on a machine with other work
        self.start_hato("launch", "--launcher", "fake", "-n", "2", "--launch-timeout", in_time, "--crash-limit", "0")
        log = self.dir / "state/hato/default/log"
        self.wait_for(lambda: "LAUNCH-MEMBER-ENDED" in log.read_text(), 20, "that it is late")
        self.assertEqual([m["state"] for m in self.launches()[0]["members"]], ["connected", "starting"])
        return self.status()["daemons"][0]["pid"], self.called("sleep", "1000")[0]

    def wait_over(self, late):
        """Until the launch is over: what its launcher follows has ended, and the late one below that is about to."""
        self.wait_for(lambda: self.launches()[0]["over"], 20, "its end")
        self.wait_for(lambda: not alive(late), 20, "the late one's end")

    def test_those_to_be_ended_go_with_the_last_that_ends(self):
        here, late = self.late_and_here()
        os.kill(here, signal.SIGKILL)
        self.wait_over(late)

    def test_those_to_be_ended_go_with_the_last_connection_of_what_ended_before(self):
        here, late = self.late_and_here()
        os.kill(stat_of(here)[1], signal.SIGKILL)  # what the launcher follows
        self.wait_for(lambda: self.launches()[0]["ended"] == 1, 20, "that it is told ended")
        self.assertEqual(len(self.status()["daemons"]), 1)
        self.assertTrue(alive(late))
        os.kill(here, signal.SIGTERM)
        self.wait_over(late)

    def test_one_that_may_wait_is_waited_for_as_asked_and_never_late(self):
        """A held submit that stays in the foreground, its daemon not started: as srun waits for an allocation."""
        self.configure("[profile waits]\nlauncher = command\nhold = yes\nwaits = yes\nlaunch-timeout = 1s\n"
                       f"submit = while [ ! -e {self.cwd}/granted ]; do sleep 0.05; done; exec {{daemon}}\n"
                       "[profile late]\nlauncher = command\nhold = yes\nlaunch-timeout = 1s\ncrash-limit = 1\n"
                       "submit = sleep 1000; exec {daemon}\n")
        self.hato("up", "-n", "0")
        done = self.hato("launch", "--profile", "waits", "-n", "2", "--wait", "0")
        self.assertIn("2 of 2 not running yet", done.err)
        # One of the same age that may not wait is late, and is waited for until it is.
        done = self.hato("launch", "--profile", "late", "-n", "1", "--wait", "0", rc=4)
        self.assertIn("did not connect in time", done.err)
        self.assertEqual([m["state"] for m in self.launches()[0]["members"]], ["submitted", "submitted"])
        (self.cwd / "granted").touch()
        self.wait_for(lambda: self.launches()[0]["connected"] == 2, 20, "both daemons")
        self.assertEqual(self.hato("map", "echo", "{}", input="a\nb\n").out, "a\nb\n")


class Profiles(Launches):
    def test_a_profile_says_launcher_options_and_numbers(self):
        self.configure("[profile two]\nlauncher = local\ndaemons = 2\nslots = 3\ngrace = 1s\n")
        self.hato("up", "--profile", "two")
        status = self.status()
        self.assertEqual([d["slots"] for d in status["daemons"]], [3, 3])
        self.assertEqual(status["launches"][0]["profile"], "two")
        done = self.hato("launch", "--profile", "two", "-n", "1", "--slots", "1")  # what is said here wins
        self.assertIn("1 connected", done.out)

    def test_the_users_file_wins_over_the_sites(self):
        self.configure("[profile default]\ndaemons = 1\n", "[profile default]\ndaemons = 2\nslots = 2\n")
        self.hato("up")
        self.assertEqual([d["slots"] for d in self.status()["daemons"]], [2])

    def test_errors_name_file_line_and_the_nearest(self):
        self.hato("up", "-n", "0")
        cases = (
            ("[profile a]\nlauncher = local\ngracee = 1s\n", "a", r"hato\.conf:3: .*gracee.* grace\?"),
            ("[profile a]\nlauncher = local\nslot = 1\n", "a", r"hato\.conf:3: .*slot;.* slots\?"),
            ("[profile a]\nlauncher = locl\n", "a", r"hato\.conf:2: .*locl.*local"),
            ("[profile a]\nlauncher = local\ngrace = soon\n", "a", r"hato\.conf:3: .*grace.*soon"),
            ("[profile gpu]\nlauncher = local\n", "gpuu", r"no profile 'gpuu'.*'gpu'"),
            ("[profil a]\nlauncher = local\n", "a", r"hato\.conf:1: .*\[profil a\].*\[profile a\]"),
        )
        for text, profile, words in cases:
            with self.subTest(text):
                self.configure(text)
                done = self.hato("launch", "--profile", profile, rc=None)
                self.assertNotEqual(done.rc, 0)
                self.assertRegex(done.err, words)
        self.configure("")
        self.assertRegex(self.hato("launch", "-o", "grac=1", rc=None).err, r"grac;.* grace\?")
        self.assertRegex(self.hato("launch", "-o", "slots=1", rc=None).err, r"--slots")
        self.assertRegex(self.hato("launch", "--launcher", "slrum", rc=None).err, r"slrum")

    def test_a_file_that_is_none_holds_nobody_up(self):
        self.hato("up", "-n", "0")
        conf = self.dir / "hato.conf"
        os.mkfifo(conf)
        self.assertIn("is a pipe", self.hato("launch", rc=None).err)
        conf.unlink()
        conf.mkdir()
        self.assertIn("directory", self.hato("launch", rc=None).err)
        conf.rmdir()
        conf.write_bytes(b"[profile a]\nlauncher = \xff\n")
        self.assertIn("hato.conf:2: there is no launcher '?'", self.hato("launch", "--profile", "a", rc=2).err)
        conf.write_text("daemons = 2\n")
        self.assertIn("hato.conf:1: a key before any [section]", self.hato("launch", rc=2).err)
        self.hato("down")

    def test_words_that_are_no_utf8_are_not_left_out(self):
        self.hato("up", "-n", "0")
        for words in (["--launcher", "\udcff"], ["--profile", "\udcff"], ["-o", "grace=\udcff"], ["--", "ls", "\udcff"]):
            with self.subTest(words):
                self.assertIn("is not UTF-8", self.hato("launch", *words, rc=2).err)
        self.assertEqual(self.launches(), [])

    def test_the_section_session(self):
        self.configure("[session]\nlisten = tcp://127.0.0.1:0\n")
        self.hato("up", "-n", "0")
        self.assertTrue(any(u.startswith("tcp://127.0.0.1:") for u in self.status()["urls"]))
        self.hato("down")
        self.configure("[session]\nlisen = tcp://127.0.0.1:0\n")
        self.assertRegex(self.hato("up", "-n", "0", rc=2).err, r"hato\.conf:2: .*lisen.*listen")

    def test_counts_that_cannot_be(self):
        self.hato("up", "-n", "0")
        for n in ("0", "-1", "100001"):
            done = self.hato("launch", "-n", n, rc=2)
            self.assertIn(n, done.err)
        self.assertIn("-1", self.hato("up", "-n", "-1", rc=2).err)

    def test_two_profiles_at_once_on_two_launchers(self):
        self.configure("[profile here]\ndaemons = 1\n[profile there]\nlauncher = fake\ndaemons = 2\nhost = a\n")
        self.hato("up", "-n", "0")
        one, other = self.start_hato("launch", "--profile", "here"), self.start_hato("launch", "--profile", "there")
        self.assertEqual((one.wait(30).rc, other.wait(30).rc), (0, 0))
        self.assertEqual(sorted(l["launcher"] for l in self.launches()), ["fake", "local"])
        self.assertEqual(len(self.status()["daemons"]), 3)


class Status(Launches):
    def test_each_daemon_has_its_job_and_host(self):
        self.hato("up", "-n", "2")
        pids = [d["pid"] for d in self.status()["daemons"]]
        out = self.hato("status").out
        self.assertRegex(out, r"members 0-1 connected .*, \d+ to \d+ on ")
        for pid in pids:
            self.assertRegex(out, rf"connected .*\b{pid}\b")

    def test_a_launcher_that_does_not_answer(self):
        self.hato("up", "-n", "0")
        self.hato("launch", "--launcher", "fake", "-n", "1", "-o", "fault=poll-fail", "-o", "fault-times=1000", "--wait", "0s",
                  "--", "sleep", "1000")
        self.wait_for(lambda: "trouble" in self.launches()[0], 20, "that it does not answer")
        self.assertIn("as last known: ", self.hato("status").out)
        next(self.dir.glob("*.fault")).write_bytes(bytes(1000))  # it has failed often enough
        self.wait_for(lambda: "trouble" not in self.launches()[0], 40, "that it answers")

    def test_a_launch_that_could_not_be_planned_has_failed(self):
        self.hato("up", "-n", "0")
        done = self.hato("launch", "--launcher", "ssh", "-o", "host=a[2-1]", rc=4)
        self.assertIn("runs backwards", done.err)
        self.assertRegex(self.hato("status").out, r"launch 1 by ssh, .* ago: failed\n  .*runs backwards")


class ByHand(Launches):
    def test_the_commands_work_and_show_no_secret(self):
        self.hato("up", "-n", "0")
        secret = next(self.dir.rglob("daemon.credential")).read_text().split(":")[3]
        done = self.hato("launch", "--print")
        self.assertNotIn(secret, done.out + done.err)
        lines = done.out.splitlines()
        shared = next(line for line in lines if " daemon " in line)
        running = self.start("/bin/sh", "-c", "exec " + shared)
        self.wait_for(lambda: len(self.status()["daemons"]) == 1, 20, "the daemon by hand")
        # The other one, with this machine in the place of a remote one.
        text = done.out[done.out.index("ssh HOST ") :].replace("ssh HOST ", "sh -c ", 1)
        other = self.start("/bin/sh", "-c", text)
        self.wait_for(lambda: len(self.status()["daemons"]) == 2, 20, "the daemon of the here-document")
        self.hato("down")
        self.assertEqual((running.wait(20).rc, other.wait(20).rc), (0, 0))


class Workers(Launches):
    def test_another_systems_workers_are_started_and_ended(self):
        self.hato("up", "-n", "0")
        done = self.hato("launch", "-n", "2", "--", "sh", "-c", "echo $$ >> pids; exec sleep 1000")
        self.assertIn("2 running", done.out)
        pids = self.wait_called(2, "sleep", "1000")
        self.assertEqual(len(self.status()["daemons"]), 0)
        self.hato("down")
        self.wait_for(lambda: not any(alive(p) for p in pids), 20, "their end")

    def test_a_command_needs_the_dashes(self):
        self.hato("up", "-n", "0")
        self.assertIn("--", self.hato("launch", "sleep", "1000", rc=2).err)

    def test_what_a_killed_dispatcher_left_is_ended(self):
        """By `hato down`, and by the next start."""
        for verb in (["down"], ["up", "-n", "0"]):
            with self.subTest(verb):
                self.hato("up", "-n", "0")
                self.hato("launch", "-n", "2", "--", "sleep", "1000")
                pids = self.wait_called(2, "sleep", "1000")
                record = next(self.dir.rglob("launches"))
                self.assertEqual(os.stat(record).st_mode & 0o777, 0o600)
                self.assertEqual(len(json.loads(record.read_text())["launches"]), 1)
                os.kill(self.status()["pid"], signal.SIGKILL)
                self.wait_for(lambda: self.hato("status", rc=None).rc != 0, 20, "the dispatcher is dead")
                self.assertTrue(all(alive(p) for p in pids))
                self.hato(*verb)
                self.wait_for(lambda: not any(alive(p) for p in pids), 20, "their end")
                self.wait_for(lambda: not record.exists(), 20, "the record is gone")
        self.hato("down")

    def test_what_cannot_be_ended_stays_on_record_until_it_is(self):
        """However often that is tried, by `hato down` and by the next start."""
        self.hato("up", "-n", "0")
        self.hato("launch", "--launcher", "fake", "-n", "2", "-o", "host=a", "--", "sleep", "1000")
        pids = self.wait_called(2, "sleep", "1000")
        record = next(self.dir.rglob("launches"))
        before = json.loads(record.read_text())
        os.kill(self.status()["pid"], signal.SIGKILL)
        self.wait_for(lambda: self.hato("status", rc=None).rc != 0, 20, "the dispatcher is dead")
        self.env["HATO_LAUNCHERS_PATH"] = str(self.cwd)
        self.assertIn("1 launch of it could not be ended now, and stays on record", self.hato("down", rc=4).err)
        self.hato("up", "-n", "0")
        self.assertIn("it stays on record", self.hato("down").err)
        self.assertIn("1 launch of it could not be ended now, and stays on record", self.hato("down", rc=4).err)
        self.assertEqual(json.loads(record.read_text()), before)
        self.assertTrue(all(alive(p) for p in pids))
        self.env["HATO_LAUNCHERS_PATH"] = str(FAKES)
        self.hato("down")
        self.wait_for(lambda: not any(alive(p) for p in pids), 20, "their end")
        self.assertFalse(record.exists())
        self.assertIn("is not up", self.hato("down", rc=3).err)

    def test_a_record_that_cannot_be_read_is_put_aside(self):
        """Whole or in part: what can be read is ended, and somebody may look at the rest."""
        in_whole, in_part = lambda t: t[:-20], lambda t: t.replace('"launches": [', '"launches": [{"tag": 7}, ')
        for damage in (in_whole, in_part):
            self.hato("up", "-n", "0")
            self.hato("launch", "-n", "1", "--", "sleep", "1000")
            pids = self.wait_called(1, "sleep", "1000")
            record = next(self.dir.rglob("launches"))
            os.kill(self.status()["pid"], signal.SIGKILL)
            self.wait_for(lambda: self.hato("status", rc=None).rc != 0, 20, "the dispatcher is dead")
            damaged = damage(record.read_text())
            record.write_text(damaged)
            self.hato("up", "-n", "0")
            aside = record.with_name("launches.unread")
            self.assertEqual(aside.read_text(), damaged)
            log = record.with_name("log").read_text()
            self.assertIn("LAUNCHES-UNREAD", log)
            self.assertIn(str(aside), log)
            if damage is in_part:
                self.wait_for(lambda: not any(alive(p) for p in pids), 20, "the end of the other")
            else:
                for pid in pids:
                    os.kill(pid, signal.SIGTERM)
            aside.unlink()
            self.hato("down")


class Secrets(Launches):
    def test_no_argument_record_or_log_shows_the_secret(self):
        self.hato("up", "-n", "0")
        self.hato("launch", "--launcher", "fake", "-n", "2", "-o", "host=a")
        secret = "hato1:daemon:"  # how the text of a daemon's credential begins
        for pid in self.below("daemon"):
            self.assertNotIn(secret, " ".join(command_line(pid)))
        for path in self.dir.rglob("*"):
            if path.is_file() and path.suffix != ".credential":
                self.assertNotIn(secret.encode(), path.read_bytes(), path)
        self.assertNotIn(secret, self.hato("status", "--json").out)


if __name__ == "__main__":
    main()
