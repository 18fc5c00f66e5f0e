"""A WebSocket client on a tunnel of the harness: exact frames out, whole messages in."""
import base64
import os
import select
import ssl
import time

import client
import frames

KEY = base64.b64encode(b"0123456789abcdef").decode()


class WebSocket:
    def __init__(self, tunnel, path, headers=(), deflate=False, protocols=()):
        self.tunnel = tunnel
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]
        if deflate:
            fields.append(("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))
        if protocols:
            fields.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
        tunnel.send(client.request("GET", path, tunnel.host, fields + list(headers)))
        self.response = tunnel.reader.response("GET")
        self.deflate = None
        agreed = self.response.one("sec-websocket-extensions") or ""
        if "permessage-deflate" in agreed:
            self.deflate = frames.Deflate(takeover="client_no_context_takeover" not in agreed)
        self.parser = frames.Parser(masked=False, deflate=self.deflate)
        self.messages = []

    def raw(self, data):
        self.tunnel.sock.sendall(data)

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
        reader = self.tunnel.reader
        while not self.messages:
            if not reader.buf and not reader.more():
                return None
            data, reader.buf = reader.buf, b""
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


def noise(count):
    return os.urandom(count)
