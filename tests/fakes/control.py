"""The control port of the fake cloud: plain HTTP, JSON in and out, loopback only."""
import asyncio
import base64
import json
import time
import urllib.parse

import faults


def mask(token):
    return f"{token[:10]}...({len(token)} bytes)"


def describe(cloud, request, raw):
    head = request.head.decode("latin-1")
    if not raw:
        for token in cloud.issuer.tokens:
            if token in head:
                head = head.replace(token, mask(token))
        for keys in cloud.api_keys.values():
            for key in keys:
                head = head.replace(key, mask(key))
    conn = request.conn
    return {"n": request.number, "time": request.time, "conn": conn.number, "listener": conn.listener,
            "sni": conn.sni, "alpn": conn.alpn, "tls": conn.tls, "method": request.method,
            "host": request.host, "target": request.target, "head": head,
            "headers": [[n, v] for n, v in request.headers] if raw else None,
            "body": bytes(request.body).decode("latin-1") if request.body is not None else None,
            "body_len": request.body_len, "body_sha256": request.body_sha, "body_done": request.body_done,
            "account": request.account, "auth": request.auth, "status": request.status,
            "rule": request.rule, "sent": request.sent, "ended": request.ended, "aborted": request.aborted}


class Control:
    def __init__(self, cloud, stop):
        self.cloud = cloud
        self.stop = stop

    # Each verb is a method named after METHOD and path; it takes (query, body) and returns JSON.

    def get_stats(self, _query, _body):
        cloud, issuer = self.cloud, self.cloud.issuer
        return {"connections": dict(cloud.accepted), "handshakes": dict(cloud.handshakes),
                "open": len(cloud.connections), "requests": len(cloud.log), "answered": cloud.answered,
                "counts": dict(cloud.counts), "by_account": dict(cloud.by_account),
                "mints": {a.email: a.mints for a in issuer.accounts.values()},
                "mint_refusals": {a.email: a.refused for a in issuer.accounts.values()},
                "mint_attempts": issuer.attempts, "unknown_issuers": issuer.unknown,
                "bytes_in": cloud.bytes_in, "violations": len(cloud.notes),
                "rules": [{"kind": r.kind, "hits": r.hits, "left": r.times} for r in cloud.rules]}

    def get_log(self, query, _body):
        raw = query.get("raw") == "1"
        since, limit = int(query.get("since", 0)), int(query.get("limit", 1000))
        host = query.get("host")
        rows = [r for r in self.cloud.log if r.number > since and host in (None, r.host)]
        return [describe(self.cloud, r, raw) for r in rows[-limit:]]

    def get_frames(self, _query, _body):
        """[connection, type, flags, stream, payload in hex] of what came while a script of frames was played."""
        return list(self.cloud.frames)

    def get_violations(self, _query, _body):
        return self.cloud.notes

    def get_ports(self, _query, _body):
        return self.cloud.ports

    def get_tokens(self, query, _body):
        show = (lambda t: t) if query.get("raw") == "1" else mask
        now = self.cloud.issuer.now()
        return [{"token": show(t), "account": k.account.email, "scope": sorted(k.scope),
                 "expires_in": int(k.expires_at - now), "state": k.state}
                for t, k in self.cloud.issuer.tokens.items()]

    def get_accounts(self, _query, _body):
        return [{"email": a.email, "project": a.project, "state": a.state, "mints": a.mints,
                 "refused": a.refused} for a in self.cloud.issuer.accounts.values()]

    def post_fail(self, _query, body):
        specs = body if isinstance(body, list) else [body]
        self.cloud.rules += [faults.Rule(s) for s in specs]
        return {"rules": len(self.cloud.rules)}

    def post_heal(self, _query, _body):
        self.cloud.rules.clear()
        return {"rules": 0}

    def post_reset(self, _query, body):
        """Forgets log, counts and rules; {"tokens": true} forgets issued tokens and mint counts too."""
        self.cloud.clear()
        self.cloud.rules.clear()
        self.cloud.greeting = b""
        issuer = self.cloud.issuer
        issuer.attempts = issuer.unknown = 0
        issuer.ttl, issuer.skew = 3599, 0
        for account in issuer.accounts.values():
            account.mints = account.refused = 0
            account.state = "ok"
        if (body or {}).get("tokens"):
            issuer.tokens.clear()
        return {"ok": True}

    def post_register(self, _query, body):
        """{"accounts_dir": DIR, "api_keys": {HOST: {KEY: NAME}}, "placeholders": [TEXT]}"""
        if "accounts_dir" in body:
            self.cloud.register_accounts(body["accounts_dir"])
        for host, keys in body.get("api_keys", {}).items():
            self.cloud.api_keys.setdefault(host, {}).update(keys)
        for text in body.get("placeholders", []):
            if text not in self.cloud.placeholders:
                self.cloud.register_placeholder(text)
        return {"accounts": len(self.cloud.issuer.accounts), "placeholders": len(self.cloud.placeholders)}

    def post_open(self, _query, body):
        """{"words": TEXT}: the answers to requests with TEXT in the body go on beyond their gate."""
        self.cloud.opened.append(body["words"].encode())
        return {"ok": True}

    def post_account(self, _query, body):
        """{"email": E, "state": "ok|deleted|disabled|unpropagated"}"""
        self.cloud.issuer.accounts[body["email"]].state = body["state"]
        return {"ok": True}

    def post_expire(self, _query, body):
        """Every token issued so far stops working; {"account": EMAIL} limits it."""
        count = 0
        for token in self.cloud.issuer.tokens.values():
            if body.get("account") in (None, token.account.email):
                token.state = "expired"
                count += 1
        return {"expired": count}

    def post_config(self, _query, body):
        """{"token_ttl": seconds, "skew": seconds}"""
        issuer = self.cloud.issuer
        issuer.ttl = int(body.get("token_ttl", issuer.ttl))
        issuer.skew = float(body.get("skew", issuer.skew))
        return {"token_ttl": issuer.ttl, "skew": issuer.skew}

    def post_push(self, _query, body):
        """Writes bytes that nobody asked for to every idle connection: {"data": BASE64}."""
        idle = [c for c in self.cloud.connections if not (c.busy or c.request or c.transport.is_closing())]
        for conn in idle:
            conn.write(base64.b64decode(body["data"]))
        return {"pushed": len(idle)}

    def post_greet(self, _query, body):
        """Each new connection begins with these bytes, before any request: {"data": BASE64}, "" for none."""
        self.cloud.greeting = base64.b64decode(body["data"])
        return {"ok": True}

    def post_close(self, _query, _body):
        """Closes every idle connection, as a server does after its keep-alive time."""
        idle = [c for c in self.cloud.connections if not c.busy and c.request is None]
        for conn in idle:
            conn.transport.close()
        return {"closed": len(idle)}

    def post_stop(self, _query, _body):
        asyncio.get_running_loop().call_later(0.05, self.stop.set)
        return {"ok": True}

    async def serve(self, reader, writer):
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                method, target, _ = line.decode("latin-1").split(" ", 2)
                length = 0
                while (header := await reader.readline()) not in (b"\r\n", b"\n", b""):
                    name, _, value = header.decode("latin-1").partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
                body = await reader.readexactly(length)
                status, result = self.dispatch(method, target, body)
                data = json.dumps(result).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
                await writer.drain()
        except (ValueError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def dispatch(self, method, target, body):
        path, _, query = target.partition("?")
        verb = getattr(self, f"{method.lower()}_{path.strip('/')}", None)
        if verb is None:
            return 404, {"error": f"no {method} {path}"}
        try:
            return 200, verb(dict(urllib.parse.parse_qsl(query)), json.loads(body) if body else {})
        except (KeyError, ValueError, TypeError) as exc:
            return 400, {"error": f"{type(exc).__name__}: {exc}", "time": time.time()}


async def open(cloud, address, port, stop):  # noqa: A001
    server = await asyncio.start_server(Control(cloud, stop).serve, address, port)
    return server.sockets[0].getsockname()[1]
