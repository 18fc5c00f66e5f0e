"""WebSockets of the Live API: the swap is in the handshake, the project in the first message, and the rest is bytes."""
import base64
import contextlib
import json
import socket
import time
import unittest

import client
import frames
import websocket
from harness import ALICE, BODY, GEMINI, GENERATE, VERTEX, Lab, LabCase, built_with, query_key, until

VERTEX_LIVE = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
GEMINI_LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
BEARER = [("authorization", "Bearer " + ALICE)]
DONE = (frames.BINARY, b'{"setupComplete":{}}')


def setup(model="projects/client-project/locations/us-central1/publishers/google/models/gemini-live", **more):
    return json.dumps({"setup": {"generationConfig": {"x": [1, {"model": "no"}]}, "model": model, **more}})


class LiveCase(LabCase):
    H2 = False

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(accounts=4)

    def open(self, host=VERTEX, path=VERTEX_LIVE, headers=BEARER, tunnel=None, **how):
        kind = websocket.Stream if self.H2 else websocket.WebSocket
        ws = kind(tunnel or self.lab.tunnel(host, h2=self.H2), path, headers, **how)
        self.addCleanup(ws.close)
        return ws

    def talk(self, ws, first=None, **how):
        self.assertTrue(ws.is_open, ws.response)
        ws.send(first or setup(), **how)
        self.assertEqual(ws.receive(), DONE)
        for payload in ("hello", "x" * 126, "y" * 70000, ""):
            ws.send(payload)
            self.assertEqual(ws.receive(), (frames.TEXT, payload.encode()))
        ws.send(websocket.noise(200000), opcode=frames.BINARY)
        self.assertEqual(len(ws.receive()[1]), 200000)

    def project_seen(self):
        """The project that the provider was asked for in the last first message, and the account's."""
        row = [r for r in self.cloud.log() if r["status"] == 101][-1]
        return json.loads(row["body"])["setup"]["model"].split("/")[1]


