"""Daemons over ssh: real sshd, direct, through a jump host and tunnels, and what goes wrong."""

import json
import os
import re
import signal
from pathlib import Path

from cluster import RUN
from clustercase import ClusterCase, main
from harness import HATO, command_line, descendants, limit

HOME = RUN / "home/pigeon"
FAR_HOME = RUN / "far/home/pigeon"


class SshCase(ClusterCase):
    def up(self, *args, **more):
        return self.hato("up", "--launcher", "ssh", *args, timeout=60, **more)

    def launch(self, *args, **more):
        return self.hato("launch", "--launcher", "ssh", *args, timeout=60, **more)

    def refused(self, *args, words):
        """A launch that fails, with these words."""
        done = self.launch(*args, rc=None)
        self.assertNotEqual(done.rc, 0, repr(done))
        for word in words if isinstance(words, tuple) else (words,):
            self.assertIn(word, done.err, repr(done))

    def status(self):
        return self.hato_json("status")[0]

    def hosts(self):
        return sorted(d["host"] for d in self.status()["daemons"])

    def where(self):
        """Host names, as the tasks see them."""
        out = self.hato("map", "sh", "-c", "hostname; sleep 0.2", "{}", input="1\n2\n3\n4\n5\n6\n7\n8\n").out
        return set(out.split())

    def clients(self):
        """ssh processes that hold a session; those of jump hosts are -W."""
        return [pid for pid in self.below("-T") if Path("".join(command_line(pid)[:1])).name == "ssh"]

    def daemons(self):
        """The hato daemons on the hosts, and not their executors."""
        return [pid for pid in self.on_hosts() if command_line(pid)[1:2] == ["daemon"]]

    def change(self, file, text):
        """A file of the user's, until the test ends."""
        before = file.read_text() if file.exists() else None
        file.write_text(text)
        self.give(file)
        self.addCleanup(lambda: file.write_text(before) if before is not None else file.unlink(missing_ok=True))

    def key(self, options):
        """Options that log in with a key of their own, to which sshd gives less."""
        key = self.dir / "key"
        self.run_command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        public = key.with_suffix(".pub").read_text()
        keys = HOME / ".ssh/authorized_keys"
        self.change(keys, keys.read_text() + f"{options} {public}")
        return ("-o", f"ssh-option=IdentityFile={key}", "-o", "ssh-option=IdentitiesOnly=yes")

    def gone(self):
        """All that ran is over, on all hosts."""
        self.wait_for(lambda: not self.clients() and not self.daemons(), 30, "no client and no daemon is left")


class Contract(SshCase):
    @limit(180)
    def test_it_keeps_the_contract(self):
        done = self.hato("launchers", "test", "ssh", "-o", "host=s1", timeout=150, rc=None)
        self.assertEqual(done.rc, 0, repr(done))
        self.assertIn("passed   adopt by record and by tag", done.out)

    @limit(240)
    def test_it_keeps_the_contract_through_a_jump_host_and_on_two(self):
        done = self.hato("launchers", "test", "ssh", "-o", "host=s2", "-o", "host=s1", timeout=200, rc=None)
        self.assertEqual(done.rc, 0, repr(done))


