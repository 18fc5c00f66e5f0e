"""The Live API: a WebSocket whose first message is the setup, and which then says back what it hears: the same bytes, or
what stands in {"realtimeInput": {"text": ...}} as a turn of the model; "ping me" brings a ping."""
import asyncio
import json
import re

import frames

PATHS = (re.compile(r"/ws/google\.ai\.generativelanguage\.[a-z0-9]+\.GenerativeService\.BidiGenerateContent\Z"),
         re.compile(r"/ws/google\.cloud\.aiplatform\.[a-z0-9]+\.LlmBidiService/BidiGenerateContent\Z"))


DROP = b"fake: drop "  # a message that ends the connection; how (see faults) stands behind it


def is_live(request):
    return request.method == "GET" and any(p.match(request.path) for p in PATHS)


def asks(request):
    return (is_live(request) and (request.one("upgrade") or "").lower() == "websocket" and
            "upgrade" in (request.one("connection") or "").lower() and request.one("sec-websocket-version") == "13" and
            request.one("sec-websocket-key"))


class Live:
    def __init__(self, cloud, request, project):
        self.cloud = cloud
        self.request = request
        self.conn = request.conn
        self.project = project  # None: any
        self.queue = asyncio.Queue()

    def head(self):
        request = self.request
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                  ("Sec-WebSocket-Accept", frames.accept(request.one("sec-websocket-key")))]
        if "permessage-deflate" in (request.one("sec-websocket-extensions") or ""):
            self.deflate = frames.Deflate()
            fields.append(("Sec-WebSocket-Extensions", "permessage-deflate"))
        else:
            self.deflate = None
        protocols = [p.strip() for p in (request.one("sec-websocket-protocol") or "").split(",") if p.strip()]
        if protocols:
            fields.append(("Sec-WebSocket-Protocol", protocols[0]))
        return self.conn.head(101, tuple(fields), reason="Switching Protocols")

    def take(self, data):
        """No more is read before this was answered."""
        if not self.conn.closed:
            self.conn.transport.pause_reading()
        self.queue.put_nowait(data)

    async def run(self):
        conn, request = self.conn, self.request
        request.status = 101
        conn.write(self.head())
        parser = frames.Parser(masked=True, deflate=self.deflate)
        conn.raw = self.take
        if conn.buf:
            self.queue.put_nowait(bytes(conn.buf))
            conn.buf.clear()
        is_first = True
        while True:
            data = await self.queue.get()
            if conn.closed or conn.transport.is_closing():
                return
            self.cloud.scan(data, "websocket", conn)
            for opcode, payload, compressed in parser.feed(data):
                request.sent += len(payload)
                if opcode == frames.CLOSE:
                    conn.write(frames.frame(frames.CLOSE, payload))
                    self.cloud.ended(request)
                    await conn.drop("close")
                    return
                if opcode == frames.PING:
                    conn.write(frames.frame(frames.PONG, payload))
                elif opcode != frames.PONG and is_first:
                    is_first = False
                    if not self.setup(payload, compressed):
                        await conn.drop("close")
                        return
                elif payload.startswith(DROP):
                    await conn.drop(payload[len(DROP):].decode())
                    return
                elif payload == b"ping me":
                    conn.write(frames.frame(frames.PING, b"live"))
                elif opcode != frames.PONG:
                    self.say(opcode, self.turn(payload) or payload, compressed)
            await conn.drain()
            conn.transport.resume_reading()

    @staticmethod
    def turn(payload):
        """The model's turn for a text that is said in the API's own form, else None."""
        try:
            text = json.loads(payload)["realtimeInput"]["text"]
        except (ValueError, KeyError, TypeError):
            return None
        return json.dumps({"serverContent": {"modelTurn": {"parts": [{"text": text}]}, "turnComplete": True}}).encode()

    def say(self, opcode, payload, compressed=False):
        if compressed:
            payload = self.deflate.compress(payload)
        self.conn.write(frames.frame(opcode, payload, compressed=compressed))

    def setup(self, payload, compressed):
        """Like a provider's: it must be JSON, and name a model of the account's own project."""
        self.request.body = bytearray(payload)
        self.cloud.scan(payload, "websocket", self.conn)
        why = None
        try:
            model = json.loads(payload)["setup"]["model"]
            project = re.match(r"projects/([^/]+)/", model)
            if self.project and (not project or project[1] != self.project):
                self.cloud.note("project", f"{model} of project {self.project}", self.conn)
                why = "Permission denied"
        except (ValueError, KeyError, TypeError):
            why = "Request contains an invalid argument."
        if why:
            self.conn.write(frames.frame(frames.CLOSE, (1008).to_bytes(2, "big") + why.encode()))
            return False
        self.say(frames.BINARY, b'{"setupComplete":{}}', compressed)
        return True
