"""HTTP/2 beside http1.py: one Connection per accepted TLS connection that chose h2, one Stream per request.

A Stream looks like an http1.Connection to the cloud and to the faults: they write an answer as HTTP/1
bytes, and it leaves as frames.  What is no answer in HTTP/1 becomes RST_STREAM.

A rule may have a script of raw frames instead (see Script): what comes from then on is written down.
"""
import asyncio
import base64
import fnmatch
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import http1

STREAMS = 100
HEAD = 9  # bytes of a frame's head


def cut(buf):
    """The whole frames at the beginning of BUF, which keeps the rest: (type, flags, stream, payload)."""
    while len(buf) >= HEAD and len(buf) >= HEAD + int.from_bytes(buf[:3], "big"):
        end = HEAD + int.from_bytes(buf[:3], "big")
        yield buf[3], buf[4], int.from_bytes(buf[5:9], "big") & 0x7fffffff, bytes(buf[HEAD:end])
        del buf[:end]


class Script:
    """Raw frames, good or not.  A step is [type, flags, stream, payload in base64, length to claim]; the last two may be
    missing, and stream may be a text: "S" is the request's own, "S+2" the next but one.  Or {"wait_ms": N}, or
    {"repeat": N, "steps": [...]}, or {"raw": base64}."""

    def __init__(self, conn, rule, stream=0):
        self.conn, self.rule, self.stream = conn, rule, stream

    def bytes_of(self, step):
        kind, flags, stream, data, claimed = (list(step) + [None, None])[:5]
        if isinstance(stream, str):
            stream = self.stream + int(stream[1:] or 0)
        payload = base64.b64decode(data or "")
        size = len(payload) if claimed is None else claimed
        return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload

    async def steps(self, steps):
        for step in steps:
            if isinstance(step, list):
                self.conn.transport.write(self.bytes_of(step))
            elif "raw" in step:
                self.conn.transport.write(base64.b64decode(step["raw"]))
            elif "wait_ms" in step:
                await asyncio.sleep(step["wait_ms"] / 1000)
            else:
                for number in range(step["repeat"]):
                    await self.steps(step["steps"])
                    if number % 64 == 0:
                        await asyncio.sleep(0)
                    if self.conn.closed:
                        return
            await self.conn.drain()

    async def run(self):
        self.conn.script = "alone" if self.rule.get("alone") else True
        try:
            await self.steps(self.rule.get("frames", []))
            if self.rule.get("then"):
                await http1.Connection.drop(self.conn, self.rule.get("then"))
        except ConnectionError:
            pass


