"""Daemons on a real Slurm: job arrays, jobs of several nodes, srun inside an allocation; what is refused, what goes
wrong, and what becomes known of it. What a launcher says is looked at without a dispatcher (launches.py)."""

import os
import re
import time

from cluster import ClusterError
from clustercase import ClusterCase, main
from harness import HATO, limit
from launches import Driver

SLEEP = ["sleep", "600"]
# Says which member it is, and ends.
NUMBER = ["sh", "-c", 'echo "I am $HATO_MEMBER"; exit $((HATO_MEMBER % 100))']


class SlurmCase(ClusterCase):
    def driver(self, **more):
        return Driver(self, "slurm", **more)

    def jobs_of(self, launch):
        return [line for line in self.squeue() if launch.tag in line]

    def rpcs(self):
        """What the controller was asked since `sdiag --reset`: {message: count}."""
        found = re.findall(r"^\s+(REQUEST_\w+).*?count:(\d+)", self.run_command("sdiag").out, re.M)
        return {name: int(count) for name, count in found}

    def back(self, name):
        """A daemon of the cluster, which a test may have started again itself."""
        try:
            self.start_daemon(name)
        except ClusterError as problem:
            self.assertIn("runs", str(problem))

    def scancel(self, *words):
        self.run_command("scancel", *words)


class Conformance(SlurmCase):
    def passes(self, *words):
        done = self.run_command(*words, timeout=150, rc=None)
        self.assertEqual(done.rc, 0, repr(done))
        return done.out

    @limit(180)
    def test_arrays(self):
        self.passes(HATO, "launchers", "test", "slurm", "-o", "partition=short")

    @limit(180)
    def test_one_job(self):
        out = self.passes(HATO, "launchers", "test", "slurm", "-o", "nodes=1", "-o", "partition=short")
        self.assertRegex(out, "passed +launch of 3: numbers and exit codes")

    @limit(180)
    def test_inside_an_allocation(self):
        out = self.passes("salloc", "-N", "2", "-n", "8", HATO, "launchers", "test", "slurm")
        self.assertRegex(out, "passed +launch of 3: numbers and exit codes")
        self.assertRegex(out, "passed +adopt by record and by tag")


