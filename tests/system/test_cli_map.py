"""hato map, as a user types it."""

import base64
import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
from pathlib import Path

from harness import HATO, PATIENCE, Case, limit, main

SH = "/bin/sh"


class Map(Case):
    """Without a session: daemons of its own, and nothing left afterwards."""

    def map(self, *words, **more):
        return self.hato("map", "--embedded", "-j", "2", *words, **more)

    @limit(120)
    def test_checksums_are_those_of_the_serial_answer(self):
        names = subprocess.run("find /usr/share/doc -type f | LC_ALL=C sort | head -500", shell=True, capture_output=True,
                               text=True, check=True).stdout
        serial = self.run_command("xargs", "-d", "\\n", "-n", "1", "sha256sum", input=names)
        done = self.run_command(SH, "-c", "hato map sha256sum {} > sums.txt", input=names, timeout=60)
        self.assertEqual((self.cwd / "sums.txt").read_text(), serial.out)
        self.assertEqual((done.out, done.err), ("", ""), "no progress but on a terminal")
        self.assert_nothing_left(30)

    def test_order_is_that_of_the_inputs(self):
        done = self.map("sleep 0.{}; echo {}; echo err {} >&2", input="3\n1\n2\n0\n1\n")
        self.assertEqual(done.out, "3\n1\n2\n0\n1\n")
        self.assertEqual(done.err, "err 3\nerr 1\nerr 2\nerr 0\nerr 1\n")

    def test_streams_are_whole(self):
        done = self.map("for i in 1 2 3 4 5; do echo {}; done", input="".join(f"{i}\n" for i in range(50)))
        self.assertEqual(done.out, "".join(f"{i}\n" * 5 for i in range(50)))

    def test_the_input_is_appended_without_braces(self):
        self.assertEqual(self.map("echo", "a", input="b c\n").out, "a b c\n")
        self.assertEqual(self.map("echo a", input="b  c\n").out, "a b  c\n")

    def test_braces_anywhere(self):
        self.assertEqual(self.map("printf", "%s|", "{}", "x{}y", "{}{}", input="b c\n").out, "b c|xb cy|b cb c|")

    def test_several_words_know_no_shell(self):
        self.assertEqual(self.map("echo", "$HOME;", "{}", "|", "cat", input="`id`\n").out, "$HOME; `id` | cat\n")

    HOSTILE = ["a b", "$(touch owned)", "`touch owned`", "'; touch owned; '", '"; touch owned; "', "a\nb", "*", "-n", "\\", "~",
               "", "'", '"', "$HOME", "a'b\"c", "\xe9\u9ce9", "; touch owned #", "{}", "&& touch owned", "\ttab", "!x"]

    def hostile(self, line):
        done = self.map("-0", line, input="".join(f"{word}\0" for word in self.HOSTILE))
        self.assertFalse((self.cwd / "owned").exists(), line)
        self.assertEqual(done.out.split("\0")[:-1], self.HOSTILE, line)

    @limit(90)
    def test_inputs_are_quoted_into_a_shell_line(self):
        for line in ("printf '%s\\0' {}", "printf '%s\\0'", "printf '%s\\0' \"{}\"", "printf '%s\\0' '{}'",
                     "printf '%s\\0' \"$(printf '%sX' {})\" | sed 's/X\\x00$/\\x00/'", "x={}; printf '%s\\0' \"$x\"",
                     "(printf '%s\\0' {})", "true && printf '%s\\0' {} # {none"):
            with self.subTest(line):
                self.hostile(line)

    def test_where_inputs_cannot_be_quoted_they_are_refused(self):
        for line, words in (("echo `basename {}`", "backquotes"), ("echo # {}", "comment"), ("cat <<X\n{}\nX", "here-document"),
                            ("echo ${x:-{}}", "${"), ("echo $(({} + 1))", "(("), ("echo $'a {}'", "$'"),
                            ("case {} in a) echo 1;; esac", "case"), ("echo 'open", "appended"),
                            ("echo \\{} {}", "behind a \\"), ("echo \"\\{}\" {}", "behind a \\"), ("echo ${} {}", "behind a $")):
            with self.subTest(line):
                done = self.map(line, input="a\n", rc=2)
                self.assertIn(words, done.err)

    def test_a_single_word_of_braces_is_the_command(self):
        self.assertEqual(self.map("{}", input="/bin/pwd\n").out.strip(), str(self.cwd))

    def test_no_input_is_no_work(self):
        done = self.map("echo", "{}", input="")
        self.assertEqual((done.out, done.err), ("", ""))
        self.assert_nothing_left(30)

    def test_an_empty_line_is_an_input_and_the_last_line_needs_no_end(self):
        self.assertEqual(self.map("echo", "<{}>", input="a\n\nb").out, "<a>\n<>\n<b>\n")

    def test_inputs_are_bytes(self):
        """As xargs -d and parallel have them: only the end of a line is taken off."""
        self.assertEqual(self.map("printf", "<%s>", "{}", input=b"a\r\n \tb \n\xff\n\n", binary=True).out, b"<a\r>< \tb ><\xff><>")
        self.assertEqual(self.map("-0", "printf", "<%s>", "{}", input=b"a\nb\0\0c", binary=True).out, b"<a\nb><><c>")
        self.assertEqual(self.map("echo", "<{}>", input="\n\n").out, "<>\n<>\n")

    def test_inputs_that_cannot_be(self):
        done = self.map("printf", "<%s>", "{}", input="a\0b\nc\n", rc=1)
        self.assertEqual(done.out, "<c>")
        self.assertRegex(done.err, r"input 1, 'a\?b': .*a NUL byte cannot stand on a command line \(error value 3\); .* are read with -0\n")
        done = self.map("echo", "{}", input="a\n" + "y" * (65 << 20), rc=4)
        self.assertIn("hato map: input 2: it has over 64 MiB without an end; shorter ones were wanted", done.err)
        done = self.map("-a", "/", "echo", "{}", rc=4)
        self.assertIn("hato map: cannot read /: Is a directory", done.err)
        self.assert_nothing_left(30)

    def test_inputs_of_a_file(self):
        (self.cwd / "names").write_text("a\nb\n")
        self.assertEqual(self.map("-a", "names", "echo", "{}").out, "a\nb\n")
        self.assertIn("names2", self.map("-a", "names2", "echo", "{}", rc=2).err)

    def test_failed_tasks_are_named_and_counted(self):
        done = self.map("exit {}", input="0\n3\n0\n", rc=1)
        self.assertEqual(done.err, "hato map: input 2, '3': exit status 3\nhato map: 1 of 3 tasks failed\n")
        done = self.map("kill -s {} $$", input="KILL\n", rc=1)
        self.assertEqual(done.err, "hato map: input 1, 'KILL': ended by signal 9 (KILL)\n")
        done = self.map("exit", input="1\n" * 20, rc=1)
        self.assertEqual(len(done.err.splitlines()), 6, done.err)
        self.assertIn("20 of 20 tasks failed", done.err)

    def test_names_of_failed_tasks_obey_no_terminal_codes(self):
        self.assertIn("'a?[31m'", self.map("false", input="a\x1b[31m\n", rc=1).err)

    def test_commands_that_cannot_be_executed(self):
        folder = self.dir / "folder"
        folder.mkdir()
        plain = self.dir / "plain"
        plain.write_text("x")
        host = os.uname().nodename.split(".")[0]
        for program, words in ((folder, "folder"), (self.dir / "absent", "no such"), (plain, "permission")):
            done = self.map(program, input="a\n", rc=1)
            for word in (str(program), host, words):
                self.assertIn(word.lower(), done.err.lower())
        done = self.map("--cwd", "/nowhere", "true", input="a\n", rc=1)
        self.assertIn("/nowhere", done.err)

    def test_time_limit(self):
        done = self.map("--timeout", "200ms", "sleep", input="60\n0\n", rc=1)
        self.assertIn("input 1, '60': timed out", done.err)

    def test_environment_folder_and_files(self):
        self.env["FROM_SHELL"] = "shell"
        done = self.map("--cwd", "/", "--env", "A=1 2", "--env", "FROM_SHELL=own", "--env", "A=3",
                        'echo "$PWD $A $FROM_SHELL" {}', input="x\n")
        self.assertEqual(done.out, "/ 3 own x\n")
        self.assertEqual(self.map('echo "$FROM_SHELL" {}', input="x\n").out, "shell x\n")
        done = self.map("--env", "A", "true", input="x\n", rc=2)
        self.assertIn("NAME=VALUE", done.err)

    def test_output_to_files_counts_inputs(self):
        done = self.map("--output-to", "o-{#}-{}.{stream}", "echo {}; echo e >&2", input="a\nb\n" + "c\n" * 98)
        self.assertEqual((done.out, done.err), ("", ""))
        self.assertEqual((self.cwd / "o-1-a.out").read_text(), "a\n")
        self.assertEqual((self.cwd / "o-2-b.err").read_text(), "e\n")
        self.assertEqual(len(list(self.cwd.glob("o-*.out"))), 100)

    def test_json(self):
        done = self.map("--json", "echo {}; echo e >&2; exit {}", input="0\n4\n", rc=1)
        one, two = [json.loads(line) for line in done.out.splitlines()]
        self.assertEqual((one["index"], one["argument"], one["exit"], one["out"], one["err"]), (1, "0", 0, "0\n", "e\n"))
        self.assertEqual((two["index"], two["exit"]), (2, 4))
        for key in ("task", "wall", "user", "system", "peak"):
            self.assertIn(key, one)
        self.assertGreater(one["peak"], 0)
        done = self.map("--json", "printf", "\\377\\000{}", input="a\n")
        self.assertEqual(base64.b64decode(json.loads(done.out)["out_base64"]), b"\xff\0a")
        done = self.map("--json", "nosuchprogram", input="a\n", rc=1)
        self.assertEqual(json.loads(done.out)["error"], 12)
        done = self.map("--json", "kill -9 $$; : {}", input="a\n", rc=1)
        self.assertEqual(json.loads(done.out)["signal"], 9)

    def test_output_that_is_large(self):
        done = self.map("head -c {} /dev/zero", input="70000\n3000000\n10\n", binary=True)
        self.assertEqual(len(done.out), 3070010)

    def test_a_line_over_64_kilobytes(self):
        most = 32 * os.sysconf("SC_PAGESIZE") - 1  # bytes of an argument that exec takes
        for size in (65000, 65537, 100000, most):
            long = "x" * size
            self.assertEqual(self.map("echo", "{}", input=f"{long}\nb\n").out, f"{long}\nb\n")
        self.assertEqual(self.map("printf %s '{}' | wc -c", input=f"{'z' * 70000}'\n").out.strip(), "70001")
        done = self.map("echo", "{}", input=f"{'y' * (most + 1)}\nb\n", rc=1)
        self.assertEqual(done.out, "b\n")
        self.assertRegex(done.err, rf"an argument of {most + 1} bytes is too long for a command line: a word of it has at most {most} \(error value 17\)")
        done = self.map("echo {}", input=f"{'y' * most}\nb\n", rc=1)
        self.assertEqual(done.out, "b\n")
        self.assertRegex(done.err, rf"a word of its command line has {most + 5} bytes, at most {most} are taken \(error value 17\)")

    def test_results_come_before_the_input_ends(self):
        end, write = os.pipe()
        running = self.start_hato("map", "--embedded", "-j", "1", "echo", "{}", stdin=end)
        os.close(end)
        os.write(write, b"first\n")
        self.wait_for(lambda: running.out() == "first\n", 20, "the first result")
        os.write(write, b"second\n")
        self.wait_for(lambda: running.out() == "first\nsecond\n", 20, "the second result")
        os.close(write)
        self.assertEqual(running.wait().rc, 0)

    def test_nobody_reads_on(self):
        done = self.run_command("bash", "-c", "seq 100000 | hato map --embedded -j 2 echo {} | head -n 2; echo ${PIPESTATUS[1]}")
        self.assertEqual((done.out, done.err), ("1\n2\n141\n", ""))
        self.assert_nothing_left(30)

    def test_a_full_disk(self):
        done = self.run_command(SH, "-c", "seq 10 | hato map --embedded -j 2 echo {} > /dev/full", rc=4)
        self.assertIn("No space left", done.err)

    def test_interrupt_and_terminate(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            started = self.cwd / f"started{code}"
            running = self.start_hato("map", "--embedded", "-j", "2", "-a", self.inputs(100),
                                      f"echo x >> {started}; sleep 600; echo {{}}")
            self.wait_for(lambda: started.exists() and len(started.read_text()) == 4, 20, "two tasks at work")
            running.signal_group(number)
            done = running.wait(20)
            self.assertEqual(done.rc, code, done)
            self.assertEqual(done.out, "")
            self.assert_nothing_left(30)

    def inputs(self, n):
        path = self.cwd / "inputs"
        path.write_text("".join(f"{i}\n" for i in range(1, n + 1)))
        return path

    def test_a_slow_reader_does_not_deafen_it(self):
        end, write = os.pipe()
        self.addCleanup(os.close, end)
        process = self.popen([HATO, "map", "--embedded", "-j", "2", "-a", self.inputs(50), "head -c 30000 /dev/zero; : {}"],
                             stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.DEVNULL)
        os.close(write)
        self.wait_for(lambda: not self.below("head") and self.full(end), 30, "a full pipe")
        process.send_signal(signal.SIGINT)
        process.wait(20 * PATIENCE)
        self.assertEqual(process.returncode, 130)

    def full(self, fd):
        return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0] >= 60000

    @limit(300)
    def test_what_waits_for_an_early_task_is_held_on_disk(self):
        os.mkfifo(self.cwd / "go")
        sanitized = bool(os.environ.get("HATO_SANITIZE"))  # its memory is not measured then
        n, size = 300 if sanitized else 3000, 60000
        running = self.start_hato("map", "--embedded", "-j", "2", "-a", self.inputs(n), "--progress=always",
                                  f"test {{}} != 1 || read x < go; printf '%0{size}d\\n' {{}}")
        self.wait_for(lambda: f"] {n - 1} of {n} done" in running.err(), 200, "all but the first")
        status = Path(f"/proc/{running.pid}/status").read_text()
        peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
        if not sanitized:
            self.assertLess(peak, 140 * 1024, "KiB, of 180 MB of output")
        self.assertEqual(running.out(), "")
        (self.cwd / "go").write_text("x\n")
        done = running.wait(90)
        self.assertEqual(done.rc, 0)
        lines = done.out.splitlines()
        self.assertEqual([int(line.lstrip("0")) for line in lines], list(range(1, n + 1)))
        self.assertEqual({len(line) for line in lines}, {size})

    @limit(200)
    def test_ten_thousand_commands(self):
        # Sanitized executors take milliseconds to fork, and of what there is to see they see it in the first thousand.
        n = 1000 if os.environ.get("HATO_SANITIZE") else 10000
        done = self.map("true", input="".join(f"{i}\n" for i in range(n)), timeout=180)
        self.assertEqual((done.out, done.err), ("", ""))

    def test_bad_options_name_the_nearest(self):
        self.assertIn("--timeout", self.hato("map", "--timeot", "3", "true", rc=2).err)
        self.assertIn("-n and --slots", self.hato("map", "-j", "2", "-n", "2", "true", rc=2).err)
        self.assertIn("COMMAND", self.hato("map", rc=2).err)

    def test_binding_and_several_daemons(self):
        self.assertEqual(self.map("--bind", "none", "echo", "{}", input="a\n").out, "a\n")
        done = self.hato("map", "--embedded", "-n", "2", "--slots", "2", 'echo {} $PPID', input="a\nb\n")
        self.assertRegex(done.out, r"^a \d+\nb \d+\n$")

    def test_a_daemon_that_is_killed(self):
        """What it executed resolves with 19; another takes its place and executes the rest."""
        script = "if test -e started; then echo {}; else touch started; sleep 600; fi"
        running = self.start_hato("map", "--embedded", "-j", "1", "-a", self.inputs(3), script)
        self.wait_for((self.cwd / "started").exists, 20, "a task at work")
        os.kill(self.below("daemon")[0], signal.SIGKILL)
        done = running.wait(30)
        self.assertEqual(done.rc, 1, done)
        self.assertIn("(error value 19)", done.err)
        self.assertEqual(len(done.out.splitlines()), 2, done)
        self.assert_nothing_left(30)


