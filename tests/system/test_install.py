"""An installed tree: complete, movable, and enough to build a program on."""

import os
import re
import shutil
import unittest

from harness import BUILD, SOURCE, Case, limit, main

CC = os.environ.get("CC", "cc")
SANITIZE = os.environ.get("HATO_SANITIZE", "")
FLAGS = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
EXAMPLES = sorted((SOURCE / "docs/examples").glob("*.c"))


class Install(Case):
    def setUp(self):
        super().setUp()
        self.prefix = self.dir / "prefix"
        self.run_command("cmake", "--install", BUILD, "--prefix", self.prefix)
        self.env["PKG_CONFIG_PATH"] = str(next(self.prefix.rglob("hato.pc")).parent)

    def there(self, pattern):
        found = sorted(self.prefix.glob(pattern))
        self.assertTrue(found, f"no {pattern} in {sorted(p.relative_to(self.prefix) for p in self.prefix.rglob('*'))}")
        return found

    def compile(self, source, out):
        words = self.run_command("pkg-config", "--cflags", "--libs", "hato").out.split()
        libdir = self.there("lib*/**/libhato.so")[0].parent
        self.run_command(CC, "-std=c17", "-Wall", "-Wextra", "-Werror", *FLAGS, source, "-o", out, *words, f"-Wl,-rpath,{libdir}")

    def test_the_tree_is_complete(self):
        for pattern in ("bin/hato", "lib*/**/libhato.so.0", "include/hato/hato.h", "include/hato/launcher.h",
                        "include/hato/function.h", "lib/hato/launchers/hato_launcher_local.so",
                        "lib*/**/hato-config.cmake", "share/man/man1/hato.1", "share/doc/hato/LICENSE"):
            self.there(pattern)

    def test_the_binary_runs_where_it_was_moved_to(self):
        moved = self.dir / "elsewhere"
        shutil.move(self.prefix, moved)
        done = self.run_command(moved / "bin/hato", "map", "--embedded", "-j", "2", "echo", "{}", input="a\nb\n")
        self.assertEqual(done.out, "a\nb\n")

    def test_one_copied_file_is_enough(self):
        alone = self.dir / "alone"
        alone.mkdir()
        shutil.copy(self.prefix / "bin/hato", alone)
        done = self.run_command(alone / "hato", "map", "--embedded", "-j", "2", "echo", "{}", input="a\nb\n")
        self.assertEqual(done.out, "a\nb\n")

    @limit(240)
    def test_the_examples_compile_by_pkg_config_and_run(self):
        self.assertGreaterEqual(len(EXAMPLES), 2)
        for source in EXAMPLES:
            with self.subTest(source.name):
                self.compile(source, self.dir / source.stem)
                self.run_command(self.dir / source.stem)

    @limit(240)
    def test_the_cmake_package_is_found(self):
        project = self.dir / "project"
        project.mkdir()
        (project / "version.c").write_text('#include <hato/hato.h>\n#include <stdio.h>\nint main(void) { puts(hato_version()); }\n')
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(user C)\nfind_package(hato 0.1 REQUIRED)\n"
            "add_executable(version version.c)\ntarget_link_libraries(version hato::hato)\n")
        self.run_command("cmake", "-G", "Ninja", "-S", project, "-B", project / "b", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                         f"-DCMAKE_C_COMPILER={CC}", f"-DCMAKE_C_FLAGS={' '.join(FLAGS)}", timeout=90)
        self.run_command("cmake", "--build", project / "b")
        self.assertRegex(self.run_command(project / "b/version").out, r"^\d+\.\d+\.\d+$")

    @limit(300)
    def test_a_launcher_is_built_against_the_installed_header_alone(self):
        folder = self.dir / "launcher"
        shutil.copytree(self.there("share/doc/hato/examples/launcher")[0], folder)
        self.env.update(PATH=f"{self.prefix / 'bin'}:{os.environ['PATH']}")
        self.run_command("make", f"CC={CC}", "CFLAGS=-O2 -Wall -Wextra -Werror", cwd=folder)
        needed = self.run_command("readelf", "-d", folder / "hato_launcher_tsp.so").out
        self.assertNotIn("libhato", needed)
        done = self.run_command("make", "test", cwd=folder, timeout=120)
        self.assertIn("19 passed, 0 failed, 1 left out", done.out)
        # And it does what it is for.
        self.env.update(HATO_LAUNCHERS_PATH=str(folder), TS_SOCKET=str(self.dir / "tmp/tsp"), TS_SLOTS="4")
        self.assertRegex(self.run_command("hato", "launchers").out, r"(?m)^tsp +daemons as jobs of Task Spooler on this machine$")
        self.assertIn("weight", self.run_command("hato", "launchers", "show", "tsp").out)
        self.run_command("hato", "up", "--launcher", "tsp", "-n", "2", "-o", "weight=2")
        self.assertEqual(self.run_command("hato", "map", "echo", "{}", input="a\nb\n").out, "a\nb\n")
        self.assertEqual(self.run_command("tsp", "-l").out.count(" running "), 2)
        self.run_command("hato", "down")
        self.wait_for(lambda: " running " not in self.run_command("tsp", "-l").out, 20, "no job runs")

    def test_the_guide_to_launchers_quotes_the_example(self):
        example = (SOURCE / "docs/examples/launcher/tsp.c").read_text()
        pieces = re.findall(r"^```c\n(.*?)^```", (SOURCE / "docs/launchers.md").read_text(), re.M | re.S)
        self.assertGreater(len(pieces), 3)
        for piece in pieces:
            self.assertIn(piece, example)

    @limit(180)
    def test_manual_pages_have_no_faults(self):
        for page in self.there("share/man/man*/*"):
            done = self.run_command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page)
            self.assertEqual(done.err, "", page.name)

    @unittest.skipIf(SANITIZE, "the release build's")
    def test_the_library_needs_no_path_of_the_build(self):
        for path in self.there("lib*/**/libhato.so.0") + self.there("bin/hato"):
            self.assertNotRegex(self.run_command("readelf", "-d", path).out, "RPATH|RUNPATH")


main()
