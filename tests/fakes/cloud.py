#!/usr/bin/env python3
"""A fake cloud on loopback: token endpoint, Gemini API, Vertex AI and Claude API behind TLS.

It accepts only what the real services accept, records every byte it received, and fails in the
ways it is told to by its control port.  See README.md beside this file.
"""
import argparse
import asyncio
import base64
import collections
import email.utils
import fnmatch
import glob
import json
import os
import re
import signal
import ssl
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import answers  # noqa: E402
import faults  # noqa: E402
import http1  # noqa: E402
import live  # noqa: E402
import pki  # noqa: E402
import resources  # noqa: E402
import rpc  # noqa: E402
import tokens  # noqa: E402
from replies import Answer, claude_error, google_error, json_answer, wire  # noqa: E402

GEMINI = "generativelanguage.googleapis.com"
CLAUDE = "api.anthropic.com"
OAUTH = "oauth2.googleapis.com"
OAUTH_OLD = ("www.googleapis.com", "/oauth2/v4/token")
VERTEX = re.compile(r"(?:aiplatform|([a-z0-9-]+)-aiplatform|aiplatform\.(us|eu)\.rep)\.googleapis\.com\Z")
MODEL_PATH = re.compile(r"/(v1|v1beta1)/projects/([^/]+)/locations/([^/]+)/publishers/(google|anthropic)"
                        r"/models/([^/:]+):([A-Za-z]+)\Z")
VERTEX_OTHER = re.compile(r"/(v1|v1beta1)/projects/([^/]+)/locations/([^/]+)/"
                          r"(cachedContents|batchPredictionJobs|operations|endpoints)(/.*)?\Z")
GEMINI_PATH = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):([A-Za-z]+)\Z")
VERTEX_VERSION = re.compile(r"vertex-.|20\d\d-\d\d-\d\d\Z")  # SDKs of late send a date
LOG_SIZE = 60000
GATE_S = 45

# A proxy must not pass these on; each sighting is recorded.
FORBIDDEN = ("proxy-connection", "proxy-authorization", "keep-alive", "te", "trailer", "upgrade",
             "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
             "x-real-ip", "x-goog-user-project")


def location_of(host):
    """The Vertex location that HOST serves, or None when it is no Vertex host."""
    match = VERTEX.match(host)
    return (match[1] or match[2] or "global") if match else None


