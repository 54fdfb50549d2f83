"""Bad input and faults: each gives a clear message, nothing accepted is lost or left running, and nobody else is disturbed."""

import ctypes
import json
import os
import re
import resource
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest
from pathlib import Path

import refdaemon
from harness import BUILD, HATO, PATIENCE, alive, limit, main
from refclient import (ARGS, BODY_MAX, CANCEL, CH_IN, CLIENT, CONTROL, DETACHED, FETCH, HEARTBEAT, HELLO, PIECE, PROOF, RESULTS, SPEC,
                       STDIN_ARG, SUBMIT, WELCOME, WINDOW, Client, Closed, Connection, Credential, ProtocolError, Refused, Result, VERSION,
                       credit, frame, hello, introduce, piece, spec, submit)
from served import Served, request, requests, value

NO_SPACE = 22


class Port(Served):
    """What anything may send to the port, over a Unix socket and over TCP."""

    def setUp(self):
        super().setUp()
        self.server = self.serve("--listen", "tcp://127.0.0.1:0")
        # Somebody who must not be disturbed: a client with a task at a daemon.
        self.witness = self.client(self.server)
        self.holder = self.daemon(self.server)
        number = self.witness.specification(["echo", "{}"])
        self.first = self.witness.submit(number, count=1)
        self.held = self.holder.next()

    def undisturbed(self):
        self.holder.run(self.held, out=b"undisturbed")
        self.assertEqual(next(self.witness.results(self.first, 1)).out, b"undisturbed")
        self.assertTrue(self.server.alive())
        self.assertEqual(len(self.ask(self.server)["daemons"]), 1)

    def addresses(self):
        return {"ipc": self.server.socket, "tcp": self.server.tcp()}

    def closes(self, connection, seconds=15):
        """All that comes until the dispatcher closes it."""
        got = b""
        connection.socket.settimeout(seconds * PATIENCE)
        try:
            while True:
                data = connection.socket.recv(65536)
                if not data:
                    return got
                got += data
        except ConnectionResetError:
            return got
        finally:
            connection.close()

    def test_bytes_that_are_no_hello(self):
        greeting = hello(bytes(16))
        bad = {
            "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "zeros": bytes(4096),
            "random": b"\0" + secrets.token_bytes(100000),
            "4 GB": struct.pack("<2sBBI", b"HT", VERSION, HELLO, 2**32 - 1) + bytes(100),
            "over the cap": struct.pack("<2sBBI", b"HT", VERSION, HELLO, 1025) + bytes(1025),
            "magic": b"XT" + greeting[2:],
            "short": frame(HELLO, greeting[8:-1]),
            "long": frame(HELLO, greeting[8:] + b"x"),
            "reserved": greeting[:11] + b"\1" + greeting[12:],
            "role": greeting[:8] + b"\7" + greeting[9:],
            "versions": greeting[:9] + b"\2\1" + greeting[11:],
            "results first": frame(RESULTS, b"\0\0\0\0"),
            "submit first": submit(1, 1, 1),
            "proof first": frame(PROOF, bytes(32)),
            "welcome": frame(WELCOME, bytes(32)),
            "heartbeat first": frame(HEARTBEAT),
        }
        for kind, address in self.addresses().items():
            for name, data in bad.items():
                with self.subTest(f"{name} over {kind}"):
                    connection = Connection(address)
                    try:
                        connection.send(data)
                        head = connection.socket.recv(8, socket.MSG_WAITALL)
                    except (BrokenPipeError, ConnectionResetError):
                        head = b""
                    if head:  # it says why, and waits for us to have read it
                        self.assertEqual((head[:2], head[3]), (b"HT", 5))
                    connection.close()
        self.server.wait_log("PEER-REFUSED")
        self.undisturbed()

    def test_a_newer_version_is_refused_with_words_that_name_both(self):
        for kind, address in self.addresses().items():
            with self.subTest(kind):
                connection = Connection(address)
                connection.send(struct.pack("<2sBBI", b"HT", 9, HELLO, 20) + struct.pack("<BBBB16s", 1, 9, 12, 0, bytes(16)))
                magic, _, refused, _ = struct.unpack("<2sBBI", connection.socket.recv(8, socket.MSG_WAITALL))
                words = connection.socket.recv(500)
                connection.close()
                self.assertEqual((magic, refused), (b"HT", 5))
                self.assertRegex(words, rb"9.*12")
                self.assertRegex(words, rb"\b2\b")
        # One that speaks this version too is welcome.
        connection = Connection(self.server.socket)
        connection.send(struct.pack("<2sBBI", b"HT", 1, HELLO, 20) + struct.pack("<BBBB16s", 1, 1, 12, 0, bytes(16)))
        self.assertEqual(connection.receive()[0], WELCOME)
        connection.close()
        self.undisturbed()

    def test_a_wrong_secret_is_refused_and_says_not_what_was_wrong(self):
        address = self.server.tcp()
        for role in (1, 2):
            with self.assertRaises(Refused) as end:
                Connection(address).admit(Credential(bytes(32), role))
            self.assertEqual(end.exception.status, 27)
            self.assertNotRegex(end.exception.words, r"mac|nonce|byte")
        Connection(address).admit(self.server.credential())
        self.server.wait_log("PEER-REFUSED")
        self.undisturbed()

    def test_an_admitted_peer_that_makes_no_sense(self):
        me = introduce(7, "bad")
        worker = refdaemon.introduce(1)
        clients = {
            "unknown type": me + frame(200), "twice": me + me, "not introduced": submit(1, 1, 1),
            "daemon's message": me + frame(RESULTS, b"\0\0\0\0"), "welcome": me + frame(WELCOME, bytes(32)),
            "spec not sent": me + submit(1, 99, 1), "no tasks": me + spec(1, b"\1\0\1\0\0\0\1") + submit(1, 1, 0),
            "spec garbage": me + spec(1, secrets.token_bytes(50)), "spec gap": me + frame(SPEC, struct.pack("<III", 1, 100, 50) + b"x"),
            "spec 9 MiB": me + frame(SPEC, struct.pack("<III", 1, 9 << 20, 0) + b"x"),
            "cut": me + submit(1, 1, 1)[:-3] + b"", "4 GB": me + struct.pack("<2sBBI", b"HT", 1, SUBMIT, 2**32 - 1),
            "cap": me + struct.pack("<2sBBI", b"HT", 1, CONTROL, BODY_MAX + 1), "no body": me + frame(SUBMIT),
            "cancel backwards": me + frame(CANCEL, struct.pack("<B7xQQQ", 0, 0, 9, 1)), "fetch long": me + frame(FETCH, bytes(9)),
            "piece": me + frame(PIECE, bytes(5)), "piece on channel 1": me + frame(PIECE, struct.pack("<QIBBH", 1, 1, 1, 0, 0) + b"x"),
            "garbage": me + secrets.token_bytes(5000),
        }
        for name, data in clients.items():
            with self.subTest(name):
                connection = Connection(self.server.socket)
                connection.admit()
                connection.send(data)
                if name in ("cut",):
                    connection.close()
                    continue
                self.closes(connection)
        workers = {
            "client's message": worker + submit(1, 1, 1), "no slots": refdaemon.introduce(0), "four billion slots": refdaemon.introduce(2**32 - 1),
            "not introduced": frame(RESULTS, b"\0\0\0\0"), "results that lie": worker + frame(RESULTS, struct.pack("<I", 2**32 - 1)),
            "record too long": worker + frame(RESULTS, struct.pack("<II", 1, 2**31)), "runs that lie": worker + frame(34, struct.pack("<I", 10000)),
            "no run": worker + frame(34, struct.pack("<IQIIHH", 1, 1, 0, 1, 0, 0)), "twice": worker + worker, "garbage": worker + secrets.token_bytes(999),
        }
        for name, data in workers.items():
            with self.subTest(name):
                connection = Connection(self.server.socket)
                connection.admit(self.server.credential("daemon"))
                connection.send(data)
                self.closes(connection)
        self.server.wait_log("PEER")
        self.undisturbed()

    @limit(40)
    def test_silence_is_closed_after_ten_seconds(self):
        began = time.monotonic()
        silent = [Connection(address) for address in self.addresses().values()]
        silent.append(Connection(self.server.socket))
        silent[2].send(hello(bytes(16))[:11])  # and half a frame
        for connection in silent:
            self.closes(connection, 20)
        self.assertGreater(time.monotonic() - began, 8)
        self.server.wait_log("PEER-REFUSED")
        self.undisturbed()

    def test_requests_that_make_no_sense_are_answered_in_words(self):
        for text, words in (("", "JSON"), ("{", "JSON"), ("[]", "op"), ('{"op": 1}', "op"), ('{"op":"statsu"}', 'did you mean "status"'),
                            ('{"op":"wait"}', "tasks"), ('{"op":"wait","tasks":"9-1"}', "9-1"), ('{"op":"wait","tasks":"x"}', "x"),
                            ('{"op":"wait","tasks":"77"}', "77"), ('{"op":"cancel","tasks":"0"}', "0"),
                            ('{"op":"tasks","state":"odd"}', "odd"), ('{"op":"launch","launcher":"nosuch"}', "nosuch"),
                            ('{"op":"launch","n":-1}', "-1"), ('{"op":"launch","bind":"x"}', "bind"),
                            ('{"op":"launch","options":["nokey=1"],"n":1}', "nokey"), ("[" * 100000, "JSON")):
            with self.subTest(text[:50]):
                answer = json.loads(self.witness.control(text))
                self.assertIn(words, answer["error"])
                self.assertNotEqual(answer["status"], 0)
        self.undisturbed()


