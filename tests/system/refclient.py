"""A client of hato's protocol in the standard library alone, written from docs/protocol.md.

It shares no code with hato, so what it can do, the document says. The system tests use it
to submit work, and to send what no client of ours would send.

    python3 refclient.py SOCKET [WORD...]      runs WORD... for each line of standard input

    client = Client("/run/user/1000/hato/default.sock")
    spec = client.specification(["echo", "{}"])
    first = client.submit(spec, [b"one", b"two"])
    for result in client.results(first, 2): print(result.task, result.out)
"""

import hashlib
import hmac
import os
import secrets
import socket
import struct
from pathlib import Path
import sys

PATIENCE = float(os.environ.get("HATO_PATIENCE", "1"))  # sanitized programs are several times slower
TIMEOUT = 20 * PATIENCE

VERSION = 2
HEADER = struct.Struct("<2sBBI")
BODY_MAX = 256 * 1024
PIECE_DATA = BODY_MAX - 16
INLINE_ARG = 64 * 1024
WINDOW = 2 << 20
UNKNOWN = 2**64 - 1

HELLO, CHALLENGE, PROOF, WELCOME, REFUSED = 1, 2, 3, 4, 5
HEARTBEAT, GOODBYE = 8, 9
CLIENT, SPEC, SPEC_DROP, OBJECT, SUBMIT, ARGS, ACCEPTED, REJECTED = 16, 17, 18, 19, 20, 21, 22, 23
CANCEL, FETCH, CONTROL, REPLY, RESOLVED = 24, 25, 26, 27, 28
RESULTS, PIECE, CREDIT = 48, 49, 50

NONE, EXPLICIT, COUNTED = 0, 1, 2
SUBSTITUTE, SHELL, LIVE, MERGE = 1, 2, 4, 8
STDIN_NULL, STDIN_FILE, STDIN_ARG = 0, 1, 2
DETACHED = 1
CH_IN, CH_OUT, CH_ERR = 0, 1, 2


class ProtocolError(Exception):
    """The peer sent what docs/protocol.md does not allow."""


class Refused(Exception):
    """The dispatcher refused the connection, or a submission."""

    def __init__(self, status, words):
        super().__init__(f"{words} ({status})")
        self.status, self.words = status, words


class Closed(Exception):
    """The connection has ended."""


# ------------------------------------------------------------- fields


def counted_bytes(data):
    return struct.pack("<I", len(data)) + data


class Fields:
    """Reads a body's fields; reading past its end, or leaving some, is an error."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def unpack(self, layout):
        layout = struct.Struct("<" + layout)
        values = layout.unpack(self.raw(layout.size))
        return values if len(values) != 1 else values[0]

    def raw(self, n):
        if n > len(self.body) - self.at:
            raise ProtocolError(f"cut short at byte {self.at} of {len(self.body)}")
        self.at += n
        return self.body[self.at - n : self.at]

    def bytes(self):
        return self.raw(self.unpack("I"))

    def text(self):
        return self.bytes().decode(errors="replace")

    def rest(self):
        return self.raw(len(self.body) - self.at)

    def end(self):
        if self.at != len(self.body):
            raise ProtocolError(f"{len(self.body) - self.at} bytes too many")


def frame(kind, body=b""):
    return HEADER.pack(b"HT", VERSION, kind, len(body)) + body


# ----------------------------------------------------------- messages


def hello(nonce, role=1, low=VERSION, high=VERSION):
    return frame(HELLO, struct.pack("<BBBB16s", role, low, high, 0, nonce))


class Credential:
    """What a credential's text says."""

    def __init__(self, secret, role=1, number=0, name=None, fingerprint=None, anchor=None):
        self.secret, self.role, self.number = secret, role, number
        self.name, self.fingerprint, self.anchor = name, fingerprint, anchor

    @classmethod
    def read(cls, path):
        mark, role, number, secret, name, fingerprint, anchor = Path(path).read_text().strip().split(":")
        if mark != "hato1":
            raise ProtocolError(f"a credential of {mark}")
        certificate = (name, bytes.fromhex(fingerprint), bytes.fromhex(anchor)) if name != "-" else ()
        return cls(bytes.fromhex(secret), {"client": 1, "daemon": 2}[role], int(number), *certificate)