class Terminals(Case):
    @limit(90)
    def test_progress_on_a_terminal(self):
        self.run_command(SH, "-c", "seq 30 > inputs")
        # A rate is told after half a second: there is time for it also when hato has to wait for its turn.
        shell = "hato map --embedded -j 2 -a inputs 'sleep 0.2; echo out-{}; test {} != 7' > file"
        done = self.start_terminal(SH, "-c", shell).wait(self, 60)
        self.assertEqual(done.rc, 1, done)
        self.assertRegex(done.out, r"\[[#.]+\] \d+ of 30 done")
        self.assertRegex(done.out, r"1 failed")
        self.assertRegex(done.out, r"\d/s")
        self.assertRegex(done.out, r" left")
        self.assertEqual((self.cwd / "file").read_text(), "".join(f"out-{i}\n" for i in range(1, 31)))
        self.assertEqual(self.screen(done.out), ["hato map: input 7, '7': exit status 1", "hato map: 1 of 30 tasks failed"])

    @limit(90)
    def test_progress_does_not_tear_output(self):
        self.run_command(SH, "-c", "seq 30 > inputs")
        done = self.start_terminal(HATO, "map", "--embedded", "-j", "2", "-a", "inputs", "sleep 0.1; echo out-{}").wait(self, 60)
        self.assertIn(" of 30 done", done.out)
        self.assertEqual(self.screen(done.out), [f"out-{i}" for i in range(1, 31)])

    def test_progress_when_asked_for(self):
        self.assertIn("done", self.hato("map", "--embedded", "-j1", "--progress=always", "sleep", "{}", input="0.3\n").err)
        done = self.start_terminal(HATO, "map", "--embedded", "-j1", "--progress=never", "echo", "{}", stdin=subprocess.PIPE)
        done.process.stdin.write(b"x\n")
        done.process.stdin.close()
        self.assertEqual(self.screen(done.wait(self).out), ["x"])

    def screen(self, text):
        """The lines as a terminal shows them in the end."""
        lines = []
        for line in text.replace("\r\n", "\n").split("\n"):
            shown = ""
            for part in line.split("\r"):
                erased = part.split("\x1b[K")
                shown = part.replace("\x1b[K", "") if len(erased) == 1 and part and not shown else erased[0] + (
                    "" if len(erased) > 1 else shown[len(part):])
            if shown.strip():
                lines.append(shown)
        return lines

    def test_interrupt_from_the_keyboard(self):
        started = self.cwd / "started"
        (self.cwd / "inputs").write_text("1\n2\n3\n")
        # Of its own session: the terminal is its controlling one, and Ctrl-C is a signal.
        terminal = self.start_terminal("setsid", "-c", "-w", HATO, "map", "--embedded", "-j", "2", "-a", "inputs",
                                       f"echo x >> {started}; sleep 600; echo {{}}")
        self.wait_for(lambda: started.exists() and len(started.read_text()) == 4, 20, "two tasks at work")
        terminal.type("\x03")
        done = terminal.wait(self, 20)
        self.assertEqual(done.rc, 130, done)
        self.assertIn("Interrupt", done.out)
        self.assert_nothing_left(30)


main()