class Story:
    """What holds over HTTP/1.1 and HTTP/2."""

    def test_the_project_in_the_first_message_is_the_accounts(self):
        ws = self.open()
        self.talk(ws)
        self.assertNotEqual(self.project_seen(), "client-project")
        self.assertCleanCloud()  # the fake takes no other project than the account's

    def test_a_first_message_in_pieces_with_a_ping_between(self):
        ws = self.open()
        text = setup().encode()
        ws.raw(frames.frame(frames.PING, b"a", masked=True) + frames.frame(frames.TEXT, text[:10], last=False, masked=True))
        ws.raw(frames.frame(frames.PING, b"b", masked=True) + frames.frame(0, text[10:], masked=True) +
               frames.frame(frames.TEXT, b"behind", masked=True))
        got = [ws.receive() for _ in range(4)]
        self.assertEqual(got, [(frames.PONG, b"a"), (frames.PONG, b"b"), DONE, (frames.TEXT, b"behind")])
        self.assertCleanCloud()

    def test_byte_by_byte(self):
        ws = self.open()
        for byte in frames.frame(frames.BINARY, setup().encode(), masked=True):
            ws.raw(bytes([byte]))
        self.assertEqual(ws.receive(), DONE)

    def test_slashes_that_were_escaped(self):
        self.talk(self.open(), setup().replace("/", "\\/"))
        self.assertCleanCloud()

    def test_a_large_first_message(self):
        self.talk(self.open(), setup(systemInstruction="s" * 600000))
        self.assertCleanCloud()

    def test_compressed_messages(self):
        ws = self.open(deflate=True)
        self.assertIn("client_no_context_takeover", ws.response.one("sec-websocket-extensions"))
        self.talk(ws)
        ws = self.open(GEMINI, GEMINI_LIVE, deflate=True)
        self.talk(ws, setup("models/gemini-live"))
        self.assertCleanCloud()

    def test_every_place_of_the_placeholder(self):
        for path, headers, protocols in (
                (GEMINI_LIVE, [("x-goog-api-key", ALICE)], ()), (query_key(GEMINI_LIVE, ALICE), [], ()), (GEMINI_LIVE, BEARER, ()),
                (GEMINI_LIVE, [], (ALICE,)), (GEMINI_LIVE, [], ("live", ALICE))):
            with self.subTest(path=path.replace(ALICE, "P"), protocols=len(protocols)):
                ws = self.open(GEMINI, path, headers, protocols=protocols)
                self.talk(ws, setup("models/gemini-live"))
                wanted = {0: None, 1: ALICE, 2: "live"}[len(protocols)]
                self.assertEqual(ws.response.one("sec-websocket-protocol"), wanted)
        self.assertCleanCloud()

    def test_who_is_refused_before_the_handshake(self):
        for status, path, headers in ((401, VERTEX_LIVE, []), (401, VERTEX_LIVE, [("authorization", "Bearer gemini-unknown-0000000000")]),
                                      (404, "/ws/google.cloud.aiplatform.v1beta1.Other/BidiGenerateContent", BEARER)):
            with self.subTest(status=status, path=path):
                self.assertEqual(self.open(path=path, headers=headers).response.status, status)
        self.assertEqual([r for r in self.cloud.log(VERTEX) if r["host"] == VERTEX], [])

    def test_what_the_provider_refuses_is_passed_on(self):
        self.cloud.fail("403", host=VERTEX, times=1)
        ws = self.open()
        self.assertEqual(ws.response.status, 403)

    def test_an_account_without_quota_is_replaced(self):
        self.cloud.fail("429", host=VERTEX, times=1)
        self.talk(self.open())
        self.assertCleanCloud()

    def test_an_expired_token_is_renewed(self):
        self.cloud.fail("401", host=VERTEX, times=1)
        self.talk(self.open())
        self.assertCleanCloud()

    def test_first_messages_that_are_refused(self):
        for code, data in (
                (1007, frames.frame(frames.TEXT, b"{nonsense", masked=True)), (1007, frames.frame(frames.TEXT, b'{"setup":{"model":"a","model":"b"}}', masked=True)),
                (1007, frames.frame(frames.TEXT, b'{"setup":{"mod\\u0065l":"a"}}', masked=True)), (1002, frames.frame(frames.TEXT, b"{}", masked=False)),
                (1002, b"\xff\xff\xff\xff"), (1002, frames.frame(0, b"{}", masked=True)), (1009, b"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xffmask"),
                (1007, frames.frame(frames.TEXT, b"not deflated", compressed=True, masked=True))):
            with self.subTest(code=code, data=data[:20]):
                ws = self.open()
                ws.raw(data)
                opcode, payload = ws.receive()
                self.assertEqual((opcode, int.from_bytes(payload[:2], "big")), (frames.CLOSE, code))
                self.assertIsNone(ws.receive())
        self.assertEqual([r for r in self.cloud.log(VERTEX) if r["body_len"]], [])

    def test_both_sides_may_end_it(self):
        ws = self.open()
        self.talk(ws)
        ws.raw(frames.frame(frames.CLOSE, (1000).to_bytes(2, "big"), masked=True))
        self.assertEqual(ws.receive(), (frames.CLOSE, (1000).to_bytes(2, "big")))
        self.assertIsNone(ws.receive())
        gone = self.open()
        self.talk(gone)
        gone.close()
        self.assertTrue(until(lambda: not any(r["ended"] is None and r["aborted"] is None for r in self.cloud.log(VERTEX) if r["status"] == 101)))

    def test_many_messages_from_both_sides(self):
        ws = self.open()
        self.talk(ws)
        ahead, size = 30, 3000
        for number in range(2000 + ahead):
            if number < 2000:
                ws.send(f"{number:08}" + "m" * size)
            if number >= ahead:
                self.assertEqual(ws.receive()[1], f"{number - ahead:08}".encode() + b"m" * size)

    def test_a_client_that_does_not_read_holds_up_the_provider(self):
        ws = self.open()
        self.talk(ws)
        before = self.lab.rss()
        one = frames.frame(frames.BINARY, b"z" * 65536, masked=True)
        rest = ws.pour(one * 1500)
        self.assertTrue(rest, "100 MB and nobody held it up")
        if not built_with("libasan") and not built_with("libtsan"):  # what was freed stays with them
            self.assertLess(self.lab.rss() - before, 4 << 20)
        for _ in range((len(one) * 1500 - len(rest)) // len(one)):
            self.assertEqual(len(ws.receive()[1]), 65536)


class Live(Story, LiveCase):
    def test_an_upgrade_elsewhere_is_no_upgrade(self):
        with contextlib.closing(self.lab.tunnel()) as tunnel:
            for _ in range(2):
                tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER + [("Connection", "upgrade"), ("Upgrade", "websocket")], BODY))
                self.assertEqual(tunnel.reader.response().status, 200)
            tunnel.send(client.request("GET", "/v1/projects/p/locations/us-central1/publishers/google/models", VERTEX,
                                       BEARER + [("Connection", "upgrade"), ("Upgrade", "websocket")]))
            self.assertLess(tunnel.reader.response("GET").status, 500)
            tunnel.send(client.request("POST", GENERATE, VERTEX, BEARER, BODY))
            self.assertEqual(tunnel.reader.response().status, 200)
        self.assertCleanCloud()


