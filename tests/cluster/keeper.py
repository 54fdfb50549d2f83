"""The keeper: brings the cluster up in the namespaces that it was started in, is the parent of its
daemons, and does what tests ask for: a line of JSON on /run/hato/control, one line back."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import cluster
import gridengine
import parts
from cluster import RUN, ClusterError, started, wait_for

PR_SET_CHILD_SUBREAPER = 36


class Keeper:
    def __init__(self):
        self.daemons = {}  # name: Popen
        self.spaces = set()
        self.log = RUN / "log"

    # ------------------------------------------------------------------ daemons

    def start(self, name):
        if self.lives(name):
            raise ClusterError(f"{name} runs")
        words, env = parts.command(name)
        environ = {"PATH": cluster.PATH, "HOME": "/", "LC_ALL": "C.UTF-8", **env}
        with open(self.log / f"{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environ, start_new_session=True)

    def lives(self, name):
        return name in self.daemons and self.daemons[name].poll() is None

    def stop(self, name):
        """Asked to end, and killed when it does not."""
        if not self.lives(name):
            return
        self.daemons[name].terminate()
        try:
            self.daemons[name].wait(5)
        except subprocess.TimeoutExpired:
            self.daemons[name].kill()
            self.daemons[name].wait()

    def crash(self, name):
        """Everything on that host is gone at once, as when its power fails."""
        space = os.stat(f"/run/netns/{name}").st_ino
        while True:
            left = [pid for pid in cluster.members({f"net:[{space}]"}) if pid != os.getpid()]
            for pid in left:
                kill(pid)
            self.reap()
            if not left:
                return

    def reap(self):
        """Orphans of all hosts come to us, as to an init."""
        ours = {p.pid for p in self.daemons.values() if p.returncode is None}
        for process in self.daemons.values():
            process.poll()
        for pid in os.listdir("/proc"):
            if pid.isdigit() and int(pid) not in ours and parent(pid) == os.getpid() and not started(pid):
                try:
                    os.waitpid(int(pid), os.WNOHANG)
                except ChildProcessError:
                    pass

    # ------------------------------------------------------------------- asked for

    def status(self):
        return {name: p.pid if p.poll() is None else 0 for name, p in self.daemons.items()}

    def left(self, but):
        """What lives on any host beside the daemons: {pid: command line}; but: a test, with all below it."""
        found = self.strangers(but)
        if found:  # whose child one is cannot be told while its parent ends
            found &= self.strangers(but)
        return {pid: command_line(pid) for pid in found}

    def strangers(self, but):
        members = cluster.members(self.spaces)  # before the table, which has the parents of all of them then
        table = {int(pid): parent(pid) for pid in os.listdir("/proc") if pid.isdigit()}
        daemons = self.status()
        helpers = {pid for pid, above in table.items() if above == daemons.get("slurmctld")}  # its slurmscriptd
        spared = {os.getpid(), but, *daemons.values(), *helpers}

        def is_tests(pid):
            line = []
            while pid and pid not in line and pid != but:
                line.append(pid)
                pid = table.get(pid)
            return pid == but

        return {pid for pid in members if pid in table and pid not in spared and not is_tests(pid)}

    def reset(self, but):
        """Whatever a test left is ended, and what it stopped is started."""
        if self.in_order(but):
            return
        wait_for(lambda: self.cleared(but), 60, "nothing is left")
        self.stand()

    def jobs(self):
        return parts.jobs() + (gridengine.jobs() if "sge_qmaster" in self.daemons else [])

    def in_order(self, but):
        return all(self.status().values()) and not self.left(but) and not self.jobs()

    def cleared(self, but):
        for name in self.daemons:
            if not self.lives(name):
                self.start(name)
        parts.cancel_all()
        if "sge_qmaster" in self.daemons:
            gridengine.cancel_all()
        left = self.left(but)
        for pid in left:
            kill(pid)
        self.reap()
        return not left and not self.jobs()

    def slurm(self, cpus, lines):
        """Slurm with another configuration; its jobs are not kept."""
        for name in ("slurmctld", *cluster.NODES):
            self.stop(name)
        parts.slurm_configure(cpus, lines)
        parts.slurm_forget()
        for name in ("slurmctld", *cluster.NODES):
            self.start(name)
        self.stand()

    def stand(self):
        def idle():
            parts.resume()
            return parts.idle_nodes() == len(cluster.NODES)

        wait_for(idle, 60, "the Slurm nodes are idle")

    # --------------------------------------------------------------------- the whole

    def bring_up(self, state):
        parts.mounts(state)
        parts.users()
        self.spaces = parts.network()
        (state / "spaces").write_text("\n".join(self.spaces))
        parts.ssh_configure()
        parts.slurm_configure()
        self.start("munged")
        wait_for(parts.munge_answers, 30, "munged answers")
        for name in ("slurmctld", *cluster.NODES, *cluster.HOSTS):
            self.start(name)
        if not (state / "no-gridengine").exists():
            gridengine.configure()
            self.start("sge_qmaster")
            wait_for(gridengine.answers, 40, "sge_qmaster answers")
            gridengine.furnish()
            self.start("sge_execd")
            wait_for(gridengine.ready, 40, "sge_execd is known")
        self.stand()
        for name in cluster.HOSTS:
            wait_for(lambda: parts.ssh_answers(name), 30, f"sshd of {name} answers")

    def answer(self, words):
        what, name = words.get("do"), words.get("name")
        if what in ("start", "stop", "crash") and name not in self.daemons:
            raise ClusterError(f"no daemon is called '{name}', there are: {', '.join(self.daemons)}")
        if what == "status":
            return {"daemons": self.status()}
        if what == "left":
            return {"processes": self.left(words["but"]), "jobs": self.jobs()}
        if what == "reset":
            self.reset(words["but"])
        elif what == "slurm":
            self.slurm(words["cpus"], words["lines"])
        elif what in ("start", "stop", "crash"):
            getattr(self, what)(name)
        else:
            raise ClusterError(f"what is '{what}'?")
        return {}

    def serve(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                self.reap()
                continue
            with connection, connection.makefile("rw") as file:
                try:
                    reply = self.answer(json.loads(file.readline() or "{}"))
                except Exception as problem:  # told to the test, which fails by it
                    reply = {"error": f"{type(problem).__name__}: {problem}"}
                print(json.dumps(reply), file=file, flush=True)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def main():
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.umask(0o022)
    keeper, state = Keeper(), cluster.state_folder()
    keeper.bring_up(state)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{RUN}/control")
        listener.listen(16)
        listener.settimeout(0.2)  # dead orphans are waited for that often
        (state / "up").touch()
        keeper.serve(listener)


if __name__ == "__main__":
    try:
        main()
    except (ClusterError, subprocess.CalledProcessError) as trouble:
        print(f"keeper: {trouble}\n{getattr(trouble, 'stderr', None) or ''}", file=sys.stderr)
        sys.exit(1)
