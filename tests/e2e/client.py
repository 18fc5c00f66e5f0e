"""Clients that say exactly the bytes a test wants, and read answers without forgiving anything."""
import re
import socket
import ssl


class Broken(Exception):
    """The peer ended before its message did.  partial: the body so far, head: what came of the head."""

    def __init__(self, why, head=b"", partial=b""):
        super().__init__(f"{why} after {len(head)} bytes of head, {len(partial)} of body")
        self.head = head
        self.partial = partial


class Response:
    def __init__(self, status, headers, body, head, interim):
        self.status = status
        self.headers = headers
        self.body = body
        self.head = head
        self.interim = interim

    @property
    def raw(self):
        return self.head + self.body

    def all(self, name):
        return [v for n, v in self.headers if n == name]

    def one(self, name):
        found = self.all(name)
        return found[0] if found else None

    def __repr__(self):
        return f"{self.head.decode('latin-1', 'replace')}\n\n{self.body[:600].decode(errors='replace')}"


class Reader:
    """Buffered reading of a socket, with an HTTP/1.1 response parser."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = b""
        self.eof = False

    def more(self):
        if self.eof:
            return False
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        except ssl.SSLError as error:
            if "EOF" not in str(error):
                raise
            data = b""
        self.eof = not data
        self.buf += data
        return bool(data)

    def line(self):
        while b"\r\n" not in self.buf:
            if not self.more():
                return None
        line, _, self.buf = self.buf.partition(b"\r\n")
        return line

    def exactly(self, count, head=b"", before=()):
        parts, left = [], count
        while left:
            if not self.buf and not self.more():
                raise Broken("end", head, b"".join([*before, *parts]))
            piece, self.buf = self.buf[:left], self.buf[left:]
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)

    def head(self):
        while b"\r\n\r\n" not in self.buf:
            if not self.more():
                raise Broken("end", self.buf)
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        match = re.match(rb"HTTP/1\.[01] (\d{3})(?: |\Z)", lines[0])
        if not match:
            raise Broken(f"status line {lines[0][:80]!r}", head)
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        return head, int(match[1]), headers

    def response(self, method="POST", on_piece=None):
        """The next final response.  on_piece(bytes) sees body data as it arrives."""
        interim = []
        while True:
            head, status, headers = self.head()
            if status >= 200 or status == 101:
                break
            interim.append(status)
        body = b"" if method == "HEAD" or status in (101, 204, 304) else self.body(head, headers, on_piece)
        return Response(status, headers, body, head, interim)

    def body(self, head, headers, on_piece):
        sized = [v for n, v in headers if n == "content-length"]
        coded = [v for n, v in headers if n == "transfer-encoding"]
        if sized and coded or len(sized) > 1 or len(coded) > 1:
            raise Broken("two framings", head)
        if coded:
            return self.chunked(head, on_piece)
        if sized:
            return self.exactly(int(sized[0]), head)
        while self.more():
            pass
        body, self.buf = self.buf, b""
        return body

    def chunked(self, head, on_piece):
        parts = []
        while True:
            line = self.line()
            if line is None:
                raise Broken("end at a chunk", head, b"".join(parts))
            if not re.match(rb"[0-9a-fA-F]+\Z", line):
                raise Broken(f"chunk size {line[:20]!r}", head, b"".join(parts))
            size = int(line, 16)
            if size == 0:
                while line := self.line():
                    pass
                if line is None:
                    raise Broken("end in the trailer", head, b"".join(parts))
                return b"".join(parts)
            piece = self.exactly(size, head, parts)
            parts.append(piece)
            if on_piece:
                on_piece(piece)
            if self.exactly(2, head) != b"\r\n":
                raise Broken("chunk end", head, b"".join(parts))

    def rest(self):
        """Everything until the peer ends or the socket times out."""
        try:
            while self.more():
                pass
        except (TimeoutError, socket.timeout):
            pass
        data, self.buf = self.buf, b""
        return data

    def at_end(self, seconds=5):
        """True when the peer closes within SECONDS without another byte."""
        self.sock.settimeout(seconds)
        try:
            return not self.buf and not self.more()
        except (TimeoutError, socket.timeout):
            return False


def request(method, path, host, headers=(), body=b"", version="HTTP/1.1"):
    """The bytes of an ordinary request."""
    lines = [f"{method} {path} {version}", f"Host: {host}"] + [f"{n}: {v}" for n, v in headers]
    names = {n.lower() for n, _ in headers}
    if (body or method in ("POST", "PUT", "PATCH")) and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def trusting(ca, alpn=None):
    context = ssl.create_default_context(cafile=ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Tunnel:
    """CONNECT through the proxy and, if it agrees, TLS inside.

    sni: True sends the host's name, None sends none, a text sends that (certificate unchecked then).
    connect: the CONNECT head as bytes.  tls=False stays in clear."""

    def __init__(self, proxy, host, port=443, ca=None, sni=True, connect=None, tls=True, alpn=None, timeout=20,
                 context=None):
        self.host = host
        self.sock = socket.create_connection(proxy, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = None
        try:
            self.sock.sendall(connect or f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            self.reader = Reader(self.sock)
            self.connect_head, self.connect_status, self.connect_headers = self.reader.head()
            if self.connect_status == 200 and tls:
                if context is None:
                    context = trusting(ca, alpn)
                    if sni is not True:
                        context.check_hostname = False
                        context.verify_mode = ssl.CERT_NONE
                name = host if sni is True else sni
                self.tls = self.sock = context.wrap_socket(self.sock, server_hostname=name)
                self.reader = Reader(self.sock)
        except BaseException:
            self.sock.close()
            raise

    def refusal(self):
        """The whole answer to a CONNECT that was not accepted."""
        body = self.reader.body(self.connect_head, self.connect_headers, None)
        return Response(self.connect_status, self.connect_headers, body, self.connect_head, [])

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, method, path, body=b"", headers=(), on_piece=None):
        if self.connect_status != 200:
            return self.refusal()
        try:
            self.send(request(method, path, self.host, headers, body))
        except (ConnectionError, ssl.SSLError):
            pass  # an early refusal may have closed already; the answer tells
        return self.reader.response(method, on_piece)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()


class Plain:
    """A connection in clear on which the test says every byte."""

    def __init__(self, address, timeout=20):
        self.sock = socket.create_connection(address, timeout=timeout)
        self.reader = Reader(self.sock)

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()