class Reading(Served):
    """A client that stops reading."""

    @limit(90)
    def test_it_costs_nobody_memory_and_goes_on_when_it_reads_again(self):
        server = self.serve()
        daemon = self.daemon(server)
        still = self.client(server)
        number = still.specification(["x"])
        count = 4000
        first = still.submit(number, count=count)
        other = self.client(server)
        others_spec = other.specification(["y"])
        before = server.rss()
        out, done, paused = os.urandom(60000), 0, False
        while not paused:
            try:
                daemon.run(daemon.next(1), out=out, wall_ns=10**9)
                done += 1
            except TimeoutError:
                paused = any(c["paused"] for c in self.ask(server)["clients"])
            self.assertLess(done, 1500, "it was never paused")
        self.assertLess(server.rss() - before, 60 * 1024 * (PATIENCE if PATIENCE > 1 else 1))
        # Another client works on.
        theirs = other.submit(others_spec, count=5)
        for _ in range(5):
            task = daemon.next()
            self.assertGreaterEqual(task.number, theirs)
            daemon.run(task, out=b"other", wall_ns=10**9)
        self.assertEqual([r.out for r in other.results(theirs, 5)], [b"other"] * 5)
        # It reads again.
        for result in still.results(first, done):
            self.assertEqual(len(result.out), len(out))
        daemon.until(lambda: daemon.assigned, 10)
        self.assertFalse(any(c["paused"] for c in self.ask(server)["clients"]))

    def test_answers_that_are_not_read_are_bounded(self):
        server = self.serve()
        daemon = self.daemon(server)
        client = self.client(server)
        first = client.submit(client.specification(["x"]), count=1, flags=DETACHED)
        task = daemon.next()
        daemon.started(task)
        daemon.output(task, 1, b"p" * 200000)
        daemon.output(task, 1, b"q" * 200000, last=True)
        daemon.result(task, out=os.urandom(60000), out_total=460000)
        self.assertEqual(request(client, "wait", all=True)["resolved"], 1)
        before = server.rss()
        client.connection.socket.setblocking(False)
        asked = 0
        deadline = time.monotonic() + 5
        try:
            while asked < 200000 and time.monotonic() < deadline:
                asked += client.connection.socket.send(frame(FETCH, struct.pack("<Q", first)) * 100) // 16
        except BlockingIOError:
            pass  # it is not read from any more
        self.assertGreater(asked, 10)
        self.ask(server)
        self.assertLess(server.rss() - before, 64 * 1024 * max(PATIENCE, 1))
        client.connection.close()
        self.wait_for(lambda: len(self.ask(server)["clients"]) == 1, 10, "the one that did not read is gone")