class Cloud:
    def __init__(self):
        self.issuer = tokens.Issuer()
        self.api_keys = {CLAUDE: {}, GEMINI: {}}
        self.placeholders = {}
        self.patterns = []
        self.reach = 0
        self.rules = []
        self.resources = resources.Resources()
        self.contexts = {}
        self.ports = {}
        self.connections = set()
        self.extra_hosts = []
        self.greeting = b""
        self.sequence = 0  # for ever: a connection outlives a reset
        self._date = (0, "")
        self.clear()

    def clear(self):
        """Forgets what was seen; accounts, tokens, keys and placeholders stay."""
        self.log = collections.deque(maxlen=LOG_SIZE)
        self.notes = []
        self.frames = collections.deque(maxlen=20000)  # of HTTP/2 connections on which a script was played
        self.bytes_in = 0
        self.accepted = collections.Counter()
        self.handshakes = collections.Counter()
        self.counts = collections.Counter()
        self.by_account = collections.Counter()
        self.answered = 0
        self.opened = []  # words of bodies whose gate is open

    # -- what http1.Connection calls --

    def connected(self, conn):
        self.sequence += 1
        self.accepted[conn.listener] += 1
        self.connections.add(conn)
        return self.sequence

    def disconnected(self, conn):
        self.connections.discard(conn)

    def http_date(self):
        now = int(self.issuer.now())
        if self._date[0] != now:
            self._date = (now, email.utils.formatdate(now, usegmt=True))
        return self._date[1]

    def note(self, kind, detail, conn=None):
        if len(self.notes) < 1000:
            self.notes.append({"kind": kind, "detail": detail, "time": time.time(),
                               "conn": getattr(conn, "number", None)})

    def malformed(self, conn, data, why):
        self.scan(data, "malformed", conn)
        self.note("malformed", f"{why}: {data[:200]!r}", conn)

    def scan(self, data, where, conn):
        """Looks for any registered placeholder in DATA: raw, percent-encoded or in base64."""
        if not self.patterns:
            return
        views = [data]
        if b"%" in data:
            once = urllib.parse.unquote_to_bytes(data)
            views += [once, urllib.parse.unquote_to_bytes(once)]
        for view in views:
            for pattern, name in self.patterns:
                if pattern in view:
                    self.note("placeholder", f"{name} in {where}", conn)
                    return

    def ended(self, request):
        request.ended = request.ended or time.time()
        self.answered += 1
        self.counts[f"{request.host} {request.status}"] += 1
        if request.account:
            self.by_account[f"{request.account} {request.host} {request.status}"] += 1

    def on_head(self, request):
        self.log.append(request)
        conn = request.conn
        self.look(request)
        bearer = request.one("authorization") or ""
        if bearer.startswith("Bearer "):
            known = self.issuer.tokens.get(bearer[7:])
            request.account = known.account.email if known else None
        else:
            request.account = self.api_keys.get(request.host, {}).get(request.one("x-api-key"))
        rule = faults.take(self.rules, request, early=True)
        if rule:
            request.rule = rule.kind
            conn.early = True
            conn.begin(faults.run(self, rule, request))
        elif request.expect and not request.body_done:
            conn.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def look(self, request):
        """Notes everything in a head that no careful proxy sends."""
        conn = request.conn
        if conn.sni is not None and conn.sni != request.host:
            self.note("authority", f"SNI {conn.sni} but Host {request.host}", conn)
        for name in FORBIDDEN:
            if request.values(name) and not (name == "upgrade" and live.asks(request)):
                self.note("forwarded-header", name, conn)
        for name in ("authorization", "x-api-key", "x-goog-api-key", "content-type"):
            if len(request.values(name)) > 1:
                self.note("duplicate-header", name, conn)
        if not request.host.endswith(".googleapis.com") and b"ya29." in request.head:
            self.note("token-astray", f"a token went to {request.host}", conn)
        for host, keys in self.api_keys.items():
            if host != request.host and any(k.encode() in request.head for k in keys):
                self.note("token-astray", f"a key of {host} went to {request.host}", conn)

    def on_request(self, request):
        if request.host == OAUTH and request.body:
            request.account = self.issuer_of(request.body)
        rule = faults.take(self.rules, request, early=False)
        if rule:
            request.rule = rule.kind
            request.conn.begin(faults.run(self, rule, request))
        elif live.asks(request):
            self.live(request)
        elif rpc.asks(request):
            self.rpc(request)
        else:
            self.reply(request, self.answer(request))

    async def at_gate(self, request, number):
        """Before piece NUMBER of an answer: waits there if the request has a gate."""
        body = bytes(request.body or b"")
        if answers.gate(body) != number:
            return
        end = time.monotonic() + GATE_S
        while not any(words in body for words in self.opened):
            if time.monotonic() > end:
                self.note("gate", "was never opened: the client had not shown the first piece", request.conn)
                return
            await asyncio.sleep(0.01)

    def live(self, request):
        project = None
        if request.host == GEMINI:
            refusal = self.gemini_owner(request)[1]
        else:
            account, refusal = self.bearer(request, "aiplatform.googleapis.com", {tokens.CLOUD})
            project = account and account.project
        if refusal:
            self.reply(request, refusal)
        else:
            request.conn.begin(live.Live(self, request, project).run())

    def rpc(self, request):
        """gRPC is served by Vertex AI alone."""
        location = location_of(request.host)
        account, refusal = self.bearer(request, "aiplatform.googleapis.com", {tokens.CLOUD})
        if not location:
            request.conn.begin(rpc.refuse(request, 501, "Method not found."))
        elif refusal:
            message = json.loads(refusal.body)["error"]["message"]
            request.conn.begin(rpc.refuse(request, refusal.status, message))
        else:
            request.conn.begin(rpc.call(self, request, account, location))

    @staticmethod
    def issuer_of(body):
        """The account that a token request speaks for, unverified: only for choosing a fault."""
        try:
            form = urllib.parse.parse_qs(bytes(body).decode())
            return json.loads(tokens.decode(form["assertion"][0].split(".")[1]))["iss"]
        except (KeyError, ValueError, IndexError, TypeError):
            return None

    # -- answering --

    def reply(self, request, answer):
        conn = request.conn
        if answer.body is not None:
            conn.answer(request, answer.status, answer.headers, answer.body)
        elif answer.gap == 0 and answer.small and request.method != "HEAD":
            parts = [p for p in answer.pieces]
            request.status = answer.status
            request.sent = sum(map(len, parts))
            conn.busy = True
            conn.write(conn.head(answer.status, answer.framed(), request.keep)
                       + b"".join(wire(p) for p in parts) + b"0\r\n\r\n")
            conn.finish(request)
        else:
            conn.begin(faults.send(request, answer))

    def answer(self, request):
        """The Answer that the real service would give."""
        host, conn = request.host, request.conn
        if conn.sni is not None and conn.sni != host:
            return Answer(421, "text/plain", b"misdirected")
        if host == OAUTH or (host, request.path) == OAUTH_OLD:
            return self.token_endpoint(request)
        if host == GEMINI:
            return self.gemini(request)
        if host == CLAUDE:
            return self.claude(request)
        if location_of(host):
            return self.vertex(request)
        if any(fnmatch.fnmatch(host, pattern) for pattern in self.extra_hosts):
            return json_answer(200, answers.echo(request.method, request.target, bytes(request.body or b"")))
        return google_error(404, "The requested URL was not found on this server.")

    def token_endpoint(self, request):
        if request.path != ("/token" if request.host == OAUTH else OAUTH_OLD[1]):
            return google_error(404, "Not Found")
        if request.method != "POST":
            return json_answer(405, b'{"error":"invalid_request","error_description":"Method not allowed."}')
        if any(request.values(n) for n in ("authorization", "x-api-key", "x-goog-api-key")):
            self.note("odd-credential", "credential at the token endpoint", request.conn)
        try:
            granted = self.issuer.grant(request.one("content-type"), bytes(request.body or b""))
        except tokens.Refused as refused:
            return json_answer(refused.status, refused.body)
        request.auth = "assertion"
        return json_answer(200, json.dumps(granted).encode())

    def credentials(self, request):
        """Every credential of a request as (position, value)."""
        found = [("authorization", v) for v in request.values("authorization")]
        found += [(n, v) for n in ("x-api-key", "x-goog-api-key") for v in request.values(n)]
        query = urllib.parse.parse_qsl(request.query, keep_blank_values=True)
        found += [("?" + n, v) for n, v in query if n in ("key", "access_token")]
        return found

    def bearer(self, request, service, scopes):
        """(Account, None) of a request with exactly one good bearer token, else (None, Answer)."""
        found = self.credentials(request)
        if not found:
            return None, google_error(401, "Request is missing required authentication credential. Expected "
                                      "OAuth 2 access token, login cookie or other valid authentication "
                                      "credential.", reason="CREDENTIALS_MISSING", service=service)
        if len(found) > 1 or found[0][0] != "authorization":
            self.note("credentials", f"{service} got {sorted(p for p, _ in found)}", request.conn)
            return None, google_error(401, "API keys are not supported by this API. Expected OAuth2 access "
                                      "token or other authentication credentials that assert a principal.",
                                      reason="CREDENTIALS_MISSING", service=service)
        scheme, _, value = found[0][1].partition(" ")
        known, reason = self.issuer.find(value) if scheme == "Bearer" else (None, "ACCESS_TOKEN_TYPE_UNSUPPORTED")
        if reason:
            return None, google_error(401, "Request had invalid authentication credentials. Expected OAuth 2 "
                                      "access token, login cookie or other valid authentication credential.",
                                      reason=reason, service=service)
        if not known.scope & scopes:
            return None, google_error(403, "Request had insufficient authentication scopes.",
                                      reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT", service=service)
        request.account, request.auth = known.account.email, "bearer"
        return known.account, None

    def vertex(self, request):
        account, refusal = self.bearer(request, "aiplatform.googleapis.com", {tokens.CLOUD})
        if refusal:
            return refusal
        match = MODEL_PATH.match(urllib.parse.unquote(request.path))
        other = None if match else VERTEX_OTHER.match(request.path)
        if not match and not other:
            return google_error(404, "The requested URL was not found on this server.")
        project, location = (match or other)[2], (match or other)[3]
        if project != account.project:
            self.note("project", f"{account.email} used for project {project}", request.conn)
            return google_error(403, "Permission 'aiplatform.endpoints.predict' denied on resource "
                                f"'//aiplatform.googleapis.com/projects/{project}' (or it may not exist).")
        if location != location_of(request.host):
            self.note("location", f"{location} at {request.host}", request.conn)
            return google_error(400, f"Unsupported region for Vertex AI, {location} is not served here.")
        if request.method != "POST" and match:
            return google_error(404, "The requested URL was not found on this server.")
        body = bytes(request.body or b"")
        parsed, wrong = self.json_body(request, body)
        if wrong:
            return wrong
        if other:
            if other[4] == "endpoints":
                return json_answer(200, answers.predict(body))
            return self.resources.vertex(request, account, (other[5] or "").lstrip("/"), parsed, body)
        publisher, model, verb = match[4], match[5], match[6]
        if publisher == "anthropic":
            return self.vertex_claude(request, model, verb, parsed, body)
        if verb in ("predictLongRunning", "fetchPredictOperation"):
            base = match[0].rsplit(":", 1)[0].split("/", 2)[2]
            return self.resources.operation(request, account, base, verb, parsed)
        return self.resources.crossed(body, account.email) or self.model_verb(request, model, verb, parsed, body)

    def json_body(self, request, body):
        """(parsed JSON or {}, None) or (None, Answer): the providers want JSON objects."""
        if request.body is None or not body:
            return {}, None
        try:
            parsed = json.loads(body)
        except ValueError:
            return None, google_error(400, "Invalid JSON payload received. Unexpected token.")
        return (parsed, None) if isinstance(parsed, dict) else (
            None, google_error(400, "Invalid JSON payload received. Root element must be a message."))

    def model_verb(self, request, model, verb, parsed, body):
        size, events, gap = answers.options(parsed, body)
        if request.body is None:  # larger than what is kept: the answer is made of the hash alone
            body = request.body_sha.encode()
        if verb == "generateContent":
            length, pieces = answers.gemini_plain(model, body, size)
            return Answer.sized("application/json; charset=UTF-8", length, pieces)
        if verb == "streamGenerateContent":
            sse = ("alt", "sse") in urllib.parse.parse_qsl(request.query)
            make = answers.gemini_sse if sse else answers.gemini_array
            kind = "text/event-stream" if sse else "application/json; charset=UTF-8"
            return Answer.stream(kind, make(model, body, size, events), gap, size * events)
        simple = {"countTokens": answers.count_gemini, "computeTokens": answers.count_gemini,
                  "embedContent": answers.embed, "batchEmbedContents": answers.batch_embed,
                  "predict": answers.predict}
        if verb in simple:
            return json_answer(200, simple[verb](body))
        return google_error(404, f"Method not found: {verb}")

    def vertex_claude(self, request, model, verb, parsed, body):
        if request.body is None:
            body = request.body_sha.encode()
        size, events, gap = answers.options(parsed, body)
        if model == "count-tokens" and verb == "rawPredict":
            return json_answer(200, answers.count_claude(body))
        if request.body is not None and not VERTEX_VERSION.match(str(parsed.get("anthropic_version", ""))):
            return claude_error(400, "anthropic_version: Field required")
        if "model" in parsed:
            return claude_error(400, "model: Extra inputs are not permitted")
        return self.claude_answer(model, body, size, events, gap, verb == "streamRawPredict",
                                  verb in ("rawPredict", "streamRawPredict"))

    @staticmethod
    def claude_answer(model, body, size, events, gap, streamed, known=True):
        if not known:
            return google_error(404, "Method not found.")
        if streamed:
            return Answer.stream("text/event-stream; charset=utf-8",
                                 answers.claude_sse(model, body, size, events), gap, size * events)
        length, pieces = answers.claude_plain(model, body, size)
        return Answer.sized("application/json", length, pieces)

    def gemini_owner(self, request):
        """(whose key or token it is, None), else (None, Answer)."""
        found = self.credentials(request)
        keys = self.api_keys[GEMINI]
        if len(found) != 1 or found[0][0] not in ("x-goog-api-key", "?key"):
            account, refusal = self.bearer(request, GEMINI, {tokens.RETRIEVER})
            return account and account.email, refusal
        if found[0][1] not in keys:
            return None, google_error(400, "API key not valid. Please pass a valid API key.",
                                      reason="API_KEY_INVALID", service=GEMINI)
        request.account, request.auth = keys[found[0][1]], found[0][0]
        return request.account, None

    def gemini(self, request):
        owner, refusal = self.gemini_owner(request)
        if refusal:
            return refusal
        body = bytes(request.body or b"")
        parsed, wrong = ({}, None) if request.path.startswith("/upload/") else self.json_body(request, body)
        if wrong:
            return wrong
        made = self.resources.gemini(request, owner, parsed, body)
        if made:
            return made
        match = GEMINI_PATH.match(urllib.parse.unquote(request.path))
        if match and request.method == "POST":
            return self.resources.crossed(body, owner) or self.model_verb(request, match[1], match[2], parsed, body)
        if request.method == "GET" and re.match(r"/v1(beta|alpha)?/models(/[^/:]+)?\Z", request.path):
            return json_answer(200, b'{"models":[{"name":"models/gemini-2.5-pro"}]}')
        return google_error(404, "The requested URL was not found on this server.")

    def claude(self, request):
        found = self.credentials(request)
        if len(found) != 1 or found[0][0] != "x-api-key" or found[0][1] not in self.api_keys[CLAUDE]:
            if len(found) > 1:
                self.note("credentials", f"{CLAUDE} got {sorted(p for p, _ in found)}", request.conn)
            return claude_error(401, "invalid x-api-key")
        request.account, request.auth = self.api_keys[CLAUDE][found[0][1]], "x-api-key"
        if not request.one("anthropic-version"):
            return claude_error(400, "anthropic-version: header is required")
        if request.method == "GET" and request.path == "/v1/models":
            return json_answer(200, b'{"data":[{"type":"model","id":"claude-haiku-4-5-20251001"}],'
                                    b'"has_more":false}')
        if request.method != "POST" or request.path not in ("/v1/messages", "/v1/messages/count_tokens"):
            return claude_error(404, "Not found")
        body = bytes(request.body or b"")
        parsed, wrong = self.json_body(request, body)
        if wrong:
            return claude_error(400, "The request body is not valid JSON")
        if request.body is None:
            body = request.body_sha.encode()
        elif not isinstance(parsed.get("model"), str):
            return claude_error(400, "model: Field required")
        if request.path.endswith("/count_tokens"):
            return json_answer(200, answers.count_claude(body))
        size, events, gap = answers.options(parsed, body)
        return self.claude_answer(parsed.get("model", "large"), body, size, events, gap,
                                  parsed.get("stream") is True)

    # -- registration --

    def register_accounts(self, directory):
        for path in sorted(glob.glob(os.path.join(directory, "*.json"))):
            self.issuer.register(**pki.load_account(path))

    def register_placeholder(self, value):
        """From now on VALUE must never be seen here in any form."""
        label = value[:7] + "..."
        raw = value.encode()
        self.placeholders[value] = label
        forms = {raw}
        for shift in range(3):  # base64 of a text that has it at any offset
            data = b"\0" * shift + raw
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                text = encode(data[:len(data) // 3 * 3])
                forms.add(text[4 if shift else 0:])
        forms.add(raw.hex().encode())
        self.patterns += [(f, label) for f in sorted(forms) if len(f) >= 8]
        self.reach = max(self.reach, 3 * max(len(p) for p, _ in self.patterns))


class Listeners:
    """The TLS ports: one per certificate variant, on one address or more."""

    def __init__(self, cloud, paths, protocols):
        self.cloud = cloud
        self.paths = paths
        self.protocols = protocols
        self.contexts = {n: http1.server_context(paths[n], protocols=protocols) for n in pki.SERVER_NAMES}
        self.servers = []

    def choose(self, tls, name, _context):
        """SNI callback of the ordinary port: the certificate follows the name asked for."""
        tls.asked_name = name
        if name is None:
            return None
        self.cloud.handshakes[name] += 1
        if faults.take_tls(self.cloud.rules, name):
            return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        for label, names in pki.SERVER_NAMES.items():
            if any(fnmatch.fnmatch(name, n) and name.count(".") == n.count(".") for n in names):
                tls.context = self.contexts[label]
                return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    @staticmethod
    def remember(tls, name, _context):
        tls.asked_name = name

    async def open(self, label, address, port):
        variant = label in ("self-signed", "expired", "wrong-name")
        context = http1.server_context(self.paths[label if variant else "google"],
                                       self.remember if variant else self.choose, self.protocols)
        protocol = http1.Connection
        if "h2" in self.protocols:
            import http2  # here: it needs python3-h2
            protocol = http2.Chooser
        server = await asyncio.get_running_loop().create_server(
            lambda: protocol(self.cloud, label), address, port, ssl=context, backlog=1024,
            ssl_handshake_timeout=15)
        self.servers.append(server)
        self.cloud.ports[label] = server.sockets[0].getsockname()[1]


async def serve(args):
    import control  # here, so that control.py may import nothing of this file

    cloud = Cloud()
    cloud.extra_hosts = ["tunnel.test", "*.tunnel.test", "localhost"] + args.extra_host
    listeners = Listeners(cloud, pki.make_servers(args.dir), ("h2", "http/1.1") if args.h2 else ("http/1.1",))
    accounts = os.path.join(args.dir, "accounts")
    pki.make_accounts(accounts, args.accounts)
    cloud.register_accounts(accounts)
    for key in args.api_key:
        host, _, value = key.partition("=")
        cloud.api_keys.setdefault(host, {})[value] = f"api-key-{len(cloud.api_keys[host]) + 1}"
    await listeners.open("main", args.bind, args.port)
    if args.second:
        await listeners.open("second", args.second, cloud.ports["main"])
    for variant in ("self-signed", "expired", "wrong-name"):
        await listeners.open(variant, args.bind, 0)
    stop = asyncio.Event()
    cloud.ports["control"] = await control.open(cloud, args.control_bind, args.control_port, stop)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if not args.no_stdin:
        await watch_stdin(loop, stop)
    print(json.dumps({"ready": True, "ports": cloud.ports, "dir": os.path.abspath(args.dir),
                      "ca": listeners.paths["ca"],
                      "accounts": sorted(cloud.issuer.accounts)}), flush=True)
    await stop.wait()
    for server in listeners.servers:
        server.close()
    for conn in list(cloud.connections):
        conn.transport.abort()


async def watch_stdin(loop, stop):
    """The fake ends with whoever started it."""
    class End(asyncio.Protocol):
        def connection_lost(self, _exc):
            stop.set()

        def eof_received(self):
            stop.set()

    try:
        await loop.connect_read_pipe(End, sys.stdin)
    except (ValueError, PermissionError, OSError):
        pass  # a file or /dev/null: only signals end it


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", required=True, help="keys and certificates; made when missing")
    parser.add_argument("--port", type=int, default=0, help="TLS port; 0: any free one")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--second", metavar="ADDRESS", help="listen on the same port of this address too")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--control-bind", default="127.0.0.1")
    parser.add_argument("--accounts", type=int, default=0, help="make acct-1 ... acct-N in DIR/accounts")
    parser.add_argument("--api-key", action="append", default=[], metavar="HOST=KEY")
    parser.add_argument("--extra-host", action="append", default=[], metavar="GLOB",
                        help="more hosts that echo (tunnel targets)")
    parser.add_argument("--h2", action="store_true", help="offer HTTP/2 (needs python3-h2)")
    parser.add_argument("--no-stdin", action="store_true", help="do not end when standard input closes")
    args = parser.parse_args()
    asyncio.run(serve(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
