"""The launcher `command` on a real Grid Engine and a real srun, by the templates of docs/launchers."""

import re
import shutil

from clustercase import ClusterCase, main
from cluster import RUN
from harness import SOURCE, limit


class Templates(ClusterCase):
    """A profile of a template, its option lines changed or added to."""

    def profile(self, name, **options):
        text = (SOURCE / f"docs/launchers/{name}.conf").read_text()
        for key, value in options.items():
            key = key.replace("_", "-")
            text, n = re.subn(rf"^{key} *=.*$", lambda _, k=key, v=value: f"{k} = {v}", text, flags=re.M)
            if not n:
                text += f"{key} = {value}\n"
        file = self.dir / "hato.conf"
        file.write_text(text)
        self.give(file)
        self.env["HATO_CONFIG"] = str(file)
        return ["--profile", name]

    def launched(self, name, *more, **options):
        """A launch by it in a session without daemons; not waited for unless more says so."""
        profile = self.profile(name, **options)
        self.hato("up", "-n", "0")
        return self.hato("launch", *profile, *(more or ("-n", "1", "--wait", "0")), rc=None, timeout=50)

    def options_of(self, name, **options):
        """The same for `hato launchers test`, which takes no profile."""
        self.profile(name, **options)
        found, key = [], None
        for line in (self.dir / "hato.conf").read_text().splitlines():
            if not line.strip() or line.lstrip()[0] in "#[":
                continue
            if line[0] == " ":
                if key in ("status-row", "status-fields", "script"):
                    found.append([key, line.strip()])
                else:
                    found[-1][1] = f"{found[-1][1]} {line.strip()}"
            else:
                key, value = (word.strip() for word in line.split("=", 1))
                found.append([key, value])
        return [word for key, value in found if value and key != "launcher" for word in ("-o", f"{key}={value}")]

    def conforms(self, name, left_out, **options):
        logs = self.dir / "logs"
        logs.mkdir()
        self.give(logs)
        words = self.options_of(name, **options)
        done = self.hato("launchers", "test", "command", *words, "--log-dir", logs, "--patience", "75s", timeout=170)
        self.assertIn(f" 0 failed, {left_out} left out", done.out)

    def says(self, words, seconds=30):
        self.wait_for(lambda: words in self.hato("status").out, seconds, f"status says {words!r}")


class GridEngine(Templates):
    def setUp(self):
        super().setUp()
        self.need_gridengine()

    @limit(180)
    def test_conforms(self):
        # Left out: adopting (it is compiled in), secrets by other ways, exit codes, which qstat does not know.
        self.conforms("gridengine", 4, interval="500ms")

    @limit(150)
    def test_a_map_over_an_array(self):
        self.hato("up", *self.profile("gridengine", interval="1s"), "-n", "3", "--wait", "40s", timeout=60)
        jobs = self.squeue()
        self.assertEqual(len({line.split()[2] for line in jobs}), 1, jobs)  # one array
        self.assertEqual(self.hato("map", "echo", "{}", input="a\nb\nc\n").out, "a\nb\nc\n")
        self.hato("down", timeout=30)
        self.wait_for(lambda: not self.squeue(), 15, "no job is left")

    @limit(150)
    def test_a_job_that_can_never_run_is_told_with_the_reason(self):
        submit = "qsub -terse -cwd -N {tag} -t {first}-{last} -S /bin/sh -j yes -o {log:q} -pe smp 99"
        self.launched("gridengine", interval="500ms", submit=submit)
        self.says('cannot run in PE "smp"')
        self.hato("down", timeout=30)
        self.wait_for(lambda: not self.squeue(), 15, "no job is left")

    @limit(150)
    def test_a_log_that_cannot_be_written_is_the_reason(self):
        submit = "qsub -terse -cwd -N {tag} -t {first}-{last} -S /bin/sh -j yes -o /nowhere/x"
        self.launched("gridengine", interval="500ms", submit=submit)
        self.says("can't open output file")
        self.wait_for(lambda: not self.squeue(), 30, "what is in error is cancelled")
        self.hato("down", timeout=30)

    def test_a_queue_that_is_not_there(self):
        submit = "qsub -terse -q nosuch.q -N {tag} -t {first}-{last} -S /bin/sh -o {log:q}"
        done = self.launched("gridengine", "-n", "1", submit=submit)
        self.assertNotEqual(done.rc, 0)
        self.assertIn('unknown queue "nosuch.q"', done.err)
        self.hato("down")

    def test_qsub_missing(self):
        done = self.launched("gridengine", "-n", "1", submit="no-such-qsub {n}")
        self.assertNotEqual(done.rc, 0)
        self.assertIn("no-such-qsub", done.err)
        self.hato("down")

    def test_cancelled_behind_hatos_back(self):
        self.hato("up", *self.profile("gridengine", interval="500ms", crash_limit=1), "-n", "2", "--wait", "40s", timeout=60)
        job = self.squeue()[0].split()[2]
        self.run_command("qdel", job)
        self.says("forgotten by qstat")
        self.hato("down", timeout=30)
        self.wait_for(lambda: not self.squeue(), 15, "no job is left")

    @limit(200)
    def test_the_master_away_is_no_end(self):
        self.hato("up", *self.profile("gridengine", interval="500ms"), "-n", "1", "--wait", "40s", timeout=60)
        self.hato("launch", *self.profile("gridengine", interval="500ms"), "-n", "6", "--wait", "0", timeout=60)  # 4 slots
        self.stop("sge_qmaster")
        try:
            log = self.dir / "state/hato/default/log"
            self.wait_for(lambda: "LAUNCHER-TROUBLE" in log.read_text(), 60, "that it does not answer stands in the log")
            self.assertRegex(log.read_text(), "status (exited with|did not end in time)")
            self.assertEqual(self.hato("map", "echo", "{}", input="a\n").out, "a\n")
        finally:
            self.start_daemon("sge_qmaster")
        self.wait_for(lambda: self.run_command("qstat", rc=None).rc == 0, 40, "it answers again")
        self.assertNotIn("forgotten", self.hato("status").out)
        self.hato("down", timeout=60)
        self.wait_for(lambda: not self.squeue(), 30, "no job is left")


