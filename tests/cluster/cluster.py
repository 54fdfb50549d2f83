#!/usr/bin/env python3
"""A cluster of real parts on one machine, for the tests of the launchers.

    cluster.py up            bring it up (as root); a second "up" makes it anew
    cluster.py down          take it away; right also after an "up" that failed half way
    cluster.py status        what runs; exit status 0 when all of it does
    cluster.py check         is what it needs here? else says why not, and exits with 77
    cluster.py enter [CMD…]  run a command on its login node, as root (no command: a shell)

Its parts (parts.py, gridengine.py) run in namespaces of their own, for the network, the mounts and the
host's name, so that it disturbs nothing of the machine and any number of clusters run beside one
another, one a build folder (HATO_BUILD_DIR):

    login    10.78.0.1    munged, slurmctld, Grid Engine (all.q, 4 slots); here the tests run.
                          A second address, 192.168.77.1, leads nowhere from the nodes
    n1-n3    10.78.0.11+  a slurmd each, 16 cores claimed; n3 has two gpus and the feature "big"
    s1       10.78.0.21   sshd, port 22
    j        10.78.0.31   sshd, port 22, the jump host
    s2       10.78.0.22   sshd, port 2222, on a wire to j and to nothing else: login cannot reach it
                          (ssh does, through j), and it cannot reach login
    far      10.78.0.41   sshd, port 22; a host that shares no folder with the others and has no hato

/etc and /run are covered there, so that users, hosts and configurations are the cluster's own; each
host but login has its own /tmp, to be seen at /run/hato/tmp/NAME; /run/hato/home is on all but far,
and so is this build, at /run/hato/build. Ordinary user: pigeon; it and root log in by key
everywhere, and Grid Engine takes jobs from pigeon only.

Outside are a process (the keeper, keeper.py), the folder tests/cluster/state of the build
folder, with the daemons' logs, and cache/gridengine with the unpacked Grid Engine.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
SKIPPED = 77
RUN = Path("/run/hato")  # on the login node
USER, USER_ID = "pigeon", 7130
NODES, HOSTS = ("n1", "n2", "n3"), ("s1", "s2", "j", "far")
LOGIN_ADDRESS = "10.78.0.1"
COMMANDS = ("munged slurmctld slurmd squeue srun qsub sshd ssh ssh-keygen ip nsenter unshare mount").split()
GRIDENGINE_ENV = {"SGE_ROOT": f"{RUN}/sge", "SGE_CELL": "default", "SGE_QMASTER_PORT": "6444", "SGE_EXECD_PORT": "6445"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ClusterError(Exception):
    pass


def build_folder():
    """The build whose cluster it is; on the login node this is where that build is seen, too."""
    return Path(os.environ.get("HATO_BUILD_DIR", SOURCE / "build" / "release")).resolve()


def state_folder():
    """HATO_CLUSTER names one of several clusters of a build."""
    return build_folder() / "tests/cluster" / os.environ.get("HATO_CLUSTER", "state")


def why_not():
    """None, or why there can be no cluster here."""
    if os.geteuid() != 0:
        return "a cluster is started by root only"
    missing = [name for name in COMMANDS if not shutil.which(name, path=PATH)]
    if missing:
        return f"not found: {', '.join(missing)} (packages of groups `test` and `cluster` in script/packages)"
    # root in a container need not have the right to namespaces.
    attempt = "mount -t overlay -o lowerdir=/etc:/usr none /mnt && ip link add b0 type bridge && ip link add v0 type veth"
    done = subprocess.run(["unshare", "--mount", "--net", "--uts", "sh", "-ec", attempt], capture_output=True, text=True,
                          env={"PATH": PATH}, check=False)
    if done.returncode:
        return f"namespaces, bridges or overlays cannot be made here: {' '.join(done.stderr.split())}"
    return None


def started(pid):
    """When a process began, in the kernel's ticks: with its number this names it for ever."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def left_out():
    """Why `up` made none."""
    try:
        return (state_folder() / "left-out").read_text().strip()
    except FileNotFoundError:
        return "the cluster is not up (tests/cluster/cluster.py up)"


def keeper():
    """The keeper's pid, or None: no cluster is up."""
    try:
        pid, began = (state_folder() / "keeper").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if started(pid) == began else None


