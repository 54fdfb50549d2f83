"""The layer table as a test: includes and link dependencies against it, what the
library and the modules export, and what the binary needs."""

import os
import re
import shutil
import unittest
from pathlib import Path

import table
from harness import BUILD, HATO, SOURCE, Case, limit, main

SANITIZED = bool(os.environ.get("HATO_SANITIZE"))
TOP = {"core", "launchers", "slurm", "pbs", "ssh", "tests", "docs", "script"}
TOP_FILES = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE"}
# What a module's misuse fixtures are for is to be wrong.
MISUSE = "bad_"


class Includes(Case):
    def check_layer(self, layer, path, wrong):
        known = table.knows(layer)
        for name in table.includes(path):
            other = table.layer_of(name)
            if name.startswith("hato/"):
                if layer not in table.PUBLIC.get(name, ()):
                    wrong.append(f"{path.relative_to(SOURCE)} includes {name}, which is not for {layer}")
            elif other and other not in known and name not in table.HEADERS.get(layer, ()):
                wrong.append(f"{path.relative_to(SOURCE)} includes {name}: {layer} does not know {other}")
            elif ".." in name.split("/"):
                wrong.append(f"{path.relative_to(SOURCE)} includes {name}: paths begin at core/")

    def test_a_layer_includes_only_what_it_knows(self):
        wrong = []
        for layer, (folder, _) in table.TABLE.items():
            for path in table.sources(folder):
                self.check_layer(layer, path, wrong)
        self.assertEqual(wrong, [])

    def test_modules_include_only_the_launcher_header(self):
        wrong = []
        for folder in table.MODULES:
            for path in table.sources(folder):
                for name in table.includes(path):
                    local = (path.parent / name).exists()
                    ours = table.layer_of(name) or name.startswith("hato/")
                    if ours and not local and name not in ("hato/launcher.h", "hato/status.h"):
                        wrong.append(f"{path.relative_to(SOURCE)} includes {name}")
        self.assertEqual(wrong, [])

    def test_public_headers_include_no_others(self):
        for path in table.sources("core/include/hato"):
            for name in table.includes(path):
                self.assertIsNone(table.layer_of(name), f"{path.name} includes {name}")

    def test_the_scheduler_has_no_io_thread_or_clock(self):
        banned = {"pthread.h", "threads.h", "time.h", "sys/time.h", "unistd.h", "fcntl.h", "sys/socket.h", "poll.h"}
        for path in table.sources("core/sched"):
            self.assertFalse(banned & set(table.includes(path)), path.name)
            self.assertNotIn("base/clock.h", table.includes(path), path.name)

    def test_folders_are_those_of_the_table(self):
        layers = {folder.split("/")[1] for folder, _ in table.TABLE.values() if "/" in folder} | {"include"}
        self.assertLessEqual({p.name for p in (SOURCE / "core").iterdir() if p.is_dir()}, layers)

    def test_top_level_is_as_agreed(self):
        wrong = []
        for path in SOURCE.iterdir():
            if path.name.startswith(".") or path.name == "build":
                continue
            if path.name not in (TOP if path.is_dir() else TOP_FILES):
                wrong.append(path.name)
        self.assertEqual(wrong, [])

    def test_files_are_of_one_idea(self):
        folders = [folder for folder, _ in table.TABLE.values()] + table.MODULES + ["core/include/hato"]
        sizes = {p: len(p.read_text().splitlines()) for folder in folders for p in table.sources(folder)}
        self.assertEqual([f"{p.relative_to(SOURCE)}: {n} lines" for p, n in sizes.items() if n > 800], [])