class LiveH2(Story, LiveCase):
    H2 = True

    def test_it_is_announced(self):
        with contextlib.closing(self.lab.tunnel(VERTEX, h2=True)) as tunnel:
            tunnel.pump()
            self.assertEqual(tunnel.h2.remote_settings.enable_connect_protocol, 1)

    def test_the_key_is_ours_and_new_each_time(self):
        for _ in range(2):
            ws = self.open(headers=BEARER + [("sec-websocket-key", websocket.KEY)])
            self.talk(ws)
            self.assertEqual([n for n, _ in ws.response.headers if n in ("sec-websocket-accept", "upgrade", "connection")], [])
        keys = [v for r in self.cloud.log(VERTEX) for n, v in r["headers"] if n == "sec-websocket-key"]
        self.assertEqual((len(keys), len(set(keys)), {len(k) for k in keys}), (2, 2, {24}))
        self.assertNotIn(websocket.KEY, keys)

    def test_beside_others_on_one_connection(self):
        with contextlib.closing(self.lab.tunnel(VERTEX, h2=True, timeout=60)) as tunnel:
            sockets = [self.open(tunnel=tunnel) for _ in range(5)]
            for ws in sockets:
                self.talk(ws)
            xs = [tunnel.open("POST", GENERATE, BEARER, BODY) for _ in range(10)]
            for number, ws in enumerate(sockets):
                ws.send(f"number {number}")
            tunnel.wait(*xs)
            self.assertEqual({x.status for x in xs}, {200})
            for number, ws in enumerate(sockets):
                self.assertEqual(ws.receive()[1], f"number {number}".encode())
        self.assertCleanCloud()

    def test_what_comes_before_the_answer_waits(self):
        tunnel = self.lab.tunnel(VERTEX, h2=True)
        self.addCleanup(tunnel.close)
        for how in ("503", "slow-head"):
            self.cloud.fail(how, host=VERTEX, times=1, delay_ms=200)
            x = tunnel.open("CONNECT", VERTEX_LIVE, BEARER + websocket.wishes(False, ()), end=False, protocol="websocket")
            first = frames.frame(frames.TEXT, setup().encode(), masked=True)
            tunnel.send_body(x, first[:40])
            tunnel.send_body(x, first[40:] + frames.frame(frames.TEXT, b"early", masked=True))
            if how == "slow-head":  # the fake answers that as if it were no WebSocket
                tunnel.wait(x)
                self.assertNotEqual(x.status, 200)
                continue
            self.assertTrue(until(lambda: tunnel.pump() and b"early" in x.body), x.status)
            self.assertEqual(x.status, 200)
            tunnel.cancel(x)

    def test_a_client_that_cancels_takes_the_provider_along(self):
        ws = self.open()
        self.talk(ws)
        ws.tunnel.cancel(ws.x)
        self.assertTrue(until(lambda: all(r["ended"] or r["aborted"] for r in self.cloud.log(VERTEX)), 3))
        self.assertEqual(ws.tunnel.ask("POST", GENERATE, BODY, BEARER).status, 200)

    def test_a_client_that_ends_its_half(self):
        for talked in (True, False):
            with self.subTest(talked=talked):
                ws = self.open()
                if talked:
                    self.talk(ws)
                ws.end()
                last = ws.receive()
                if not talked:  # it never said what it wants
                    self.assertEqual((last[0], last[1][2:]), (frames.CLOSE, b"setup_end"))
                    last = ws.receive()
                self.assertIsNone(last)
                self.assertTrue(ws.x.ended)
                self.assertTrue(until(lambda: all(r["ended"] or r["aborted"] for r in self.cloud.log(VERTEX)), 3))

    def test_a_provider_that_ends_or_breaks_off(self):
        for how, ended in (("close", True), ("fin", False), ("rst", False)):
            with self.subTest(how=how):
                ws = self.open()
                self.talk(ws)
                ws.send("fake: drop " + how)
                self.assertIsNone(ws.receive())
                self.assertEqual((ws.x.ended, ws.x.reset not in (None, 0)), (ended, not ended))
                self.assertEqual(ws.tunnel.ask("POST", GENERATE, BODY, BEARER).status, 200)

    def test_answers_that_open_nothing(self):
        time.sleep(1.1)  # what others caused is written down
        rests = self.lab.query("SELECT reason FROM cooldown")
        switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        for head in ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 204 No Content\r\n\r\n", switch + "\r\n",
                     switch + "Sec-WebSocket-Accept: " + frames.accept(websocket.KEY) + "\r\n\r\n",
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"):
            with self.subTest(head=head):
                self.cloud.fail("raw", host=VERTEX, times=1, data=base64.b64encode(head.encode()).decode())
                ws = self.open()
                ws.tunnel.wait(ws.x)
                self.assertOwnError(ws.x.response(), 502, "vertex")
        time.sleep(1.1)
        self.assertEqual(self.lab.query("SELECT reason FROM cooldown"), rests)  # it is no account's fault

    def test_requests_that_ask_for_none(self):
        tunnel = self.lab.tunnel(VERTEX, h2=True)
        self.addCleanup(tunnel.close)
        wishes = BEARER + websocket.wishes(False, ())
        for status, how in (
                (501, {"protocol": "connect-udp"}), (501, {"protocol": "webtransport"}), (405, {"path": GENERATE}),
                (404, {"path": "/telemetry"}), (421, {"authority": GEMINI}), (400, {"headers": wishes + [("content-length", "5")]}),
                (400, {"end": True}), (400, {"headers": wishes + [("x-note", ALICE)]}), (400, {"headers": wishes + [("x_note", "a")]}),
                (401, {"headers": websocket.wishes(False, ())})):
            with self.subTest(status=status, how=str(how).replace(ALICE, "P")):
                how = {"method": "CONNECT", "path": VERTEX_LIVE, "headers": wishes, "end": False, "protocol": "websocket", **how}
                x = tunnel.open(**how)
                tunnel.wait(x)
                self.assertEqual(x.status, status)
        self.assertEqual([r for r in self.cloud.log(VERTEX) if r["host"] == VERTEX], [])
        self.assertEqual(tunnel.ask("POST", GENERATE, BODY, BEARER).status, 200)

    def test_a_drain_lets_it_end(self):
        ws = self.open()
        self.talk(ws)
        self.lab.daemon.terminate()
        time.sleep(0.5)
        ws.send("still here")
        self.assertEqual(ws.receive()[1], b"still here")
        ws.raw(frames.frame(frames.CLOSE, (1000).to_bytes(2, "big"), masked=True))
        self.assertEqual(ws.receive()[0], frames.CLOSE)
        self.assertIsNone(ws.receive())
        self.assertEqual(self.lab.daemon.wait(4), 0)
        self.lab.daemon = None
        self.lab.start()