class Direct(SshCase):
    def test_eight_daemons_are_one_connection(self):
        self.up("-n", "8", "-o", "host=s1")
        self.assertEqual(self.hosts(), ["s1"] * 8)
        self.assertEqual(len(self.clients()), 1)
        self.assertEqual(self.where(), {"s1"})
        self.hato("down")
        self.gone()

    def test_later_launches_share_the_connection(self):
        self.up("-o", "host=s1")
        before = self.clients()
        self.launch("-n", "2", "-o", "host=s1")
        self.assertEqual(self.hosts(), ["s1"] * 3)
        self.assertEqual(self.clients(), before)
        self.hato("down")

    def test_lists_of_hosts(self):
        self.up("-o", "host=ssh://pigeon@s[1-1]:22,far", "-o", "host=far")
        self.assertEqual(self.hosts(), ["far", "far", "s1"])
        self.assertEqual(len(self.clients()), 2)
        self.hato("down")

    def test_daemons_are_dealt_in_turn(self):
        self.up("-n", "5", "-o", "host=s1,far", "-o", "parallel=1")
        self.assertEqual(self.hosts(), ["far", "far", "s1", "s1", "s1"])
        self.hato("down")

    def test_daemons_of_one_host_share_its_cores(self):
        cores = len(os.sched_getaffinity(0))
        self.up("-o", "host=s1")
        self.assertEqual(self.status()["slots"], cores)
        self.hato("down")
        self.up("-n", str(cores), "-o", "host=s1")
        self.assertEqual([d["slots"] for d in self.status()["daemons"]], [1] * cores)
        self.hato("down")
        wrong = self.hato("daemon", "--url", "tcp://127.0.0.1:1", rc=1, env={**self.env, "HATO_SHARE": "4/4"})
        self.assertIn("HATO_SHARE is '4/4'; PART/OF was wanted", wrong.err)

    def test_workers_of_another_system(self):
        """One of them heeds no SIGTERM."""
        self.hato("up", "-n", "0")
        words = ("sh", "-c", "trap '' TERM; hostname; sleep 600; sleep 601")
        self.launch("-n", "2", "-o", "host=s1", "--", *words)
        self.launch("-n", "1", "-o", "host=far", "-o", "grace=100ms", "--", "sleep", "602")
        self.wait_for(lambda: sum("sleep 60" in line for line in self.on_hosts().values()) >= 3, 20, "they run")
        self.refused("-o", "host=s1", "-o", "tunnel=yes", "--", "sleep", "603", words="tunnel: only daemons of hato")
        self.hato("down")
        self.wait_for(lambda: not self.on_hosts(), 20, "all have ended")

    def test_the_secret_is_seen_nowhere(self):
        self.up("-n", "2", "-o", "host=s1")
        mark = "hato1:daemon:"  # how the text of a daemon's credential begins
        self.assertTrue(next(self.dir.rglob("daemon.credential")).read_text().startswith(mark))
        # Of this cluster: a test that runs beside it on this machine may put one into an environment.
        ours = {*self.on_hosts(), *descendants()}
        self.assertLessEqual({*self.daemons(), *self.clients(), *self.below("dispatcher")}, ours)
        seen = []
        for pid in ours:
            for name in ("cmdline", "environ"):
                try:
                    if mark.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                        seen.append((pid, name, command_line(pid)))
                except OSError:
                    pass
        self.assertEqual(seen, [])
        for file in (RUN / "tmp/s1").rglob("*"):
            self.assertFalse(file.is_file(), file)
        for file in self.dir.rglob("*.log"):
            self.assertNotIn(mark, file.read_text(errors="replace"))
        self.hato("down")


class Tunnel(SshCase):
    def check(self, how):
        self.up("-n", "8", "-o", "host=s2", "-o", f"tunnel={how}")
        self.assertEqual(self.where(), {"s2"})
        self.assertEqual(len(self.clients()), 1)
        for url in self.status()["urls"]:
            self.assertRegex(url, r"^(ipc://|tcp://127\.0\.0\.1:)")

    def test_by_a_port_that_the_host_chooses(self):
        self.check("true")
        for pid in self.daemons():
            self.assertTrue(any(re.match(r"tcp://127\.0\.0\.1:\d+$", word) for word in command_line(pid)), command_line(pid))
        self.hato("down")
        self.gone()

    def test_by_a_socket(self):
        self.check("socket")
        sockets = [file for file in (RUN / "tmp/s2").iterdir() if file.is_socket()]
        self.assertEqual([file.stat().st_mode & 0o777 for file in sockets], [0o600])
        self.hato("down")
        self.gone()
        self.wait_for(lambda: not any(f.is_socket() for f in (RUN / "tmp/s2").iterdir()), 10, "the socket is gone")

    def test_sessions_on_one_host_do_not_collide(self):
        for session in ("a", "b"):
            self.up("-o", "host=s2", "-o", "tunnel=yes", "--session", session)
        for session in ("a", "b"):
            done = self.hato("map", "--session", session, "sh", "-c", "hostname", "{}", input="1\n")
            self.assertEqual(done.out, "s2\n")
            self.hato("down", "--session", session)
        self.gone()

    def test_a_forward_that_is_refused_is_an_error_at_once(self):
        self.hato("up", "-n", "0")
        self.refused("-o", "host=s1", "-o", "tunnel=yes", *self.key("restrict"), words=("s1", "refuses to forward"))
        self.hato("down")

    def test_a_tunnel_that_breaks_takes_its_daemons_and_they_are_replaced(self):
        self.up("-n", "2", "-o", "host=s2", "-o", "tunnel=yes")
        before = set(self.daemons())
        os.kill(self.clients()[0], signal.SIGKILL)
        self.wait_for(lambda: not before & set(self.daemons()), 30, "the daemons of the tunnel end")
        self.wait_for(lambda: self.hosts() == ["s2", "s2"] and len(set(self.daemons())) == 2, 40, "others came")
        self.hato("down")
        self.gone()