def wait_for(predicate, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise ClusterError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def entering(pid, *command):
    """The words that run a command on the login node."""
    return ["nsenter", f"--target={pid}", "--mount", "--net", "--uts", f"--wd={os.getcwd()}", "--", *map(str, command)]


def inside():
    return os.environ.get("HATO_IN_CLUSTER") == "1"


def environment():
    """For what runs on the login node. HATO_BUILD_DIR is where every user finds the build there."""
    return {**os.environ, "HATO_IN_CLUSTER": "1", "HATO_BUILD_DIR": f"{RUN}/build", "PATH": PATH, "HOME": f"{RUN}/home/root"}


def ask(**words):
    """The keeper's answer, from the login node: stop, start, crash, reset and the like."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{RUN}/control")
        s.sendall(json.dumps(words).encode() + b"\n")
        answer = json.loads(s.makefile().readline() or '{"error": "the keeper has ended"}')
    if "error" in answer:
        raise ClusterError(answer["error"])
    return answer


# ------------------------------------------------------------------- from outside


def namespaces_of(pid):
    found = set()
    for kind in ("net", "mnt"):
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
        except OSError:
            pass
    return found


def members(spaces):
    """The processes that live in any of these namespaces."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and namespaces_of(pid) & spaces and started(pid)]


def take_away(pid):
    """Ends all that lives in the cluster's namespaces; these go with their last process."""
    own = namespaces_of(os.getpid())
    spaces = set((state_folder() / "spaces").read_text().split()) if (state_folder() / "spaces").exists() else set()
    spaces = (spaces | namespaces_of(pid)) - own

    def none_left():
        left = members(spaces)
        for one in left:
            # What lives in our namespaces may have made more of them.
            spaces.update(namespaces_of(one) - own)
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left

    wait_for(none_left, 30, "all processes of the cluster ended")


def down():
    pid = keeper()
    if pid:
        take_away(pid)
    (state_folder() / "keeper").unlink(missing_ok=True)


def up():
    import gridengine

    down()
    state = state_folder()
    shutil.rmtree(state, ignore_errors=True)
    (state / "log").mkdir(parents=True)
    cache = build_folder() / "cache/gridengine"
    trouble = gridengine.fetch(cache)
    if trouble:
        print(f"cluster: no Grid Engine: {trouble}", file=sys.stderr)
        (state / "no-gridengine").write_text(trouble + "\n")
    environ = {"PATH": PATH, "HOME": "/", "LC_ALL": "C.UTF-8", "HATO_BUILD_DIR": str(build_folder()),
               "HATO_CLUSTER": state_folder().name}
    with open(state / "log/keeper.log", "wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--uts", "--propagation", "private", sys.executable, HERE / "keeper.py"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environ, start_new_session=True)
    try:
        (state / "keeper").write_text(f"{process.pid} {started(process.pid)}\n")
        wait_for(lambda: (state / "up").exists() or process.poll() is not None, 200, "the keeper says that all is up")
        if process.poll() is not None:
            raise ClusterError("the keeper ended")
    except BaseException:
        take_away(process.pid)
        for file in sorted((state / "log").iterdir()):
            print(f"--- {file}\n{file.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise


def status():
    pid = keeper()
    if not pid:
        print("not up")
        return 1
    return subprocess.run(entering(pid, sys.executable, HERE / "cluster.py", "status"), env=environment(), check=False).returncode


def status_inside():
    dead = 0
    for name, pid in ask(do="status")["daemons"].items():
        print(f"{name:12} {f'pid {pid}' if pid else 'DEAD'}")
        dead += not pid
    return 1 if dead else subprocess.run(["sinfo", "-N"], check=False).returncode


def main(words):
    what = words[0] if words else ""
    if what not in ("up", "down", "status", "check", "enter"):
        print(__doc__)
        return 2
    reason = why_not()
    if reason:
        print(f"left out: {reason}")
        if what == "up":
            state_folder().mkdir(parents=True, exist_ok=True)
            (state_folder() / "left-out").write_text(reason + "\n")
        return SKIPPED
    if what == "up":
        up()
    elif what == "down":
        down()
    elif what == "status":
        return status_inside() if inside() else status()
    elif what == "enter":
        pid = keeper()
        if not pid:
            raise ClusterError("it is not up")
        os.execvpe("nsenter", entering(pid, *(words[1:] or ["bash"])), environment())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ClusterError as problem:
        print(f"cluster: {problem}", file=sys.stderr)
        sys.exit(1)
