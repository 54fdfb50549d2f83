"""The launcher pbs on Torque's commands, which here are Slurm's imitation of them."""

import os
import signal

from clustercase import ClusterCase, main
from harness import limit

PBS = ("--launcher", "pbs")
TOO_MANY = "nodes=400"  # there are three: Slurm keeps it for ever


class PbsCase(ClusterCase):
    def up(self, *args, daemons=1, **more):
        wait = () if "--wait" in args else ("--wait", "60s")
        return self.hato("up", "-n", daemons, *PBS, "-o", "queue=short", *wait, *args, timeout=80, **more)

    def launches(self):
        return {one["launch"]: one for one in self.hato_json("status")[0]["launches"]}

    def members(self, launch=1):
        return self.launches()[launch]["members"]

    def wait_members(self, predicate, launch=1, seconds=100, what="the members"):
        return self.wait_for(lambda: [m for m in self.members(launch) if predicate(m)], seconds, what)

    def wait_connected(self, n, launch=1):
        self.wait_for(lambda: self.launches()[launch]["connected"] == n, 30, f"{n} daemons are connected")

    def job_ids(self):
        return [line.split()[0] for line in self.squeue()]

    def ahead(self, command, script):
        """A command of that name that stands first in PATH."""
        folder = self.dir / "ahead"
        folder.mkdir(exist_ok=True)
        (folder / command).write_text(f"#!/bin/sh\n{script}\n")
        (folder / command).chmod(0o755)
        self.give(folder)
        self.env["PATH"] = f"{folder}:{self.env['PATH']}"


class Conformance(PbsCase):
    @limit(150)
    def test_it_keeps_the_contract(self):
        logs = self.dir / "logs"
        logs.mkdir()
        self.give(logs)
        done = self.hato("launchers", "test", "pbs", "-o", f"log-dir={logs}", timeout=130)
        # Secrets go by a file, and by nothing else.
        self.assertEqual([line for line in done.out.splitlines() if not line.startswith("passed")], [
            *(f"left out secret by {way}: it does not offer this way" for way in ("standard input", "the environment")),
            "18 passed, 0 failed, 2 left out"])


class Life(PbsCase):
    @limit(150)
    def test_from_up_to_down(self):
        self.up(daemons=3)
        done = self.hato("map", "sh", "-c", "uname -n; echo {}", input="a\nb\nc\n")
        self.assertRegex(done.out, r"^n\d\na\nn\d\nb\nn\d\nc\n$")
        self.wait_connected(3)
        self.assertEqual(sorted(m["member"] for m in self.members()), [0, 1, 2])
        self.assertEqual(len(self.job_ids()), 3)
        self.hato("launch", *PBS, "-n", "1", "-o", "walltime=10:00", "-o", "job-name=more")
        self.wait_connected(1, launch=2)
        self.assertTrue(any(" more-" in line for line in self.squeue()), self.squeue())
        self.hato("down")
        self.wait_for(lambda: not self.squeue(), 20, "no batch job is left")

    def test_a_job_is_granted_what_the_options_say(self):
        self.up("-o", "ncpus=2", "-o", "mem=1.5G", "-o", "walltime=50m", "-o", "account=a")
        said = self.run_command("scontrol", "show", "job", self.job_ids()[0]).out
        for words in ("NumCPUs=2", "MinMemoryNode=1.50G", "TimeLimit=00:50:00", "Partition=short", "Account=a"):
            self.assertIn(words, said)
        self.assertEqual(self.hato_json("status")[0]["daemons"][0]["cores"], min(2, os.cpu_count()))
        self.hato("down")

    @limit(150)
    def test_commands_of_others_end_with_their_code_and_last_lines(self):
        self.hato("up", "-n", "0")
        self.hato("launch", *PBS, "-n", "2", "--wait", "1s", "--", "sh", "-c", "echo oops $HATO_PBS_MEMBER >&2; exit $((3 + HATO_PBS_MEMBER))")
        for m in self.wait_members(lambda m: m["state"] == "ended"):
            self.assertEqual((m["exit"], m["log"]), (3 + m["member"], f"oops {m['member']}"))
        self.assertIn("| oops 1", self.hato("status").out)
        self.hato("down")

    @limit(180)
    def test_a_dispatcher_killed_leaves_no_job_behind(self):
        self.up("-o", TOO_MANY, "--wait", "2s", rc=None)
        waiting = self.wait_for(self.job_ids, 10, "a job waits")
        os.kill(self.hato_json("status")[0]["pid"], signal.SIGKILL)
        self.assertEqual(self.job_ids(), waiting)
        self.up()
        self.wait_for(lambda: waiting[0] not in self.job_ids(), 60, "the job of the dispatcher that was killed is gone")
        self.hato("down")

    def test_the_secret_is_shown_nowhere(self):
        self.up(daemons=2)
        secret = (self.dir / "state/hato/default/launch-1.credential").read_text().split(":")[3]
        shown = self.run_command("scontrol", "show", "job", "-dd").out + self.run_command("qstat", "-f").out
        number = min(int(job.split("_")[0]) for job in self.job_ids())
        script = self.run_command("scontrol", "write", "batch_script", number, "-", rc=None).out
        self.assertIn("HATO_PBS_MEMBER", script)
        logs = b"".join(p.read_bytes() for p in self.dir.rglob("*.log"))
        for text in (shown, script, logs.decode(errors="replace")):
            self.assertNotIn(secret, text)
        self.hato("down")