class Program(SshCase):
    def test_it_is_copied_where_it_is_not_and_once(self):
        self.addCleanup(self.run_command, "rm", "-rf", FAR_HOME / ".cache", user="root")
        self.up("-n", "2", "-o", "host=far")
        copies = list((FAR_HOME / ".cache/hato").glob("*/*"))
        self.assertEqual([copy.name for copy in copies], ["hato"])
        self.assertEqual(copies[0].read_bytes(), HATO.read_bytes())
        made = copies[0].stat()
        self.hato("down")
        self.up("-o", "host=far")
        self.assertEqual(copies[0].stat().st_mtime_ns, made.st_mtime_ns)
        self.hato("down")

    def test_a_path_of_its_own(self):
        self.up("-o", "host=s1", "-o", f"hato={HATO}")
        self.hato("down")

    def test_no_hato_there(self):
        self.hato("up", "-n", "0")
        self.refused("-o", "host=s1", "-o", "hato=/opt/none/hato", words=("s1", "no hato at /opt/none/hato"))
        self.refused("-o", "host=s1", "-o", "hato=/etc/passwd", words=("s1", "cannot be run there", "Permission denied"))
        self.refused("-o", "host=s1", "-o", "hato=hato", words="hato 'hato': same, copy or an absolute path was wanted")
        self.hato("down")

    def test_another_architecture(self):
        before = list((FAR_HOME / ".cache/hato").glob("*"))
        folder = FAR_HOME / "bin"
        folder.mkdir()
        self.addCleanup(self.run_command, "rm", "-rf", folder, user="root")
        (folder / "uname").write_text("#!/bin/sh\necho Linux riscv64\n")
        (folder / "uname").chmod(0o755)
        self.change(FAR_HOME / ".bashrc", "PATH=$HOME/bin:$PATH\n")
        self.hato("up", "-n", "0")
        for how in ("same", "copy"):
            self.refused("-o", "host=far", "-o", f"hato={how}", words=("far", "Linux riscv64"))
        self.assertEqual(list((FAR_HOME / ".cache/hato").glob("*")), before)
        self.hato("down")

    def test_no_room_for_a_copy(self):
        self.change(HOME / ".bashrc", f"export XDG_CACHE_HOME={self.full_folder()}\n")
        self.hato("up", "-n", "0")
        self.refused("-o", "host=s1", "-o", "hato=copy", words=("s1", "could not be copied", "No space left"))
        self.hato("down")

    def test_no_room_for_logs(self):
        self.change(HOME / ".bashrc", f"export TMPDIR={self.full_folder()}\n")
        self.up("-n", "2", "-o", "host=s1")
        self.assertEqual(self.where(), {"s1"})
        self.hato("down")


class Refusals(SshCase):
    def test_why_a_host_cannot_be_used(self):
        """One session: what fails is said in words that name the host."""
        nothing = "ssh-option=GlobalKnownHostsFile=/dev/null"
        changed = self.dir / "changed"
        changed.write_text((RUN / "ssh/far.key.pub").read_text().join(("s1 ", "")))
        self.hato("up", "-n", "0")
        for args, words in (
            (("host=nosuch.invalid",), ("nosuch.invalid", "its name cannot be resolved")),
            (("host=10.78.0.99", "connect-timeout=1s"), ("10.78.0.99", "did not answer in time")),
            (("host=10.78.0.22",), ("10.78.0.22", "cannot be reached")),
            (("host=ssh://s1:2299",), ("ssh://s1:2299", "refuses connections")),
            (("host=ssh://s2:2299",), ("ssh://s2:2299", "its jump host cannot reach it")),
            (("host=s1", nothing), ("s1", "its host key is not known")),
            (("host=s1", nothing, f"ssh-option=UserKnownHostsFile={changed}"), ("s1", "not the one that is known")),
            (("host=s1", "ssh-option=IdentityFile=/none", "ssh-option=IdentitiesOnly=yes"), ("s1", "none of our keys was accepted")),
            (("host=nobody@s1",), ("nobody@s1", "none of our keys was accepted")),
            (("host=s1", "ssh-option=Foo=1"), ("s1", "does not take its options")),
            (("host=s1", "config=/none"), ("s1", "does not find its configuration")),
            (("host=s1", "ssh=no-such-client"), ("no program 'no-such-client' in PATH",)),
            (("host=s1", "ssh=/none/ssh"), ("no program /none/ssh",)),
            (("host=nosuch.invalid,ssh://s1:2299",), ("none of 2 hosts could be used",)),
        ):
            with self.subTest(args=args):
                self.refused(*(word for arg in args for word in ("-o", arg)), words=words)
        self.hato("down")

    def test_what_is_no_list_of_hosts_or_no_option(self):
        self.hato("up", "-n", "0")
        for arg, words in (
            ("host=s[5-1]", "the range 5-1 runs backwards"),
            ("host=s[1", "'[' without ']'"),
            ("host=s[x]", "no list of numbers and ranges"),
            ("host=s[0-999999]", "more than"),
            ("host=s1,,s2", "an empty name"),
            ("host=a b", "not the name of a host"),
            ("host=-oProxyCommand=x", "not the name of a host"),
            ("host=ssh://s1:99999", "port '99999'"),
            ("host=http://s1", "expected HOST"),
            ("tunnel=maybe", "wanted one of"),
            ("hosts=s1", "did you mean host"),
            ("parallel=0", "parallel"),
        ):
            with self.subTest(arg=arg):
                self.refused("-o", arg, *(() if arg.startswith("host=") else ("-o", "host=s1")), words=words)
        self.refused(words="host")
        self.refused("-n", "-1", "-o", "host=s1", words="-1")
        self.hato("down")

    def test_no_shell(self):
        self.hato("up", "-n", "0")
        self.refused("-o", "host=s1", *self.key('command="/usr/sbin/nologin"'), words=("s1", "gives no shell", "not available"))
        self.hato("down")

    def test_a_host_that_fails_does_not_fail_the_others(self):
        self.up("-o", "host=s1,nosuch.invalid,far", rc=None)
        self.assertEqual(self.hosts(), ["far", "s1"])
        self.assertIn("nosuch.invalid: its name cannot be resolved", json.dumps(self.status()))
        self.hato("down")
        self.gone()

    def test_start_up_files_that_talk(self):
        self.change(HOME / ".bashrc", "echo welcome; echo run 1.0 1; echo to you >&2\n")
        self.up("-n", "2", "-o", "host=s1")
        self.assertEqual(self.where(), {"s1"})
        self.hato("down")


