"""The cluster's Grid Engine. Its packages exclude slurm-wlm-torque's under apt, so they are fetched and
unpacked, not installed; what they need is in script/packages."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from cluster import GRIDENGINE_ENV, PATH, RUN

LIB = Path("/usr/lib/gridengine")
ROOT = RUN / "sge"
PACKAGES = [f"gridengine-{part}" for part in ("common", "client", "master", "exec")]


def fetch(cache):
    """Downloads and unpacks it, once, also when two clusters come up at a time; None, or what is in the way."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with open(cache.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return fetch_locked(cache)


def fetch_locked(cache):
    if not (cache / "usr").exists():
        new = cache.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        (new / "deb").mkdir(parents=True)
        get = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES]
        try:
            if subprocess.run(get, cwd=new / "deb", capture_output=True, check=False).returncode != 0:
                subprocess.run(["apt-get", "-qq", "update"], capture_output=True, check=False)
                subprocess.run(get, cwd=new / "deb", capture_output=True, check=True)
            for file in (new / "deb").glob("*.deb"):
                subprocess.run(["dpkg", "-x", file, new], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            return f"its packages cannot be fetched: {problem}"
        shutil.rmtree(new / "deb")
        new.rename(cache)
    needed = subprocess.run(["ldd", *(cache / "usr/lib/gridengine" / name for name in ("sge_qmaster", "sge_execd", "qsub"))],
                            capture_output=True, text=True, check=False).stdout
    missing = sorted({line.split()[0] for line in needed.splitlines() if "not found" in line})
    return f"libraries are missing: {', '.join(missing)}" if missing else None


def ge(*words, check=False, **more):
    env = {**GRIDENGINE_ENV, "SGE_SINGLE_LINE": "1", "PATH": PATH, **more}
    return subprocess.run([LIB / words[0], *words[1:]], env=env, cwd=ROOT, capture_output=True, text=True, timeout=20,
                          check=check)


def changed(text, **values):
    """Lines "name value" with some of the values replaced."""
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return "".join(f"{words[0]} {values.get(words[0], ' '.join(words[1:]))}\n" for words in lines)


def configure():
    share = RUN / "build/cache/gridengine/usr/share/gridengine"
    common, spool = ROOT / "default/common", ROOT / "default/spool"
    for folder in (common, spool / "qmaster", spool / "execd"):
        folder.mkdir(parents=True)
    for folder in ("bin", "utilbin", "lib"):
        (ROOT / folder).mkdir()
        (ROOT / folder / "lx-amd64").symlink_to(LIB)
    (ROOT / "util").symlink_to(share / "util")
    (common / "act_qmaster").write_text("login\n")
    (common / "bootstrap").write_text(f"""admin_user none
default_domain none
ignore_fqdn true
spooling_method classic
spooling_lib libspoolc
spooling_params {common};{spool}/qmaster
binary_path {ROOT}/bin
qmaster_spool_dir {spool}/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
""")
    text = (share / "default-configuration").read_text().replace("flush_time=00:00:15", "flush_time=00:00:01")
    (ROOT / "configuration").write_text(
        changed(text, execd_spool_dir=f"{spool}/execd", mailer="/bin/true", administrator_mail="none"))
    place = f"{common};{spool}/qmaster"
    for words in (("spoolinit", "classic", "libspoolc", place, "init"),
                  ("spooldefaults.bin", "configuration", ROOT / "configuration"),
                  ("spooldefaults.bin", "complexes", share / "util/resources/centry"),
                  ("spooldefaults.bin", "usersets", share / "util/resources/usersets"),
                  ("spooldefaults.bin", "managers", "root")):
        ge(*words, check=True, LD_LIBRARY_PATH=str(LIB))


def furnish():
    """One host, one queue of four slots, one parallel environment; a job does not wait for the
    scheduler's next round, which by default comes every 15 seconds."""
    none = ("load_scaling complex_values user_lists xuser_lists projects xprojects usage_scaling report_variables").split()
    (ROOT / "host").write_text("hostname login\n" + "".join(f"{name} NONE\n" for name in none))
    (ROOT / "pe").write_text(changed((ROOT / "util/resources/pe/smp").read_text(), allocation_rule="$pe_slots"))
    (ROOT / "queue").write_text(changed(ge("qconf", "-sq", check=True).stdout, qname="all.q", hostlist="login", slots="4",
                                        load_thresholds="NONE", pe_list="smp", shell="/bin/bash"))
    (ROOT / "sched").write_text(changed(ge("qconf", "-ssconf", check=True).stdout, schedule_interval="0:0:1", flush_submit_sec="1",
                                        flush_finish_sec="1", job_load_adjustments="NONE"))
    for words in (("-as", "login"), ("-Ae", "host"), ("-Ap", "pe"), ("-Aq", "queue"), ("-Msconf", "sched")):
        ge("qconf", *words, check=True)


def answers():
    return ge("qconf", "-sh").returncode == 0


def ready():
    return any(line.startswith("all.q@login ") and line.rstrip().endswith("lx-amd64") for line in ge("qstat", "-f").stdout.splitlines())


def jobs():
    return [f"Grid Engine: {line}" for line in ge("qstat", "-u", "*").stdout.splitlines()[2:]]


def cancel_all():
    ge("qdel", "-f", "-u", "*")
