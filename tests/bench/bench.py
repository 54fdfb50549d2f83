"""The benchmark: each row hato beside its floor or a peer, in turns in the same run, the
median of several. docs/benchmarks.md says what the rows are and how to read them.

    bench.py [--json] [--only ROW]... [--quick] [--list]

HATO_BUILD_DIR is the build whose programs run (script/bench makes it a release build).
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SOURCE = Path(os.environ.get("HATO_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get("HATO_BUILD_DIR", SOURCE / "build" / "release"))
HATO = BUILD / "bin" / "hato"
PROGRAMS = BUILD / "tests" / "bench"
OBJECT = BUILD / "tests" / "functions" / "bench.so"
TRUE = shutil.which("true") or "/bin/true"
HEARTBEAT_S = 30

quick = False


def times(n):
    """How often each contender of a row has its turn."""
    return max(2, n // 3) if quick else n


def fewer(n, least=1):
    return max(least, n // 10) if quick else n


# ------------------------------------------------------------------- running


class World:
    """Folders of its own, and all that was started, which is ended with it."""

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="hb-", dir="/tmp"))
        self.started = []
        self.env = {n: v for n, v in os.environ.items() if not n.startswith(("HATO_", "SLURM_", "PBS_", "XDG_"))}
        for name in ("state", "run", "config"):
            (self.dir / name).mkdir(mode=0o700)
        self.env.update(
            XDG_STATE_HOME=str(self.dir / "state"), HATO_LOCAL_DIR=str(self.dir / "run"),
            XDG_RUNTIME_DIR=str(self.dir / "run"), XDG_CONFIG_HOME=str(self.dir / "config"), LC_ALL="C.UTF-8")
        return self

    def __exit__(self, *_):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        subprocess.run([HATO, "down"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *args, **more):
        done = subprocess.run([str(a) for a in args], env=self.env, stdout=subprocess.PIPE, check=False, text=True, **more)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, args))} ended with {done.returncode}")
        return done.stdout

    def start(self, *args):
        """A program that says a line of JSON when it is ready, and ends with its standard input."""
        process = subprocess.Popen([str(a) for a in args], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, args))} did not begin")
        return process, json.loads(line)

    def end(self, process):
        process.stdin.close()
        process.wait()
        process.stdout.close()

    def up(self, *args):
        self.run(HATO, "up", *args)
        status = json.loads(self.run(HATO, "status", "--json"))
        self.dispatcher = status["pid"]
        self.daemons = [d["pid"] for d in status["daemons"]]
        self.credential = next(self.dir.rglob("daemon.credential"))
        self.socket = next(u for u in status["urls"] if u.startswith("ipc://"))[len("ipc://") :]

    def down(self):
        self.run(HATO, "down", stderr=subprocess.DEVNULL)

    def tasks(self, *args):
        return json.loads(self.run(PROGRAMS / "bench_tasks", *args, "--object", OBJECT))

    def floor(self, name, *args):
        return json.loads(self.run(PROGRAMS / f"bench_floor_{name}", *args))

    def seconds(self, *args, input=None):
        begun = time.monotonic()
        self.run(*args, input=input)
        return time.monotonic() - begun


def turns(n, contenders):
    """{name: [values]} of {name: function}, one after the other, n times."""
    values = {name: [] for name in contenders}
    for _ in range(n):
        for name, function in contenders.items():
            values[name].append(function())
    return values


def medians(n, contenders):
    return {name: statistics.median(v) for name, v in turns(n, contenders).items()}


def row(name, what, unit, hato, peer=None, peer_value=None, ratio=None, bar=None, atleast=True, aim=None, **more):
    """`bar` is what the ratio to the peer must be (or, without a peer, the value)."""
    judged = hato if ratio is None else ratio
    reached = None if bar is None else (judged >= bar if atleast else judged <= bar)
    return dict(row=name, what=what, unit=unit, hato=hato, peer=peer, peer_value=peer_value, ratio=ratio, bar=bar,
                bar_is="at least" if atleast else "at most", aim=aim, reached=reached, **more)


# ---------------------------------------------------------------------- rows


def python_nothing(_):
    return None


def python_pool(n, chunk):
    """Tasks a second of Python's process pool with two workers."""
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        list(pool.map(python_nothing, range(100)))
        begun = time.monotonic()
        if chunk > 1:
            list(pool.map(python_nothing, range(n), chunksize=chunk))
        else:
            concurrent.futures.wait([pool.submit(python_nothing, 0) for _ in range(n)])
        return n / (time.monotonic() - begun)