class Direct:
    """A connection to the proxy port itself, in a tunnel's clothes."""

    def __init__(self, port, host):
        self.sock = self.tls = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.reader = client.Reader(self.sock)
        self.host = host
        self.send = self.sock.sendall
        self.close = self.sock.close


class Gateway(LiveCase):
    """For clients that know no proxy: ws://proxy/gemini/ws/... in place of wss://host/ws/..."""

    def test_both_services(self):
        for prefix, path, first in (("/gemini", GEMINI_LIVE, setup("models/gemini-live")), ("/vertex", VERTEX_LIVE, setup())):
            with self.subTest(prefix=prefix):
                ws = websocket.WebSocket(Direct(self.lab.port, f"127.0.0.1:{self.lab.port}"), prefix + path, [("x-goog-api-key", ALICE)])
                self.addCleanup(ws.close)
                if prefix == "/gemini":
                    self.talk(ws, first)
                else:  # no location in the path: the global endpoint, where the test's cloud has no such model
                    self.assertEqual(ws.response.status, 101, ws.response)
        self.assertCleanCloud()

    def test_without_a_placeholder(self):
        ws = websocket.WebSocket(Direct(self.lab.port, "proxy.test"), "/gemini" + GEMINI_LIVE)
        self.addCleanup(ws.close)
        self.assertEqual(ws.response.status, 401)

    def test_a_page_is_no_websocket(self):
        ws = websocket.WebSocket(Direct(self.lab.port, "proxy.test"), "/setup")
        self.addCleanup(ws.close)
        self.assertEqual(ws.response.status, 200)


class Restricted:
    """A client that may use some models only."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.cs("client", "set", "alice", "--models", "gemini-live*")
        time.sleep(1.1)  # a running daemon follows within a second

    def test_its_models_and_others(self):
        self.talk(self.open())
        for first in (setup("projects/p/locations/l/publishers/google/models/other"), setup(""), '{"setup":{}}', "{}"):
            with self.subTest(first=first[:60]):
                ws = self.open()
                ws.send(first)
                opcode, payload = ws.receive()
                self.assertEqual((opcode, payload[2:]), (frames.CLOSE, b"model_denied"))
        self.assertCleanCloud()


class Models(Restricted, LiveCase):
    pass


class ModelsH2(Restricted, LiveCase):
    H2 = True


if __name__ == "__main__":
    unittest.main()