class Stream:
    """One request.  The interface of http1.Connection, as far as Cloud and faults use it."""

    def __init__(self, conn, number):
        self.conn = conn
        self.id = number
        self.cloud = conn.cloud
        self.listener = conn.listener
        self.number, self.sni, self.alpn, self.tls = conn.number, conn.sni, conn.alpn, conn.tls
        self.transport = conn.transport
        self.requests = 1
        self.request = None
        self.busy = self.early = False
        self.closed = False
        self.task = None
        self.tail = b""
        self.raw = bytearray()      # of the answer, before its head is whole
        self.chunks = None          # of a chunked answer
        self.length = None
        self.head_sent = False
        self.out = bytearray()
        self.out_done = False
        self.trailers = None
        self.room = asyncio.Event()
        self.room.set()

    # -- what came --

    def take(self, data):
        self.request.take(data)
        reach = self.cloud.reach
        joined = self.tail + data if self.tail else data
        self.cloud.scan(joined, "body", self)
        self.tail = joined[-reach:] if reach else b""

    def end(self):
        if self.request.body_done:
            return
        self.request.finish_body()
        if not self.busy:
            self.cloud.on_request(self.request)

    def gone(self):
        self.closed = True
        if self.request is not None and self.request.ended is None:
            self.request.aborted = time.time()
            self.cloud.ended(self.request)
        if self.task:
            self.task.cancel()
        self.room.set()

    # -- what goes --

    def write(self, data):
        if self.closed:
            return
        self.raw += data
        try:
            while self.raw and self.step():
                pass
        except http1.Malformed:
            self.reset(h2.errors.ErrorCodes.PROTOCOL_ERROR)
        self.flush()

    def step(self):
        if not self.head_sent:
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.send_head(bytes(self.raw[:end]))
            del self.raw[:end + 4]
            return True
        if self.chunks:
            if self.chunks.feed(self.raw, self.out.extend):
                self.out_done = True
            return False
        self.out += self.raw
        self.raw.clear()
        return False

    def send_head(self, head):
        first, *lines = head.split(b"\r\n")
        status = first.split(b" ")[1]
        if not status.isdigit():
            raise http1.Malformed("status")
        fields = [(b":status", status)]
        for line in lines:
            name, _, value = line.partition(b":")
            name, value = name.strip().lower(), value.strip()
            if name == b"transfer-encoding":
                self.chunks = http1.Chunked()
            elif name != b"connection":
                fields.append((name, value))
            if name == b"content-length":
                self.length = int(value)
        interim = status.startswith(b"1")
        self.head_sent = not interim
        self.conn.h2.send_headers(self.id, fields)
        self.conn.send()

    def flush(self):
        """As much of the body as the windows take."""
        conn = self.conn.h2
        try:
            while self.out and not self.closed:
                n = min(conn.local_flow_control_window(self.id), conn.max_outbound_frame_size, len(self.out))
                if n <= 0:
                    self.room.clear()
                    break
                conn.send_data(self.id, bytes(self.out[:n]))
                del self.out[:n]
                self.conn.send()
            if not self.out:
                self.room.set()
            if self.out_done and not self.out and not self.closed:
                if self.trailers:
                    conn.send_headers(self.id, self.trailers, end_stream=True)
                else:
                    conn.end_stream(self.id)
                self.conn.send()
                self.closed = True
        except h2.exceptions.ProtocolError:
            self.closed = True

    def answer(self, request, status, headers, body=b""):
        request.status = status
        request.sent = len(body)
        self.busy = True
        self.write(self.head(status, headers + (("Content-Length", str(len(body))),))
                   + (b"" if request.method == "HEAD" else body))
        self.finish(request)

    def head(self, status, headers, keep=True, reason=None):
        return http1.Connection.head(self, status, headers, True, reason)

    def finish(self, request):
        request.ended = time.time()
        self.cloud.ended(request)
        self.out_done = True
        self.flush()

    def begin(self, coroutine):
        self.busy = True
        self.task = asyncio.get_running_loop().create_task(http1.Connection._guard(self, coroutine))

    async def drain(self):
        await self.room.wait()
        await self.conn.drain()
        if self.closed:
            raise ConnectionResetError

    async def flushed(self):
        await self.room.wait()
        await http1.Connection.flushed(self)

    async def play(self, rule):
        await Script(self.conn, rule, self.id).run()
        if not self.conn.closed and not rule.get("then"):
            await asyncio.sleep(3600)  # until the peer has had enough

    def reset(self, code):
        if self.closed:
            return
        self.closed = True
        try:
            self.conn.h2.reset_stream(self.id, code)
        except h2.exceptions.ProtocolError:
            pass
        self.conn.send()

    async def drop(self, how):
        """close, fin and rst end the connection, as in HTTP/1; stream and refused only the stream.  goaway: this stream was
        not looked at, those before it are served."""
        await self.flushed()
        if how == "goaway":
            self.closed = self.conn.going = True
            self.conn.h2.close_connection(last_stream_id=max(0, self.id - 2))
            self.conn.send()
            asyncio.get_running_loop().call_later(http1.LINGER_S, self.transport.close)
        elif how in ("stream", "refused"):
            self.reset(h2.errors.ErrorCodes.REFUSED_STREAM if how == "refused" else h2.errors.ErrorCodes.INTERNAL_ERROR)
        else:
            await http1.Connection.drop(self.conn, how)


