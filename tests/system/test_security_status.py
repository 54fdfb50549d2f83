"""Who is admitted where and by what, and who was, as `hato status --security` tells; credentials renewed and revoked."""

import json
import os
import re
import shutil
import socket
import unittest

from harness import Case, alive, limit, main

FINGERPRINT = r"[0-9a-f]{64}"


class Sessions(Case):
    LIMIT = 120.0

    def setUp(self):
        super().setUp()
        self.env["HATO_CONFIG"] = str(self.dir / "none.conf")
        self.env["HATO_SITE_CONFIG"] = str(self.dir / "none.conf")
        self.env["HATO_MUNGE_SOCKET"] = str(self.dir / "no-munged")  # whatever runs on this machine
        self.folder = self.dir / "state" / "hato" / "default"
        self.addCleanup(lambda: self.hato("down", rc=None))

    def up(self, *words):
        """A session; its addresses on networks."""
        self.hato("up", *words)
        return self.status()["urls"][1:]

    def status(self):
        return self.hato_json("status")[0]

    def security(self, *words):
        return self.hato_json("status", "--security", *words)[0]

    def asker(self, told):
        """The client that was told: the latest. One before it may not have been seen to go."""
        return max((one for one in told["connected"] if one["role"] == "client"), key=lambda one: one["since"])

    def credentials(self):
        """{"client": …, "daemon": …, 1: …}"""
        return {o["number"] or o["role"]: o for o in self.hato_json("credentials")}

    def copy(self, whose):
        """A copy of a credential's file as it is now, as a user elsewhere has it."""
        self.count += 1
        there = self.dir / f"copy-{self.count}"
        shutil.copy(self.folder / f"{whose}.credential", there)
        return there

    def by_hand(self, url, credential, *words, **more):
        return self.start_hato("daemon", "--url", url, "--credential-file", credential, "--dial-timeout", "20s", *words, **more)

    def daemons(self, launch):
        return [d for d in self.status()["daemons"] if d["launch"] == launch]

    def wait_daemons(self, launch, n, seconds=20):
        self.wait_for(lambda: len(self.daemons(launch)) == n, seconds, f"{n} daemons of launch {launch}")
        return self.daemons(launch)

    def elsewhere(self, *urls):
        """The session looks as one of another host's, where it is reached at these."""
        address = self.folder / "address"
        record = json.loads(address.read_text())
        record.update(host="elsewhere", boot_id="another", urls=[record["urls"][0], *urls])
        address.write_text(json.dumps(record))

    def script(self, name, text):
        """A part of a batch system."""
        path = self.dir / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def launch(self, *options):
        """One daemon by such a system; it is not waited for."""
        words = [word for option in options for word in ("-o", option)]
        self.hato("launch", "--launcher", "command", "-n", "1", *words, "--wait", "0")

    def secrets(self):
        return [path.read_text().split(":")[3] for path in self.folder.glob("*.credential")]