class Arrays(SlurmCase):
    def test_a_member_knows_its_number_and_its_end_is_told(self):
        d = self.driver()
        one = d.launch(NUMBER, 4)
        seen = one.until("ended", exit_known=True)
        self.assertEqual([seen[i]["exit"] for i in range(4)], [0, 1, 2, 3])
        self.assertEqual([seen[i]["log"] for i in range(4)], [f"I am {i}" for i in range(4)])
        job = seen[0]["job"].split("_")[0]
        self.assertEqual([seen[i]["job"] for i in range(4)], [f"{job}_{i}" for i in range(4)])
        self.assertIn(seen[0]["host"], ("n1", "n2", "n3"))

    def test_one_daemon_is_a_plain_job(self):
        d = self.driver()
        one = d.launch(["sh", "-c", "echo $HATO_MEMBER; exit 7"])
        seen = one.until("ended", exit=7)
        self.assertEqual(seen[0]["log"], "0")
        self.assertRegex(seen[0]["job"], r"^\d+$")
        self.assertEqual(seen[0]["reason"], "FAILED: NonZeroExitCode")

    def test_options_reach_the_job(self):
        d = self.driver()
        log = self.dir / "home/out.%a"
        one = d.launch(SLEEP, 2, ["partition=short", "time=0:30:00", "cpus-per-task=2", "mem=1G", "gres=gpu:1", "constraint=big",
                                  "job-name=pigeons", "directive=--nice=7", "directive=--exclude=n1", f"log={log}"])
        seen = one.until("running")
        text = self.run_command("scontrol", "show", "job", seen[1]["job"]).out
        for word in ("JobName=pigeons", "TimeLimit=00:30:00", "CPUs/Task=2", "MinMemoryNode=1G", "gres:gpu:1", "Features=big",
                     "Partition=short", "Nice=7", "ExcNodeList=n1", f"StdOut={self.dir}/home/out.1", f"Comment={one.tag} array 0 2"):
            self.assertIn(word, text)
        self.assertEqual({seen[i]["host"] for i in (0, 1)}, {"n3"})
        self.assertEqual(seen[1]["log_path"], f"{self.dir}/home/out.1")
        one.cancel()
        one.over()

    def test_one_member_is_cancelled(self):
        d = self.driver()
        one = d.launch(SLEEP, 3)
        one.until("running")
        one.cancel(member=1)
        one.until("ended", who=[1], cancelled=True)
        self.assertEqual({one.members()[i]["state"] for i in (0, 2)}, {"running"})
        one.cancel()
        one.over()

    def test_every_second_of_an_array_waits(self):
        """They are one record, and those that began have one each."""
        d = self.driver()
        one = d.launch(SLEEP, 8, ["directive=--hold"])
        job = one.until("queued")[0]["job"].split("_")[0]
        self.run_command("scontrol", "release", *[f"{job}_{i}" for i in (1, 3, 5, 7)])
        one.until("running", who=[1, 3, 5, 7])
        self.assertIn(f"{job}_[0,2,4,6]", self.run_command("squeue", "--noheader", "--format=%i").out)
        polled = len(one.events())
        self.scancel(f"{job}_1")
        one.until("ended", who=[1])
        new = one.events("member")[polled:]
        self.assertEqual([(e["number"], e["state"]) for e in new if e["number"] not in (1,)], [])
        self.assertEqual([one.members()[i]["state"] for i in range(8)],
                         ["queued", "ended", "queued", "running", "queued", "running", "queued", "running"])
        one.cancel()
        one.over()

    def test_more_than_an_array_takes_are_several_arrays(self):
        self.slurm("MaxArraySize=4", "MinJobAge=300")
        d = self.driver()
        one = d.launch(["sh", "-c", "echo I am $HATO_MEMBER; exit $HATO_MEMBER"], 10)
        seen = one.until("ended", exit_known=True, seconds=90)
        self.assertEqual([seen[i]["exit"] for i in range(10)], list(range(10)))
        self.assertEqual([seen[i]["log"] for i in range(10)], [f"I am {i}" for i in range(10)])
        self.assertEqual(len({seen[i]["job"].split("_")[0] for i in range(10)}), 3)

    def test_where_a_third_array_is_refused_nothing_is_left(self):
        self.slurm("MaxArraySize=4", "MaxJobCount=9")
        d = self.driver()
        words = d.launch(SLEEP, 10).failed(60)["text"]
        self.assertIn("Slurm temporarily unable to accept job", words)
        self.wait_for(lambda: not self.squeue(), 20, "no job is left")

    @limit(400)
    def test_a_thousand_are_one_submission_and_one_query(self):
        self.slurm(cpus=400)
        self.run_command("sdiag", "--reset", user="root")
        began = time.monotonic()
        d = self.driver(first_poll_ms=1000, interval_ms=2000)
        one = d.launch(SLEEP, 1000)
        one.until("running", seconds=150)
        self.assertEqual(len({m["job"].split("_")[0] for m in one.members().values()}), 1)
        # A job that is cancelled while its node is still about to start it may be left there by Slurm.
        begun = lambda: sum("sleep" in line for line in self.on_hosts().values())
        self.wait_for(lambda: begun() >= 1000, 120, "all have begun")
        one.cancel()
        one.over(200)
        rpcs = self.rpcs()
        self.assertEqual(rpcs["REQUEST_SUBMIT_BATCH_JOB"], 1, rpcs)
        self.assertEqual((rpcs["REQUEST_UPDATE_JOB"], rpcs["REQUEST_KILL_JOB"]), (1, 1), rpcs)
        told = len(one.events("member"))
        self.assertGreater(told, 1999)  # running and ended, each
        self.assertLess(rpcs["REQUEST_JOB_USER_INFO"], 20 + (time.monotonic() - began) / 2, rpcs)

    @limit(150)
    def test_two_launches_are_one_query(self):
        d = self.driver(first_poll_ms=60000, interval_ms=60000)
        first, second = d.launch(SLEEP, 2), d.launch(SLEEP, 3)
        first.submitted(), second.submitted()
        self.run_command("sdiag", "--reset", user="root")
        d.say(do="poll", id=first.id)
        told = lambda: [m["state"] for launch in (first, second) for m in launch.members().values()]
        # That they are submitted was told at once, without a query.
        self.wait_for(lambda: len(told()) == 5 and "submitted" not in told(), 20, "both are told of")
        self.assertEqual(self.rpcs()["REQUEST_JOB_USER_INFO"], 1)
        first.cancel(), second.cancel()
        d.say(do="poll", id=first.id)
        self.wait_for(lambda: not self.jobs_of(first) + self.jobs_of(second), 20, "both are cancelled")


