"""The PROXY protocol: a balancer says for whom it speaks, and nobody else may."""
import contextlib
import json
import re
import socket
import ssl
import struct
import time

import answers
import client
from harness import ALICE, BODY, GENERATE, VERTEX, LabCase, free_port, until

BALANCER = "127.0.0.3"  # every other address of loopback is a client's
CLIENT = "10.9.8.7"
WANTED = answers.expected("gemini", "gemini-2.5-pro", BODY)
BEARER = [("authorization", "Bearer " + ALICE)]
SIGN = b"\r\n\r\n\0\r\nQUIT\n"
AT_ONCE_S = 1.5
CONNECTIONS = 40


def v1(address=CLIENT, port=5555):
    kind = 6 if ":" in address else 4
    return f"PROXY TCP{kind} {address} {address} {port} 3128\r\n".encode()


def v2(address=CLIENT, port=5555, tlvs=b"", command=0x21):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    body = socket.inet_pton(family, address) * 2 + struct.pack(">HH", port, 3128) + tlvs
    return SIGN + bytes([command, 0x21 if ":" in address else 0x11]) + struct.pack(">H", len(body)) + body


class Balanced(LabCase):
    LAB = {"accounts": 1, "conf": {
        "listen": {"proxy_protocol": [BALANCER + "/32"]}, "limits": {"connections_per_client": 3, "header_timeout": 2, "connections": CONNECTIONS},
        "policy": {"clients": ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"]}}}

    @classmethod
    def setUpClass(cls):
        cls.tls_port = free_port()
        cls.LAB["conf"]["listen"]["proxy_tls"] = [f"127.0.0.1:{cls.tls_port}"]
        super().setUpClass()

    def open(self, source=BALANCER, port=None, timeout=10):
        return socket.create_connection(("127.0.0.1", port or self.lab.port), timeout=timeout, source_address=(source, 0))

    def say(self, data, source=BALANCER, port=None):
        """What comes back until the end or a silence, and whether it ended."""
        with contextlib.closing(self.open(source, port, AT_ONCE_S)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in data if isinstance(data, list) else [data]:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(piece)
                time.sleep(0.005 if isinstance(data, list) else 0)
            reader = client.Reader(sock)
            return reader.rest(), reader.eof

    def address(self, header, source=BALANCER):
        """Who /status says is calling."""
        got, _ended = self.say(header + b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" if isinstance(header, bytes)
                               else header + [b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"], source)
        self.assertIn(b" 200 ", got[:20], got[:300])
        return json.loads(got.partition(b"\r\n\r\n")[2])["address"]

    def test_the_client_is_who_the_header_says(self):
        for label, header, wanted in (("v1", v1(), CLIENT), ("v2", v2(), CLIENT), ("v1 over IPv6", v1("2001:db8::7"), "2001:db8::7"), ("v2 over IPv6", v2("2001:db8::7"), "2001:db8::7"),
                                      ("v2 with TLVs", v2(tlvs=b"\x01\0\x02h2" + b"\x20\0\x05abcde"), CLIENT), ("v2, as long as it may be", v2(tlvs=b"x" * 508), CLIENT),
                                      ("v1 UNKNOWN", b"PROXY UNKNOWN\r\n", BALANCER), ("v1 UNKNOWN with words", b"PROXY UNKNOWN a b c d\r\n", BALANCER),
                                      ("v2 LOCAL", SIGN + b"\x20\0\0\0", BALANCER), ("v2 LOCAL with addresses", v2(command=0x20), BALANCER), ("v2 UNSPEC", SIGN + b"\x21\0\0\3abc", BALANCER),
                                      ("v2 Unix", SIGN + b"\x21\x31\0\xd8" + bytes(216), BALANCER)):
            with self.subTest(header=label):
                self.assertEqual(self.address(header), wanted)
        self.assertTrue(until(lambda: f'"peer":"{CLIENT}:5555"' in self.lab.log_text() and '"peer":"[2001:db8::7]:5555"' in self.lab.log_text()))

    def test_byte_by_byte(self):
        for header in (v1(), v2(tlvs=b"abc")):
            self.assertEqual(self.address([bytes([b]) for b in header]), CLIENT)

    def test_without_a_header_or_with_a_bad_one_it_is_over_at_once(self):
        request = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
        for label, data in (("none", request), ("connect", b"CONNECT a.test:443 HTTP/1.1\r\n\r\n"), ("tls", b"\x16\x03\x01\x02\x00\x01\x00"), ("lower case", v1().lower() + request),
                            ("long", b"PROXY UNKNOWN " + b"x" * 200), ("two spaces", v1().replace(b" ", b"  ", 1) + request), ("bare lf", v1().replace(b"\r\n", b"\n") + request),
                            ("v2 datagram", v2().replace(b"\x21\x11", b"\x21\x12") + request), ("v2 too long", SIGN + b"\x21\x11\xff\xff"), ("v2 short", SIGN + b"\x21\x11\0\x04abcd" + request),
                            ("v3", SIGN + b"\x31\x11\0\x0c" + bytes(12) + request), ("name for address", b"PROXY TCP4 evil 1.2.3.4 1 2\r\n" + request)):
            with self.subTest(header=label):
                began = time.monotonic()
                self.assertEqual(self.say(data), (b"", True))
                self.assertLess(time.monotonic() - began, AT_ONCE_S)
        self.assertTrue(until(lambda: '"reason":"proxy_header"' in self.lab.log_text()))

    def test_a_second_header_is_the_clients_own_and_malformed(self):
        got, ended = self.say(v1() + v1("10.0.0.1") + b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual((got[:13], ended), (b"HTTP/1.1 400 ", True))

    def test_nobody_else_may_send_one(self):
        for header in (v1(), v2()):
            got, ended = self.say(header + b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n", source="127.0.0.9")
            self.assertEqual((got[:13], ended), (b"HTTP/1.1 400 ", True))
            self.assertNotIn(CLIENT.encode(), got)
        self.assertEqual(self.address(b"", source="127.0.0.9"), "127.0.0.9")

    def test_a_slow_or_silent_balancer_is_cut(self):
        began = time.monotonic()
        with contextlib.closing(self.open()) as silent, contextlib.closing(self.open()) as slow:
            slow.settimeout(0.3)
            data, cut = v1(), False
            for i in range(20):
                try:
                    slow.sendall(data[i:i + 1])
                    cut = slow.recv(1) == b""
                except (TimeoutError, socket.timeout):
                    continue
                except ConnectionError:
                    cut = True
                if cut:
                    break
            self.assertTrue(cut)
            self.assertTrue(1.5 < time.monotonic() - began < 5)
            silent.settimeout(3)
            self.assertEqual(silent.recv(1), b"")

    def test_policy_asks_the_client_not_the_balancer(self):
        for address in ("192.0.2.1", "2001:db9::1", "8.8.8.8"):
            with self.subTest(address=address):
                self.assertEqual(self.say(v1(address) + b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"), (b"", True))
                self.assertEqual(self.say(v2(address) + b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"), (b"", True))

    def test_limits_count_the_client_not_the_balancer(self):
        request = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(contextlib.closing(self.open())) for _ in range(7)]
            for i, sock in enumerate(held[:6]):  # three for each of two clients
                sock.sendall(v1(f"10.0.0.{1 + i % 2}") + request)
                self.assertEqual(client.Reader(sock).response("GET").status, 200)
            held[6].sendall(v1("10.0.0.1") + request)
            self.assertEqual(held[6].recv(10), b"")
            self.assertEqual(self.address(v1("10.0.0.3")), "10.0.0.3")
        self.assertTrue(until(lambda: self.say(v1("10.0.0.1") + request)[0][:12] == b"HTTP/1.1 200"), "places are not given back")

    def test_places_come_back_whatever_became_of_the_header(self):
        for _ in range(CONNECTIONS):
            self.say(v1("8.8.8.8"))
            self.say(b"x")
            with contextlib.closing(self.open()) as sock:
                sock.sendall(b"PROXY ")
        self.assertTrue(until(lambda: self.say(v1() + b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")[0][:12] == b"HTTP/1.1 200"))

    def hello(self, host, context):
        """A handshake without a socket: (ssl object, incoming, outgoing) with the ClientHello in the last."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return tls, incoming, outgoing

    def talk(self, sock, bios, request):
        """Finishes the handshake and says REQUEST; the answer's bytes."""
        tls, incoming, outgoing = bios
        answer, sent, shaken = b"", False, False
        while True:
            try:
                if not shaken:
                    tls.do_handshake()
                    shaken = True
                if not sent:
                    tls.write(request)
                    sent = True
                    sock.sendall(outgoing.read())
                piece = tls.read(65536)
                if not piece:
                    return answer
                answer += piece
                if WANTED in answer or b"\r\n\r\n" in answer and b" 200 Connection" in answer:
                    return answer
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    sock.sendall(outgoing.read())
                data = sock.recv(65536)
                if not data:
                    return answer
                incoming.write(data)

    def test_nothing_behind_the_header_is_lost(self):
        connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}:443\r\n\r\n".encode()
        request = client.request("POST", GENERATE, VERTEX, BEARER, BODY)
        for header in (v1(), v2(tlvs=b"tlv")):
            bios = self.hello(VERTEX, client.trusting(self.lab.ca))
            with contextlib.closing(self.open()) as sock:
                sock.sendall(header + connect + bios[2].read())  # one segment
                reader = client.Reader(sock)
                self.assertEqual(reader.head()[1], 200)
                bios[1].write(reader.buf)
                got = self.talk(sock, bios, request)
            self.assertIn(WANTED, got)
        self.assertCleanCloud()

    def test_before_tls_on_the_listener_inside_tls(self):
        for data in (lambda hello: [v1() + hello], lambda hello: [v2() + hello[:5], hello[5:]], lambda hello: [v1(), hello]):
            bios = self.hello("127.0.0.1", client.trusting(self.lab.ca))
            with contextlib.closing(self.open(port=self.tls_port)) as sock:
                for piece in data(bios[2].read()):
                    sock.sendall(piece)
                    time.sleep(0.02)
                got = self.talk(sock, bios, b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn(f'"address":"{CLIENT}"'.encode(), got)
        self.assertEqual(self.say(b"\x16\x03\x01\x02\x00", port=self.tls_port), (b"", True))

    def test_curl(self):
        done = self.lab.curl("--haproxy-protocol", "--interface", BALANCER, f"http://127.0.0.1:{self.lab.port}/status", HTTPS_PROXY="")
        self.assertEqual(json.loads(done.stdout)["address"], BALANCER, done.stderr)
        path = "/vertex" + GENERATE
        done = self.lab.curl("--haproxy-protocol", "--interface", BALANCER, "-H", "Authorization: Bearer " + ALICE, "--data-binary", BODY.decode(),
                             f"http://127.0.0.1:{self.lab.port}{path}", HTTPS_PROXY="")
        self.assertEqual(done.stdout, WANTED, done.stderr)

    def test_a_drain_does_not_wait_for_a_header(self):
        with contextlib.closing(self.open()) as sock:
            sock.sendall(b"PROXY ")
            began = time.monotonic()
            self.lab.stop()
            took = time.monotonic() - began
            self.lab.start()
            self.assertLess(took, 5)
            with contextlib.suppress(ConnectionResetError):  # what it sent may lie unread
                self.assertEqual(sock.recv(1), b"")

    def test_reload_changes_who_is_a_balancer(self):
        self.lab.sections["listen"]["proxy_protocol"] = ["127.0.0.4/32"]
        self.lab.rewrite()
        try:
            self.lab.signal(1)
            self.assertTrue(until(lambda: re.match(rb"HTTP/1.1 200", self.say(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0])))
            self.assertEqual(self.address(v1(), source="127.0.0.4"), CLIENT)
        finally:
            self.lab.sections["listen"]["proxy_protocol"] = [BALANCER + "/32"]
            self.lab.rewrite()
            self.lab.signal(1)
            self.assertTrue(until(lambda: self.say(b"GET /")[0] == b""))