def rates(name, what, tasks, python, bar, aim):
    with World() as w:
        w.up("-n", "1", "--slots", "2")
        m = medians(times(7), {"hato": lambda: w.tasks(name, "-n", tasks)["per_s"], "peer": python})
    yield row(name, what, "tasks/s", m["hato"], "Python's process pool", m["peer"], None, bar, aim=aim)


def array():
    n = fewer(1000000)
    yield from rates("array", f"empty functions, one array of {n:,}, 2 slots", n, lambda: python_pool(fewer(500000), 1000),
                     200000, 1000000)


def single():
    n = fewer(200000)
    yield from rates("single", f"empty functions, {n:,} single submits, 2 slots", n, lambda: python_pool(fewer(10000), 1),
                     100000, None)


def trips(name, what, hato, floor):
    n = fewer(1000, 500)
    with World() as w:
        if not hato:
            w.up("-n", "1", "--slots", "2")
        m = medians(fewer(20, 5), {
            "hato": lambda: w.tasks("trips", "-n", n, *hato)["median_ns"] / 1e3,
            "peer": lambda: w.floor("chain", "-n", n, *floor)["median_ns"] / 1e3})
    yield row(name, what, "µs", m["hato"], "a bare chain", m["peer"], m["hato"] / m["peer"], 1.4, False, 1.1)


def trip():
    yield from trips("trip", "one empty function, submit to result", (), ())


def trip_embedded():
    yield from trips("trip-embedded", "the same, embedded", ("--embedded", HATO), ("--embedded",))


def commands():
    n = fewer(10000)
    lines = "".join(f"{i}\n" for i in range(n))
    few = fewer(1000, 200)
    with World() as w:
        w.up("-n", "1", "--slots", "2")
        contenders = {
            "hato": lambda: n / w.seconds(HATO, "map", TRUE, input=lines),
            "a bare spawn loop": lambda: w.floor("spawn", "-n", n)["per_s"],
            "xargs -P2": lambda: n / w.seconds("xargs", "-P2", "-n1", TRUE, input=lines),
        }
        if shutil.which("parallel"):
            contenders["GNU parallel -j2"] = lambda: few / w.seconds("parallel", "--will-cite", "-j2", TRUE, input="".join(
                f"{i}\n" for i in range(few)))
        m = medians(times(5), contenders)
    bars = {"a bare spawn loop": (0.9, 1.0), "xargs -P2": (1.5, None), "GNU parallel -j2": (8, None)}
    for peer, (bar, aim) in bars.items():
        if peer in m:
            yield row("commands", f"{n:,} commands true, 2 slots", "commands/s", m["hato"], peer, m[peer], m["hato"] / m[peer],
                      bar, aim=aim)


def queued():
    n = fewer(1000000)
    def once():
        with World() as w:
            w.up("-n", "0")
            return w.tasks("queued", "-n", n, "--watch", w.dispatcher)["bytes_each"]
    m = medians(times(3), {"hato": once})
    yield row("queued", f"a queued array task, 16-byte argument, of {n:,}", "bytes", m["hato"], bar=100, atleast=False, aim=48)


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no VmRSS of {pid}")


def ten_working(w, idle, tasks):
    """The rate of ten daemons, while others sit on a task that does not end."""
    started = []
    if idle:
        started.append(w.start(PROGRAMS / "bench_daemons", "--socket", w.socket, "--credential", w.credential, "-n", idle, "--hold")[0])
        started.append(w.start(PROGRAMS / "bench_tasks", "hold", "-n", idle, "--object", OBJECT)[0])
    started.append(w.start(PROGRAMS / "bench_daemons", "--socket", w.socket, "--credential", w.credential, "-n", 10)[0])
    rate = w.tasks("array", "-n", tasks)["per_s"]
    for process in reversed(started):
        w.end(process)
    return rate