class OneJob(SlurmCase):
    """Several nodes, and srun within."""

    def test_each_end_is_told_while_others_run(self):
        d = self.driver()
        one = d.launch(["sh", "-c", "test $HATO_MEMBER = 3 && exec sleep 600; echo I am $HATO_MEMBER; exit $HATO_MEMBER"], 4,
                       ["nodes=2", "cpus-per-task=2"])
        one.until("ended", who=[0, 1, 2], exit_known=True)
        seen = one.until("running", who=[3])
        self.assertEqual([seen[i]["exit"] for i in range(3)], [0, 1, 2])
        self.assertEqual([seen[i]["log"] for i in range(3)], [f"I am {i}" for i in range(3)])
        self.assertEqual(len({seen[i]["host"] for i in range(4)}), 2)
        self.assertEqual(len({seen[i]["job"] for i in range(4)}), 1)
        text = self.run_command("scontrol", "show", "job", seen[3]["job"]).out
        self.assertIn("NumNodes=2 NumCPUs=8 NumTasks=4 CPUs/Task=2", text)
        one.cancel()
        self.assertTrue(one.over()[3]["cancelled"])

    def test_fewer_daemons_than_nodes_are_refused(self):
        d = self.driver()
        self.assertIn("1 daemons on nodes=2", d.launch(SLEEP, 1, ["nodes=2"]).failed()["text"])

    def test_the_job_is_cancelled_by_somebody(self):
        d = self.driver()
        one = d.launch(SLEEP, 2, ["nodes=2"])
        self.scancel(one.until("running")[0]["job"])
        one.until("ended", cancelled=True)


class Allocation(SlurmCase):
    """Inside a job: srun on what was granted."""

    def driver(self, *grant, **more):
        return Driver(self, "slurm", words=("salloc", "--quiet", *grant), **more)

    def test_one_srun_starts_all_and_tells_of_each(self):
        d = self.driver("-N", "2", "-n", "8", "--ntasks-per-node=4")
        one = d.launch(["sh", "-c", "test $HATO_MEMBER = 1 && exec sleep 600; echo $SLURM_CPUS_PER_TASK; exit 5"], 4)
        seen = one.until("ended", who=[0, 2, 3], exit=5)
        one.until("running", who=[1])
        self.assertEqual({seen[i]["log"] for i in (0, 2, 3)}, {"2"}, "an even share of eight CPUs")
        one.cancel()
        self.assertTrue(one.over()[1]["cancelled"])

    def test_more_than_was_granted_is_refused(self):
        d = self.driver("-n", "4")
        text = d.launch(SLEEP, 3, ["cpus-per-task=2"]).failed()["text"]
        self.assertRegex(text, r"job \d+ was granted 4 CPUs on 1 node; 3 daemons of 2 are more than that")

    def test_what_is_taken_is_waited_for(self):
        d = self.driver("-n", "2")
        first = d.launch(SLEEP, 2)
        first.until("running")
        second = d.launch(SLEEP, 1)
        seen = second.until("queued")
        self.assertIn("srun waits for what was granted to the job", seen[0]["reason"])
        first.cancel()
        first.over()
        second.until("running")
        second.cancel()
        second.over()

    def test_array_is_forced(self):
        d = self.driver("-n", "1")
        one = d.launch(["sh", "-c", 'test -z "$SLURM_STEP_ID" -a "$SLURM_CPUS_ON_NODE" = 3'], 2, ["layout=array", "cpus-per-task=3"])
        one.until("ended", exit_known=True, exit=0)

    def test_the_step_is_cancelled_by_somebody(self):
        d = self.driver("-n", "2")
        one = d.launch(SLEEP, 2)
        self.scancel(f"{one.until('running')[0]['job']}.0")
        one.until("ended", cancelled=True)

    def test_allocation_outside_of_one_is_refused(self):
        d = Driver(self, "slurm")
        self.assertIn("runs in no Slurm job", d.launch(SLEEP, 1, ["layout=allocation"]).failed()["text"])

    def test_within_a_step(self):
        d = Driver(self, "slurm", words=("srun", "--quiet", "-n", "1", "-c", "2"))
        one = d.launch(SLEEP, 1)
        one.until("running")
        one.cancel()
        one.over()


