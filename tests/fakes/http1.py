"""A small HTTP/1.1 server that refuses what a careful front end refuses and records every byte.

One Connection per accepted TLS connection.  The head is parsed strictly; a body comes by
Content-Length or chunked and is hashed, scanned and kept (up to KEEP_BODY bytes) as it arrives.
Requests on one connection are answered strictly in order: while an answer is in the making,
further bytes wait unread.
"""
import asyncio
import hashlib
import itertools
import re
import socket
import ssl
import struct
import time

KEEP_BODY = 65536
MAX_HEAD = 65536
PAUSE_AT = 262144
LINGER_S = 0.7

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
REQUEST_LINE = re.compile(rb"([A-Z]+) ([\x21-\x7e]+) HTTP/1\.1\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\Z")
DIGITS = re.compile(rb"[0-9]{1,15}\Z")

REASONS = {100: "Continue", 200: "OK", 204: "No Content", 400: "Bad Request", 401: "Unauthorized",
           403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
           413: "Payload Too Large", 421: "Misdirected Request", 429: "Too Many Requests",
           500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout", 529: "Overloaded"}

_numbers = itertools.count(1)


class Malformed(Exception):
    """The request breaks HTTP/1.1; its text says how."""


class Request:
    """One request: what came (head, body) and what became of it."""

    __slots__ = ("number", "conn", "time", "head", "method", "target", "path", "query", "headers",
                 "host", "length", "chunked", "expect", "keep", "body_sha", "body", "body_len",
                 "body_done", "account", "auth", "status", "rule", "sent", "ended", "aborted", "_hash")

    def __init__(self, conn, head):
        self.number = next(_numbers)
        self.conn = conn
        self.time = time.time()
        self.head = head
        self.method = self.target = self.path = self.query = self.host = ""
        self.headers = []
        self.length = 0
        self.chunked = self.expect = False
        self.keep = True
        self._hash = hashlib.sha256()
        self.body = bytearray()
        self.body_len = 0
        self.body_sha = None
        self.body_done = False
        self.account = self.auth = self.rule = None
        self.status = None
        self.sent = 0
        self.ended = self.aborted = None

    def values(self, name):
        return [v for n, v in self.headers if n == name]

    def one(self, name):
        found = self.values(name)
        return found[0] if found else None

    def take(self, data):
        self._hash.update(data)
        self.body_len += len(data)
        if self.body_len <= KEEP_BODY:
            self.body += data
        elif self.body is not None:
            self.body = None

    def finish_body(self):
        self.body_done = True
        self.body_sha = self._hash.hexdigest()
        self._hash = None


def parse_head(conn, head):
    """HEAD is everything before the empty line, that excluded.  Returns a Request or raises."""
    request = Request(conn, head)
    if b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
        raise Malformed("a lone CR or LF in the head")
    if b"\0" in head:
        raise Malformed("NUL in the head")
    lines = head.split(b"\r\n")
    match = REQUEST_LINE.match(lines[0])
    if not match:
        raise Malformed("request line")
    request.method = match[1].decode()
    request.target = match[2].decode("latin-1")
    if not request.target.startswith("/"):
        raise Malformed("target is not in origin form")
    if "#" in request.target:
        raise Malformed("fragment in the target")
    request.path, _, request.query = request.target.partition("?")
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed("header name")
        value = value.strip(b" \t")
        if not VALUE.match(value):
            raise Malformed("control byte in a header value")
        request.headers.append((name.decode().lower(), value.decode("latin-1")))
    hosts = request.values("host")
    if len(hosts) != 1 or not re.match(r"[A-Za-z0-9.-]+(:[0-9]+)?\Z", hosts[0]):
        raise Malformed("Host")
    request.host = hosts[0].lower().removesuffix(":443")
    lengths, codings = request.values("content-length"), request.values("transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Malformed("more than one framing")
    if lengths:
        if not DIGITS.match(lengths[0].encode("latin-1")):
            raise Malformed("Content-Length")
        request.length = int(lengths[0])
    if codings:
        if codings[0].lower() != "chunked":
            raise Malformed("Transfer-Encoding")
        request.chunked = True
    connection = ",".join(request.values("connection")).lower()
    request.keep = "close" not in [t.strip() for t in connection.split(",")]
    request.expect = (request.one("expect") or "").lower() == "100-continue"
    return request


class Chunked:
    """Decoder of a chunked request body without extensions and trailers, as a proxy must send it."""

    def __init__(self):
        self.left = 0
        self.state = "size"

    def feed(self, buf, sink):
        """Consumes from BUF, gives data to SINK; returns True at the end of the body."""
        while True:
            if self.state == "data":
                if not buf:
                    return False
                piece = bytes(buf[:self.left])
                del buf[:len(piece)]
                self.left -= len(piece)
                sink(piece)
                if self.left == 0:
                    self.state = "crlf"
            elif self.state == "crlf":
                if len(buf) < 2:
                    return False
                if buf[:2] != b"\r\n":
                    raise Malformed("no CRLF after a chunk")
                del buf[:2]
                self.state = "size"
            else:
                end = buf.find(b"\r\n")
                if end < 0:
                    if len(buf) > 16:
                        raise Malformed("chunk size")
                    return False
                line = bytes(buf[:end])
                if self.state == "last":
                    if line:
                        raise Malformed("trailer section")
                    del buf[:2]
                    return True
                if not CHUNK_SIZE.match(line):
                    raise Malformed("chunk size")
                del buf[:end + 2]
                self.left = int(line, 16)
                self.state = "data" if self.left else "last"


class Connection(asyncio.Protocol):
    """Server side of one connection.  CLOUD decides; see Cloud.on_head and Cloud.on_request."""

    def __init__(self, cloud, listener):
        self.cloud = cloud
        self.listener = listener
        self.buf = bytearray()
        self.request = None
        self.chunks = None
        self.busy = False
        self.early = False
        self.task = None
        self.transport = None
        self.closed = False
        self.paused = False
        self._drained = None
        self.requests = 0
        self.tail = b""
        self.raw = None  # takes all bytes once this is no HTTP any more

    # -- events of the loop --

    def connection_made(self, transport):
        self.transport = transport
        self.number = self.cloud.connected(self)
        tls = transport.get_extra_info("ssl_object")
        self.sni = getattr(tls, "asked_name", None)
        self.alpn = tls.selected_alpn_protocol() if tls else None
        self.tls = tls.version() if tls else None
        transport.set_write_buffer_limits(high=PAUSE_AT)
        if self.cloud.greeting:
            self.write(self.cloud.greeting)

    def data_received(self, data):
        self.cloud.bytes_in += len(data)
        if self.early and self.busy:
            return
        if self.raw:
            self.raw(data)
            return
        self.buf += data
        self.work()
        if self.busy and len(self.buf) > PAUSE_AT and not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def eof_received(self):
        return False

    def connection_lost(self, exc):
        self.closed = True
        if self.raw:
            self.raw(b"")
        if self.buf and self.request is None:
            self.cloud.scan(bytes(self.buf), "unparsed", self)
        request = self.request
        if request is not None and request.ended is None:
            request.aborted = time.time()
            self.cloud.ended(request)
        if self.task:
            self.task.cancel()
        if self._drained and not self._drained.done():
            self._drained.set_result(None)
        self.cloud.disconnected(self)

    def pause_writing(self):
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self):
        if self._drained and not self._drained.done():
            self._drained.set_result(None)

    # -- requests --

    def work(self):
        """Parses as far as the buffer goes; stops while an answer is being made."""
        try:
            while self.buf and not self.closed and not (self.busy and self.request.body_done):
                if self.request is None and not self.read_head():
                    return
                if not self.read_body():
                    return
        except Malformed as why:
            self.cloud.malformed(self, bytes(self.buf[:MAX_HEAD]), str(why))
            self.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()
            self.closed = True

    def read_head(self):
        end = self.buf.find(b"\r\n\r\n", 0, MAX_HEAD + 4)
        if end < 0:
            if len(self.buf) > MAX_HEAD:
                raise Malformed("head too large")
            return False
        head = bytes(self.buf[:end])
        request = parse_head(self, head)
        del self.buf[:end + 4]
        self.request = request
        self.requests += 1
        self.chunks = Chunked() if request.chunked else None
        self.tail = b""
        self.cloud.scan(head, "head", self)
        self.cloud.on_head(request)
        return True

    def read_body(self):
        request = self.request
        if self.chunks:
            if not self.chunks.feed(self.buf, self.sink):
                return False
        elif request.length > request.body_len:
            piece = bytes(self.buf[:request.length - request.body_len])
            if piece:
                del self.buf[:len(piece)]
                self.sink(piece)
            if request.body_len < request.length:
                return False
        request.finish_body()
        if not self.busy:
            self.cloud.on_request(request)
        return True

    def sink(self, piece):
        self.request.take(piece)
        reach = self.cloud.reach
        joined = self.tail + piece if self.tail else piece
        self.cloud.scan(joined, "body", self)
        self.tail = joined[-reach:] if reach else b""

    # -- answers --

    def write(self, data):
        if not self.closed:
            self.transport.write(data)

    def answer(self, request, status, headers, body=b""):
        """A complete answer in one write; the common case."""
        request.status = status
        request.sent = len(body)
        self.busy = True
        self.write(self.head(status, headers + (("Content-Length", str(len(body))),), request.keep)
                   + (b"" if request.method == "HEAD" else body))
        self.finish(request)

    def head(self, status, headers, keep=True, reason=None):
        lines = [f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"]
        lines += [f"{n}: {v}" for n, v in headers]
        lines.append(f"Date: {self.cloud.http_date()}")
        if not keep:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def finish(self, request):
        """The answer is written; goes on with what the client sent meanwhile."""
        request.ended = time.time()
        self.cloud.ended(request)
        if not request.body_done:
            # An early answer: closing at once would reset the connection and could destroy it.
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.close)
            return
        if not request.keep:
            self.transport.close()
            self.closed = True
            return
        self.request = None
        self.busy = self.early = False
        if self.paused:
            self.paused = False
            self.transport.resume_reading()
        if self.buf:
            asyncio.get_running_loop().call_soon(self.work)

    def begin(self, coroutine):
        """The answer takes time: COROUTINE writes it and calls finish or drops the connection."""
        self.busy = True
        self.task = asyncio.get_running_loop().create_task(self._guard(coroutine))

    async def _guard(self, coroutine):
        try:
            await coroutine
        except (asyncio.CancelledError, ConnectionError):
            pass
        except Exception as exc:  # a bug of the fake must be seen by the test, not swallowed
            self.cloud.note("fake-bug", f"{type(exc).__name__}: {exc}", self)
            self.transport.abort()

    async def drain(self):
        if self._drained and not self._drained.done():
            await asyncio.shield(self._drained)
        if self.closed:
            raise ConnectionResetError

    async def flushed(self):
        """Waits until the kernel has every byte, so that abort() loses none."""
        for _ in range(2000):
            below = getattr(getattr(self.transport, "_ssl_protocol", None), "_transport", None)
            left = self.transport.get_write_buffer_size() + (below.get_write_buffer_size() if below else 0)
            if left == 0 or self.closed:
                return
            await asyncio.sleep(0.002)

    async def drop(self, how):
        """Ends the connection: close (close_notify, FIN), fin (FIN only) or rst."""
        await self.flushed()
        if self.closed:
            return
        if how == "rst":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif how == "fin":
            self.transport.abort()
        else:
            self.transport.close()


def server_context(path, on_name=None, protocols=("http/1.1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    context.set_alpn_protocols(list(protocols))
    if on_name:
        context.sni_callback = on_name
    return context
