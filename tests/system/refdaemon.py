"""A daemon of hato's protocol in the standard library alone, written from docs/protocol.md.

It runs nothing by itself: a test says when a task begins, how it ends, what is given back
and what is left unsaid, so that each fault can be made exactly.

    daemon = Daemon("/run/user/1000/hato/default.sock", slots=2)
    task = daemon.next()                     # an assigned task: number, attempt, argument, spec
    daemon.started(task)
    daemon.result(task, out=b"done\\n")
"""

import os
import secrets
import struct
import time

from refclient import (CH_IN, CREDIT, EXPLICIT, GOODBYE, HEARTBEAT, OBJECT, PATIENCE, PIECE, RESULTS, SPEC, SPEC_DROP, TIMEOUT,
                       WINDOW, Closed, Connection, Fields, ProtocolError, counted_bytes, credit, frame, piece)

DAEMON, ASSIGN, STARTED, TAKE, TAKEN, INTERRUPT, DRAIN, ENLISTED = 32, 33, 34, 35, 36, 37, 38, 39
ROLE_DAEMON = 2
USAGE, OUT_MORE, ERR_MORE = 1, 2, 4
COUNTED = 2


def introduce(slots, launch=0, member=0, host="reference", version="reference", identity=None):
    head = struct.pack("<QIQIIII", identity or secrets.randbits(64), 1, launch, member, slots, slots, os.getpid())
    return frame(DAEMON, head + counted_bytes(host.encode()) + counted_bytes(version.encode()))


def runs(kind, entries):
    """entries: (first, count, attempt) or (first, count, attempt, value)."""
    body = b"".join(struct.pack("<QIIHH", *(entry + (0,))[:4], 0) for entry in entries)
    return frame(kind, struct.pack("<I", len(entries)) + body)


def record(number, attempt, out=b"", err=b"", error=0, wait_status=0, words="", wall_ns=1000000, out_total=None, err_total=None):
    flags = USAGE | (OUT_MORE if out_total is not None else 0) | (ERR_MORE if err_total is not None else 0)
    body = struct.pack("<QIHHQ", number, attempt, error, flags, wall_ns) + struct.pack("<IIQQQ", wait_status, 0, 0, 0, 0)
    for total in (out_total, err_total):
        if total is not None:
            body += struct.pack("<Q", total)
    return counted_bytes(body + counted_bytes(out) + counted_bytes(err) + counted_bytes(words.encode()))


def results(records):
    return frame(RESULTS, struct.pack("<I", len(records)) + b"".join(records))


class Task:
    def __init__(self, number, attempt, index, spec, argument, total=None):
        self.number, self.attempt, self.index, self.spec, self.argument, self.total = number, attempt, index, spec, argument, total

    def __repr__(self):
        return f"<task {self.number} attempt {self.attempt} {self.argument!r}>"


