"""The CONNECT port: how real clients ask, tunnels, and the tunnel policy."""
import base64
import contextlib
import hashlib
import os
import socket
import ssl
import threading

import answers
import client
import servers
from harness import ALICE, BODY, VERTEX, Lab, LabCase, free_port, until


class Styles(LabCase):
    LAB = {"accounts": 1, "claude": False}

    def served(self, connect, **how):
        response = self.lab.ask(connect=connect, token=ALICE, **how)
        self.assertStatus(response, 200)
        self.assertEqual(response.body, answers.expected("gemini", "gemini-2.5-pro", BODY))

    def test_http_1_0_without_any_header(self):
        self.served(f"CONNECT {VERTEX}:443 HTTP/1.0\r\n\r\n".encode())

    def test_host_without_port(self):
        self.served(f"CONNECT {VERTEX}:443 HTTP/1.1\r\nhost: {VERTEX}\r\nconnection: close\r\n"
                    "proxy-connection: keep-alive\r\n\r\n".encode())

    def test_curls_way(self):
        self.served(f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\nUser-Agent: curl/7.88.1\r\n"
                    "Proxy-Connection: Keep-Alive\r\n\r\n".encode())

    def test_the_answer_to_connect_has_no_body_framing(self):
        with self.lab.tunnel(tls=False) as tunnel:
            names = {n for n, _ in tunnel.connect_headers}
            self.assertEqual(tunnel.connect_status, 200)
            self.assertFalse(names & {"content-length", "transfer-encoding"})

    def test_head_in_single_bytes(self):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=10)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode():
                sock.sendall(bytes([byte]))
            self.assertEqual(client.Reader(sock).head()[1], 200)

    def test_alpn(self):
        for offered, chosen in (([], None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], ("h2", "http/1.1")),
                                (["http/1.1", "h2"], ("h2", "http/1.1"))):
            with self.subTest(offered=offered):
                with self.lab.tunnel(alpn=offered) as tunnel:
                    got = tunnel.tls.selected_alpn_protocol()
                    self.assertIn(got, chosen if isinstance(chosen, tuple) else (chosen,))

    def test_old_tls_is_refused(self):
        context = client.trusting(self.lab.ca)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.lab.tunnel(context=context)


class ProxyAuth(LabCase):
    LAB = {"accounts": 1, "claude": False, "conf": {"policy": {"proxy_auth": "required"}}}

    def test_407_keeps_the_connection_for_a_second_try(self):
        basic = base64.b64encode(f"alice:{ALICE}".encode()).decode()
        head = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n"
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=10)) as sock:
            reader = client.Reader(sock)
            sock.sendall((head + "\r\n").encode())
            refusal = reader.response("CONNECT")
            self.assertStatus(refusal, 407)
            self.assertTrue(refusal.one("proxy-authenticate").lower().startswith("basic"))
            self.assertIsNotNone(refusal.one("content-length"))
            self.assertIn("credswap", refusal.one("proxy-status"))
            sock.sendall((head + f"Proxy-Authorization: Basic {basic}\r\n\r\n").encode())
            self.assertEqual(reader.head()[1], 200)

    def test_wrong_credentials_are_407_again(self):
        wrong = base64.b64encode(b"alice:gemini-wrong").decode()
        connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}\r\nProxy-Authorization: Basic {wrong}\r\n\r\n".encode()
        with self.lab.tunnel(connect=connect) as tunnel:
            self.assertEqual(tunnel.connect_status, 407)
        self.assertNothingForwarded()


class Tunnels(LabCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = servers.Echo()
        cls.lab = Lab(accounts=1, claude=False, connect_to=[f"echo.test:443:127.0.0.1:{cls.echo.port}",
                                                            f"dead.test:443:127.0.0.1:{free_port()}"])

    @classmethod
    def tearDownClass(cls):
        cls.echo.close()
        super().tearDownClass()

    def test_bytes_both_ways_with_half_close(self):
        data = os.urandom(5_000_000)
        with self.lab.tunnel("echo.test", tls=False) as tunnel:
            self.assertEqual(tunnel.connect_status, 200)

            def send():
                tunnel.sock.sendall(data)
                tunnel.sock.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send)
            sender.start()
            got = tunnel.reader.rest()
            sender.join()
            self.assertTrue(tunnel.reader.eof)
            self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(data).digest())

    def test_early_bytes_reach_the_target(self):
        connect = b"CONNECT echo.test:443 HTTP/1.1\r\nHost: echo.test:443\r\n\r\nearly bytes"
        with self.lab.tunnel("echo.test", connect=connect, tls=False) as tunnel:
            self.assertEqual(tunnel.reader.exactly(11), b"early bytes")

    def test_many_tunnels_at_once(self):
        tunnels = [self.lab.tunnel("echo.test", tls=False) for _ in range(60)]
        for number, tunnel in enumerate(tunnels):
            tunnel.send(b"%4d" % number * 100)
        for number, tunnel in enumerate(tunnels):
            self.assertEqual(tunnel.reader.exactly(400), b"%4d" % number * 100)
            tunnel.close()

    def test_the_certificate_inside_a_tunnel_is_the_targets_own(self):
        with self.lab.tunnel("tunnel.test", context=client.trusting(self.lab.cloud.ca)) as tunnel:
            response = tunnel.ask("POST", "/v1/messages?x=1", b"hello", [("authorization", "Bearer " + ALICE)])
            self.assertEqual(response.body, answers.echo("POST", "/v1/messages?x=1", b"hello"))
            self.assertIsNone(response.one("x-credswap-request-id"))

    def test_a_dead_target_is_502(self):
        with self.lab.tunnel("dead.test", tls=False) as tunnel:
            response = tunnel.refusal()
            self.assertStatus(response, 502)
            self.assertIn("credswap", response.one("proxy-status"))
            self.assertIn("text/plain", response.one("content-type"))

    def test_plain_http_through_the_proxy(self):
        done = self.lab.curl("-o", os.devnull, "-w", "%{http_code}", "http://127.0.0.1:9/", http_proxy=f"http://127.0.0.1:{self.lab.port}")
        self.assertEqual(done.stdout, b"403")