def daemons():
    n, tasks = 5000, fewer(500000, 100000)
    with World() as w:
        w.up("-n", "0")
        before = resident(w.dispatcher)
        held, _ = w.start(PROGRAMS / "bench_daemons", "--socket", w.socket, "--credential", w.credential, "-n", n)
        yield row("daemon-memory", f"a connected daemon, of {n:,}", "bytes", (resident(w.dispatcher) - before) / n, bar=4096,
                  atleast=False)
        m = medians(times(5), {"all": lambda: w.tasks("array", "-n", tasks)["per_s"]})
        w.end(held)
        yield row("daemons-all", f"empty tasks, {n:,} daemons working", "tasks/s", m["all"], bar=50000)
        m = medians(times(5), {"alone": lambda: ten_working(w, 0, tasks), "among": lambda: ten_working(w, n - 10, tasks)})
    yield row("daemons-idle", f"empty tasks, ten daemons among {n - 10:,} idle ones", "tasks/s", m["among"], "the ten alone",
              m["alone"], m["among"] / m["alone"], 0.8)


def payload():
    mb = fewer(100, 20)
    grew = []
    def once(w):
        done = w.tasks("bytes", "-m", mb, "--watch", w.dispatcher)
        grew.append(done["grew"])
        return done["mb_s"]
    with World() as w:
        w.up("-n", "1", "--slots", "2")
        m = medians(times(7), {"hato": lambda: once(w), "peer": lambda: w.floor("relay", "-m", mb)["mb_s"]})
    yield row("payload", f"{mb} MB in and {mb} MB out", "MB/s", m["hato"], "a bare relay", m["peer"], m["hato"] / m["peer"], 0.7)
    yield row("payload-memory", "the dispatcher's peak meanwhile, more than before", "MB", statistics.median(grew) / 1e6, bar=16,
              atleast=False)
    with World() as w:
        w.up("-n", "0")
        m = medians(2, {"hato": lambda: w.tasks("waiting", "-m", mb, "--detached", "--watch", w.dispatcher)["grew"] / 1e6})
    yield row("payload-queued", f"the same while {mb} MB are queued", "MB", m["hato"], bar=110, atleast=False)


def unequal():
    slots = 8
    with World() as w:
        w.up("-n", "1", "--slots", slots)
        results = [w.tasks("pareto", "--slots", slots) for _ in range(times(5))]
    took = statistics.median(r["makespan_s"] for r in results)
    best = results[0]["list_s"]
    yield row("unequal", f"{results[0]['total_s']:.0f} s of sleeps of Pareto length, {slots} slots", "s", took,
              "greedy list scheduling", best, took / best, 1.05, False)


def switches(pids):
    """Of all threads; not those that other programs forced on them."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt"):
                    total += int(line.split()[1])
    return total


def idle():
    """A heartbeat wakes who sends it, and at its receiver NNG's poller and one of its threads, and each
    may have to wait for a lock: five switches."""
    window = HEARTBEAT_S if quick else 60
    with World() as w:
        w.up("-n", "2", "--slots", "2")
        w.tasks("array", "-n", 1000)
        time.sleep(2)  # what the work set in motion
        pids = [w.dispatcher, *w.daemons]
        before = switches(pids)
        time.sleep(window)
        n = switches(pids) - before
    beats = 2 * 2 * window // HEARTBEAT_S
    yield row("idle", f"context switches in {window} s, dispatcher and two idle daemons", "switches", n, "heartbeats", beats,
              n / beats, 5, False)


class Flood:
    """bench_flood at a session's port, and what it said last."""

    def __init__(self, w, url, n, *more):
        port = url.rsplit("://", 1)[-1]
        self.process, self.last = w.start(PROGRAMS / "bench_flood", "--url", f"tcp://{port}", "-n", n, *more)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.last = json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        return self.last


