"""Both ends of the proxy in one process and in lock step: nothing is sent before what it answers has come.

What the proxy executes then does not depend on the speed of the machine: each message arrives as one TLS record in
one segment, alone."""
import contextlib
import queue
import re
import socket
import ssl
import threading

POST_BYTES = 1024
ANSWER_BYTES = 2048
EVENT_BYTES = 120
PATIENCE_S = 120  # of one read; only a hang gets there


class Origin:
    """The provider: an answer of ANSWER_BYTES, or a stream that gives an event for each next_event()."""

    def __init__(self, pair):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.wanted = queue.SimpleQueue()
        self.strangers = 0  # requests that did not carry a real token
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, raw):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), self.context.wrap_socket(raw, server_side=True) as conn:
            buf = b""
            while True:
                while not (end := whole_message(buf)):
                    data = conn.recv(65536)
                    if not data:
                        return
                    buf += data
                self.answer(conn, buf[:end])
                buf = buf[end:]

    def answer(self, conn, request):
        if not re.search(rb"\r\nauthorization: Bearer ya29\.", request, re.IGNORECASE):
            self.strangers += 1
        if b":streamGenerateContent" not in request.split(b"\r\n", 1)[0]:
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % ANSWER_BYTES
                         + b"a" * ANSWER_BYTES)
            return
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        event = b"data: " + b"e" * (EVENT_BYTES - 8) + b"\n\n"
        while self.wanted.get():
            conn.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        conn.sendall(b"0\r\n\r\n")

    def next_event(self):
        self.wanted.put(True)

    def end_stream(self):
        self.wanted.put(False)

    def close(self):
        self.listener.close()


def whole_message(buf):
    """The length of the first message in BUF when all of it is there (Content-Length, or no body), else 0."""
    head, mark, rest = buf.partition(b"\r\n\r\n")
    if not mark:
        return 0
    sized = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    length = int(sized[1]) if sized else 0
    return len(head) + 4 + length if len(rest) >= length else 0


class Client:
    """One connection: CONNECT, TLS, requests. What TLS has to say leaves together with what we say, in one write."""

    def __init__(self, port, host, ca, token):
        self.host, self.token = host, token
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        said = b""
        while b"\r\n\r\n" not in said:
            said += self.some()
        if not said.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(said.decode("latin-1"))
        context = ssl.create_default_context(cafile=ca)
        if self.protocols():
            context.set_alpn_protocols(self.protocols())
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self.step(self.tls.do_handshake)  # our Finished waits for the first request

    def protocols(self):
        """What ALPN offers."""
        return []

    def some(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the proxy closed")
        return data

    def step(self, action):
        """Feeds TLS until ACTION is through."""
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                if self.outgoing.pending:
                    self.sock.sendall(self.outgoing.read())
                self.incoming.write(self.some())

    def say(self, data):
        self.tls.write(data)
        self.sock.sendall(self.outgoing.read())

    def until(self, is_whole):
        buf = b""
        while not is_whole(buf):
            buf += self.step(lambda: self.tls.read(65536))
        return buf

    def ask(self, path, length=POST_BYTES, is_whole=whole_message):
        self.say(f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {length}\r\n\r\n".encode() + b'{"contents":"%s"}' % (b"q" * (length - 15)))
        answer = self.until(is_whole)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(answer[:600].decode("latin-1"))
        return answer

    def close(self):
        """Says goodbye and waits for the proxy's end, so that no two connections overlap."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
            self.tls.unwrap()
        self.sock.sendall(self.outgoing.read())
        with contextlib.suppress(ConnectionError):
            while True:
                self.some()
        self.sock.close()