def transcript(hello_body, challenge_body, fingerprint=None):
    channel = b"\1" + fingerprint if fingerprint else bytes(33)
    return hashlib.sha256(b"hato-2 transcript" + channel + hello_body + challenge_body).digest()


def proof_mac(secret, said, number, munge=b""):
    return hmac.digest(secret, b"hato-2 proof" + said + struct.pack("<Q", number) + munge, hashlib.sha256)


def welcome_mac(secret, said, proof, munge=b""):
    return hmac.digest(secret, b"hato-2 welcome" + said + proof + munge, hashlib.sha256)


def prove(number, mac, munge=b""):
    return frame(PROOF, struct.pack("<Q", number) + mac + counted_bytes(munge))


def introduce(client_id, label):
    return frame(CLIENT, struct.pack("<Q", client_id) + counted_bytes(label.encode()))


def field(tag, data):
    return struct.pack("<H", tag) + counted_bytes(data)


def command(argv, env=(), cwd=None, umask=0o022, flags=SUBSTITUTE, limit_ns=0, output_limit=0, stdin=STDIN_NULL,
            stdin_path=None, output_to=None):
    """An encoded specification of a command."""
    parts = [field(1, b"\1"), field(2, struct.pack("<I", flags))]
    if limit_ns:
        parts.append(field(3, struct.pack("<Q", limit_ns)))
    if output_limit:
        parts.append(field(4, struct.pack("<Q", output_limit)))
    parts += [field(16, os.fsencode(word)) for word in argv]
    parts += [field(17, os.fsencode(f"{name}={value}")) for name, value in dict(env).items()]
    if cwd is not None:
        parts.append(field(18, os.fsencode(cwd)))
    parts += [field(19, struct.pack("<I", umask)), field(20, bytes([stdin]))]
    if stdin_path is not None:
        parts.append(field(21, os.fsencode(stdin_path)))
    if output_to is not None:
        parts.append(field(22, os.fsencode(output_to)))
    return b"".join(parts)


def spec(number, encoded):
    room = BODY_MAX - 12
    return b"".join(
        frame(SPEC, struct.pack("<III", number, len(encoded), at) + encoded[at : at + room])
        for at in range(0, len(encoded), room)
    )


def submit(seq, spec_number, count, kind=EXPLICIT, flags=0, start=0, step=0):
    return frame(SUBMIT, struct.pack("<QIBBHQqq", seq, spec_number, kind, flags, 0, count, start, step))


def block(arguments):
    ends, end = [], 0
    for argument in arguments:
        end += len(argument)
        ends.append(end)
    return struct.pack(f"<I{len(ends)}I", len(ends), *ends) + b"".join(arguments)


def args(seq, arguments):
    """The ARGS frames of arguments, in order: as many a frame as fit, a large one by itself."""
    frames, batch, size = [], [], 16

    def flush():
        nonlocal batch, size
        if batch:
            frames.append(frame(ARGS, struct.pack("<QB3x", seq, 0) + block(batch)))
        batch, size = [], 16

    for argument in arguments:
        if len(argument) > INLINE_ARG:
            flush()
            frames.append(frame(ARGS, struct.pack("<QB3xQ", seq, 1, len(argument))))
            continue
        if size + 4 + len(argument) > BODY_MAX:
            flush()
        batch.append(argument)
        size += 4 + len(argument)
    flush()
    return b"".join(frames)


def piece(task, attempt, channel, data, last=False, status=0):
    return frame(PIECE, struct.pack("<QIBBH", task, attempt, channel, last, status) + data)


def credit(task, attempt, channel, n):
    return frame(CREDIT, struct.pack("<QIB3xQ", task, attempt, channel, n))


def cancel(first, last, seq=None):
    return frame(CANCEL, struct.pack("<B7xQQQ", seq is not None, seq or 0, first, last))


class Result:
    def __init__(self, fields):
        body = Fields(fields.bytes())
        self.task, self.attempt, self.error, self.flags, self.wall_ns = body.unpack("QIHHQ")
        if self.flags & ~7:
            raise ProtocolError(f"a result with flags {self.flags}")
        self.wait_status = self.user_us = self.system_us = self.peak_kib = 0
        if self.flags & 1:
            self.wait_status, _, self.user_us, self.system_us, self.peak_kib = body.unpack("IIQQQ")
        out_total = body.unpack("Q") if self.flags & 2 else None
        err_total = body.unpack("Q") if self.flags & 4 else None
        self.out, self.err, self.words = body.bytes(), body.bytes(), body.text()
        self.out_total = len(self.out) if out_total is None else out_total
        self.err_total = len(self.err) if err_total is None else err_total
        body.end()

    @property
    def whole(self):
        return len(self.out) == self.out_total and len(self.err) == self.err_total

    def __repr__(self):
        return f"<task {self.task} attempt {self.attempt}: {self.error or self.wait_status} {self.out!r}>"