class Refused(SlurmCase):
    """Bad input, by the words that Slurm has for it."""

    def refused(self, *options, count=2):
        return self.driver().launch(SLEEP, count, options).failed()["text"]

    def test_a_partition_that_is_not_there(self):
        self.assertRegex(self.refused("partition=nope"), "sbatch: .*invalid partition specified: nope")

    def test_a_constraint_that_no_node_has(self):
        self.assertIn("Invalid feature specification (constraint=purple)", self.refused("constraint=purple"))

    def test_a_reservation_that_is_not_there(self):
        self.assertIn("reservation is invalid (reservation=nope)", self.refused("reservation=nope"))

    def test_a_dependency_that_is_none(self):
        self.assertIn("dependency problem (dependency=whenever)", self.refused("dependency=whenever").lower())

    def test_a_size_that_no_node_has(self):
        self.assertRegex(self.refused("mem=900G"), "Memory specification can not be satisfied")
        self.assertRegex(self.refused("gres=unicorn:1"), r"Invalid generic resource .*\(gres=unicorn:1\)$")

    def test_a_time_that_is_none(self):
        self.assertIn("time 'soon' is none of Slurm's", self.refused("time=soon"))
        self.assertIn("time '1:2:3:4' is none of Slurm's", self.refused("time=1:2:3:4"))

    def test_a_directive_that_is_hatos_own_or_none(self):
        self.assertIn("--array is hato's own", self.refused("directive=--array=1-3"))
        self.assertIn("what stands after #SBATCH was wanted", self.refused("directive=exclusive"))
        self.assertIn("unrecognized option", self.refused("directive=--no-such-option"))

    def test_options_that_exclude_each_other(self):
        self.assertIn("mem and mem-per-cpu exclude each other", self.refused("mem=1G", "mem-per-cpu=1G"))
        self.assertIn("is for layout=job", self.refused("nodes=2", "layout=array"))

    def test_an_account_or_qos_is_judged_by_slurm(self):
        """Without accounting it takes any; it must be asked for as given."""
        d = self.driver()
        one = d.launch(SLEEP, 2, ["account=pigeons", "qos=fast"])
        one.submitted()
        self.assertIn("Account=pigeons", self.run_command("scontrol", "show", "job", "--oneliner").out)
        one.cancel()
        one.over()

    def test_sbatch_is_missing(self):
        folder = self.cwd / "bin"
        folder.mkdir()
        for name in ("scontrol", "sh", "env"):
            (folder / name).symlink_to(f"/usr/bin/{name}")
        self.env["PATH"] = str(folder)
        self.assertIn("no program 'sbatch' in PATH", self.refused("partition=short"))
        done = self.hato("launchers", "show", "slurm", rc=None)
        self.assertIn("no program 'sbatch' in PATH", done.out + done.err)

    def test_slurm_is_missing_or_not_configured(self):
        self.env["SLURM_CONF"] = str(self.dir / "none.conf")
        words = self.refused("partition=short")
        self.assertRegex(words, "not configured|does not answer")
        self.env["PATH"] = str(self.cwd)
        self.assertIn("no Slurm on this machine: no program 'scontrol' in PATH", self.refused("partition=short"))