class Daemon:
    def __init__(self, address, slots=1, credential=None, timeout=TIMEOUT, **more):
        self.connection = Connection(address, timeout)
        self.timeout = timeout
        self.connection.admit(credential, ROLE_DAEMON)
        self.assigned, self.specs, self.partial = [], {}, {}
        self.objects, self.dropped, self.takes, self.interrupts, self.drains = {}, [], [], [], []
        self.input, self.input_ended, self.credit = {}, {}, {}
        self.heartbeats, self.number = 0, None
        self.connection.send(introduce(slots, **more))
        self.until(lambda: self.number is not None)

    def close(self):
        """Without a word, as when it was killed."""
        self.connection.close()

    def goodbye(self):
        self.connection.send(frame(GOODBYE, struct.pack("<HI", 0, 0)))
        self.connection.close()

    # ---------------------------------------------------------------- what it says

    def send(self, data):
        self.connection.send(data)

    def started(self, *tasks):
        self.send(runs(STARTED, [(t.number, 1, t.attempt) for t in tasks]))

    def taken(self, *tasks):
        self.send(runs(TAKEN, [(t.number, 1, t.attempt) for t in tasks]))

    def result(self, *tasks, **more):
        self.send(results([record(t.number, t.attempt, **more) for t in tasks]))

    def run(self, *tasks, **more):
        self.started(*tasks)
        self.result(*tasks, **more)

    def heartbeat(self):
        self.send(frame(HEARTBEAT))

    def drain(self, now=0):
        self.send(frame(DRAIN, bytes([now])))

    def output(self, task, channel, data, last=False, status=0):
        self.send(piece(task.number, task.attempt, channel, data, last, status))

    def want(self, task, n=WINDOW):
        self.send(credit(task.number, task.attempt, CH_IN, n))

    # ------------------------------------------------------------------ what comes

    def until(self, condition, seconds=None):
        """Receives until the condition holds; its value. seconds: of programs that are not sanitized."""
        deadline = time.monotonic() + (seconds * PATIENCE if seconds else self.timeout)
        while True:
            answer = condition()
            if answer:
                return answer
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.assigned} {self.takes} {self.interrupts}")
            self.connection.socket.settimeout(left)
            try:
                self.step()
            except TimeoutError:
                raise TimeoutError(f"nothing more came; {self.assigned} {self.takes} {self.interrupts}") from None
            finally:
                self.connection.socket.settimeout(self.timeout)

    def next(self, seconds=None):
        """The next assigned task."""
        self.until(lambda: self.assigned, seconds)
        return self.assigned.pop(0)

    def take_all(self, n, seconds=None):
        self.until(lambda: len(self.assigned) >= n, seconds)
        tasks, self.assigned = self.assigned, []
        return tasks

    def quiet(self):
        """Handles what has come and stands waiting; no frame is awaited."""
        self.connection.socket.settimeout(0.05)
        try:
            while True:
                self.step()
        except TimeoutError:
            pass
        finally:
            self.connection.socket.settimeout(self.timeout)

    def ended(self, seconds=None):
        """Receives until the connection ends; the words of a GOODBYE, else ""."""
        try:
            self.until(lambda: False, seconds)
        except Closed as end:
            return str(end)

    def step(self):
        kind, body = self.connection.receive()
        fields = Fields(body)
        handler = {ENLISTED: self.on_enlisted, SPEC: self.on_spec, SPEC_DROP: self.on_spec_drop, OBJECT: self.on_object,
                   ASSIGN: self.on_assign, TAKE: self.on_take, INTERRUPT: self.on_interrupt, PIECE: self.on_piece,
                   CREDIT: self.on_credit, DRAIN: self.on_drain, HEARTBEAT: self.on_heartbeat, GOODBYE: self.on_goodbye}.get(kind)
        if handler is None:
            raise ProtocolError(f"a frame of type {kind}")
        handler(fields)
        fields.end()

    def on_enlisted(self, fields):
        self.number, self.heartbeat_ms = fields.unpack("II")
        if self.heartbeat_ms == 0:
            raise ProtocolError("a heartbeat of 0")

    def on_spec(self, fields):
        number, total, offset = fields.unpack("III")
        have = self.partial.setdefault(number, b"")
        if offset != len(have) or number in self.specs:
            raise ProtocolError(f"SPEC {number}: offset {offset} after {len(have)} bytes")
        self.partial[number] = have + fields.rest()
        if len(self.partial[number]) == total:
            self.specs[number] = self.partial.pop(number)

    def on_spec_drop(self, fields):
        number = fields.unpack("I")
        if self.specs.pop(number, None) is None:
            raise ProtocolError(f"SPEC_DROP of {number}, which was not sent")
        self.dropped.append(number)

    def on_object(self, fields):
        name, total, offset = fields.unpack("32sQQ")
        have = self.objects.setdefault(name, b"")
        if offset != len(have):
            raise ProtocolError(f"OBJECT: offset {offset} after {len(have)} bytes")
        self.objects[name] = have + fields.rest()

    def on_assign(self, fields):
        spec, kind, large, _, first, index, attempt, count, start, step, total = fields.unpack("IBBHQIIIqqQ")
        if spec not in self.specs:
            raise ProtocolError(f"ASSIGN names specification {spec}, which was not sent")
        arguments = [b""] * count
        if kind == COUNTED:
            arguments = [str(start + i * step).encode() for i in range(count)]
        elif kind == EXPLICIT and not large:
            n = fields.unpack("I")
            ends = [fields.unpack("I") for _ in range(n)]
            data = fields.rest()
            if n != count or ends[-1] != len(data):
                raise ProtocolError("ASSIGN: its block has not count arguments")
            arguments = [data[a:b] for a, b in zip([0] + ends, ends)]
        for i, argument in enumerate(arguments):
            self.assigned.append(Task(first + i, attempt, index + i, spec, argument, total if large else None))

    def on_take(self, fields):
        self.takes.append(fields.unpack("I"))

    def on_interrupt(self, fields):
        for _ in range(fields.unpack("I")):
            first, count, attempt, value, _ = fields.unpack("QIIHH")
            self.interrupts += [(first + i, attempt, value) for i in range(count)]

    def on_piece(self, fields):
        task, attempt, channel, last, status = fields.unpack("QIBBH")
        if channel != CH_IN:
            raise ProtocolError(f"PIECE on channel {channel} to a daemon")
        key = task, attempt
        self.input[key] = self.input.get(key, b"") + fields.rest()
        if last:
            self.input_ended[key] = status

    def on_credit(self, fields):
        task, attempt, channel, n = fields.unpack("QIB3xQ")
        key = task, attempt, channel
        self.credit[key] = self.credit.get(key, 0) + n

    def on_drain(self, fields):
        self.drains.append(fields.unpack("B"))

    def on_heartbeat(self, fields):
        self.heartbeats += 1

    def on_goodbye(self, fields):
        status = fields.unpack("H")
        raise Closed(f"{fields.text()} ({status})")