class Flooded:
    """Work at a daemon that dialled a port, and strangers at the same."""

    def __init__(self, w, tasks, scheme="tcp"):
        self.w, self.tasks = w, tasks
        self.admitted, self.memory, self.descriptors, self.said = [], [], [], {}
        w.up("-n", "0", "--listen", f"{scheme}://127.0.0.1:0")
        self.url = listens_at(w, scheme)
        session = next(w.dir.glob("state/hato/*/client.credential")).parent
        self.dial = ("--url", self.url, "--credential-file", session / "client.credential")
        w.started.append(subprocess.Popen([HATO, "daemon", "--url", self.url, "--credential-file", session / "daemon.credential",
                                           "--slots", "2"], env=w.env, stdin=subprocess.DEVNULL))
        w.tasks("array", "-n", 1000)
        self.before = resident(w.dispatcher)

    def rate(self):
        """Of three arrays, whose results are all checked: a task that was lost ends the row."""
        return 3 / sum(1 / self.w.tasks("array", "-n", self.tasks)["per_s"] for _ in range(3))

    def rate_among(self, n, *more, opening=False, ours=0):
        """Once all strangers have come, or from when the first one does; then so many of ours come."""
        f = Flood(self.w, self.url, n, *more)
        deadline = time.monotonic() + 60
        while not opening and f.last["connects"] < n:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the strangers do not come: {f.last}")
            time.sleep(0.05)
        rate = self.rate()
        self.memory.append(resident(self.w.dispatcher) - self.before)
        self.descriptors.append(len(os.listdir(f"/proc/{self.w.dispatcher}/fd")))
        for _ in range(ours):
            self.admitted.append(self.w.seconds(HATO, "status", *self.dial) * 1000)
        self.said[" ".join(more)] = f.end()
        return rate


def flood():
    n = 10000
    with World() as w:
        f = Flooded(w, fewer(1000000))
        v = turns(times(5), {"quiet": f.rate, "flooded": lambda: f.rate_among(n, ours=5)})
        opening = turns(times(5), {"quiet": f.rate, "flooded": lambda: f.rate_among(n, opening=True)})
        eager = turns(times(3), {"quiet": f.rate, "flooded": lambda: f.rate_among(n, "--eager")})
        log = sum(p.stat().st_size for p in w.dir.glob("state/hato/*/log"))
    for name, what, values, bar in (("flood", "200 a second anew", v, 0.8), ("flood-opening", "as they come", opening, None),
                                    ("flood-eager", "all anew at once", eager, None)):
        m = {k: statistics.median(rates) for k, rates in values.items()}
        yield row(name, f"empty tasks among {n:,} strangers, {what}", "tasks/s", m["flooded"], "none of them", m["quiet"],
                  m["flooded"] / m["quiet"], bar, strangers=f.said)
    yield row("flood-admitted", f"one of ours comes among them, the slowest of {len(f.admitted)}", "ms", max(f.admitted), bar=1000,
              atleast=False, median=statistics.median(f.admitted))
    yield row("flood-memory", "the dispatcher's memory meanwhile, more than before", "MB", max(f.memory) / 1e6, bar=16, atleast=False,
              descriptors=max(f.descriptors))
    yield row("flood-log", "its log after all of them", "KB", log / 1e3, bar=100, atleast=False)


def flood_tls():
    """The same at a port that speaks TLS."""
    n = 10000
    with World() as w:
        f = Flooded(w, fewer(500000), "tls+tcp")
        m = medians(times(5), {"quiet": f.rate, "flooded": lambda: f.rate_among(n, ours=5)})
    yield row("flood-tls", f"empty tasks over tls+tcp among {n:,} strangers", "tasks/s", m["flooded"], "none of them", m["quiet"],
              m["flooded"] / m["quiet"], 0.8)
    yield row("flood-tls-admitted", f"one of ours comes among them, the slowest of {len(f.admitted)}", "ms", max(f.admitted),
              bar=1000, atleast=False, median=statistics.median(f.admitted))


# ------------------------------------------------------------------ security