# --------------------------------------------------------- connections


class Connection:
    """A byte stream that carries frames; any bytes may be sent on it."""

    def __init__(self, address, timeout=TIMEOUT):
        """address: the path of a Unix socket, or (host, port)."""
        inet = isinstance(address, tuple)
        self.socket = socket.socket(socket.AF_INET if inet else socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address if inet else str(address))
        self.buffer = bytearray()
        self.fingerprint = None  # of the certificate of its TLS

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def fill(self, n):
        while len(self.buffer) < n:
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(f"with {len(self.buffer)} bytes unread")
            self.buffer += data

    def receive(self):
        """The next frame: (type, body)."""
        self.fill(HEADER.size)
        magic, version, kind, length = HEADER.unpack_from(self.buffer)
        if magic != b"HT" or length > BODY_MAX:
            raise ProtocolError(f"no frame: {bytes(self.buffer[:8])!r}")
        if version != VERSION and kind != REFUSED:
            raise ProtocolError(f"version {version}")
        self.fill(HEADER.size + length)
        body = bytes(self.buffer[HEADER.size : HEADER.size + length])
        del self.buffer[: HEADER.size + length]
        return kind, body

    def admit(self, credential=None, role=None):
        """HELLO to WELCOME; Refused with the dispatcher's words."""
        greeting = hello(secrets.token_bytes(16), role or (credential.role if credential else 1))
        self.send(greeting)
        kind, body = self.receive()
        mac = bytes(32)
        if kind == CHALLENGE:
            if credential is None:
                raise ProtocolError("a credential is asked for, and there is none")
            said = transcript(greeting[8:], body, self.fingerprint)
            proof = proof_mac(credential.secret, said, credential.number)
            mac = welcome_mac(credential.secret, said, proof)
            self.send(prove(credential.number, proof))
            kind, body = self.receive()
        if kind == REFUSED:
            fields = Fields(body)
            raise Refused(fields.unpack("H"), fields.text())
        if kind != WELCOME or not hmac.compare_digest(body, mac + counted_bytes(b"")):
            raise ProtocolError(f"not welcomed: {kind} {body!r}")


