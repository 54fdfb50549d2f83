"""How soon after `hato up` the first result is there, over ssh (direct, and by a tunnel through a jump host), over
Slurm and inside an allocation, beside a bare command or job of the same kind in the same run. On the login node of the
tests' cluster (tests/cluster/cluster.py enter):

    first_result.py TURNS ssh | tunnel | sbatch | srun

prints {"bare": [seconds], "hato": [seconds]}."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HATO = Path(os.environ["HATO_BUILD_DIR"]) / "bin/hato"
SHARED = "/run/hato/home"  # the folder that all nodes see


def run(*args, **more):
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def wait(predicate, seconds=30):
    end = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > end:
            raise TimeoutError("not within the time that a job takes")
        time.sleep(0.002)


def nodes_idle():
    """The next turn begins with idle nodes."""
    wait(lambda: len(run("squeue", "--noheader").splitlines()) == (1 if "SLURM_JOB_ID" in os.environ else 0))


def bare_sbatch(folder):
    mark = Path(tempfile.mktemp(dir=folder))
    begun = time.monotonic()
    run("sbatch", "-o", "/dev/null", "--wrap", f"touch {mark}")
    wait(mark.exists)
    return time.monotonic() - begun


def bare(*args):
    begun = time.monotonic()
    run(*args)
    return time.monotonic() - begun


def hato(*launcher):
    begun = time.monotonic()
    run(HATO, "up", "-n", "1", "--launcher", *launcher, stderr=subprocess.DEVNULL)
    run(HATO, "map", "--", "echo", "{}", input="1\n")
    taken = time.monotonic() - begun
    run(HATO, "down", stderr=subprocess.DEVNULL)
    return taken


KINDS = {"ssh": (lambda _: bare("ssh", "s1", "true"), ("ssh", "-o", "host=s1")),
         "tunnel": (lambda _: bare("ssh", "s2", "true"), ("ssh", "-o", "host=s2", "-o", "tunnel=true")),
         "sbatch": (bare_sbatch, ("slurm",)),
         "srun": (lambda _: bare("srun", "-n", "1", "true"), ("slurm",))}


def main(turns, kind):
    if kind == "srun" and "SLURM_JOB_ID" not in os.environ:
        os.execvp("salloc", ["salloc", "--quiet", "-N", "1", "-n", "2", sys.executable, *sys.argv])
    folder, local = tempfile.mkdtemp(prefix="bench-", dir=SHARED), tempfile.mkdtemp(prefix="bench-")
    os.environ.update(XDG_STATE_HOME=folder, HATO_LOCAL_DIR=local, LC_ALL="C.UTF-8")
    os.chdir(folder)
    peer, launcher = KINDS[kind]
    found = {"bare": [], "hato": []}
    try:
        for _ in range(int(turns)):
            for name, turn in (("bare", lambda: peer(folder)), ("hato", lambda: hato(*launcher))):
                found[name].append(turn())
                if "slurm" in launcher:
                    nodes_idle()
    finally:
        subprocess.run([HATO, "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(local, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found))


main(*sys.argv[1:])