def munged(w):
    """A munged of this run's own; hato is told of it. False: there is none here."""
    program = shutil.which("munged", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        return False
    at = w.dir / "munge"
    at.mkdir(mode=0o711)
    (at / "key").write_bytes(os.urandom(128))
    (at / "key").chmod(0o600)
    files = [f"--{name}-file={at / name}" for name in ("key", "pid", "log", "seed")]
    process = subprocess.Popen([program, "--foreground", "--force", f"--socket={at / 'socket'}", *files],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    w.started.append(process)
    deadline = time.monotonic() + 20
    while not (at / "socket").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("munged does not start")
        time.sleep(0.01)
    w.env["HATO_MUNGE_SOCKET"] = str(at / "socket")
    return True


def listens_at(w, scheme):
    return next(u for u in json.loads(w.run(HATO, "status", "--json"))["urls"] if u.startswith(scheme + "://"))


def dial():
    """What admission adds to a connection: beside one that is made and closed without a word."""
    n = fewer(500, 100)
    ways = [("a Unix socket, by peer uid", "ipc", "off", 1000), ("tcp, by the secret", "tcp", "off", 1000),
            ("tcp, by the secret and MUNGE", "tcp", "require", 5000)]
    for what, scheme, munge, bar in ways:
        with World() as w:
            if munge == "require" and not munged(w):
                return
            w.up("-n", "0", "--munge", munge, "--listen", "tcp://127.0.0.1:0")
            url, key = listens_at(w, scheme), next(w.dir.rglob("client.credential"))
            m = medians(times(5), {name: lambda name=name: json.loads(w.run(
                PROGRAMS / "bench_dials", name, "--url", url, "--credential", key, "-n", n))["median_us"] for name in ("client", "bare")})
        yield row("dial", f"to be admitted over {what}", "µs", m["client"] - m["bare"], "the connection itself", m["bare"], bar=bar,
                  atleast=False)


def over(w, url, daemon, n):
    """Tasks a second of a client and a daemon that both come by this url."""
    process = subprocess.Popen([HATO, "daemon", "--url", url, "--credential-file", w.credential, "--slots", "2"], env=w.env,
                               stdin=subprocess.DEVNULL)
    w.started.append(process)
    deadline = time.monotonic() + 60
    while len(json.loads(w.run(HATO, "status", "--json"))["daemons"]) != 1:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the daemon does not come")
        time.sleep(0.01)
    rate = w.tasks("array", "-n", n, "--url", url, "--credential", daemon)["per_s"]
    process.terminate()
    process.wait()
    while json.loads(w.run(HATO, "status", "--json"))["daemons"]:
        time.sleep(0.01)
    return rate


def tls():
    n, tasks = 1000, fewer(1000000)
    with World() as w:
        w.up("-n", "0", "--munge", "off", "--listen", "tcp://127.0.0.1:0", "--listen", "tls+tcp://127.0.0.1:0")
        key = next(w.dir.rglob("client.credential"))
        urls = {scheme: listens_at(w, scheme) for scheme in ("tls+tcp", "tcp")}
        m = medians(times(5), {scheme: lambda url=url: over(w, url, key, tasks) for scheme, url in urls.items()})
        yield row("tls-array", f"empty tasks over tls+tcp, one array of {tasks:,}, 2 slots", "tasks/s", m["tls+tcp"], "over tcp",
                  m["tcp"], m["tls+tcp"] / m["tcp"], 0.5)
        before = resident(w.dispatcher)
        held, said = w.start(PROGRAMS / "bench_dials", "daemons", "--url", urls["tls+tcp"], "--credential", w.credential, "-n", n)
        yield row("tls-memory", f"a connection with TLS, of {n:,}", "KB", (resident(w.dispatcher) - before) / n / 1024, bar=64,
                  atleast=False)
        w.end(held)
    with World() as w:
        w.up("-n", "1", "--slots", "2", "--munge", "off", "--listen", "tls+tcp://127.0.0.1:0")
        work, _ = w.start(sys.executable, "-c", WORK, PROGRAMS / "bench_tasks", OBJECT)
        held, said = w.start(PROGRAMS / "bench_dials", "daemons", "--url", listens_at(w, "tls+tcp"), "--credential", w.credential,
                             "-n", n)
        w.end(held)
        w.end(work)
    yield row("tls-daemons", f"{n:,} daemons connect over tls+tcp while work runs", "s", said["seconds"], bar=20, atleast=False)


# Arrays of empty tasks, one after the other, until standard input ends.
WORK = """
import json, select, subprocess, sys
program, functions = sys.argv[1:]
print(json.dumps({}), flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    subprocess.run([program, "array", "-n", "200000", "--object", functions], stdout=subprocess.DEVNULL, check=True)
"""


def on_cluster(*words):
    script = SOURCE / "tests/cluster/cluster.py"
    return subprocess.run([sys.executable, script, *map(str, words)], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)


def first_results(row_name, bar, kinds):
    """On the cluster of the tests, which takes root: else there are no such rows."""
    if on_cluster("check").returncode != 0:
        return
    was_up = on_cluster("status").returncode == 0
    if not was_up and on_cluster("up").returncode != 0:
        return
    try:
        for kind, words in kinds:
            done = on_cluster("enter", sys.executable, SOURCE / "tests/bench/first_result.py", times(9), kind)
            if done.returncode != 0:
                raise RuntimeError(f"tests/bench/first_result.py {kind} ended with {done.returncode}")
            m = {name: statistics.median(values) * 1000 for name, values in json.loads(done.stdout).items()}
            yield row(row_name, f"first result, beyond {words}", "ms", m["hato"] - m["bare"], words.split(",")[0],
                      m["bare"], bar=bar, atleast=False)
    finally:
        if not was_up:
            on_cluster("down")


def ssh():
    return first_results("ssh", 200, (("ssh", "a bare ssh"), ("tunnel", "a bare ssh, through a jump host")))


def slurm():
    return first_results("slurm", 300, (("sbatch", "a bare sbatch"), ("srun", "srun true, inside an allocation")))


ROWS = {f.__name__.replace("_", "-"): f
        for f in (array, single, trip, trip_embedded, commands, queued, daemons, payload, unequal, idle, flood, flood_tls,
                  dial, tls, ssh, slurm)}


# --------------------------------------------------------------------- print


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_row(r):
    verdict = {True: "reached", False: "MISSED", None: ""}[r["reached"]]
    peer = f"{number(r['peer_value'])} {r['peer']}" if r["peer"] else ""
    bar = f"{'≥' if r['bar_is'] == 'at least' else '≤'} {number(r['bar'])}" if r["bar"] is not None else ""
    ratio = f"{r['ratio']:.2f}" if r["ratio"] is not None else ""
    hato = f"{number(r['hato'])} {r['unit']}"
    print(f"{r['row']:<15} {r['what']:<58} {hato:>20}  {peer:<32} {ratio:>6} {bar:>10}  {verdict}", flush=True)


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown processor")
    return dict(date=time.strftime("%Y-%m-%d"), cores=len(os.sched_getaffinity(0)), processor=model, kernel=os.uname().release,
                load=round(os.getloadavg()[0], 2))


def main():
    global quick
    parser = argparse.ArgumentParser(prog="script/bench", description="hato beside floors and peers")
    parser.add_argument("--json", action="store_true", help="an object a line: first the machine, then the rows")
    parser.add_argument("--only", action="append", metavar="ROW", choices=list(ROWS), help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller turns: a minute or two, and rough")
    parser.add_argument("--list", action="store_true", help="the names of the rows")
    o = parser.parse_args()
    if o.list:
        print("\n".join(ROWS))
        return 0
    quick = o.quick
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    m = machine()
    if o.json:
        print(json.dumps(m), flush=True)
    else:
        print(f"{m['date']}, {m['cores']} cores ({m['processor']}), Linux {m['kernel']}, load {m['load']} at the start\n")
        print(f"{'row':<15} {'what':<58} {'hato':>20}  {'beside':<32} {'ratio':>6} {'wanted':>10}")
    missed = 0
    for name, rows in ROWS.items():
        if o.only and name not in o.only:
            continue
        for r in rows():
            missed += r["reached"] is False
            print(json.dumps(r), flush=True) if o.json else print_row(r)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