class Client:
    """A client that submits and collects. One thread; calls block."""

    def __init__(self, address, credential=None, timeout=TIMEOUT, label=None, identity=None):
        self.connection = Connection(address, timeout)
        self.connection.admit(credential)
        self.specs = self.seq = self.token = 0
        self.large = {}  # seq: {index: argument}, until its first task's number is known
        self.inputs = {}  # task: [argument, sent, credit, attempt]
        self.resolved = {}  # task: Result, or the error value of a task without one
        self.ended = {}  # (task, channel): status of the last piece
        self.early = {}  # (task, attempt, channel): pieces that came before their result
        self.accepted, self.replies = {}, {}
        self.connection.send(introduce(identity or secrets.randbits(64), label or f"refclient:{os.getpid()}"))

    def close(self):
        """Says goodbye and waits for the dispatcher to hang up: by then it has read all that was sent."""
        try:
            self.connection.send(frame(GOODBYE, struct.pack("<HI", 0, 0)))
            while True:
                self.connection.receive()
        except (Closed, BrokenPipeError, ConnectionResetError):
            pass
        self.connection.close()

    def specification(self, argv, **more):
        self.specs += 1
        self.connection.send(spec(self.specs, command(argv, **more)))
        return self.specs

    def submit(self, spec_number, arguments=None, count=None, start=0, step=1, flags=0):
        """Submits arguments, or `count` counted ones; returns the number of the first task."""
        self.seq += 1
        seq = self.seq
        if arguments is None:
            self.connection.send(submit(seq, spec_number, count, COUNTED, flags, start, step))
        else:
            arguments = [a if isinstance(a, bytes) else os.fsencode(a) for a in arguments]
            self.large[seq] = {i: a for i, a in enumerate(arguments) if len(a) > INLINE_ARG}
            self.connection.send(submit(seq, spec_number, len(arguments), EXPLICIT, flags) + args(seq, arguments))
        while seq not in self.accepted:
            self.step()
        answer = self.accepted.pop(seq)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def results(self, first, count):
        """Result, or the error value of a task that has none, of each task in order."""
        for task in range(first, first + count):
            while not self.done(task):
                self.step()
            yield self.resolved.pop(task)

    def done(self, task):
        result = self.resolved.get(task)
        if not isinstance(result, Result):
            return result is not None
        # A sender that gave up ends a stream short of its total.
        return result.whole or any(self.ended.get((task, ch)) for ch in (CH_OUT, CH_ERR))

    def control(self, json_text):
        """Sends a request; the text of its answer."""
        self.token += 1
        token = self.token
        self.connection.send(frame(CONTROL, struct.pack("<I", token) + json_text.encode()))
        self.replies[token] = ["", False]
        while not self.replies[token][1]:
            self.step()
        return self.replies.pop(token)[0]

    # ------------------------------------------------- what comes, a frame at a time

    def step(self):
        kind, body = self.connection.receive()
        fields = Fields(body)
        if kind == ACCEPTED:
            seq, first, _ = fields.unpack("QQQ")
            self.accepted[seq] = first
            for index, argument in self.large.pop(seq, {}).items():
                self.inputs[first + index] = [argument, 0, 0, 0]
        elif kind == REJECTED:
            seq, status = fields.unpack("QH")
            self.accepted[seq] = Refused(status, fields.text())
        elif kind == RESULTS:
            for _ in range(fields.unpack("I")):
                self.on_result(Result(fields))
        elif kind == RESOLVED:
            for _ in range(fields.unpack("I")):
                first, count, _, value, _ = fields.unpack("QIIHH")
                for task in range(first, first + count):
                    self.resolved[task] = value
        elif kind == PIECE:
            self.on_piece(fields)
        elif kind == CREDIT:
            task, attempt, channel, n = fields.unpack("QIB3xQ")
            self.on_credit(task, attempt, n)
        elif kind == REPLY:
            token, last = fields.unpack("IB3x")
            self.replies[token][0] += fields.rest().decode()
            self.replies[token][1] = bool(last)
        elif kind == GOODBYE:
            status = fields.unpack("H")
            raise Closed(f"{fields.text()} ({status})")
        elif kind != HEARTBEAT:
            raise ProtocolError(f"a frame of type {kind}")
        fields.end()

    def on_result(self, result):
        result.out += self.early.pop((result.task, result.attempt, CH_OUT), b"")
        result.err += self.early.pop((result.task, result.attempt, CH_ERR), b"")
        self.resolved[result.task] = result
        self.inputs.pop(result.task, None)

    def on_piece(self, fields):
        task, attempt, channel, last, status = fields.unpack("QIBBH")
        data = fields.rest()
        result = self.resolved.get(task)
        if not isinstance(result, Result):
            key = task, attempt, channel
            self.early[key] = self.early.get(key, b"") + data
        elif channel == CH_OUT:
            result.out += data
        else:
            result.err += data
        if last:
            self.ended[task, channel] = status
        elif data:
            self.connection.send(credit(task, attempt, channel, len(data)))

    def on_credit(self, task, attempt, n):
        state = self.inputs.get(task)
        if state is None:
            return
        if attempt != state[3]:  # the task begins anew elsewhere, and so does its input
            state[1:] = [0, 0, attempt]
        state[2] += n
        argument, sent, credit_left, _ = state
        while credit_left > 0 and sent < len(argument):
            data = argument[sent : sent + min(credit_left, PIECE_DATA)]
            sent, credit_left = sent + len(data), credit_left - len(data)
            self.connection.send(piece(task, attempt, CH_IN, data, sent == len(argument)))
        state[1:3] = [sent, credit_left]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    client = Client(sys.argv[1])
    lines = sys.stdin.buffer.read().splitlines()
    if lines:
        number = client.specification(sys.argv[2:] or ["echo", "{}"], env=os.environ, cwd=os.getcwd())
        for result in client.results(client.submit(number, lines), len(lines)):
            if isinstance(result, Result):
                sys.stdout.buffer.write(result.out)
                sys.stderr.write(result.words)
            else:
                sys.stderr.write(f"error value {result}\n")
    client.close()


if __name__ == "__main__":
    main()
