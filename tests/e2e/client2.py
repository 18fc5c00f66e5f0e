"""A client that speaks HTTP/2 through the proxy: the same answers as client.Tunnel gives, and many at once."""
import ssl

import client
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions


class Exchange:
    """One stream: what came of its answer so far."""

    def __init__(self, number):
        self.id = number
        self.status = None
        self.headers = []
        self.trailers = []
        self.interim = []
        self.body = bytearray()
        self.ended = False
        self.reset = None  # the error code
        self.pending = b""  # of the request's body
        self.end_wanted = False
        self.on_piece = None
        self.unread = 0  # bytes not acknowledged, when credit is held
        self.hold = False

    def response(self):
        head = "\r\n".join([f"HTTP/2 {self.status}"] + [f"{n}: {v}" for n, v in self.headers]).encode("latin-1")
        return client.Response(self.status, self.headers, bytes(self.body), head, self.interim)


class Tunnel(client.Tunnel):
    """CONNECT, TLS with ALPN h2, one HTTP/2 connection."""

    def __init__(self, proxy, host, port=443, ca=None, alpn=("h2",), **how):
        super().__init__(proxy, host, port, ca, alpn=list(alpn), **how)
        self.exchanges = {}
        self.goaway = None
        self.eof = False
        if self.connect_status != 200 or self.tls is None:
            return
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def open(self, method, path, headers=(), body=None, end=True, authority=None, on_piece=None, hold=False, protocol=None):
        """Starts an exchange; BODY None: none follows.  END False: more of it comes by send_body.  PROTOCOL: of an extended CONNECT."""
        x = Exchange(self.h2.get_next_available_stream_id())
        x.on_piece, x.hold = on_piece, hold
        self.exchanges[x.id] = x
        fields = [(":method", method), (":scheme", "https"), (":authority", authority or self.host), (":path", path)]
        fields += [(":protocol", protocol)] if protocol else []
        fields += [(n.lower(), v) for n, v in headers if n.lower() not in ("connection", "host", "transfer-encoding")]
        self.h2.send_headers(x.id, fields, end_stream=body is None and end)
        if body is not None:
            self.send_body(x, body, end)
        self.flush()
        return x

    def send_body(self, x, data, end=False):
        x.pending += data
        x.end_wanted = end
        self.push(x)

    def push(self, x):
        """As much of the request's body as the windows take."""
        if x.reset is not None or x.ended and not x.pending:
            x.pending = b""
            return
        while x.pending:
            n = min(self.h2.local_flow_control_window(x.id), self.h2.max_outbound_frame_size, len(x.pending))
            if n <= 0:
                break
            self.h2.send_data(x.id, x.pending[:n])
            x.pending = x.pending[n:]
            self.flush()
        if not x.pending and x.end_wanted:
            x.end_wanted = False
            self.h2.end_stream(x.id)
        self.flush()

    def cancel(self, x, code=h2.errors.ErrorCodes.CANCEL):
        self.h2.reset_stream(x.id, code)
        x.reset = code
        self.flush()

    def release(self, x):
        """Acknowledges what was held."""
        x.hold = False
        if x.unread:
            self.h2.acknowledge_received_data(x.unread, x.id)
        x.unread = 0
        self.flush()

    def pump(self):
        """One read.  False when the peer has ended."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        except ssl.SSLError as error:
            if "EOF" not in str(error):
                raise
            data = b""
        if not data:
            self.eof = True
            return False
        for event in self.h2.receive_data(data):
            self.on_event(event)
        try:
            self.flush()
        except OSError:
            pass
        return True

    def on_event(self, event):
        x = self.exchanges.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (event.error_code, event.last_stream_id)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for one in self.exchanges.values():
                if one.pending:
                    self.push(one)
        elif x is None:
            return
        elif isinstance(event, h2.events.InformationalResponseReceived):
            x.interim.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, h2.events.ResponseReceived):
            x.status = int(dict(event.headers)[":status"])
            x.headers = [(n, v) for n, v in event.headers if not n.startswith(":")]
        elif isinstance(event, h2.events.TrailersReceived):
            x.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            x.body += event.data
            if x.on_piece:
                x.on_piece(event.data)
            if x.hold:
                x.unread += event.flow_controlled_length
            else:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            x.ended = True
        elif isinstance(event, h2.events.StreamReset):
            x.reset = event.error_code

    def wait(self, *exchanges):
        """Until each of them has ended, well or not."""
        while not all(x.ended or x.reset is not None for x in exchanges):
            if not self.pump():
                break
        return exchanges

    def result(self, x):
        self.wait(x)
        if not x.ended:
            raise client.Broken(f"reset {x.reset}" if x.reset is not None else "end", b"x" if x.status else b"", bytes(x.body))
        return x.response()

    def ask(self, method, path, body=b"", headers=(), on_piece=None):
        if self.connect_status != 200:
            return self.refusal()
        sends = bool(body) or method in ("POST", "PUT", "PATCH")
        return self.result(self.open(method, path, headers, body if sends else None, on_piece=on_piece))