class Never(SlurmCase):
    """What Slurm takes and will never run: told at once, with the reason."""

    def never(self, *options, count=1):
        one = self.driver().launch(SLEEP, count, options)
        seen = one.until("queued", never=True)
        one.cancel()
        one.until("ended", cancelled=True)
        return seen[0]["reason"]

    def test_more_time_than_the_partition_allows(self):
        self.assertRegex(self.never("time=5:00:00", count=3), "^Partition(Config|TimeLimit): it wants more time")

    def test_more_cpus_than_a_node_has(self):
        self.assertRegex(self.never("cpus-per-task=1000"), "it wants more time, nodes or CPUs than the partition allows")

    def test_more_nodes_than_the_partition_allows(self):
        self.assertRegex(self.never("nodes=2", "partition=tiny", count=2), "^Partition(Config|NodeLimit): it wants more")

    @limit(150)
    def test_a_dependency_that_cannot_come_about(self):
        done = self.run_command("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "exit 1")
        job = done.out.strip()
        self.wait_for(lambda: not self.squeue(), 30, "the job it depends on failed")
        reason = self.never(f"dependency=afterok:{job}")
        self.assertEqual(reason, "DependencyNeverSatisfied: what it depends on cannot come about any more")

    @limit(150)
    def test_a_node_that_is_down_is_waited_for(self):
        # Not all of Slurm lets a node resume that the cluster has put in order meanwhile.
        self.addCleanup(self.run_command, "scontrol", "update", "nodename=n3", "state=resume", user="root", rc=None)
        self.run_command("scontrol", "update", "nodename=n3", "state=drain", "reason=test", user="root")
        d = self.driver()
        one, two = d.launch(SLEEP, 3, ["nodes=3"]), d.launch(SLEEP, 1, ["constraint=big"])
        for launch in (one, two):
            seen = launch.until("queued", never=False)
            self.wait_for(lambda: launch.members()[0].get("reason"), 30, "the reason is known")
            self.assertFalse(launch.members()[0]["never"], seen)
            launch.cancel()
            launch.over()


class Ends(SlurmCase):
    def test_a_program_that_is_not_there(self):
        one = self.driver().launch(["/no/such/hato", "daemon"])
        seen = one.until("ended", exit=127)
        self.assertIn("/no/such/hato: not found", seen[0]["log"])

    def test_killed_by_a_signal(self):
        seen = self.driver().launch(["sh", "-c", "kill -9 $$"]).until("ended")
        self.assertEqual((seen[0]["exit_known"], seen[0]["signal"], seen[0]["cancelled"]), (True, 9, False))

    def test_cancelled_by_somebody_while_queued(self):
        d = self.driver()
        one = d.launch(SLEEP, 3, ["directive=--hold"])
        seen = one.until("queued", never=False)
        self.assertIn("JobHeldUser", seen[0]["reason"])
        self.scancel(seen[0]["job"].split("_")[0])
        one.until("ended", cancelled=True)
        self.assertIn("CANCELLED", one.members()[2]["reason"])

    def test_cancelled_by_somebody_while_running(self):
        one = self.driver().launch(SLEEP, 3)
        seen = one.until("running")
        self.scancel(seen[1]["job"])
        one.until("ended", who=[1], cancelled=True)
        self.assertEqual(one.members()[0]["state"], "running")
        one.cancel()
        one.over()

    @limit(240)
    def test_a_time_limit_is_warned_of_and_told(self):
        """Slurm counts in minutes: a warning 50 s before the end of one comes within seconds."""
        words = ["sh", "-c", "trap 'echo warned; exec sleep 600' TERM; sleep 600 & wait"]
        self.slurm("OverTimeLimit=0", "KillWait=2")
        one = self.driver().launch(words, 1, ["time=1", "warning=55s"])
        one.until("running")
        log = self.dir / "logs" / f"{one.tag}.0.log"
        self.wait_for(lambda: log.exists() and "warned" in log.read_text(), 60, "it is warned")
        seen = one.until("ended", seconds=100)
        self.assertEqual(seen[0]["reason"], "TIMEOUT: it ran into its time limit of 0:01:00")

    @limit(180)
    def test_forgotten_jobs_have_ended(self):
        self.slurm("MinJobAge=2")
        d = self.driver(first_poll_ms=60000, interval_ms=60000)
        one = d.launch(NUMBER, 2)
        one.submitted()
        self.wait_for(lambda: self.run_command("scontrol", "show", "job").out.startswith("No jobs"), 60, "Slurm forgot it")
        d.say(do="poll", id=one.id)
        seen = one.over()
        self.assertIn("forgotten by Slurm", seen[0]["reason"])
        self.assertEqual((seen[1]["log"], seen[1]["exit_known"]), ("I am 1", False))

    def test_a_log_that_cannot_be_written(self):
        seen = self.driver().launch(SLEEP, 1, log_dir="/proc/none").until("ended")
        self.assertIn("Slurm could not begin it (0:53), as when its log cannot be written", seen[0]["reason"])
        self.assertIn("its log would be /proc/none/", seen[0]["reason"])
        self.assertFalse(seen[0]["exit_known"])

    def test_a_full_log_folder_ends_nothing(self):
        one = self.driver().launch(["sh", "-c", "echo lost; exit 6"], 2, log_dir=str(self.full_folder()))
        one.until("ended", exit=6)

    @limit(240)
    def test_a_node_that_dies(self):
        self.addCleanup(self.back, "n3")
        d = self.driver()
        back, gone = d.launch(SLEEP, 1, ["constraint=big"]), d.launch(SLEEP, 1, ["constraint=big", "directive=--no-requeue"])
        back.until("running"), gone.until("running")
        self.crash("n3")
        seen = gone.until("ended", seconds=90)
        self.assertEqual(seen[0]["reason"], "NODE_FAIL: its node (n3) failed")
        self.assertFalse(seen[0]["cancelled"])
        seen = back.until("queued", seconds=60, never=False)  # Slurm waits two minutes before it starts it anew
        self.assertEqual((seen[0]["exit_known"], seen[0]["cancelled"]), (False, False))
        self.start_daemon("n3")
        back.cancel()
        back.over()


class Silence(SlurmCase):
    """The controller is not there for a while."""

    @limit(300)
    def test_nothing_ends_while_the_controller_is_gone(self):
        self.addCleanup(self.back, "slurmctld")
        d = self.driver()
        one = d.launch(SLEEP, 2)
        one.until("running")
        self.stop("slurmctld")
        self.wait_for(lambda: one.events("trouble"), 90, "the silence is told")
        self.assertIn("Unable to contact slurm controller", one.events("trouble")[0]["text"])
        two = d.launch(SLEEP, 1)
        self.assertIn("does not answer", two.failed(60)["text"])
        self.assertEqual({m["state"] for m in one.members().values()}, {"running"})
        self.start_daemon("slurmctld")
        one.cancel()
        one.over(90)
        self.assertEqual(one.events("failed"), [])

    @limit(180)
    def test_what_down_could_not_cancel_a_later_down_does(self):
        self.addCleanup(self.back, "slurmctld")
        self.hato("up", "--launcher", "slurm", "-n", "1", "-o", "directive=--hold", "--wait", "0s")
        self.wait_for(self.squeue, 20, "its job is queued")
        self.wait_for(lambda: self.hato_json("status")[0]["launches"][0]["asked"] == 0, 20, "it is known to be")
        self.stop("slurmctld")
        self.assertIn("it stays on record", self.hato("down", timeout=60).err)
        self.start_daemon("slurmctld")
        self.wait_for(lambda: self.hato("down", rc=None, timeout=60).rc == 0, 90, "it is ended")
        self.wait_for(lambda: not self.squeue(), 20, "no job is left")
        self.hato("down", rc=3)

    @limit(150)
    def test_it_is_found_out_quickly(self):
        self.addCleanup(self.back, "slurmctld")
        self.stop("slurmctld")
        self.assertIn("Slurm's controller does not answer", self.driver().launch(SLEEP, 1).failed(10)["text"])


class Adopted(SlurmCase):
    """What a launcher started whose process was killed."""

    def test_by_record_and_by_tag(self):
        for by_record in (True, False):
            d = self.driver()
            one = d.launch(SLEEP, 3)
            record = one.submitted()["record"]
            one.until("running")
            d.kill()
            again = one.adopted_by(self.driver(), record if by_record else None)
            again.submitted()
            again.until("running")
            again.cancel()
            again.over()

    def test_more_arrays_than_a_record_holds(self):
        self.slurm("MaxArraySize=2")
        d = self.driver()
        one = d.launch(SLEEP, 60, ["directive=--hold"])
        record = one.submitted(60)["record"]
        self.assertLessEqual(len(record), 512)
        d.kill()
        again = one.adopted_by(self.driver(), record)
        again.submitted()
        again.until("queued")
        again.cancel()
        again.over(60)

    def test_the_launchers_process_alone_is_killed(self):
        d = self.driver()
        one = d.launch(SLEEP, 2)
        one.until("running")
        for pid in d.host_pids():
            os.kill(pid, 9)
        self.wait_for(lambda: one.events("trouble"), 30, "the loss is told")
        one.cancel()
        one.over()

    def test_of_what_ended_meanwhile_nothing_is_adopted(self):
        d = self.driver()
        one = d.launch(["true"], 2)
        record = one.submitted()["record"]
        d.kill()
        self.wait_for(lambda: not self.squeue(), 30, "it ends")
        again = one.adopted_by(self.driver(), record)
        self.assertRegex(again.failed()["text"], "nothing of launch .* is queued or running")

    def test_one_job(self):
        d = self.driver()
        one = d.launch(SLEEP, 2, ["nodes=2"])
        one.until("running")
        d.kill()
        again = one.adopted_by(self.driver())
        again.submitted()
        again.until("running")
        again.cancel()
        again.over()


class Whole(SlurmCase):
    """A session of daemons that Slurm starts."""

    def no_secret_is_shown(self):
        """The credential stands in no arguments, script or environment that others see."""
        files = [file for file in self.dir.rglob("*") if file.is_file() and file.suffix == ".credential"]
        secrets = {file.read_text().split(":")[3] for file in files}
        self.assertGreaterEqual(len(secrets), 3, "the session's two, and the launch's")
        shown = "\n".join(self.on_hosts().values()) + self.run_command("scontrol", "show", "job").out
        for job in {line.split()[0] for line in self.squeue()}:
            shown += self.run_command("scontrol", "write", "batch_script", job, "-").out
        for file in (*(self.dir / "state").rglob("*.log"), *self.local.rglob("*.log")):
            shown += file.read_text(errors="replace")
        self.assertEqual([secret for secret in secrets if secret in shown], [])

    def test_up_map_down(self):
        self.hato("up", "--launcher", "slurm", "-n", "3", "-o", "partition=short", "-o", "cpus-per-task=2", "--wait", "60s", timeout=80)
        done = self.hato("map", "--", "sh", "-c", "echo {} $(hostname)", input="".join(f"{i}\n" for i in range(12)))
        self.assertEqual([line.split()[0] for line in done.out.splitlines()], [str(i) for i in range(12)])
        self.assertLessEqual({line.split()[1] for line in done.out.splitlines()}, {"n1", "n2", "n3"})
        self.assertEqual(len(self.squeue()), 3)
        self.no_secret_is_shown()
        self.hato("down")
        self.wait_for(lambda: not self.squeue(), 20, "no job is left")

    @limit(240)
    def test_a_daemon_has_the_cores_of_its_job(self):
        """No control group confines it: it is told by its job."""
        script = "hato up --launcher slurm -n 1 --wait 60s -o cpus-per-task={0} {1} && echo | hato map -- echo && hato status --json; hato down"
        for outer, more in (([], ""), (["salloc", "-Q", "-n", "4", "-N", "1"], "-o layout=allocation")):
            done = self.run_command(*outer, "sh", "-c", script.format(1, more), timeout=100)
            self.assertRegex(done.out, r'"slots": ?1\b', repr(done))

    @limit(150)
    def test_what_can_never_run_is_told(self):
        done = self.hato("up", "--launcher", "slurm", "-n", "2", "-o", "time=5:00:00", rc=None, timeout=60)
        look = lambda: "it wants more time" in self.hato("status", rc=None).out + done.err
        self.wait_for(look, 30, "status says why")
        self.hato("down")

    def test_inside_an_allocation(self):
        script = ("hato up --launcher slurm -n 2 && seq 4 | hato map -- sh -c 'echo {} $(hostname)' && hato down")
        done = self.run_command("salloc", "-Q", "-N", "2", "-n", "4", "--ntasks-per-node=2", "sh", "-c", script, timeout=90)
        self.assertEqual(re.findall(r"^(\d) n\d$", done.out, re.M), ["1", "2", "3", "4"], repr(done))


main()