class Policy(LabCase):
    """tunnel = list: only hosts with a tunnel rule; deny rules win."""

    LAB = {"accounts": 1, "claude": False, "conf": {"policy": {"tunnel": "list"}}}

    def connect(self, host):
        with contextlib.closing(self.lab.tunnel(host, tls=False)) as tunnel:
            return tunnel.connect_status, None if tunnel.connect_status == 200 else tunnel.refusal()

    def test_only_listed_hosts(self):
        status, response = self.connect("tunnel.test")
        self.assertEqual(status, 403)
        self.assertIn("credswap", response.one("proxy-status"))
        self.lab.cs("host", "set", "tunnel.test", "tunnel")
        self.assertTrue(until(lambda: self.connect("tunnel.test")[0] == 200, 2))
        self.lab.cs("host", "set", "tunnel.test", "deny")
        self.assertTrue(until(lambda: self.connect("tunnel.test")[0] == 403, 2))
        self.lab.cs("host", "rm", "tunnel.test")
        self.assertEqual(self.connect("other.test")[0], 403)
        self.assertStatus(self.lab.ask(token=ALICE), 200)


class Deny(LabCase):
    LAB = {"accounts": 1, "claude": False, "conf": {"policy": {"tunnel": "deny"}}}

    def test_nothing_but_swap_hosts(self):
        with contextlib.closing(self.lab.tunnel("tunnel.test", tls=False)) as tunnel:
            self.assertEqual(tunnel.connect_status, 403)
        self.assertStatus(self.lab.ask(token=ALICE), 200)


class Parent(servers.Server):
    """A company proxy: CONNECT with a login, then bytes.  Slow on purpose: its answer comes in three pieces."""

    LOGIN = "corp:p@ss"

    def __init__(self):
        self.asked = []
        self.refuse = False
        super().__init__()

    def serve(self, conn):
        lines = servers.read_head(conn).decode().split("\r\n")
        self.asked.append(lines[0])
        wanted = "Proxy-Authorization: Basic " + base64.b64encode(self.LOGIN.encode()).decode()
        if self.refuse or wanted not in lines:
            conn.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, port = lines[0].split()[1].rsplit(":", 1)
        with socket.create_connection((host, int(port))) as target:
            for piece in (b"HTTP/1.1 200 Fi", b"ne\r\nVia: corp\r\n\r", b"\n"):
                conn.sendall(piece)
                threading.Event().wait(0.02)
            servers.join(conn, target)


class BehindParent(LabCase):
    """upstream.parent_proxy: requests, tunnels and the token endpoint all go through it."""

    LAB = {"accounts": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.stop()
        cls.parent = Parent()
        cls.addClassCleanup(cls.parent.close)
        cls.lab.sections["upstream"]["parent_proxy"] = f"http://corp:p%40ss@127.0.0.1:{cls.parent.port}"
        cls.lab.rewrite()
        cls.lab.start()

    def test_everything_goes_through_it(self):
        self.parent.asked.clear()
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.assertGreaterEqual(len(self.parent.asked), 2, "a token and a request")
        before = len(self.parent.asked)
        with self.lab.tunnel("tunnel.test", tls=False) as tunnel:
            self.assertEqual(tunnel.connect_status, 200)
        self.assertGreater(len(self.parent.asked), before)
        self.assertCleanCloud()

    def test_its_refusal_is_a_502(self):
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.parent.refuse = True
        try:
            with self.lab.tunnel("tunnel.test", tls=False) as tunnel:
                self.assertEqual(tunnel.connect_status, 502)
        finally:
            self.parent.refuse = False
