"""A WebSocket client on a tunnel of the harness, over HTTP/1.1 or a stream of HTTP/2: exact frames out, whole messages in."""
import base64
import os
import select
import ssl
import time

import client
import frames

KEY = base64.b64encode(b"0123456789abcdef").decode()


def wishes(deflate, protocols):
    fields = [("Sec-WebSocket-Version", "13")]
    if deflate:
        fields.append(("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))
    if protocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    return fields


class WebSocket:
    def __init__(self, tunnel, path, headers=(), deflate=False, protocols=()):
        self.tunnel = tunnel
        self.messages = []
        self.response = self.ask(path, wishes(deflate, protocols) + list(headers))
        self.deflate = None
        agreed = self.response.one("sec-websocket-extensions") or ""
        if "permessage-deflate" in agreed:
            self.deflate = frames.Deflate(takeover="client_no_context_takeover" not in agreed)
        self.parser = frames.Parser(masked=False, deflate=self.deflate)

    def ask(self, path, fields):
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", KEY)] + fields
        self.tunnel.send(client.request("GET", path, self.tunnel.host, fields))
        return self.tunnel.reader.response("GET")

    @property
    def is_open(self):
        return self.response.status == 101 and self.response.one("sec-websocket-accept") == frames.accept(KEY)

    def raw(self, data):
        self.tunnel.sock.sendall(data)

    def more(self):
        """The next bytes; empty at the end."""
        reader = self.tunnel.reader
        if not reader.buf:
            reader.more()
        data, reader.buf = reader.buf, b""
        return data

    def send(self, payload, opcode=frames.TEXT, pieces=1, compress=None):
        payload = payload.encode() if isinstance(payload, str) else payload
        compress = bool(self.deflate) if compress is None else compress
        if compress:
            payload = self.deflate.compress(payload)
        size = len(payload) // pieces + 1
        parts = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
        for i, part in enumerate(parts):
            self.raw(frames.frame(opcode if i == 0 else 0, part, last=i == len(parts) - 1, compressed=compress and i == 0, masked=True))

    def receive(self):
        """The next message: (opcode, payload); None at the end."""
        while not self.messages:
            data = self.more()
            if not data:
                return None
            self.messages += [(opcode, payload) for opcode, payload, _ in self.parser.feed(data)]
        return self.messages.pop(0)

    def pour(self, data, seconds=1.0):
        """Sends of DATA what is taken, until nothing was for SECONDS; returns the rest. One thread: a TLS object has no two."""
        sock, rest, last = self.tunnel.tls, memoryview(data), time.monotonic()
        sock.setblocking(False)
        try:
            while rest and time.monotonic() - last < seconds:
                try:
                    rest = rest[sock.send(rest[:16384]):]
                    last = time.monotonic()
                except ssl.SSLWantWriteError:
                    select.select([], [sock], [], 0.1)
        finally:
            sock.settimeout(30)
        return rest

    def close(self):
        self.tunnel.close()


class Stream(WebSocket):
    """The same by extended CONNECT (RFC 8441); the tunnel may have others beside it."""

    def ask(self, path, fields):
        self.x = self.tunnel.open("CONNECT", path, fields, end=False, protocol="websocket")
        while self.x.status is None and self.x.reset is None and self.tunnel.pump():
            pass
        return self.x.response()

    @property
    def is_open(self):
        return self.response.status == 200

    def raw(self, data):
        self.tunnel.send_body(self.x, data)
        while self.x.pending and self.tunnel.pump():
            pass

    def end(self):
        """Says that nothing more comes."""
        self.tunnel.send_body(self.x, b"", end=True)

    def more(self):
        while not self.x.body and not self.x.ended and self.x.reset is None and self.tunnel.pump():
            pass
        data = bytes(self.x.body)
        self.x.body.clear()
        return data

    def pour(self, data, seconds=1.0):
        self.x.hold = True
        self.tunnel.sock.settimeout(seconds)
        rest = memoryview(data)
        try:
            while rest:
                self.tunnel.send_body(self.x, bytes(rest[:65536]))
                rest = rest[65536:]
                while self.x.pending and self.tunnel.pump():
                    pass
        except TimeoutError:
            pass
        finally:
            self.tunnel.sock.settimeout(30)
        rest = self.x.pending + bytes(rest)
        self.x.pending = b""
        self.tunnel.release(self.x)
        return rest


def noise(count):
    return os.urandom(count)
