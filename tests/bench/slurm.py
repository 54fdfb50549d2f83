"""How soon after `hato up` the first result is there, over Slurm and inside an allocation, beside a bare job of the
same kind in the same run. On the login node of the tests' cluster (tests/cluster/cluster.py enter):

    slurm.py TURNS sbatch | srun

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


def over():
    """The next turn begins with idle nodes."""
    wait(lambda: len(run("squeue", "--noheader").splitlines()) == (1 if "SLURM_JOB_ID" in os.environ else 0))


def bare_sbatch(folder):
    mark = Path(tempfile.mktemp(dir=folder))
    begun = time.monotonic()
    run("sbatch", "-o", "/dev/null", "--wrap", f"touch {mark}")
    wait(mark.exists)
    return time.monotonic() - begun


def bare_srun(_):
    begun = time.monotonic()
    run("srun", "-n", "1", "true")
    return time.monotonic() - begun


def hato(_):
    begun = time.monotonic()
    run(HATO, "up", "--launcher", "slurm", "-n", "1", stderr=subprocess.DEVNULL)
    run(HATO, "map", "--", "echo", "{}", input="1\n")
    taken = time.monotonic() - begun
    run(HATO, "down", stderr=subprocess.DEVNULL)
    return taken


def main(turns, kind):
    if kind == "srun" and "SLURM_JOB_ID" not in os.environ:
        os.execvp("salloc", ["salloc", "--quiet", "-N", "1", "-n", "2", sys.executable, *sys.argv])
    folder, local = tempfile.mkdtemp(prefix="bench-", dir=SHARED), tempfile.mkdtemp(prefix="bench-")
    os.environ.update(XDG_STATE_HOME=folder, HATO_LOCAL_DIR=local, LC_ALL="C.UTF-8")
    os.chdir(folder)
    contenders = {"bare": bare_srun if kind == "srun" else bare_sbatch, "hato": hato}
    found = {name: [] for name in contenders}
    try:
        for _ in range(int(turns)):
            for name, function in contenders.items():
                found[name].append(function(folder))
                over()
    finally:
        subprocess.run([HATO, "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(local, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found))


main(*sys.argv[1:])
