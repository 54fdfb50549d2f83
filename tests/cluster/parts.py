"""The cluster's parts but for Grid Engine: mounts, users, network, sshd, MUNGE and Slurm. All of it is
called by the keeper, on the login node."""

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import cluster
from cluster import GRIDENGINE_ENV, HOSTS, LOGIN_ADDRESS, NODES, RUN, USER, USER_ID

ADDRESS = {"n1": "10.78.0.11", "n2": "10.78.0.12", "n3": "10.78.0.13", "s1": "10.78.0.21", "s2": "10.78.0.22",
           "j": "10.78.0.31", "far": "10.78.0.41"}
SILENT = ("10.78.0.98", "10.78.0.99")  # nobody's: what is sent there is lost, and no word comes back
ETC = Path("/etc")
CPUS = 16


def sh(line, **more):
    return subprocess.run(["sh", "-euc", line], check=True, text=True, capture_output=True, **more).stdout


def asked(*words):
    """The output of a question; "" when it was not answered."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


# --------------------------------------------------------------------- mounts, users


def mounts(state):
    """Covers /run and /etc. What is mounted later by a test is seen on the nodes, too."""
    build, cache = cluster.build_folder(), cluster.build_folder() / "cache/gridengine"
    log = state / "log"
    sh(f"""
        mkdir -p /dev/shm/{os.getpid()} && cd /dev/shm && mount -t tmpfs -o mode=755 tmpfs {os.getpid()}
        cd {os.getpid()} && mkdir -p hato/build hato/log hato/etc hato/work
        mount --bind '{build}' hato/build && mount --bind '{log}' hato/log
        mount --rbind . /run && cd / && umount -l /dev/shm/{os.getpid()} && rmdir /dev/shm/{os.getpid()}
        mount -t overlay -o lowerdir=/etc,upperdir={RUN}/etc,workdir={RUN}/work hato-etc /etc
        mkdir -p /run/munge /run/netns /run/sshd /run/lock {RUN}/tmp
        chown munge: /run/munge
        hostname login
    """)
    if (cache / "usr").exists():
        # It loads its libraries from /usr/lib/gridengine and from nowhere else.
        sh(f"mount -t overlay -o 'lowerdir={RUN}/build/cache/gridengine/usr/lib:/usr/lib' hato-lib /usr/lib")
    sh("mount --make-rshared /")


def users():
    """root's home is moved, too: tests shall not depend on what stands in the real one."""
    lines = (ETC / "passwd").read_text().splitlines()
    lines = [re.sub(r":[^:]*:[^:]*$", f":{RUN}/home/root:/bin/bash", line) if line.startswith("root:") else line for line in lines]
    lines.append(f"{USER}:x:{USER_ID}:{USER_ID}::{RUN}/home/{USER}:/bin/bash")
    (ETC / "passwd").write_text("\n".join(lines) + "\n")
    with open(ETC / "group", "a") as group, open(ETC / "shadow", "a") as shadow:
        group.write(f"{USER}:x:{USER_ID}:\n")
        shadow.write(f"{USER}:*:19000:0:99999:7:::\n")  # "*": no password; "!" would be a locked account
    for name, uid in ((USER, USER_ID), ("root", 0)):
        home = RUN / "home" / name
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        sh(f"ssh-keygen -q -t ed25519 -N '' -C {name} -f {home}/.ssh/id_ed25519")
        shutil.copy(home / ".ssh/id_ed25519.pub", home / ".ssh/authorized_keys")
        sh(f"chown -R {uid}:{uid} {home}")
    for name in ("far",):
        shutil.copytree(RUN / "home", RUN / name / "home")
        sh(f"chown -R {USER_ID}:{USER_ID} {RUN}/{name}/home/{USER} && mkdir {RUN}/{name}/build")


# --------------------------------------------------------------------------- network