class Telling(Sessions):
    def test_what_listens_and_what_is_asked_for(self):
        self.up("-n", "0", "--listen", "tcp://127.0.0.1:0", "--listen", "tcp://0.0.0.0:0", "--listen", "ws://127.0.0.1:0/hato")
        told = self.security()
        self.assertEqual((told["session"], told["host"]), ("default", socket.gethostname()))
        local, loopback, everywhere, ws = told["listeners"]
        self.assertRegex(local["url"], r"^(ipc|abstract)://")
        self.assertEqual([one["reach"] for one in told["listeners"]], ["machine", "machine", "network", "machine"])
        self.assertEqual([one["secret"] for one in told["listeners"]], ["daemons", "all", "all", "all"])
        self.assertEqual([one["peer_uid"] for one in told["listeners"]], [True, False, False, False])
        self.assertFalse(any(one["encrypted"] for one in told["listeners"]))
        self.assertEqual(local["munge"], "off")
        self.assertEqual(told["munge"]["policy"], "auto")
        self.assertFalse(told["munge"]["answered"])
        self.assertEqual({loopback["munge"], everywhere["munge"], ws["munge"]}, {"off"})
        text = self.hato("status", "--security").out
        self.assertRegex(text, rf"(?m)^{re.escape(everywhere['url'])} +networks +NOT ENCRYPTED +a credential")
        self.assertRegex(text, rf"(?m)^{re.escape(loopback['url'])} +this machine +no +a credential")
        self.assertRegex(text, rf"(?m)^{re.escape(local['url'])} +this machine +- +the same user; daemons' credentials besides$")
        plain = self.hato("status").out
        self.assertIn(f"listens at {everywhere['url']}, NOT ENCRYPTED\n", plain)
        self.assertIn(f"listens at {loopback['url']}\n", plain)
        self.assertEqual(self.status()["listeners"], told["listeners"])

    @unittest.skipUnless(socket.has_dualstack_ipv6(), "no sockets of both families here")
    def test_loopback_as_a_listener_of_both_families_sees_it(self):
        self.up("-n", "0", "--listen", "tcp://[::]:0")
        port = re.search(r":(\d+)$", self.security()["listeners"][1]["url"])[1]
        hand = self.by_hand(f"tcp://127.0.0.1:{port}", self.folder / "daemon.credential", "--slots", "1")
        self.wait_daemons(0, 1)
        text = self.hato("status", "--security").out
        self.assertRegex(text, rf"(?m)^daemon \d+ on \S+, process {hand.pid} +\[::ffff:127\.0\.0\.1\]:\d+ +\S.* no +the daemons' credential$")
        self.assertRegex(text, rf"(?m)^tcp://\[::\]:{port} +networks +NOT ENCRYPTED ")

    def test_who_is_connected_and_what_was_proved(self):
        (url,) = self.up("-n", "1", "--listen", "tcp://127.0.0.1:0")
        hand = self.by_hand(url, self.folder / "daemon.credential", "--slots", "1")
        self.wait_daemons(0, 1)
        told = self.security("--url", url, "--credential-file", self.folder / "client.credential")
        launched, byhand = (next(one for one in told["connected"] if one.get("launch") == launch) for launch in (1, 0))
        client = self.asker(told)
        proofs = ("local", "encrypted", "peer_uid", "secret")
        self.assertEqual([launched[name] for name in proofs], [True, False, True, True])
        self.assertEqual([byhand[name] for name in proofs], [False, False, False, True])
        self.assertEqual([client[name] for name in proofs], [False, False, False, True])
        self.assertEqual((launched["credential"], byhand["credential"], client["credential"]), (1, 0, 0))
        self.assertEqual((byhand["pid"], byhand["host"]), (hand.pid, socket.gethostname()))
        self.assertRegex(client["label"], r"@.*:\d+$")
        self.assertRegex(client["address"], r"^127\.0\.0\.1:\d+$")
        self.assertGreater(client["since"], launched["since"])
        here = self.asker(self.security())
        self.assertEqual([here[name] for name in proofs], [True, False, True, False])
        self.assertNotIn("credential", here)
        connected = lambda: {name: one["connected"] for name, one in self.credentials().items()}
        self.wait_for(lambda: connected() == {"client": 0, "daemon": 1, 1: 1}, 20, "the two daemons alone")
        listed = self.credentials()
        self.assertEqual(listed["client"]["file"], str(self.folder / "client.credential"))
        self.assertEqual((listed[1]["launcher"], "file" in listed[1]), ("local", False))
        text = self.hato("status", "--security").out
        self.assertRegex(text, rf"(?m)^daemon \d+ on \S+, process {hand.pid} +127\.0\.0\.1:\d+ +\S.* no +the daemons' credential")
        self.assertRegex(text, r"(?m)^daemon \d+ on .* - +the same user, the credential of launch 1")
        self.assertRegex(text, r"(?m)^client .* - +the same user$")

    @limit(150)
    def test_what_is_encrypted(self):
        (url,) = self.up("-n", "0", "--listen", "tls+tcp://127.0.0.1:0", "--munge", "off")
        hand = self.by_hand(url, self.folder / "daemon.credential", "--slots", "1")
        self.wait_daemons(0, 1)
        told = self.security("--url", url, "--credential-file", self.folder / "client.credential")
        self.assertEqual([one["encrypted"] for one in told["listeners"]], [False, True])
        self.assertTrue(self.asker(told)["encrypted"])
        self.assertEqual([one["encrypted"] for one in told["connected"] if one["role"] == "daemon"], [True])
        self.assertEqual((told["tls"], told["munge"]), ("auto", {"policy": "off"}))
        name, fingerprint = (self.folder / "client.credential").read_text().split(":")[4:6]
        self.assertEqual(told["certificate"], {"name": name, "fingerprint": fingerprint, "made": True})
        text = self.hato("status", "--security").out
        self.assertIn(f"certificate: {name}, made for this session alone; SHA-256 {fingerprint}\n", text)
        self.assertRegex(text, rf"(?m)^{re.escape(url)} +this machine +TLS +a credential$")
        self.assertRegex(text, rf"(?m)^daemon \d+ on \S+, process {hand.pid} .* TLS +the daemons' credential$")
        self.assertIn("MUNGE: not asked for\n", text)
        self.assertIn(f"listens at {url}, encrypted\n", self.hato("status").out)
        old = self.copy("daemon")
        self.hato("credentials", "renew", "daemon")
        self.assertEqual(self.by_hand(url, old).wait().rc, 4)

    def test_a_client_elsewhere_takes_no_plain_address_where_an_encrypted_one_is(self):
        self.up("-n", "0", "--munge", "off", "--listen", "tcp://0.0.0.0:0", "--listen", "tls+tcp://0.0.0.0:0")
        plain, encrypted = (one["url"] for one in self.security()["listeners"][1:])
        here = (self.folder / "address").read_text()

        def seen():
            client = self.asker(self.security())
            return client["encrypted"], client["secret"]

        self.elsewhere(plain, encrypted)
        self.assertEqual(seen(), (True, True))
        with socket.socket() as taken:  # a port that nobody else can come to listen at
            taken.bind(("0.0.0.0", 0))
            dead = f"tls+tcp://0.0.0.0:{taken.getsockname()[1]}"
            self.elsewhere(plain, dead)
            done = self.hato("status", rc=3)
        self.assertIn(f"{dead}: nobody listens there", done.err)
        self.assertNotIn(plain, done.err.replace(dead, ""))
        self.elsewhere(plain)
        self.assertEqual(seen(), (False, True))
        (self.folder / "address").write_text(here)

    def munged(self):
        """One of the test's own, which sessions from here on ask."""
        place = self.dir / "munge"
        place.mkdir(mode=0o711)
        (place / "key").write_bytes(os.urandom(128))
        (place / "key").chmod(0o600)
        files = [f"--{name}-file={place}/{name}" for name in ("key", "pid", "log", "seed")]
        self.start("/usr/sbin/munged", "--foreground", "--force", f"--socket={place}/socket", *files)
        self.wait_for(lambda: self.listens(place / "socket"), 20, "munged listens")
        self.env["HATO_MUNGE_SOCKET"] = str(place / "socket")

    def listens(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(str(path)) == 0

    def test_who_proved_itself_by_munge(self):
        self.munged()
        (url,) = self.up("-n", "0", "--listen", "tcp://127.0.0.1:0")
        credential = self.folder / "daemon.credential"
        self.by_hand(url, credential, "--slots", "1")
        other = self.by_hand(url, credential, "--slots", "1", env={**self.env, "HATO_MUNGE_SOCKET": str(self.dir / "none")})
        self.wait_daemons(0, 2)
        told = self.security()
        self.assertEqual(told["munge"], {"policy": "auto", "answered": True})
        self.assertEqual([one["munge"] for one in told["listeners"]], ["off", "auto"])
        proved = {one["pid"]: one["munge"] for one in told["connected"] if one["role"] == "daemon"}
        self.assertEqual(proved.pop(other.pid), False)
        self.assertEqual(list(proved.values()), [True])
        text = self.hato("status", "--security").out
        self.assertIn("MUNGE: asked for over networks, where both ends have it; munged answers here\n", text)
        self.assertRegex(text, rf"(?m)^{re.escape(url)} .* a credential, and MUNGE where they have it$")
        self.assertEqual(len(re.findall(r"(?m) the daemons' credential, MUNGE$", text)), 1)

    def test_munge_required(self):
        self.munged()
        (url,) = self.up("-n", "0", "--munge", "require", "--interface", "lo", "--listen", "tcp://127.0.0.1:0")
        self.hato("launch", "--launcher", "command", "-n", "1", "-o", "hold=yes", "-o", "submit={daemon}")
        (daemon,) = [one for one in self.security()["connected"] if one["role"] == "daemon"]
        self.assertTrue(daemon["munge"])
        done = self.by_hand(url, self.folder / "daemon.credential", "--munge", "off").wait()
        self.assertEqual(done.rc, 4)
        self.assertIn("requires MUNGE, which is off here", done.err)
        self.hato("down")
        (url,) = self.up("-n", "0", "--munge", "off", "--listen", "tcp://127.0.0.1:0")
        done = self.by_hand(url, self.folder / "daemon.credential", "--munge", "require").wait()
        self.assertEqual(done.rc, 4)
        self.assertIn("asks for no MUNGE, which is required here", done.err)

    def test_what_launched_daemons_dial(self):
        for session, tls in (("plain", "never"), ("shut", "always")):
            with self.subTest(tls):
                self.addCleanup(lambda session=session: self.hato("down", "--session", session, rc=None))
                self.hato("up", "-n", "0", "--session", session, "--tls", tls, "--interface", "lo")
                self.hato("launch", "--session", session, "--launcher", "command", "-n", "1", "-o", "hold=yes", "-o", "submit={daemon}")
                told = self.hato_json("status", "--session", session, "--security")[0]
                self.assertEqual(told["tls"], tls)
                beyond = [one for one in told["listeners"] if not one["peer_uid"]]
                self.assertEqual({one["encrypted"] for one in beyond}, {tls == "always"})
                (daemon,) = [one for one in told["connected"] if one["role"] == "daemon"]
                self.assertEqual((daemon["encrypted"], daemon["credential"], daemon["launch"]), (tls == "always", 1, 1))

    def test_no_secret_is_told(self):
        (url,) = self.up("-n", "1", "--listen", "tcp://127.0.0.1:0")
        self.hato("credentials", "renew", "client", "daemon", "1")
        said = "".join(self.hato(*words).out for words in (
            ["status", "--security"], ["status", "--security", "--json"], ["credentials"], ["credentials", "--json"],
            ["credentials", "renew", "client", "--json"], ["credentials", "revoke", "daemon", "--json"]))
        said += (self.folder / "log").read_text()
        for secret in self.secrets():
            self.assertRegex(secret, FINGERPRINT)
            self.assertNotIn(secret, said)


class Renewing(Sessions):
    @limit(150)
    def test_the_old_one_admits_nobody_and_who_is_connected_stays(self):
        (url,) = self.up("-n", "0", "--listen", "tcp://127.0.0.1:0")
        old = self.copy("daemon")
        first = self.by_hand(url, old, "--slots", "1")
        self.wait_daemons(0, 1)
        out = self.hato("credentials", "renew", "daemon").out
        self.assertEqual(out, f"the credential of daemons by hand is renewed, on file in {self.folder / 'daemon.credential'}; 1 connected\n")
        refused = self.by_hand(url, old).wait()
        self.assertEqual(refused.rc, 4, refused)
        self.assertIn("not admitted", refused.err)
        self.assertNotEqual(old.read_text(), (self.folder / "daemon.credential").read_text())
        self.by_hand(url, self.folder / "daemon.credential", "--slots", "1")
        self.wait_daemons(0, 2)
        self.assertTrue(alive(first.pid))
        self.assertEqual(self.hato("map", "echo", "{}", input="a\nb\nc\n").out, "a\nb\nc\n")
        self.assertIn("CREDENTIAL-RENEWED", (self.folder / "log").read_text())

    def test_of_clients(self):
        (url,) = self.up("-n", "1", "--listen", "tcp://127.0.0.1:0")
        old = self.copy("client")
        self.hato("status", "--url", url, "--credential-file", old)
        self.wait_for(lambda: self.credentials()["client"]["connected"] == 0, 20, "that one has gone")
        before = self.credentials()
        # The one that asks comes by the old secret, and is answered.
        renewed = self.hato_json("credentials", "renew", "client", "--url", url, "--credential-file", old)[0]
        self.assertEqual((renewed["role"], renewed["number"], renewed["revoked"], renewed["connected"]), ("client", 0, False, 1))
        done = self.hato("status", "--url", url, "--credential-file", old, rc=3)
        self.assertIn("not admitted", done.err)
        self.hato("status", "--url", url, "--credential-file", self.folder / "client.credential")
        after = self.credentials()
        self.assertGreater(after["client"]["since"], before["client"]["since"])
        self.assertEqual(after["daemon"], before["daemon"])  # the others are as they were
        self.assertEqual(after[1], before[1])

    def test_of_a_launch(self):
        self.up("-n", "1")
        pid = self.status()["daemons"][0]["pid"]
        self.assertEqual(self.hato("credentials", "renew", "1").out, "the credential of launch 1 is renewed; 1 connected\n")
        self.assertEqual(self.hato("map", "echo", "{}", input="a\n").out, "a\n")
        self.assertEqual([d["pid"] for d in self.status()["daemons"]], [pid])

    @limit(150)
    def test_of_a_launch_whose_daemons_read_a_file(self):
        """The file of a launch is written anew: what has not read it yet is admitted."""
        go = self.dir / "go"
        self.script("later", f'until [ -e "{go}" ]; do sleep 0.05; done; exec "$@"')
        self.up("-n", "0", "--interface", "lo")
        self.launch(f"submit={self.dir}/later {{daemon}}", "hold=yes", "waits=yes")
        file = self.folder / "launch-1.credential"
        self.wait_for(file.exists, 30, f"{file}")
        old = file.read_text()
        renewed = self.hato_json("credentials", "renew", "1")[0]
        self.assertEqual(renewed["file"], str(file))
        self.assertNotEqual(file.read_text(), old)
        go.touch()
        self.wait_daemons(1, 1)


class Revoking(Sessions):
    @limit(150)
    def test_a_launch_ends_and_the_others_work_on(self):
        self.up("-n", "2")
        self.hato("launch", "-n", "1", "--slots", "1")
        (other,) = self.wait_daemons(2, 1)
        gone = [d["pid"] for d in self.wait_daemons(1, 2)]
        # A task in each slot: two run on what is sent away.
        marks = self.dir / "marks"
        marks.mkdir()
        ids = self.hato("submit", "--array", "1-3", "--", "sh", "-c", f": > {marks}/{{}}; sleep 600").out.strip()
        more = self.hato("submit", "--array", "1-20", "--", "echo", "{}").out.strip()
        self.wait_for(lambda: len(list(marks.iterdir())) == 3, 20, "three tasks at work")
        out = self.hato("credentials", "revoke", "1").out
        self.assertEqual(out, "the credential of launch 1 is revoked; 2 sent away\n")
        self.wait_for(lambda: not any(alive(pid) for pid in gone), 20, "its daemons have gone")
        self.wait_for(lambda: self.status()["launches"][0]["over"], 20, "the launch is over")
        self.wait_for(lambda: self.status()["tasks"]["running"] == 1, 20, "one task runs on")
        failed = self.hato_json("tasks", "--state", "failed", ids)
        self.assertEqual([one["error"] for one in failed], [19, 19])
        left = self.hato_json("tasks", "--state", "running", ids)[0]["task"]
        self.hato("cancel", str(left))
        self.hato("wait", more)
        self.assertTrue(alive(other["pid"]))
        first, second = self.status()["launches"]  # nothing replaces what was revoked
        self.assertEqual((first["ended"], first["error"]), (2, "its credential was revoked"))
        self.assertNotIn("next_in", first)
        self.assertEqual((second["connected"], second["over"]), (1, False))
        self.wait_for(lambda: 1 not in self.credentials(), 30, "its credential is gone")
        self.assertNotIn("LAUNCH-AGAIN", (self.folder / "log").read_text())
        self.assertIn("launch 1 has ended", self.hato("credentials", "revoke", "1", rc=4).err)

    def test_what_waits_in_a_queue_is_cancelled(self):
        """A launch by a scheduler that has started nothing yet: no batch job is left to run for nothing."""
        jobs = self.dir / "jobs"
        jobs.mkdir()
        self.script("submit", f": > {jobs}/17; echo 17")
        self.script("ask", f"for id; do [ ! -e {jobs}/$id ] || echo $id queued; done")
        self.script("cancel", f'for id; do rm "{jobs}/$id"; done')
        self.up("-n", "0", "--interface", "lo")
        self.launch(f"submit={self.dir}/submit", f"status={self.dir}/ask {{ids}}", f"cancel={self.dir}/cancel {{ids}}", "interval=200ms")
        self.wait_for((jobs / "17").exists, 30, "its job")
        self.wait_for(lambda: self.status()["launches"][0]["asked"] == 0, 20, "its submission is over")
        file = self.folder / "launch-1.credential"
        self.assertTrue(file.exists())
        self.hato("credentials", "revoke", "1")
        self.assertFalse(file.exists())
        self.wait_for(lambda: not (jobs / "17").exists(), 20, "its job is cancelled")
        self.wait_for(lambda: self.status()["launches"][0]["over"], 20, "the launch is over")
        self.assertEqual(len(self.status()["launches"]), 1)

    @limit(150)
    def test_of_daemons_by_hand_and_renewed_after(self):
        (url,) = self.up("-n", "1", "--listen", "tcp://127.0.0.1:0")
        old = self.copy("daemon")
        hand = self.by_hand(url, old, "--slots", "1")
        self.wait_daemons(0, 1)
        (mine,) = self.daemons(1)
        revoked = self.hato_json("credentials", "revoke", "daemon")[0]
        self.assertEqual((revoked["revoked"], revoked["sent_away"], "file" in revoked), (True, 1, False))
        self.assertFalse((self.folder / "daemon.credential").exists())
        self.assertNotEqual(hand.wait().rc, 0)
        self.assertEqual(self.by_hand(url, old).wait().rc, 4)
        self.assertRegex(self.hato("credentials").out, r"(?m)^daemon .* revoked$")
        self.assertIn("hato credentials renew daemon", self.hato("launch", "--print", rc=None).err)
        self.hato("credentials", "renew", "daemon")
        self.assertEqual(self.by_hand(url, old).wait().rc, 4)
        self.by_hand(url, self.folder / "daemon.credential", "--slots", "1")
        self.wait_daemons(0, 1)
        self.assertEqual(self.daemons(1), [mine])

    def test_of_clients_but_for_the_one_who_asks(self):
        (url,) = self.up("-n", "1", "--listen", "tcp://127.0.0.1:0")
        file = self.copy("client")
        far = self.start_hato("run", "--url", url, "--credential-file", file, "--", "sh", "-c", f": > {self.dir}/runs; sleep 600")
        self.wait_for((self.dir / "runs").exists, 20, "its task runs")
        kept = self.hato("submit", "--", "sleep", "600").out.strip()
        near = self.start_hato("wait", kept)
        waiting = self.start_hato("wait", kept, "--url", url, "--credential-file", file)
        clients = lambda: [one for one in self.security()["connected"] if one["role"] == "client" and one["secret"] and "label" in one]
        self.wait_for(lambda: len(clients()) == 2, 20, "two clients by the credential")
        told = self.hato_json("credentials", "revoke", "client", "--url", url, "--credential-file", file)[0]
        self.assertEqual((told["revoked"], told["sent_away"]), (True, 2))
        gone = far.wait()
        self.assertEqual(gone.rc, 125)
        self.assertIn("this client is not admitted any more: its credential was revoked", gone.err)
        waits = waiting.wait()
        self.assertEqual(waits.rc, 3)
        self.assertIn("this client is not admitted any more: its credential was revoked", waits.err)
        self.wait_for(lambda: self.hato_json("tasks", kept)[0]["state"] == "running", 20, "its task is cancelled and another runs")
        self.assertIsNone(near.rc())  # by the socket, where the user alone counts
        self.hato("cancel", kept)
        self.assertEqual(near.wait().rc, 1)
        self.assertIn("refused: not admitted: its credential is not, or no longer, good here",
                      self.hato("status", "--url", url, "--credential-file", file, rc=3).err)
        self.assertFalse((self.folder / "client.credential").exists())
        self.wait_for(lambda: not clients(), 30, "they are gone")

    def test_a_launch_that_replaces_another(self):
        self.up("-n", "1")
        self.run_command("kill", "-9", str(self.status()["daemons"][0]["pid"]))
        (again,) = self.wait_daemons(2, 1, 30)
        self.assertIn("launch 2 is in its place", self.hato("credentials", "revoke", "1", rc=4).err)
        self.hato("credentials", "revoke", "2")
        self.wait_for(lambda: not alive(again["pid"]), 20, "its daemon has gone")
        self.wait_for(lambda: all(one["over"] for one in self.status()["launches"]), 20, "all is over")
        self.assertEqual(len(self.status()["launches"]), 2)


class Mistakes(Sessions):
    def made(self, name, text, mode=0o600):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)
        return path

    @limit(150)
    def test_credential_files_that_cannot_be_used(self):
        """One exit status, of clients and daemons, whatever is wrong (another user's: test_security_user.py)."""
        (url,) = self.up("-n", "0", "--listen", "tcp://127.0.0.1:0")
        client, daemon = ((self.folder / f"{role}.credential").read_text() for role in ("client", "daemon"))
        link = self.dir / "link"
        for text, verbs in ((client, (("status",), ("tasks",), ("map", "-a", "/dev/null", "true"), ("credentials",), ("down",))),
                            (daemon, (("daemon", "--dial-timeout", "300ms"),))):
            role, other, wrong = ("client", "daemon", daemon) if text == client else ("daemon", "client", client)
            link.unlink(missing_ok=True)
            link.symlink_to(self.folder / f"{role}.credential")
            for path, said in (
                    (self.dir / "none", "cannot open the credential"), (self.made("group", text, 0o640), "has mode 0640, which lets others read it"),
                    (self.dir, "is not a plain file"), (link, "is a symbolic link"), (self.made("half", text[:60]), "holds no credential of hato"),
                    (self.made("empty", ""), "it is empty"), (self.made("wrong", wrong), f"holds a {other}'s credential; wanted a {role}'s")):
                for verb in verbs:
                    with self.subTest(verb=verb, path=path.name):
                        done = self.hato(verb[0], "--url", url, "--credential-file", path, *verb[1:], rc=4)
                        self.assertIn(f"{path}", done.err)
                        self.assertIn(said, done.err)
        self.assertIn("is a symbolic link", self.hato("run", "--url", url, "--credential-file", link, "true", rc=125).err)  # its own table
        for given, where in ((client, "HATO_CREDENTIAL"), ("x", "HATO_CREDENTIAL")):
            done = self.hato("daemon", "--url", url, env={**self.env, "HATO_CREDENTIAL": given}, rc=4)
            self.assertIn(where, done.err)
        for given in (client, "x\n"):
            self.assertIn("standard input holds", self.hato("daemon", "--url", url, "--credential-file", "-", input=given, rc=4).err)

    def test_the_credential_of_a_session_elsewhere_that_cannot_be_used(self):
        self.up("-n", "0", "--listen", "tcp://0.0.0.0:0")
        file = self.folder / "client.credential"
        self.elsewhere(self.security()["listeners"][1]["url"])
        self.hato("status")
        text = file.read_text()
        file.chmod(0o644)
        self.assertIn("has mode 0644", self.hato("status", rc=4).err)
        file.unlink()
        done = self.hato("status", rc=4)
        self.assertIn(f"cannot open the credential {file}", done.err)
        self.assertNotIn("hato up", done.err)
        self.made(file, text)
        self.hato("down")

    @limit(60)
    def test_a_credential_file_without_a_url(self):
        self.up("-n", "0")
        for verb in (("status",), ("map", "true"), ("up",), ("down",)):
            done = self.hato(verb[0], "--credential-file", self.folder / "client.credential", *verb[1:], rc=2)
            self.assertIn("--credential-file needs --url", done.err)

    def test_say_what_was_wanted(self):
        self.up("-n", "0")
        self.hato("launch", "-n", "1", "--", "sleep", "600")
        for words, rc, said in (
                (["revok", "1"], 2, "did you mean 'revoke'"), (["renew"], 2, "renew which?"), (["revoke", "demon"], 2, "did you mean 'daemon'"),
                (["renew", "1-3"], 2, "'1-3'"), (["renew", "0"], 2, "'0'"), (["revoke", "7"], 2, "no launch 7: this session's are 1-1"),
                (["revoke", "1"], 4, "another system's workers"), (["list", "7"], 4, "launch 7 has no credential")):
            with self.subTest(words):
                done = self.hato("credentials", *words, rc=rc)
                self.assertIn(said, done.err)
        # What is right among them is done, and the exit status tells of what is not.
        done = self.hato("credentials", "renew", "client", "7", "daemon", rc=2)
        self.assertEqual(len(done.out.splitlines()), 2)
        self.assertEqual(self.hato("credentials", "list", "client", "--json").out.count("\n"), 1)


main()