class Srun(Templates):
    def test_conforms(self):
        self.conforms("srun", 3)

    @limit(150)
    def test_a_map_over_steps(self):
        self.hato("up", *self.profile("srun"), "-n", "3", timeout=60)
        self.wait_for(lambda: len(self.squeue()) == 3, 20, "three jobs")
        out = self.hato("map", "sh", "-c", "hostname; sleep 0.2; : {}", input="1\n2\n3\n").out
        self.assertLessEqual(set(out.split()), {"n1", "n2", "n3"})
        self.hato("down", timeout=30)
        self.wait_for(lambda: not self.squeue(), 15, "no job is left")

    @limit(150)
    def test_the_secret_by_standard_input(self):
        self.hato("up", *self.profile("srun", secret="stdin"), "-n", "2", timeout=60)
        self.assertEqual(self.hato("map", "echo", "{}", input="a\nb\n").out, "a\nb\n")
        self.hato("down", timeout=30)

    @limit(150)
    def test_inside_an_allocation(self):
        script = self.cwd / "inside"
        script.write_text('#!/bin/sh\nhato=$1\n"$hato" up --profile srun -n 3 && printf "%s\\n" a b c | "$hato" map echo {}\n'
                          'squeue -h -s -o "%i"; "$hato" down\n')
        script.chmod(0o755)
        self.profile("srun")
        done = self.run_command("salloc", "-Q", "-n", "3", script, shutil.which("hato", path=f"{RUN}/build/bin"), timeout=60)
        self.assertTrue(set("abc") <= set(done.out.split()), done.out)
        self.assertEqual(len({line.split(".")[0] for line in done.out.split() if re.match(r"\d+\.\d", line)}), 1, done.out)

    def test_a_partition_that_is_not_there(self):
        done = self.launched("srun", "-n", "1", "--wait", "20s", submit="exec srun -p nosuch {daemon}", crash_limit=1)
        self.assertIn("invalid partition specified: nosuch", done.err + self.hato("status").out)
        self.hato("down", timeout=30)

    def test_a_job_cancelled_behind_hatos_back(self):
        self.hato("up", *self.profile("srun", crash_limit=1), "-n", "1", timeout=60)
        self.run_command("scancel", self.squeue()[0].split()[0])
        self.says("submit exited with")
        self.hato("down", timeout=30)

    def test_cancelled_while_it_waits_for_an_allocation(self):
        self.launched("srun", "-n", "2", "--wait", "0", submit="exec srun --begin=now+1hour {daemon}")
        self.wait_for(lambda: len(self.squeue()) == 2, 20, "two jobs wait")
        self.hato("down", timeout=30)
        self.wait_for(lambda: not self.squeue(), 15, "no job is left")


main()