class Links(Case):
    def owners(self):
        """{symbol: layer} of all that the layers define, and {layer: {symbol: object}} of what they lack."""
        owner, lacks = {}, {}
        for layer in table.TABLE:
            for kind, name, file in table.symbols_of(table.objects(f"hato_{layer}"), "-g"):
                if kind in "Uvw":
                    lacks.setdefault(layer, {})[name] = file
                else:
                    owner[name] = layer
        return owner, lacks

    def test_a_layer_calls_only_what_it_knows(self):
        owner, lacks = self.owners()
        wrong = []
        for layer, names in lacks.items():
            allowed = table.knows(layer) | table.LINKS.get(layer, set())
            for name, path in names.items():
                if name in owner and owner[name] not in allowed:
                    wrong.append(f"{layer} ({path}) calls {name} of {owner[name]}")
        self.assertEqual(wrong, [])

    def test_no_name_is_defined_twice(self):
        """From archives the linker might take either."""
        where = {}
        for layer in table.TABLE:
            for kind, name, file in table.symbols_of(table.objects(f"hato_{layer}"), "-g", "--defined-only"):
                where.setdefault(name, []).append(f"{layer}/{file}")
        self.assertEqual({name: files for name, files in where.items() if len(files) > 1}, {})

    def test_external_names_say_whose_they_are(self):
        """hato_ is public, hato__ internal; a layer's own prefix does as well."""
        owner, _ = self.owners()
        wrong = [f"{name} of {layer}" for name, layer in owner.items()
                 if not name.startswith(("hato_", f"{layer}_", "_", "."))]
        self.assertEqual(wrong, [])

    def test_public_names_are_in_the_public_headers(self):
        headers = "".join(p.read_text() for p in table.sources("core/include/hato"))
        owner, _ = self.owners()
        public = [name for name in owner if re.match(r"hato_[a-z]", name)]
        self.assertEqual([name for name in public if not re.search(rf"\b{name}\b", headers)], [])

    @unittest.skipIf(SANITIZED, "sanitizers add data of their own")
    def test_no_mutable_globals(self):
        """State is passed. Constant tables (.data.rel.ro) are no state."""
        wrong = []
        for layer in table.TABLE:
            paths, file = table.objects(f"hato_{layer}"), ""
            for line in table.run("objdump", "-t", *paths).splitlines() if paths else []:
                if ":     file format" in line:
                    file = Path(line.split(":")[0]).name
                found = re.search(r" O (\.bss|\.data|\.tbss|\.tdata)(\S*)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line)
                if found and not found[2].startswith(".rel.ro"):
                    wrong.append(f"{layer}: {found[3]} in {file}")
        allowed = table.MUTABLE
        self.assertEqual([w for w in wrong if w.split(" ")[1].split(".")[0] not in allowed], [])


class Products(Case):
    def test_modules_export_one_symbol_and_link_nothing_of_hato(self):
        self.assertTrue(table.modules(), "no launcher module was built")
        for path in table.modules():
            with self.subTest(path.name):
                exported = [(k, n) for k, n in table.symbols(path, "-D", "--defined-only")]
                if not path.stem.removeprefix("hato_launcher_").startswith(MISUSE):
                    self.assertEqual([n for _, n in exported], ["hato_launcher_module"])
                lacking = [n for k, n in table.symbols(path, "-D", "--undefined-only") if n.startswith("hato")]
                self.assertEqual(lacking, [])
                self.assertEqual([lib for lib in table.needed(path) if "hato" in lib], [])

    def test_library_exports_only_public_names(self):
        names = [n for k, n in table.symbols(BUILD / "lib/libhato.so", "-D", "--defined-only") if k != "A"]
        self.assertIn("hato_strerror", names)
        self.assertEqual([n for n in names if not re.match(r"hato_[a-z]", n)], [])

    def test_library_exports_all_that_the_headers_declare(self):
        names = {n for _, n in table.symbols(BUILD / "lib/libhato.so", "-D", "--defined-only")}
        for path in table.sources("core/include/hato"):
            declared = set(re.findall(r"HATO_API[^;(]*?\b(hato_\w+)\(", path.read_text()))
            self.assertEqual(declared - names, set(), path.name)

    @unittest.skipIf(SANITIZED, "sanitizers bring libraries")
    def test_binary_needs_only_libc_libm_and_libudev(self):
        self.assertIn("libc.so.6", table.needed(HATO))
        self.assertLessEqual(set(table.needed(HATO)), {"libc.so.6", "libm.so.6", "libudev.so.1", "ld-linux-x86-64.so.2"})


class Headers(Case):
    def compile_alone(self, compiler, *flags):
        if not shutil.which(compiler):
            self.skipTest(f"no {compiler}")
        for path in table.sources("core/include/hato"):
            self.run_command(compiler, *flags, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                             "-I", SOURCE / "core/include", "-include", f"hato/{path.name}", "-", input="")

    @limit(60)
    def test_compile_alone_as_c17(self):
        self.compile_alone("gcc", "-xc", "-std=c17")

    @limit(60)
    def test_compile_alone_as_cxx(self):
        self.compile_alone("g++", "-xc++", "-std=c++17")


class Clang(Case):
    """gcc's warnings are seen by the build; clang has others."""

    @limit(120)
    def test_the_sources_are_clean_under_clang_too(self):
        if not shutil.which("clang"):
            self.skipTest("no clang")
        flags = ["-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Wconversion",
                 "-Wno-sign-conversion", "-Werror"]
        roots = [f"-I{SOURCE / 'core'}", f"-I{SOURCE / 'core/include'}", f"-I{SOURCE}", f"-I{BUILD / 'generated'}"]
        folders = [folder for folder, _ in table.TABLE.values()] + table.MODULES
        if not (BUILD / "lib/hato/launchers/hato_launcher_slurm.so").exists():
            folders.remove("slurm")  # no header of libslurm
        files = [path for folder in folders for path in table.sources(folder) if path.suffix == ".c"]
        done = self.run_command("clang", *flags, *roots, *files, timeout=110, rc=None)
        self.assertEqual((done.rc, done.err), (0, ""), done.err)


main()