class Credit(Served):
    """Pieces beyond what was granted, and grants beyond what is ever taken: the dispatcher holds neither."""

    def setUp(self):
        super().setUp()
        self.server = self.serve()
        self.daemon_ = self.daemon(self.server)
        self.other = self.client(self.server)

    def undisturbed(self, daemon):
        first = self.other.submit(self.other.specification(["x"]), count=1)
        daemon.run(daemon.next(), out=b"undisturbed")
        self.assertEqual(next(self.other.results(first, 1)).out, b"undisturbed")

    def held(self, before):
        """KiB that the dispatcher grew by; of a sanitized one nothing is said."""
        return 0 if os.environ.get("HATO_SANITIZE") else self.server.rss() - before

    def counting(self, client):
        """It counts what comes in pieces, and grants nothing by itself; [bytes, its last piece came]."""
        said = [0, False]

        def on_piece(fields):
            last = fields.unpack("QIBBH")[3]
            said[0] += len(fields.rest())
            said[1] = bool(last)

        client.on_piece = on_piece
        return said

    def closed(self, client):
        with self.assertRaises((Closed, ConnectionResetError, BrokenPipeError)):
            while True:
                client.step()

    def test_a_client_that_sends_beyond_its_credit_is_closed(self):
        daemon = self.daemon_
        for granted in (0, 1000):
            client = self.client(self.server)
            first = client.submit(client.specification(["x"], stdin=STDIN_ARG), [bytes(100000)])
            client.inputs.clear()  # what is granted is not used by itself
            task = daemon.next()
            daemon.started(task)
            if granted:
                daemon.want(task, granted)
                client.step()
                client.connection.send(piece(first, task.attempt, CH_IN, bytes(granted)))
                daemon.until(lambda: len(daemon.input.get((first, task.attempt), b"")) == granted)
            client.connection.send(piece(first, task.attempt, CH_IN, b"x"))
            self.closed(client)
            self.server.wait_log(f"PIECE: task {first}: 1 bytes, where 0 more were granted")
            daemon.until(lambda: daemon.interrupts)
            daemon.interrupts.clear()
            daemon.result(task, error=20)
        client = self.client(self.server)
        first = client.submit(client.specification(["x"]), [b"small"])  # that has no argument in pieces
        task = daemon.next()
        client.connection.send(piece(first, task.attempt, CH_IN, b"x"))
        self.closed(client)
        daemon.until(lambda: daemon.interrupts)
        daemon.result(task, error=20)
        self.undisturbed(daemon)

    def test_a_clients_argument_is_sent_anew_for_another_attempt(self):
        daemon, again = self.daemon_, self.daemon(self.server)
        client = self.client(self.server)
        argument = os.urandom(3 << 20)
        first = client.submit(client.specification(["x"], stdin=STDIN_ARG), [argument])
        holder = self.wait_for(lambda: self.assigned(daemon, again), what="one of the daemons has it")
        task = holder.next()
        holder.want(task, WINDOW)
        client.step()
        holder.until(lambda: len(holder.input.get((first, 1), b"")) == WINDOW)
        holder.close()  # it had not begun: it is tried elsewhere
        other = again if holder is daemon else daemon
        task = other.next()
        self.assertEqual(task.attempt, 2)
        other.started(task)
        while (first, 2) not in other.input_ended:
            other.want(task, WINDOW)
            client.step()
            have = len(other.input.get((first, 2), b""))
            other.until(lambda: len(other.input.get((first, 2), b"")) >= min(have + WINDOW, len(argument)))
        self.assertEqual(other.input[first, 2], argument)
        other.result(task, out=b"whole")
        self.assertEqual(next(client.results(first, 1)).out, b"whole")

    def assigned(self, *daemons):
        """The one of them that was given a task; None: none was yet."""
        for one in daemons:
            one.quiet()
        return next((one for one in daemons if one.assigned), None)

    def test_a_daemon_that_sends_beyond_its_credit_is_closed(self):
        daemon, client = self.daemon_, self.client(self.server)
        first = client.submit(client.specification(["x"]), count=1)
        task = daemon.next()
        daemon.started(task)
        for _ in range(16):
            daemon.output(task, 1, bytes(WINDOW // 16))
        daemon.output(task, 1, b"x")  # the client has read nothing and granted nothing
        self.assertIsNotNone(daemon.ended(10))
        self.server.wait_log(f"PIECE: task {first}: 1 bytes, where 0 more were granted")
        self.assertEqual([value(r) for r in client.results(first, 1)], [19])
        self.undisturbed(self.daemon(self.server))

    def test_a_client_that_grants_all_and_reads_nothing(self):
        """Its daemon is granted a window at a time, and as fast as the client reads."""
        daemon, client = self.daemon_, self.client(self.server)
        first = client.submit(client.specification(["x"]), count=1)
        task = daemon.next()
        daemon.started(task)
        said = self.counting(client)
        daemon.output(task, 1, b"y")
        client.step()
        client.connection.send(credit(first, task.attempt, 1, 16 << 30))
        before, key, sent = self.server.rss(), (first, task.attempt, 1), 1
        chunk, total = bytes(1 << 17), 40 << 20
        stalled = 0
        while sent < total and stalled < 5:
            if daemon.credit.get(key, 0) + WINDOW - sent >= len(chunk):
                daemon.output(task, 1, chunk)
                sent += len(chunk)
                stalled = 0
            else:
                daemon.quiet()
                stalled += 1
        self.assertLess(sent, 20 << 20, "what waits for it is bounded")
        self.assertLess(self.held(before), 24 * 1024)
        reader = threading.Thread(target=self.read_on, args=(client, said), daemon=True)
        reader.start()
        while sent < total:
            daemon.until(lambda: daemon.credit.get(key, 0) + WINDOW - sent >= len(chunk))
            daemon.output(task, 1, chunk)
            sent += len(chunk)
        daemon.output(task, 1, b"", last=True)
        daemon.result(task, out_total=sent)
        reader.join(30 * PATIENCE)
        self.assertEqual(said, [sent, True])

    def read_on(self, client, said):
        while not said[1]:
            client.step()

    def test_a_kept_result_is_read_from_the_spool_as_its_client_reads(self):
        daemon, client = self.daemon_, self.client(self.server)
        total, chunk, said = 48 << 20, bytes(1 << 17), self.counting(client)
        first = client.submit(client.specification(["x"]), count=1, flags=DETACHED)
        task = daemon.next()
        daemon.started(task)
        for _ in range(total // len(chunk)):
            daemon.output(task, 1, chunk)
        daemon.output(task, 1, b"", last=True)
        daemon.result(task, out_total=total)
        self.assertEqual(request(client, "wait", all=True)["failed"], 0)
        before = self.server.rss()
        client.connection.send(frame(FETCH, struct.pack("<Q", first)) + credit(first, task.attempt, 1, 16 << 30))
        request(self.other, "status")
        daemon.quiet()
        self.assertLess(self.held(before), 16 * 1024)
        self.read_on(client, said)
        self.assertEqual(said, [total, True])
        request(client, "forget", all=True)

    def test_waiting_has_a_limit(self):
        client = self.client(self.server)
        client.submit(client.specification(["x"]), count=1, flags=DETACHED)
        for token in range(1000):
            client.replies[token + 10] = ["", False]
            client.connection.send(frame(CONTROL, struct.pack("<I", token + 10) + b'{"op":"wait","all":true}'))
        answer = request(client, "wait", all=True)
        self.assertEqual((answer["status"], answer["error"]), (4, "this client waits 1000 times already, and may no more"))
        self.daemon_.run(self.daemon_.next())
        while not all(done for _, done in client.replies.values()):
            client.step()
        self.assertEqual(request(client, "wait", all=True)["resolved"], 1)


class Limits(Served):
    def test_the_descriptor_limit_pauses_accepting_and_says_so(self):
        server = self.serve(prefix=("prlimit", "--nofile=60:60"))
        client, daemon = self.client(server), self.daemon(server)
        many = []  # admitted: strangers would give way
        try:
            while "ACCEPT-PAUSED" not in server.log():
                many.append(Client(server.socket, timeout=5 * PATIENCE))
                self.assertLess(len(many), 60)
        except (OSError, Closed):
            server.wait_log("ACCEPT-PAUSED")
        # Who is connected works on.
        first = client.submit(client.specification(["x"]), count=3)
        for _ in range(3):
            daemon.run(daemon.next(), wall_ns=10**9)
        self.assertEqual([value(r) for r in client.results(first, 3)], [0] * 3)
        for one in many:
            one.close()
        # The one that could not be accepted may have been dropped: it is the next that shows it.
        self.assertEqual(self.ask(server)["tasks"]["done"], 3)
        server.wait_log("ACCEPT-RESUMED")

    def test_a_full_spool_refuses_waits_and_goes_on_when_results_are_forgotten(self):
        server = self.serve("--spool-limit", "2M")
        client, daemon = self.client(server), self.daemon(server)
        number = client.specification(["x"])
        out = os.urandom(60000)
        first = client.submit(number, count=100, flags=DETACHED)
        done = 0
        while not self.ask(server)["spool"]["full"]:
            daemon.run(daemon.next(), out=out, wall_ns=10**9)
            done += 1
            self.wait_counts(server, done=done)
        server.wait_log("SPOOL-FULL")
        daemon.quiet()
        for task in daemon.assigned:  # what was on its way when it became full
            daemon.run(task, out=out, wall_ns=10**9)
            done += 1
        daemon.assigned = []
        self.wait_counts(server, done=done, queued=100 - done)
        with self.assertRaises(Refused) as refused:
            client.submit(number, count=1, flags=DETACHED)
        self.assertEqual(refused.exception.status, NO_SPACE)
        self.assertRegex(refused.exception.words, r"spool in .* is full.*forget")
        done_by_hand = self.hato("submit", "true", rc=None)
        self.assertNotEqual(done_by_hand.rc, 0)
        self.assertIn("full", done_by_hand.err)
        # An attached one needs no room.
        attached = client.submit(number, count=1)
        daemon.run(daemon.next(), wall_ns=10**9)
        self.assertEqual([value(r) for r in client.results(attached, 1)], [0])
        # What ended is all there.
        for task in range(first, first + done):
            client.connection.send(frame(FETCH, struct.pack("<Q", task)))
            self.assertEqual(next(client.results(task, 1)).out, out)
        rounds = 0
        while done < 100:
            request(client, "forget", all=True)
            server.wait_log("SPOOL-ROOM")
            while done < 100 and not self.ask(server)["spool"]["full"]:
                daemon.run(daemon.next(), out=out, wall_ns=10**9)
                done += 1
                self.wait_counts(server, done=done + 1)
            daemon.quiet()
            for task in daemon.assigned:
                daemon.run(task, out=out, wall_ns=10**9)
                done += 1
            daemon.assigned = []
            self.wait_counts(server, done=done + 1)
            rounds += 1
        self.assertGreater(rounds, 1)
        self.assertEqual(self.counts(server)["failed"], 0)

    def test_output_far_past_the_limit(self):
        server = self.serve()
        client, _ = self.client(server), self.real_daemon(server)
        for flags in (0, DETACHED):
            with self.subTest(detached=bool(flags)):
                first = self.shell(client, "exec cat /dev/zero", flags=flags, output_limit=200000)
                second = self.shell(client, "echo next", flags=flags)
                if flags:
                    request(client, "wait", all=True)
                    for task in (first, second):
                        client.connection.send(frame(FETCH, struct.pack("<Q", task)))
                ended = next(client.results(first, 1))
                self.assertEqual(value(ended), 17)
                self.assertRegex(ended.words, "200000|limit")
                self.assertLessEqual(len(ended.out), 200000)
                self.assertEqual(next(client.results(second, 1)).out, b"next\n", "the slot comes back")

    def test_output_past_the_room_of_the_spool(self):
        server = self.serve("--spool-limit", "2M")
        client, _ = self.client(server), self.real_daemon(server)
        for script in ("head -c 5000000 /dev/zero", "head -c 5000000 /dev/zero >&2; head -c 70000 /dev/zero", "head -c 5000000 /dev/zero; head -c 70000 /dev/zero >&2"):
            first = self.shell(client, script, flags=DETACHED)
            self.assertEqual(request(client, "wait", tasks=str(first)), {"tasks": 1, "resolved": 1, "failed": 1})
            client.connection.send(frame(FETCH, struct.pack("<Q", first)))
            result = next(client.results(first, 1))
            self.assertEqual((value(result), result.wait_status), (NO_SPACE, 0))
            words = r"could not be kept whole, but for the first 64 KB: the spool .* is full: its limit is 2048 KB \(hato up --spool-limit\)"
            self.assertRegex(result.words, words)
            self.assertEqual((result.err if script.endswith(" >&2; head -c 70000 /dev/zero") else result.out)[:65536], bytes(65536))
            done = self.hato("output", "--both", first, rc=1)
            self.assertRegex(done.err.lstrip("\0"), rf"^hato output: task {first}: its output {words}")
            self.assertGreaterEqual(len(done.out + done.err), 65536)
            self.assertLessEqual(self.ask(server)["spool"]["used"], 200000, "others have its room")
            request(client, "forget", tasks=str(first))
        server.wait_log("RESULT-LOST")
        second = self.shell(client, "echo fits", flags=DETACHED)
        self.assertEqual(request(client, "wait", tasks=str(second))["failed"], 0)


def small_disk(folder, size):
    """A command's prefix: it runs where folder is a small disk that nobody else sees."""
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c",
            f'mount -t tmpfs -o size={size},mode=700 none {folder} && exec "$@"', "sh")


def can_mount():
    return os.geteuid() == 0 and subprocess.run([*small_disk("/mnt", "1m"), "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(can_mount(), "mounting a small disk needs root")
class FullDisk(Served):
    def test_results_wait_for_room(self):
        server = self.serve(prefix=small_disk(self.dir / "run", "3m"))
        namespace = f"/proc/{server.pid}/root"
        client = Client(f"{namespace}{server.socket}")
        self.addCleanup(client.connection.close)
        daemon = refdaemon.Daemon(f"{namespace}{server.socket}", credential=server.credential("daemon"))
        self.addCleanup(daemon.close)
        number = client.specification(["x"])
        out = os.urandom(60000)
        first = client.submit(number, count=120, flags=DETACHED)
        done = 0
        while not request(client, "status")["spool"]["full"]:
            daemon.run(daemon.next(), out=out, wall_ns=10**9)
            done += 1
            self.wait_for(lambda: request(client, "status")["tasks"]["done"] == done)
        server.wait_log("SPOOL-FULL")
        self.assertIn("disk is full", server.log())
        daemon.quiet()
        for task in daemon.assigned:
            daemon.run(task, out=out, wall_ns=10**9)
            done += 1
        daemon.assigned = []
        self.wait_for(lambda: request(client, "status")["tasks"]["done"] == done)
        self.assertLess(done, 60)
        with self.assertRaises(Refused) as refused:
            client.submit(number, count=1, flags=DETACHED)
        self.assertEqual(refused.exception.status, NO_SPACE)
        for task in range(first, first + done):  # nothing that ended is lost
            client.connection.send(frame(FETCH, struct.pack("<Q", task)))
            self.assertEqual(next(client.results(task, 1)).out, out)
        request(client, "forget", tasks=f"{first}-{first + done - 1}")
        daemon.run(daemon.next(10), out=out, wall_ns=10**9)
        self.wait_for(lambda: request(client, "status")["tasks"]["done"] == done + 1)
        self.assertEqual(request(client, "status")["tasks"]["failed"], 0)

    @limit(40)
    def test_a_session_cannot_start_on_a_full_disk_and_says_so(self):
        state = Path(self.env["XDG_STATE_HOME"])
        prefix = list(small_disk(state, "64k"))
        prefix[6] = prefix[6].replace("&& exec", f"&& dd if=/dev/zero of={state}/fill 2>/dev/null; exec")
        done = self.run_command(*prefix, HATO, "dispatcher", rc=4)
        self.assertRegex(done.err, r"(?i)no space")
        self.assertIn(str(state), done.err)

    @limit(40)
    def test_output_to_a_full_disk_is_an_error_value_with_words(self):
        (self.dir / "small").mkdir()
        server = self.serve()
        small = self.dir / "small"
        daemon = self.start(*small_disk(small, "64k"), HATO, "daemon", "--url", server.urls[0], "--credential-file",
                            server.credential_file("daemon"), "--slots", "1")
        self.wait_for(lambda: self.ask(server)["slots"] == 1)
        client = self.client(server)
        first = self.shell(client, "head -c 1000000 /dev/zero", output_to=str(small / "out.{#}"))
        result = next(client.results(first, 1))
        self.assertTrue(value(result) == NO_SPACE or result.wait_status != 0, result)
        second = self.shell(client, "echo next")
        self.assertEqual(next(client.results(second, 1)).out, b"next\n")
        self.assertTrue(alive(daemon.pid))


class Starting(Served):
    def test_a_second_dispatcher_on_the_same_session(self):
        server = self.serve()
        client, daemon = self.client(server), self.daemon(server)
        done = self.hato("dispatcher", rc=4)
        self.assertRegex(done.err, rf"{server.pid}")
        self.assertRegex(done.err, "(?i)session|served|dispatcher")
        first = client.submit(client.specification(["x"]), count=1)
        daemon.run(daemon.next())
        self.assertEqual([value(r) for r in client.results(first, 1)], [0])
        self.assertEqual(self.ask(server)["pid"], server.pid)

    def test_a_port_in_use(self):
        with socket.socket() as kept, socket.socket() as taken:
            for one in (kept, taken):  # the first keeps the port ours when the second is closed
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(kept.getsockname() if one is taken else ("127.0.0.1", 0))
            taken.listen()
            url = "tcp://127.0.0.1:{}".format(taken.getsockname()[1])
            done = self.hato("dispatcher", "--listen", url, rc=4)
            self.assertIn(url, done.err)
            self.assertRegex(done.err, "(?i)in use")
            done = self.hato("up", "-n", 0, "--listen", url, rc=None)
            self.assertNotEqual(done.rc, 0)
            self.assertRegex(done.err, "(?i)in use")
            self.assert_nothing_left()
            self.assertEqual(list((self.dir / "state" / "hato").rglob("lock")), [], "nothing is left of the session")
            taken.close()
            self.serve("--listen", url)

    def test_urls_that_cannot_be_listened_at(self):
        for url in ("tcp://", "nonsense", "tcp://256.1.1.1:5", "tcp://127.0.0.1:99999", "udp://127.0.0.1:0", "tcp://192.0.2.1:0"):
            with self.subTest(url):
                done = self.hato("dispatcher", "--listen", url, rc=None)
                self.assertNotEqual(done.rc, 0)
                self.assertIn(url, done.err)
        self.assert_nothing_left()

    def test_a_module_with_the_wrong_abi(self):
        self.env["HATO_LAUNCHERS_PATH"] = str(BUILD / "tests" / "launchers")
        server = self.serve()
        client = self.client(server)
        listed = request(client, "launchers")["launchers"]
        self.assertIn("local", listed)
        answer = request(client, "launch", launcher="bad_major", n=1)
        self.assertRegex(answer["error"], r"bad_major")
        self.assertRegex(answer["error"], r"(?i)abi")
        self.assertRegex(answer["error"], r"\d.*\d")
        for name in ("bad_magic", "bad_size", "bad_symbol", "bad_name", "bad_option", "bad_operation"):
            with self.subTest(name):
                self.assertIn("error", request(client, "launch", launcher=name, n=1))
        answer = request(client, "launch", launcher="local", n=1, wait=True)
        self.assertEqual(answer["connected"], 1)
        first = self.shell(client, "echo fine")
        self.assertEqual(next(client.results(first, 1)).out, b"fine\n")
        done = self.hato("launch", "--launcher", "bad_major", "-n", "1", rc=None)
        self.assertNotEqual(done.rc, 0)
        self.assertRegex(done.err, r"(?i)abi")

    def test_a_command_that_is_a_folder_and_other_impossible_ones(self):
        server = self.serve()
        client, _ = self.client(server), self.real_daemon(server)
        (self.dir / "plain").write_text("no program")
        host = socket.gethostname()
        for argv, cwd, words in ((["/tmp"], "/", "/tmp"), (["nosuchprogram"], "/", "nosuchprogram"), ([str(self.dir / "plain")], "/", "plain"),
                                 (["true"], "/no/such/folder", "/no/such/folder"), (["/no/such/path"], "/", "/no/such/path")):
            with self.subTest(argv=argv, cwd=cwd):
                number = client.specification(argv, cwd=cwd, env={"PATH": os.environ["PATH"]})
                result = next(client.results(client.submit(number, [b""]), 1))
                self.assertIn(value(result), (12, 16, 1001))
                self.assertIn(words, result.words)
                self.assertIn(host, result.words)


main()