class Refused(PbsCase):
    def refusal(self, *options, n="1", rc=None):
        words = [word for option in options for word in ("-o", option)]
        done = self.hato("launch", *PBS, "-n", n, *words, rc=rc)
        self.assertNotEqual(done.rc, 0, repr(done))
        return done.err

    def test_what_is_wrong_is_said(self):
        self.hato("up", "-n", "0")
        self.assertIn("no queue 'nosuch' here", self.refusal("queue=nosuch"))
        self.assertIn("did you mean queue?", self.refusal("queu=short"))
        self.assertIn("select= is PBS Pro's", self.refusal("select=1:ncpus=2"))
        self.assertIn("would ignore it without a word", self.refusal("resource=nosuch=1"))
        self.assertIn("Memory specification can not be satisfied", self.refusal("mem=900G"))
        self.assertIn("exclude each other", self.refusal("nodes=1:ppn=2", "ncpus=2"))
        self.assertIn("cannot take ';'", self.refusal("queue=short;true"))
        self.assertIn("no such folder", self.refusal("log-dir=/no/such/folder"))
        self.assertIn("at most 20 arrays", self.refusal("array-size=2", n="50"))
        self.refusal(n="0", rc=2)
        self.refusal(n="-1", rc=2)
        self.assertEqual(self.squeue(), [])
        self.hato("down")

    @limit(180)
    def test_an_array_larger_than_the_server_takes(self):
        self.slurm("MaxArraySize=3")
        self.hato("up", "-n", "0")
        self.assertIn("Invalid job array specification", self.refusal(n="4"))
        self.hato("launch", *PBS, "-n", "4", "-o", "array-size=3", "--wait", "20s")  # an array and a plain job
        self.wait_connected(4, launch=2)
        self.assertEqual(len(self.job_ids()), 4)
        self.hato("down")

    def test_commands_that_are_not_there(self):
        empty = self.dir / "empty"
        empty.mkdir()
        self.give(empty)
        self.env["PATH"] = str(empty)
        self.hato("up", "-n", "0")
        self.assertIn("no qstat in PATH", self.refusal())
        self.assertIn("no qstat in PATH", self.hato("launchers", rc=None).out)
        self.hato("down")


class Faults(PbsCase):
    @limit(180)
    def test_a_job_cancelled_while_it_runs_is_not_replaced(self):
        self.up()
        self.run_command("/usr/bin/qdel", *self.job_ids())
        m = self.wait_members(lambda m: m["state"] == "ended")[0]
        self.assertEqual(m["reason"], "cancelled")
        self.assertEqual(list(self.launches()), [1])
        self.wait_for(lambda: not self.squeue(), 20, "its batch job is gone")  # Slurm may be completing it
        self.hato("down")

    @limit(180)
    def test_a_job_cancelled_while_it_waits_is_not_replaced(self):
        self.up("-o", TOO_MANY, "--wait", "1s", rc=None)
        self.run_command("/usr/bin/qdel", *self.wait_for(self.job_ids, 10, "a job waits"))
        m = self.wait_members(lambda m: m["state"] == "ended")[0]
        self.assertEqual(m["reason"], "cancelled while it was queued")
        self.assertEqual(list(self.launches()), [1])
        self.hato("down")

    @limit(360)
    def test_a_scheduler_that_is_silent_has_ended_nothing(self):
        self.up(daemons=2)
        self.hato("launch", *PBS, "-n", "1", "-o", TOO_MANY, "--wait", "0s", rc=None)
        self.stop("slurmctld")
        try:
            log = self.dir / "state/hato/default/log"
            self.wait_for(lambda: "LAUNCHER-SILENT" in log.read_text(), 90, "the silence is told in the log")
            self.assertEqual([m["state"] for m in self.members(1)], ["connected"] * 2)
            self.assertIn(self.members(2)[0]["state"], ("submitted", "queued"))
            self.assertEqual(self.hato("map", "echo", "{}", input="a\n").out, "a\n")
        finally:
            self.start_daemon("slurmctld")
        self.wait_for(lambda: "LAUNCHER-ANSWERS" in log.read_text(), 180, "it answers again")
        self.hato("down", timeout=60)

    @limit(150)
    def test_a_full_log_folder_keeps_no_daemon_from_running(self):
        self.up("-o", f"log-dir={self.full_folder()}", daemons=2)
        self.assertEqual(self.hato("map", "echo", "{}", input="a\n").out, "a\n")
        self.hato("down")

    def test_a_job_that_slurm_forgot_has_ended(self):
        self.slurm("MinJobAge=2")
        self.hato("up", "-n", "0")
        self.hato("launch", *PBS, "-n", "2", "--wait", "0s", "--", "sh", "-c", "exit 5")
        for m in self.wait_members(lambda m: m["state"] == "ended"):
            self.assertEqual(m["exit"], 5)
        self.hato("down")

    @limit(150)
    def test_one_query_for_all_launches(self):
        calls = self.dir / "calls"
        self.ahead("qstat", f'echo "$$ $*" >>{calls}\nexec /usr/bin/qstat "$@"')
        self.hato("up", "-n", "0")
        for _ in range(3):
            self.hato("launch", *PBS, "-n", "2", "-o", "queue=tiny", "-o", TOO_MANY, "--wait", "0s", rc=None)
        self.wait_for(lambda: all(m["state"] == "queued" for n in (1, 2, 3) for m in self.members(n)), 45, "all wait")
        asked = [line.split(" ", 1)[1] for line in calls.read_text().splitlines()]
        self.assertEqual(set(asked), {"--version", "-Q", "-f"}, asked)  # the first two are of the probe
        self.assertLess(asked.count("-f"), 6, asked)  # not one each and member
        self.hato("down")


main()