def network():
    """The names of its namespaces."""
    hosts = [f"{LOGIN_ADDRESS} login", *(f"{address} {name}" for name, address in ADDRESS.items())]
    (ETC / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n" + "\n".join(hosts) + "\n")
    sh(f"""
        ip link set lo up
        ip link add br0 type bridge && ip addr add {LOGIN_ADDRESS}/24 dev br0 && ip link set br0 up
        ip link add br1 type bridge && ip addr add 192.168.77.1/24 dev br1 && ip link set br1 up
        ip addr add fd78::1/64 dev br0 nodad || true
        ip neigh add {SILENT[0]} lladdr 02:00:00:00:00:98 dev br0 nud permanent
        ip neigh add {SILENT[1]} lladdr 02:00:00:00:00:99 dev br0 nud permanent
        ip route add unreachable {ADDRESS["s2"]}
    """)
    for number, name in enumerate(ADDRESS):
        (RUN / "tmp" / name).mkdir()
        (RUN / "tmp" / name).chmod(0o1777)
        sh(f"ip netns add {name} && ip -n {name} link set lo up")
        if name == "s2":
            continue
        sh(f"""
            ip link add {name} type veth peer name eth0 netns {name}
            ip link set {name} master br0 up
            ip -n {name} addr add {ADDRESS[name]}/24 dev eth0 && ip -n {name} link set eth0 up
            ip -n {name} addr add fd78::1{number}/64 dev eth0 nodad || true
        """)
    sh(f"""
        ip link add eth0 netns s2 type veth peer name s2 netns j
        ip -n j link set s2 up && ip -n j route add {ADDRESS["s2"]} dev s2 src {ADDRESS["j"]}
        ip -n s2 addr add {ADDRESS["s2"]}/32 dev eth0 && ip -n s2 link set eth0 up
        ip -n s2 route add {ADDRESS["j"]} dev eth0
        nsenter --net=/run/netns/j sysctl -qw net.ipv4.ip_forward=0
    """)
    spaces = {f"net:[{os.stat(f'/run/netns/{name}').st_ino}]" for name in ADDRESS}
    return spaces | cluster.namespaces_of(os.getpid())


# ------------------------------------------------------------------------------- ssh


def ssh_configure():
    known = []
    (RUN / "ssh").mkdir(mode=0o755)
    for name in HOSTS:
        port = 2222 if name == "s2" else 22
        sh(f"ssh-keygen -q -t ed25519 -N '' -C {name} -f {RUN}/ssh/{name}.key")
        (RUN / f"ssh/{name}.conf").write_text(
            f"Port {port}\nListenAddress {ADDRESS[name]}\nHostKey {RUN}/ssh/{name}.key\nPidFile none\nUsePAM no\nUseDNS no\n"
            "AuthenticationMethods publickey\nPermitRootLogin prohibit-password\nPrintMotd no\n")
        key = " ".join((RUN / f"ssh/{name}.key.pub").read_text().split()[:2])
        known.append(f"{f'[{ADDRESS[name]}]:{port}' if port != 22 else name} {key}")
        known.append(f"{f'[{name}]:{port}' if port != 22 else name} {key}")
    (ETC / "ssh/ssh_known_hosts").write_text("\n".join(known) + "\n")
    (ETC / "ssh/ssh_config").write_text("Host s2\n  Port 2222\n  ProxyJump j\n")


def ssh_answers(name):
    return subprocess.run(["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", name, "true"], capture_output=True, check=False,
                          env={"PATH": cluster.PATH, "HOME": f"{RUN}/home/root"}).returncode == 0


# --------------------------------------------------------------------- MUNGE and Slurm


def munge_answers():
    return "STATUS:" in asked("sh", "-c", "munge -n | unmunge")


def slurm_configure(cpus=CPUS, lines=()):
    """cpus: the cores that each node claims. lines: added to slurm.conf, where the last of a name counts."""
    folder = RUN / "slurm"
    for name in ("", "state", *NODES):
        (folder / name).mkdir(exist_ok=True)
    user = pwd.getpwnam("slurm")
    os.chown(folder / "state", user.pw_uid, user.pw_gid)
    (ETC / "slurm").mkdir(exist_ok=True)
    (ETC / "slurm/cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n")
    (ETC / "slurm/gres.conf").write_text("NodeName=n3 Name=gpu File=/dev/null,/dev/zero\n")
    nodes = "\n".join(
        f"NodeName={name} NodeAddr={ADDRESS[name]} Sockets=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=64000"
        f"{' Gres=gpu:2 Feature=big' if name == 'n3' else ''}" for name in NODES)
    # By default an sbatch soon after another waits three seconds, and of a large array 100 tasks start
    # and the next half a minute later. A dead node is found, and a stubborn job killed, while a test waits.
    (ETC / "slurm/slurm.conf").write_text(f"""
ClusterName=hato
SlurmctldHost=login({LOGIN_ADDRESS})
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,default_queue_depth=5000
SlurmdTimeout=15
KillWait=5
{chr(10).join(lines)}
{nodes}
PartitionName=short Nodes=n[1-3] Default=YES MaxTime=1:00:00 State=UP
PartitionName=tiny Nodes=n[1-3] MaxNodes=1 State=UP
""")


def slurm_forget():
    """What the controller would know of its jobs and nodes when it starts again."""
    for file in (RUN / "slurm/state").iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def jobs():
    """Those of Slurm that have not ended."""
    return asked("squeue", "--noheader", "--format=%A %t %j %r").splitlines()


def cancel_all():
    for state in ("PENDING", "RUNNING", "SUSPENDED"):
        asked("scancel", "--quiet", f"--state={state}")


def resume():
    """A node that was down, or that was drained since its job would not end, works again."""
    for line in asked("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines():
        name, state = line.split()
        if state.startswith(("down", "drain")):
            asked("scontrol", "update", f"nodename={name}", "state=resume")


def idle_nodes():
    lines = asked("sinfo", "--noheader", "--Node", "--partition=short", "--format=%N %T").split("\n")
    return sum(line.endswith(" idle") for line in lines)


# --------------------------------------------------------------------------- commands


def on(name, line):
    """Words that run a line for sh on a host, in the place of the process that runs them."""
    own = f"mount --bind {RUN}/tmp/{name} /tmp"
    if name == "far":
        own += f" && mount --bind {RUN}/far/home {RUN}/home && mount --bind {RUN}/far/build {RUN}/build"
    return ["nsenter", f"--net=/run/netns/{name}", "unshare", "--mount", "--uts", "--propagation", "slave", "sh", "-c",
            f"hostname {name} && {own} && exec {line}"]


def command(name):
    """The words that run a daemon, and what its environment has besides."""
    if name == "munged":
        key = RUN / "munge.key"
        if not key.exists():
            key.write_bytes(os.urandom(128))
            key.chmod(0o400)
            shutil.chown(key, "munge", "munge")
        return ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground", f"--key-file={key}",
                "--seed-file=/run/munge/seed", "--log-file=/run/munge/log"], {}
    if name == "slurmctld":
        return ["slurmctld", "-D"], {}
    if name in NODES:
        return on(name, f"slurmd -N {name} -D"), {}
    if name in HOSTS:
        return on(name, f"/usr/sbin/sshd -D -e -f {RUN}/ssh/{name}.conf"), {}
    # Grid Engine; SGE_ND: it stays in the foreground.
    return [f"/usr/lib/gridengine/{name}"], {**GRIDENGINE_ENV, "SGE_ND": "1"}