class Connection(asyncio.Protocol):
    def __init__(self, cloud, listener):
        self.cloud = cloud
        self.listener = listener
        self.streams = {}
        self.closed = False
        self.request = None
        self.going = False
        self.script = False  # raw frames are played: what comes is written down; "alone": and answered by nothing else
        self.kept = bytearray()
        self._drained = None
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))

    def connection_made(self, transport):
        self.transport = transport
        self.number = self.cloud.connected(self)
        tls = transport.get_extra_info("ssl_object")
        self.sni = getattr(tls, "asked_name", None)
        self.alpn, self.tls = tls.selected_alpn_protocol(), tls.version()
        transport.set_write_buffer_limits(high=http1.PAUSE_AT)
        rule = self.rule_of("frames-at-start")
        if rule:
            self.script = "alone"
            asyncio.get_running_loop().create_task(Script(self, rule).run())
            return
        settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
                    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 18,
                    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: http1.MAX_HEAD}
        rule = self.rule_of("settings")
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={} if rule else settings)
        self.h2.initiate_connection()
        if rule:
            self.say_settings({**settings, **{int(n): v for n, v in rule.get("values", {}).items()}})
        self.h2.increment_flow_control_window(1 << 24)
        self.send()
        if rule and rule.get("later"):
            asyncio.get_running_loop().call_later(rule.get("later_ms", 300) / 1000, self.change_settings, rule.get("later"))

    def say_settings(self, settings):
        """The first frame has them all, and they count from their acknowledgement on: a client need not wait for them."""
        self.h2.update_settings(settings)
        self.h2.data_to_send()
        payload = b"".join(int(n).to_bytes(2, "big") + v.to_bytes(4, "big") for n, v in settings.items())
        self.transport.write(len(payload).to_bytes(3, "big") + b"\4\0" + bytes(4) + payload)

    def rule_of(self, kind):
        """A rule that is about connections."""
        for rule in self.cloud.rules:
            if rule.kind == kind and fnmatch.fnmatchcase(self.sni or "", rule.host) and rule.use():
                return rule
        return None

    def change_settings(self, values):
        if not self.closed:
            self.h2.update_settings({int(n): v for n, v in values.items()})
            self.send()

    def send(self):
        data = self.h2.data_to_send()
        if data and not self.closed:
            self.transport.write(data)

    def data_received(self, data):
        self.cloud.bytes_in += len(data)
        if self.script:
            self.kept += data
            self.cloud.frames.extend((self.number, kind, flags, stream, payload.hex()) for kind, flags, stream, payload in cut(self.kept))
        if self.script == "alone":
            return
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as why:
            if self.script:  # what was played has confused it
                self.script = "alone"
                return
            if self.going:  # h2 takes nothing more after a GOAWAY of its own
                return
            self.cloud.malformed(self, data, f"h2: {why}")
            self.send()
            self.transport.close()
            return
        for event in events:
            self.on_event(event)
        self.send()

    def on_event(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            self.on_request(event)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream:
                stream.take(event.data)
        elif isinstance(event, h2.events.StreamEnded) and stream:
            stream.end()
        elif isinstance(event, h2.events.StreamReset) and stream:
            stream.gone()
            self.streams.pop(event.stream_id, None)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for one in list(self.streams.values()):
                one.flush()

    def on_request(self, event):
        stream = Stream(self, event.stream_id)
        pseudo = {n: v for n, v in event.headers if n.startswith(":")}
        lines = [f"{pseudo[':method']} {pseudo[':path']} HTTP/1.1", f"Host: {pseudo.get(':authority', '')}"]
        lines += [f"{n}: {v}" for n, v in event.headers if not n.startswith(":") and (n, v) != ("te", "trailers")]
        head = "\r\n".join(lines).encode("latin-1")
        try:
            request = http1.parse_head(stream, head)
        except http1.Malformed as why:
            self.cloud.malformed(self, head, str(why))
            stream.reset(h2.errors.ErrorCodes.PROTOCOL_ERROR)
            return
        stream.request = request
        self.streams = {n: s for n, s in self.streams.items() if not s.closed}
        self.streams[event.stream_id] = stream
        self.cloud.scan(head, "head", self)
        self.cloud.on_head(request)

    def eof_received(self):
        return False

    def connection_lost(self, exc):
        self.closed = True
        for stream in self.streams.values():
            stream.gone()
        self.resume_writing()
        self.cloud.disconnected(self)

    pause_writing = http1.Connection.pause_writing
    resume_writing = http1.Connection.resume_writing
    drain = http1.Connection.drain
    flushed = http1.Connection.flushed


class Chooser(asyncio.Protocol):
    """Becomes what ALPN chose."""

    def __init__(self, cloud, listener):
        self.cloud, self.listener = cloud, listener

    def connection_made(self, transport):
        tls = transport.get_extra_info("ssl_object")
        kind = Connection if tls and tls.selected_alpn_protocol() == "h2" else http1.Connection
        protocol = kind(self.cloud, self.listener)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

