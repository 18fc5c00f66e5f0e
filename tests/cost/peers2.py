"""As peers.py, over HTTP/2 on both sides (python3-h2). Windows are so wide that nobody has to open one meanwhile."""
import contextlib
import ssl

import h2.config
import h2.connection
import h2.events
import peers

WIDE = 1 << 30


def connection(is_client):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=is_client, header_encoding="latin-1"))
    conn.initiate_connection()
    conn.increment_flow_control_window(WIDE)
    return conn


class Origin(peers.Origin):
    def __init__(self, pair):
        super().__init__(pair)
        self.context.set_alpn_protocols(["h2"])

    def serve(self, raw):
        raw.setsockopt(peers.socket.IPPROTO_TCP, peers.socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), self.context.wrap_socket(raw, server_side=True) as sock:
            conn, paths = connection(False), {}
            sock.sendall(conn.data_to_send())
            while data := sock.recv(65536):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        paths[event.stream_id] = self.look(dict(event.headers))
                    elif isinstance(event, h2.events.StreamEnded):
                        self.reply(sock, conn, event.stream_id, paths.pop(event.stream_id))
                if rest := conn.data_to_send():
                    sock.sendall(rest)

    def look(self, fields):
        if not fields.get("authorization", "").startswith("Bearer ya29."):
            self.strangers += 1
        return fields[":path"]

    def reply(self, sock, conn, number, path):
        is_stream = ":streamGenerateContent" in path
        conn.send_headers(number, [(":status", "200"), ("content-type", "text/event-stream" if is_stream else "application/json")] +
                          ([] if is_stream else [("content-length", str(peers.ANSWER_BYTES))]))
        if not is_stream:
            conn.send_data(number, b"a" * peers.ANSWER_BYTES, end_stream=True)
            return
        sock.sendall(conn.data_to_send())
        while self.wanted.get():
            conn.send_data(number, b"data: " + b"e" * (peers.EVENT_BYTES - 8) + b"\n\n")
            sock.sendall(conn.data_to_send())
        conn.end_stream(number)


class Client(peers.Client):
    """One connection; ask() opens a stream of it and reads to its end, or to what IS_ENOUGH says of the bytes so far."""

    def __init__(self, port, host, ca, token):
        self.conn = connection(True)
        super().__init__(port, host, ca, token)
        self.body, self.is_ended = b"", False

    def protocols(self):
        return ["h2"]

    def until(self, is_enough):
        self.body = b""
        while not (self.is_ended or is_enough(self.body)):
            for event in self.conn.receive_data(self.step(lambda: self.tls.read(65536))):
                if isinstance(event, h2.events.ResponseReceived) and dict(event.headers)[":status"] != "200":
                    raise ConnectionError(str(event.headers))
                if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise ConnectionError(str(event))
                if isinstance(event, h2.events.DataReceived):
                    self.body += event.data
                self.is_ended |= isinstance(event, h2.events.StreamEnded)
        return self.body

    def ask(self, path, length=peers.POST_BYTES, is_enough=lambda body: False):
        number, self.is_ended = self.conn.get_next_available_stream_id(), False
        self.conn.send_headers(number, [(":method", "POST"), (":scheme", "https"), (":authority", self.host), (":path", path),
                                        ("authorization", "Bearer " + self.token), ("content-type", "application/json"),
                                        ("content-length", str(length))])
        self.conn.send_data(number, b'{"contents":"%s"}' % (b"q" * (length - 15)), end_stream=True)
        self.say(self.conn.data_to_send())
        return self.until(is_enough)

    def close(self):
        with contextlib.suppress(ssl.SSLError):
            super().close()
