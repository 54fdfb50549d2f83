"""What the tests on the cluster stand on: harness.Case, run on the cluster's login node.

    from clustercase import ClusterCase, alone, main
    from harness import limit

    class Batch(ClusterCase):
        @limit(60)
        def test_runs(self):
            self.hato("up", "--launcher", "slurm", "-n", "2")   # as pigeon, an ordinary user
            …
            self.hato("down")

    main()

The script starts itself again on the login node of the cluster that ctest's fixture brought up (by
hand: HATO_BUILD_DIR=… tests/cluster/cluster.py up). Where there is none, the test is left out.

A test has its home, state and work folders on all hosts (but far), and for local things a folder in
/tmp, which is the login node's own. It ends what it started itself: a batch job, a process on
any host or a file in a host's /tmp that it leaves behind fails it; then the cluster is put in order.
"""

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import cluster
from cluster import GRIDENGINE_ENV, RUN, SKIPPED, USER, USER_ID, ask

sys.path.insert(0, str(cluster.SOURCE / "tests/system"))
import harness  # noqa: E402
from harness import Case, limit_of  # noqa: E402

NODES = cluster.NODES


def alone(method):
    """No other test of any kind runs at the same time: for those that measure."""
    method.alone = True
    return method


class ClusterCase(Case):
    LIMIT = 120.0  # schedulers take their time
    place = str(RUN / "home")
    user = USER  # or "root"

    def setUp(self):
        if not cluster.inside():
            self.skipTest("not on the cluster's login node: run the script by its path")
        self.addCleanup(ask, do="reset", but=os.getpid())
        ask(do="reset", but=os.getpid())  # after one that was killed
        super().setUp()
        self.local = Path(tempfile.mkdtemp(prefix="ht-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.local, ignore_errors=True)
        self.env.pop("TMPDIR", None)
        self.env.pop("XDG_RUNTIME_DIR", None)
        self.env.pop("PYTHONPATH", None)
        self.env.update(USER=self.user, LOGNAME=self.user, HATO_LOCAL_DIR=str(self.local), SHELL="/bin/bash")
        self.give(self.dir, self.local)
        self.changed_slurm = False
        self.addCleanup(self.restore_slurm)
        self.addCleanup(self.check_nothing_left)

    def give(self, *paths):
        """Files and folders become the user's."""
        if self.user != "root":
            self.run_command("chown", "-R", f"{USER}:{USER}", *paths, user="root")

    def popen(self, args, **more):
        if more.setdefault("user", self.user) == "root":
            del more["user"]
        else:
            more.update(user=USER_ID, group=USER_ID, extra_groups=[])
        return super().popen(args, **more)

    # ------------------------------------------------------------------- the cluster

    def stop(self, name):
        """Ends a daemon (munged, slurmctld, n1, s1, sge_qmaster …); its host, and jobs there, live on."""
        ask(do="stop", name=name)

    def start_daemon(self, name):
        ask(do="start", name=name)

    def crash(self, name):
        """Everything on that host is gone at once."""
        ask(do="crash", name=name)

    def slurm(self, *lines, cpus=16):
        """Until the test ends Slurm has these lines in its configuration too, and nodes that claim so many cores."""
        self.changed_slurm = True
        ask(do="slurm", cpus=cpus, lines=lines)

    def restore_slurm(self):
        if self.changed_slurm:
            ask(do="slurm", cpus=16, lines=[])

    def need_gridengine(self):
        """Its commands stand first in PATH then."""
        if not (RUN / "sge").exists():
            reason = RUN / "build/tests/cluster" / cluster.state_folder().name / "no-gridengine"
            self.skipTest(f"no Grid Engine: {reason.read_text().strip()}")
        self.env.update(GRIDENGINE_ENV, PATH=f"{RUN}/sge/bin/lx-amd64:{self.env['PATH']}")

    def full_folder(self, name="full"):
        """A folder of the user's, on all hosts, in whose file system no byte is left."""
        folder = self.dir / name
        folder.mkdir()
        self.run_command("mount", "-t", "tmpfs", "-o", f"size=4k,mode=700,uid={USER_ID}", "hato-full", folder, user="root")
        self.addCleanup(self.run_command, "umount", "--lazy", folder, user="root")
        (folder / "ballast").write_bytes(bytes(4096))
        return folder

    def squeue(self):
        """Batch jobs that have not ended: Slurm's as "JOBID STATE NAME REASON", Grid Engine's with its name before."""
        return ask(do="left", but=os.getpid())["jobs"]

    def on_hosts(self):
        """What runs on any host but for the cluster's daemons and what this test started itself: {pid: line}."""
        return {int(pid): line for pid, line in ask(do="left", but=os.getpid())["processes"].items()}

    def left(self):
        found = ask(do="left", but=os.getpid())
        files = [str(file) for file in (RUN / "tmp").rglob("*") if not file.is_dir() or file.name.startswith("hato")]
        sockets = [str(file) for folder in (self.dir, self.local) for file in folder.rglob("*") if file.is_socket()]
        return [*found["jobs"], *found["processes"].values(), *files, *sockets, *(" ".join(w) for w in self.own_hatos())]

    def own_hatos(self):
        lines = [harness.command_line(pid) for pid in harness.descendants()]
        return [words for words in lines if words and Path(words[0]).name == "hato"]

    def check_nothing_left(self):
        if not self.failed():
            self.wait_for(lambda: not self.left(), 40, "nothing is left: no job, process, file or socket on any host")

    def failed(self):
        return super().failed() or sys.exc_info()[0] is not None

    def wait_for(self, predicate, seconds=10, what="the condition"):
        try:
            return super().wait_for(predicate, seconds, what)
        except AssertionError as problem:
            if cluster.inside():
                raise AssertionError(f"{problem}\non the cluster: {ask(do='left', but=os.getpid())}") from None
            raise


def start_again():
    """This script on the login node, in the place of this process."""
    pid = cluster.keeper() if os.geteuid() == 0 else None
    if not pid:
        print(f"left out: {cluster.left_out()}")
        sys.exit(SKIPPED)
    script = Path(sys.argv[0]).resolve()
    os.execvpe("nsenter", cluster.entering(pid, sys.executable, script, *sys.argv[1:]), cluster.environment())


def main():
    module = sys.modules["__main__"]
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, ClusterCase) and c is not ClusterCase]
    if sys.argv[1:] == ["--list"]:
        for one in classes:
            for name in unittest.defaultTestLoader.getTestCaseNames(one):
                method = getattr(one, name)
                print(f"{one.__name__}.{name} {limit_of(one, name):.0f}{' alone' if hasattr(method, 'alone') else ''}")
        return
    if not cluster.inside():
        start_again()
    result = unittest.main(module=module, verbosity=2, exit=False).result
    for _, reason in result.skipped:
        print(f"left out: {reason}")
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if len(result.skipped) == result.testsRun else 0)
