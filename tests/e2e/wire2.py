"""HTTP/2 by hand: a connection through the proxy on which a test says every frame, good or not."""
import time

import client
import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, TIMEOUT, CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION, _, CALM = range(12)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9


def frame(kind, flags=0, stream=0, payload=b"", size=None):
    """SIZE: what its head claims, where that is not the payload's."""
    return (len(payload) if size is None else size).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def u32(number):
    return number.to_bytes(4, "big")


def setting(*pairs):
    return b"".join(n.to_bytes(2, "big") + u32(v) for n, v in pairs)


def number(value, bits, first=0):
    """An integer of HPACK (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def literal(name, value, first=0x10):
    """A field by its letters, never indexed, so that no state is changed."""
    name, value = (x.encode("latin-1") if isinstance(x, str) else x for x in (name, value))
    return bytes([first]) + number(len(name), 7) + name + number(len(value), 7) + value


def block(fields):
    return b"".join(literal(n, v) for n, v in fields)


def headers(stream, fields, end=True, flags=END_HEADERS):
    data = fields if isinstance(fields, bytes) else block(fields)
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream, data)


class Answer:
    def __init__(self):
        self.status, self.headers, self.trailers, self.interim = None, [], None, []
        self.body = bytearray()
        self.ended, self.reset = False, None
        self.most = 0  # bytes of the largest frame

    @property
    def is_over(self):
        return self.ended or self.reset is not None

    def response(self):
        head = "\r\n".join([f"HTTP/2 {self.status}"] + [f"{n}: {v}" for n, v in self.headers]).encode("latin-1")
        return client.Response(self.status, self.headers, bytes(self.body), head, self.interim)


class Wire:
    """first: what is said before anything else."""

    def __init__(self, tunnel, first=PREFACE + frame(SETTINGS), table=4096):
        self.tunnel, self.sock = tunnel, tunnel.sock
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = table
        self.buf = bytearray()
        self.answers = {}
        self.frames = []
        self.goaway = None  # (code, last stream)
        self.is_acknowledged = self.eof = False
        self.send(first)

    def send(self, *parts):
        self.sock.settimeout(10)  # not that of the last read: what it cut would be no frame
        try:
            self.sock.sendall(b"".join(parts))
        except OSError:
            pass  # it had enough; what it said first is still to be read

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def more(self, seconds):
        """One read; False at the end or after SECONDS."""
        self.sock.settimeout(max(seconds, 0.001))
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.eof = True
            return False
        self.buf += data
        while len(self.buf) >= HEAD and len(self.buf) >= HEAD + int.from_bytes(self.buf[:3], "big"):
            end = HEAD + int.from_bytes(self.buf[:3], "big")
            self.take(self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], "big"), bytes(self.buf[HEAD:end]))
            del self.buf[:end]
        return True

    def take(self, kind, flags, stream, payload):
        self.frames.append((kind, flags, stream, payload))
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        elif kind == SETTINGS:
            self.is_acknowledged = True
        elif kind == GOAWAY:
            self.goaway = (int.from_bytes(payload[4:8], "big"), int.from_bytes(payload[:4], "big"))
        elif kind in (HEADERS, DATA, RST_STREAM):
            self.take_of_stream(self.answer(stream), kind, flags, payload)

    def take_of_stream(self, answer, kind, flags, payload):
        if kind == RST_STREAM:
            answer.reset = int.from_bytes(payload, "big")
            return
        assert not answer.ended, "a frame behind the end"
        answer.most = max(answer.most, len(payload))
        if kind == DATA:
            answer.body += payload
        else:
            assert flags & END_HEADERS, "no answer of a test is that large"
            fields = [(n, v) for n, v in self.decoder.decode(payload)]
            status = dict(fields).get(":status")
            plain = [(n, v) for n, v in fields if n != ":status"]
            if status is None:
                answer.trailers = plain
            elif status.startswith("1"):
                answer.interim.append(int(status))
            else:
                answer.status, answer.headers = int(status), plain
        answer.ended = bool(flags & END_STREAM)

    def until(self, what, seconds=10):
        """Reads until WHAT() or the end of time or connection; the last value."""
        end = time.monotonic() + seconds
        while not what() and not self.eof and time.monotonic() < end:
            self.more(end - time.monotonic())
        return what()

    def over(self, stream, seconds=10):
        """The answer on STREAM, once it is over."""
        self.until(lambda: self.answer(stream).is_over, seconds)
        return self.answer(stream)

    def close(self):
        self.tunnel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()
