"""The layer table of docs/architecture.md, as data, and how to read the tree by it."""

import re
import subprocess
from pathlib import Path

from harness import BUILD, SOURCE

# layer: (folder, what its row names). What those know it knows too.
TABLE = {
    "base": ("core/base", []),
    "proto": ("core/proto", ["base"]),
    "conf": ("core/conf", ["base"]),
    "session": ("core/session", ["base"]),
    "sched": ("core/sched", ["base"]),
    "net": ("core/net", ["proto"]),
    "topo": ("core/topo", ["base"]),
    "launchers": ("launchers", ["base", "conf", "proto"]),
    "dispatcher": ("core/dispatcher", ["base", "proto", "conf", "session", "sched", "net", "topo", "launchers"]),
    "daemon": ("core/daemon", ["base", "proto", "conf", "session", "net", "topo"]),
    "executor": ("core/executor", ["proto"]),
    "client": ("core/client", ["proto", "net", "session", "dispatcher"]),
    "cli": ("core/cli", ["client", "dispatcher", "daemon", "launchers", "conf", "session"]),
}
# Single headers beyond the rows: the binary's main calls the executor's entry, and
# the daemon reads the exit codes of the executors it starts.
HEADERS = {"cli": {"executor/executor.h"}, "daemon": {"executor/executor.h"}}
PUBLIC = {
    "hato/status.h": set(TABLE),
    "hato/launcher.h": {"launchers", "dispatcher", "cli"},
    "hato/function.h": {"executor"},
    "hato/hato.h": {"client", "cli"},
}
# Folders of launcher modules: they know the launcher ABI's header alone.
MODULES = ["launchers/modules", "slurm", "pbs", "ssh", "tests/launchers"]
# The layer whose entry symbols another may call although no row names it.
LINKS = {"cli": {"executor"}}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def knows(layer):
    seen, fresh = {layer}, [layer]
    while fresh:
        fresh = [name for known in fresh for name in TABLE[known][1] if name not in seen]
        seen.update(fresh)
    return seen


def sources(folder):
    """Its own files, none of a folder inside it."""
    return sorted(p for p in (SOURCE / folder).glob("*") if p.suffix in (".c", ".h"))


def includes(path):
    return [name for _, name in INCLUDE.findall(path.read_text())]


def layer_of(path):
    """The layer that an included name belongs to; None: not one of ours."""
    head = path.split("/")[0]
    return head if head in TABLE and "/" in path else None


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


def objects(target):
    return sorted((BUILD / "CMakeFiles" / f"{target}.dir").rglob("*.o"))


def symbols(path, *flags):
    """[(type, name)] by nm."""
    return [(kind, name) for kind, name, _ in symbols_of([path], *flags)]


def symbols_of(paths, *flags):
    """[(type, name, file)] by nm."""
    found = []
    for line in run("nm", "-A", "-P", *flags, *paths).splitlines() if paths else []:
        file, _, rest = line.partition(": ")
        words = rest.split()
        if len(words) >= 2:
            found.append((words[1], words[0].split("@")[0], Path(file).name))
    return found


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", path))


def modules():
    found = sorted((BUILD / "lib/hato/launchers").glob("*.so")) + sorted((BUILD / "tests/launchers").glob("*.so"))
    return [Path(path) for path in found]

# The mutable statics there are, each with its reason.
MUTABLE = {
    "crashing",  # executor: what its handler of SIGSEGV and the like looks at
    # net: OpenSSL's library context, which takes a millisecond to make, and its hidden memory, which a process has once
    "openssl_once", "openssl_context", "hidden_once",
}
