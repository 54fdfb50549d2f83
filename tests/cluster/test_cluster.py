"""The cluster itself: each part answers, as an ordinary user sees it, and faults can be made."""

import os

from cluster import HOSTS, RUN, ask
from clustercase import NODES, ClusterCase, main
from harness import HATO, limit


class Parts(ClusterCase):
    def test_every_host_has_a_name_of_its_own(self):
        self.assertEqual(self.run_command("hostname").out, "login\n")
        for name in HOSTS:
            self.assertEqual(self.run_command("ssh", "-o", "BatchMode=yes", name, "hostname").out, f"{name}\n")

    def test_slurm_runs_on_three_nodes(self):
        done = self.run_command("srun", "-N", "3", "hostname")
        self.assertEqual(sorted(done.out.split()), list(NODES))

    def test_slurm_has_gpus_and_features(self):
        done = self.run_command("srun", "--gres=gpu:2", "--constraint=big", "sh", "-c", "hostname; echo $CUDA_VISIBLE_DEVICES")
        self.assertEqual(done.out, "n3\n0,1\n")

    def test_a_batch_job_is_the_users_in_a_shared_home(self):
        script = self.cwd / "job"
        script.write_text("#!/bin/sh\nid -un\nhostname\n")
        self.run_command("sbatch", "--wait", "-o", self.dir / "home/out", "-w", "n2", script)
        self.assertEqual((self.dir / "home/out").read_text(), "pigeon\nn2\n")

    def test_torques_commands_submit_to_it(self):
        script = self.cwd / "job"
        script.write_text("#!/bin/sh\nsleep 600\n")
        number = self.run_command("/usr/bin/qsub", script).out.strip()
        self.assertRegex(number, r"^\d+$")
        self.wait_for(lambda: " R " in "".join(self.squeue()), 40, "the job runs")
        self.assertIn(number, self.run_command("/usr/bin/qstat").out)
        self.run_command("/usr/bin/qdel", number)

    def test_grid_engine_runs_a_job(self):
        self.need_gridengine()
        out = self.dir / "home/out"
        self.run_command("qsub", "-terse", "-sync", "y", "-j", "y", "-o", out, "-b", "y", "id", "-un")
        self.assertEqual(out.read_text(), "pigeon\n")

    def test_login_is_reached_from_all_but_s2(self):
        dial = "exec 3<>/dev/tcp/10.78.0.1/6817"  # slurmctld's port
        for name in HOSTS:
            done = self.run_command("ssh", name, f"bash -c '{dial}'", rc=None)
            self.assertEqual(done.rc == 0, name != "s2", repr(done))
        done = self.run_command("bash", "-c", "exec 3<>/dev/tcp/s2/2222", rc=None)
        self.assertNotEqual(done.rc, 0, repr(done))

    def test_a_tunnel_leads_from_s2_to_login(self):
        line = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/7777 && echo through'"
        done = self.run_command("ssh", "-o", "ExitOnForwardFailure=yes", "-R", "7777:10.78.0.1:6817", "s2", line)
        self.assertEqual(done.out, "through\n")

    def test_a_build_is_everywhere_but_on_far(self):
        for name in HOSTS:
            done = self.run_command("ssh", name, f"{HATO} --version", rc=None)
            self.assertEqual(done.rc, 127 if name == "far" else 0, repr(done))

    def test_each_host_has_its_own_tmp(self):
        file = self.local / "here"
        file.touch()
        done = self.run_command("ssh", "s1", f"touch /tmp/there; ls {file}", rc=None)
        self.assertNotEqual(done.rc, 0, repr(done))
        self.assertTrue((RUN / "tmp/s1/there").exists())
        self.run_command("ssh", "s1", "rm /tmp/there")

    def test_a_session_starts_on_the_login_node(self):
        self.hato("up", "-n", "1")
        self.assertEqual(self.hato("map", "echo", "{}", input="a\nb\n").out, "a\nb\n")
        self.hato("down")


class Faults(ClusterCase):
    @limit(150)
    def test_the_controller_stops_and_starts(self):
        self.stop("slurmctld")
        self.assertNotEqual(self.run_command("squeue", rc=None, timeout=60).rc, 0)
        self.start_daemon("slurmctld")
        self.run_command("srun", "true", timeout=60)

    @limit(180)
    def test_a_node_that_dies_takes_its_job_with_it(self):
        self.run_command("sbatch", "--no-requeue", "-w", "n2", "-o", "/dev/null", "--wrap", "sleep 600")
        self.wait_for(lambda: any("sleep" in line for line in self.on_hosts().values()), 20, "the job runs")
        self.crash("n2")
        self.wait_for(lambda: not self.on_hosts(), 10, "nothing is left of its job")
        self.wait_for(lambda: not self.squeue(), 90, "the job is over")
        self.start_daemon("n2")
        self.run_command("srun", "-w", "n2", "true", timeout=60)

    @limit(150)
    def test_jobs_are_forgotten_when_told_so(self):
        self.slurm("MinJobAge=2")
        self.assertRegex(self.run_command("scontrol", "show", "config").out, r"MinJobAge\s+= 2 sec")

    @limit(150)
    def test_nodes_may_claim_more_cores(self):
        self.slurm("MaxArraySize=2001", cpus=400)
        self.assertEqual(self.run_command("sinfo", "-h", "-o", "%C").out.strip().split("/")[-1], "1200")
        self.run_command("sbatch", "--test-only", "--array=0-1500", "--wrap", "true")

    def test_a_folder_may_be_full(self):
        folder = self.full_folder()
        done = self.run_command("srun", "bash", "-c", f"echo some words >{folder}/log", rc=None)
        self.assertIn("No space left", done.err)

    def test_what_a_test_leaves_behind_is_told_and_cleared(self):
        self.run_command("sbatch", "-o", "/dev/null", "--wrap", "sleep 600")
        self.wait_for(lambda: any("sleep" in line for line in self.on_hosts().values()), 20, "the job runs")
        self.run_command("ssh", "s1", "setsid sleep 600 >/dev/null 2>&1 </dev/null & true")
        left = " ".join(self.left())
        self.assertIn(" R wrap ", left)
        self.assertIn("sleep 600", left)
        ask(do="reset", but=os.getpid())
        self.wait_for(lambda: not self.left(), 10, "nothing is left")


main()