class Faults(SshCase):
    def test_daemons_outlive_a_connection_that_is_lost(self):
        self.up("-n", "2", "-o", "host=s1")
        before, client = sorted(self.daemons()), self.clients()
        os.kill(client[0], signal.SIGKILL)
        self.wait_for(lambda: self.clients() and self.clients() != client, 20, "it connects again")
        self.assertEqual(sorted(self.daemons()), before)
        self.assertEqual(self.where(), {"s1"})
        self.hato("down")
        self.gone()

    def test_a_daemon_that_ends_while_the_connection_is_lost(self):
        self.up("-n", "2", "-o", "host=s1")
        victim = self.daemons()[0]
        os.kill(self.clients()[0], signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)
        self.wait_for(lambda: self.hosts() == ["s1", "s1"] and victim not in self.daemons(), 30, "another came")
        self.hato("down")
        self.gone()

    def test_the_launchers_process_dies(self):
        for how in ("no", "yes"):
            with self.subTest(tunnel=how):
                self.up("-n", "2", "-o", "host=s1", "-o", f"tunnel={how}")
                before = sorted(self.daemons())
                host = self.below("launcher-host")[0]
                os.kill(host, signal.SIGKILL)
                self.wait_for(lambda: set(self.below("launcher-host")) - {host}, 20, "it is started again")
                self.assertEqual(sorted(self.daemons()), before)
                self.assertEqual(self.where(), {"s1"})
                self.hato("down")
                self.gone()

    def test_the_dispatcher_dies(self):
        for how in ("no", "yes"):
            with self.subTest(tunnel=how):
                self.up("-n", "2", "-o", "host=s1", "-o", f"tunnel={how}")
                os.kill(self.status()["pid"], signal.SIGKILL)
                self.gone()
                self.hato("down", rc=None)

    def test_a_host_that_dies_and_comes_back(self):
        self.up("-n", "1", "-o", "host=s1", "-o", "connect-timeout=2s")
        self.crash("s1")
        self.wait_for(lambda: not self.hosts(), 40, "its daemon is lost")
        self.start_daemon("s1")
        self.wait_for(lambda: self.hosts() == ["s1"], 60, "another came")
        self.hato("down")
        self.gone()

    def test_down_while_a_host_cannot_be_reached(self):
        self.up("-n", "2", "-o", "host=s1")
        self.stop("s1")
        for client in self.clients():
            os.kill(client, signal.SIGKILL)
        self.hato("down", timeout=60)
        self.gone()  # they lost their dispatcher
        self.start_daemon("s1")

    def test_down_while_hosts_are_being_connected(self):
        self.hato("up", "-n", "0")
        waiting = self.start_hato("launch", "--launcher", "ssh", "-o", "host=10.78.0.99,10.78.0.98", "-o", "connect-timeout=30s")
        self.wait_for(lambda: len(self.clients()) == 2, 20, "it connects")
        self.hato("down")
        waiting.wait()
        self.gone()


main()
