"""What hato says of itself: help, manual pages, and what it says of mistakes."""

import re
import shutil
import unittest

from harness import BUILD, Case, limit, main


class Help(Case):
    def verbs(self):
        return self.hato("manual").out.split()

    def test_hato_lists_its_verbs(self):
        text = self.hato("help").out
        self.assertEqual(self.hato("--help").out, text)
        for verb in "map run submit wait output tasks cancel forget status up down launch launchers credentials daemon dispatcher help".split():
            self.assertIn(f"\n  {verb} ", text)
            self.assertIn(verb, self.verbs())
        for hidden in ("executor", "launcher-host", "manual"):
            self.assertNotIn(f"\n  {hidden} ", text)
        self.assertRegex(self.hato("--version").out, r"^hato \d+\.\d+\.\d+\n$")
        self.assertIn("Usage", self.hato(rc=2).err)

    def test_each_verb_explains_itself(self):
        for verb in self.verbs():
            with self.subTest(verb):
                text = self.hato("help", verb).out
                self.assertEqual(self.hato(verb, "--help").out, text)
                self.assertIn(f"Usage: hato {verb} [options]", text)
                self.assertIn("--help", text)
                long = [line for line in text.splitlines() if len(line) > 80 and "Usage" not in line and not line.startswith("  hato ")]
                self.assertLessEqual(len(long), 3, long)  # examples alone may be long
                if verb not in ("help", "daemon", "launchers"):
                    self.assertIn("--session", text)

    def test_help_stands_before_a_mistake_and_within_a_command_is_the_commands(self):
        self.assertIn("Usage: hato map", self.hato("map", "--help", "--nosuch").out)
        self.assertNotIn("Usage: hato", self.hato("run", "echo", "--help").out)
        self.assertEqual(self.hato("run", "--", "printf", "%s", "--version").out, "--version")

    def test_unknown_verbs_and_options_name_the_nearest(self):
        for words, near in ((["mpa"], "'map'"), (["stat"], "'status'"), (["lanch"], "'launch'"), (["help", "submti"], "'submit'"),
                            (["map", "--progres"], "--progress"), (["up", "--demons", "2"], "--daemons"), (["up", "-x"], "-x"),
                            (["run", "-timeout", "3", "true"], "--timeout")):
            with self.subTest(words):
                done = self.hato(*words, rc=2)
                self.assertIn(near, done.err)
                self.assertEqual(done.out, "")
                self.assertNotRegex(done.err, r"(hato \w+: ){2}")
        self.assertNotIn("did you mean", self.hato("qqqqqq", rc=2).err)
        self.assertIn("before the verb", self.hato("--json", "status", rc=2).err)

    def test_values_that_are_none(self):
        for words, said in ((["up", "-n", "x"], "whole number"), (["up", "-n", "-1"], "-1"), (["up", "--idle", "soon"], "soon"),
                            (["map", "--progress", "often", "true"], "auto"), (["tasks", "--state", "dead"], "queued"),
                            (["up", "extra"], "extra"), (["map", "--timeout"], "--timeout")):
            with self.subTest(words):
                self.assertIn(said, self.hato(*words, rc=2).err)

    def test_each_verb_has_a_manual_page(self):
        for verb in self.verbs() + ["hato"]:
            page = self.hato("manual", verb).out
            self.assertTrue(page.startswith(".TH HATO"), verb)
            for section in ("NAME", "SYNOPSIS"):
                self.assertIn(f".SH {section}", page)
        self.assertIn("no verb", self.hato("manual", "nosuch", rc=2).err)
        # A verb's options are those that parse its command line.
        options = set(re.findall(r"--[a-z][a-z-]+", self.hato("help", "up").out))
        page = self.hato("manual", "up").out.replace("\\-", "-")
        self.assertEqual({option for option in options if option not in page}, set())

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    @limit(120)
    def test_manual_pages_have_no_faults(self):
        pages = sorted((BUILD / "man").glob("*.1"))
        self.assertEqual({p.name for p in pages}, {f"hato-{verb}.1" for verb in self.verbs()} | {"hato.1"})
        for page in pages:
            done = self.run_command("groff", "-man", "-ww", "-Tutf8", page)
            self.assertEqual(done.err, "", page.name)


main()
