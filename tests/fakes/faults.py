"""The ways in which the fake cloud fails when told to.

A rule says where (host and path globs, account), how often (times, after skipping some) and what
(kind and its parameters); README.md lists the kinds.
"""
import asyncio
import base64
import fnmatch
import json
import random

import rpc
from replies import claude_error, google_error, json_answer, wire

EARLY = {"early", "cut-on-head", "stall-on-head", "raw-on-head", "frames-on-head"}
OF_CONNECTIONS = {"tls-refuse", "frames-at-start", "settings"}
MESSAGES = {401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
                 "cookie or other valid authentication credential.",
            403: "The caller does not have permission",
            429: "Resource exhausted. Please try again later.",
            500: "Internal error encountered.",
            503: "The model is overloaded. Please try again later.",
            529: "Overloaded"}


class Rule:
    def __init__(self, spec):
        self.kind = str(spec["kind"])
        self.host = spec.get("host", "*")
        self.path = spec.get("path", "*")
        self.account = spec.get("account", "*")
        self.words = spec.get("words", "").encode()
        self.times = int(spec.get("times", 1))
        self.skip = int(spec.get("skip", 0))
        self.rate = float(spec.get("rate", 1))
        self.dice = random.Random(spec.get("seed"))
        self.spec = spec
        self.hits = 0

    def fits(self, request):
        return (fnmatch.fnmatchcase(request.host, self.host)
                and fnmatch.fnmatchcase(request.target, self.path)
                and (not self.words or self.words in bytes(request.body or b""))
                and (self.account == "*" or fnmatch.fnmatchcase(request.account or "", self.account)))

    def use(self):
        """True when this sighting is to fail; a rule with times < 0 never wears out."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times == 0 or (self.rate < 1 and self.dice.random() >= self.rate):
            return False
        self.times -= self.times > 0
        self.hits += 1
        return True

    def get(self, name, default=None):
        return self.spec.get(name, default)


def take(rules, request, early):
    for rule in rules:
        if (rule.kind in EARLY) == early and rule.kind not in OF_CONNECTIONS and rule.times != 0 \
                and rule.fits(request) and rule.use():
            return rule
    return None


def take_tls(rules, name):
    """True when the handshake for NAME is to be refused."""
    return any(rule.kind == "tls-refuse" and fnmatch.fnmatchcase(name, rule.host) and rule.use()
               for rule in rules)


def error_answer(request, status, rule):
    message = rule.get("message", MESSAGES.get(status, "fault"))
    retry_after = rule.get("retry_after")
    if request.host == "oauth2.googleapis.com":
        return json_answer(status, json.dumps({"error": rule.get("error", "internal_failure"),
                                               "error_description": message}).encode())
    if request.host == "api.anthropic.com":
        return claude_error(status, message, retry_after)
    reason = "ACCESS_TOKEN_EXPIRED" if status == 401 else None
    return google_error(status, message, reason=reason, service=request.host, retry_after=retry_after,
                        retry_delay=rule.get("retry_delay"))


async def run(cloud, rule, request):
    """Fails REQUEST as RULE says."""
    kind, conn = rule.kind, request.conn
    delay = float(rule.get("delay_ms", 0)) / 1000
    if delay:
        await asyncio.sleep(delay)
    if kind.isdigit() or kind == "early":
        status = int(rule.get("status", 200)) if kind == "early" else int(kind)
        if status >= 400 and rpc.asks(request):
            await rpc.refuse(request, status, rule.get("message", MESSAGES.get(status, "fault")))
            return
        answer = error_answer(request, status, rule) if status >= 400 else cloud.answer(request) \
            if request.body_done else json_answer(status, b'{"early":true}')
        await send(request, answer)
    elif kind == "slow-head":
        await send(request, cloud.answer(request))
    elif kind in ("stall", "stall-on-head"):
        request.status = "stalled"
        if kind == "stall-on-head":
            conn.transport.pause_reading()
        await asyncio.sleep(3600)
    elif kind in ("cut-before-head", "cut-on-head"):
        await give_up(request, rule.get("how", "fin"), "cut")
    elif kind in ("refuse", "goaway"):
        await give_up(request, "refused" if kind == "refuse" else kind, kind)
    elif kind in ("frames", "frames-on-head"):
        request.status = "frames"
        await conn.play(rule)
    elif kind in STREAM_FAULTS:
        await send(request, cloud.answer(request), rule)
    elif kind in RAW:
        await RAW[kind](request, rule)
    elif kind.startswith("token-"):
        await token_fault(cloud, request, rule)
    else:
        raise ValueError(f"unknown fault {kind}")


async def give_up(request, how, status):
    request.status = request.status or status
    request.conn.cloud.ended(request)
    await request.conn.drop(how)


STREAM_FAULTS = {"cut", "stall-body", "bad-chunk", "sse-error", "length-long", "length-short",
                 "stray-bytes"}


async def send(request, answer, rule=None):
    """Writes ANSWER piece by piece, spoiled by RULE."""
    conn = request.conn
    kind = rule.kind if rule else None
    limit = int(rule.get("bytes", 0)) if kind in ("cut", "stall-body", "bad-chunk") else None
    pieces = answer.pieces if answer.body is None else [answer.body]
    request.status = answer.status
    headers = answer.framed()
    if kind in ("length-long", "length-short") and answer.length is not None:
        change = 7 if kind == "length-long" else -7
        headers = answer.headers + (("Content-Length", str(answer.length + change)),)
    conn.write(conn.head(answer.status, headers, request.keep))
    if request.method == "HEAD":
        pieces = []
    chunked = answer.length is None
    for number, piece in enumerate(pieces):
        if answer.gap:
            await asyncio.sleep(answer.gap)
            await conn.cloud.at_gate(request, number)
        if limit is not None:
            piece = piece[:max(0, limit - request.sent)]
        conn.write(wire(piece) if chunked else piece)
        request.sent += len(piece)
        await conn.drain()
        if kind == "sse-error" and number == int(rule.get("events", 1)):
            error = {"type": "error", "error": {"details": None, "type": "overloaded_error",
                                                "message": "Overloaded"}}
            conn.write(wire(b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"))
            break
        if limit is not None and request.sent >= limit:
            return await spoil(request, kind, rule)
    if limit is not None:
        return await spoil(request, kind, rule)
    if chunked and request.method != "HEAD":
        conn.write(b"0\r\n\r\n")
    if kind == "stray-bytes":
        conn.write(base64.b64decode(rule.get("data", "")) or b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    if kind in ("length-long", "length-short"):
        return await give_up(request, "close", "cut")
    conn.finish(request)


async def spoil(request, kind, rule):
    if kind == "stall-body":
        await asyncio.sleep(3600)
    if kind == "bad-chunk":
        request.conn.write(b"zz\r\nbad\r\n")
        await asyncio.sleep(0.2)
    await give_up(request, rule.get("how", "fin"), "cut")


async def raw(request, rule):
    """Writes the given bytes (a list: in pieces, gap_ms apart) and closes unless told to keep or to hold."""
    request.status = "raw"
    data = rule.get("data", "")
    for number, piece in enumerate([data] if isinstance(data, str) else data):
        if number:
            await asyncio.sleep(float(rule.get("gap_ms", 50)) / 1000)
        request.conn.write(base64.b64decode(piece))
    if rule.get("keep"):
        request.conn.finish(request)
    elif rule.get("hold"):
        await asyncio.sleep(3600)
    else:
        await give_up(request, rule.get("how", "close"), "raw")


async def bad_status_line(request, _rule):
    request.conn.write(b"HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\n{}")
    await give_up(request, "close", "bad-status-line")


async def interim_flood(request, rule):
    request.status = "1xx-flood"
    for _ in range(int(rule.get("count", 5000))):
        request.conn.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await request.conn.drain()
    answer = json_answer(200, b"{}")
    await send(request, answer)


async def endless_head(request, rule):
    request.status = "endless-head"
    request.conn.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(int(rule.get("count", 20000))):
        request.conn.write(b"x-filler-%d: %s\r\n" % (i, b"f" * 80))
        await request.conn.drain()
    await give_up(request, "close", "endless-head")


RAW = {"raw": raw, "raw-on-head": raw, "bad-status-line": bad_status_line, "1xx-flood": interim_flood,
       "endless-head": endless_head}


SPOILED = {"crlf": "\r\nx-injected: 1", "lf": "\nx-injected: 1", "nul": "\0x", "non-ascii": "\u00e9", "space": " x-injected",
           "long": "x" * 20000}
EXPIRIES = {"negative-expiry": -5, "zero-expiry": 0, "huge-expiry": 1 << 62, "float-expiry": 1e300, "null-expiry": None}


async def endless_body(request):
    """Chunks without end, slowly enough to outlast any limit of bytes."""
    conn = request.conn
    request.status = 200
    conn.write(conn.head(200, (("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")), request.keep))
    while True:
        conn.write(wire(b" " * 16))
        await conn.drain()
        await asyncio.sleep(0.05)


async def token_fault(cloud, request, rule):
    """Success answers of the token endpoint with something wrong in them."""
    kind = rule.kind.removeprefix("token-")
    if kind == "garbage":
        return await send(request, json_answer(200, b"<html>this is no JSON</html>"))
    if kind == "huge":
        body = b'{"access_token":"ya29.' + b"x" * int(rule.get("bytes", 1 << 20)) + b'","expires_in":3599}'
        return await send(request, json_answer(200, body))
    if kind == "redirect":
        return await send(request, json_answer(302, b"{}", (("Location", "https://tunnel.test/token"),)))
    if kind == "error-200":
        return await send(request, json_answer(200, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}'))
    if kind == "endless":
        return await endless_body(request)
    answer = cloud.answer(request)
    if answer.status != 200:
        return await send(request, answer)
    granted = json.loads(answer.body)
    if kind in SPOILED:
        granted["access_token"] += SPOILED[kind]
    elif kind in EXPIRIES:
        granted["expires_in"] = EXPIRIES[kind]
    elif kind == "string-expiry":
        granted["expires_in"] = str(granted["expires_in"])
    elif kind == "empty":
        granted["access_token"] = ""
    elif kind == "no-token":
        del granted["access_token"]
    else:
        raise ValueError(f"unknown fault token-{kind}")
    await send(request, json_answer(200, json.dumps(granted).encode()))
