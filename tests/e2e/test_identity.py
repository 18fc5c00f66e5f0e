"""One identity for each tunnel, verified upstreams, and no way into the inner network."""
import contextlib
import socket
import ssl
import threading

import client
from fakedns import FakeDns
from harness import ALICE, BODY, CLAUDE, GEMINI, GEMINI_PATH, GENERATE, VERTEX, Lab, LabCase

BEARER = ("authorization", "Bearer " + ALICE)


class Authority(LabCase):
    def raw(self, lines, sni=True, host=VERTEX):
        """Sends LINES (the head) with BODY; returns (Response, whether the connection was closed after it)."""
        with self.lab.tunnel(host, sni=sni) as tunnel:
            self.assertEqual(tunnel.connect_status, 200)
            tunnel.send("\r\n".join(lines).encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
            return tunnel.reader.response()

    def head(self, host, target=GENERATE):
        return [f"POST {target} HTTP/1.1", f"Host: {host}", "Authorization: Bearer " + ALICE]

    def test_a_foreign_host_header_is_misdirected(self):
        for host in (GEMINI, CLAUDE, "evil.test", VERTEX + ":444", "x" + VERTEX, VERTEX + ".evil.test", "127.0.0.1"):
            with self.subTest(host=host):
                self.cloud.reset()
                self.assertStatus(self.raw(self.head(host)), 421)
                self.assertNothingForwarded()

    def test_the_same_host_in_other_spellings_is_fine(self):
        for host in (VERTEX, VERTEX.upper(), VERTEX + ":443"):
            with self.subTest(host=host):
                self.assertStatus(self.raw(self.head(host)), 200)
        self.assertCleanCloud()

    def test_an_absolute_target_must_agree_too(self):
        self.assertStatus(self.raw(self.head(VERTEX, f"https://{VERTEX}{GENERATE}")), 200)
        self.assertEqual(self.cloud.log(VERTEX)[-1]["target"].startswith("/v1/"), True)
        self.cloud.reset()
        for target in (f"https://{GEMINI}{GENERATE}", f"https://evil.test{GENERATE}", f"https://{VERTEX}:444{GENERATE}"):
            with self.subTest(target=target):
                self.assertIn(self.raw(self.head(VERTEX, target)).status, (400, 421))
                self.assertNothingForwarded()

    def test_a_foreign_sni_gets_nowhere(self):
        for sni in (GEMINI, CLAUDE, "evil.test"):
            with self.subTest(sni=sni):
                try:
                    response = self.raw(self.head(VERTEX), sni=sni)
                    self.assertStatus(response, 421)
                except (ssl.SSLError, ConnectionError, client.Broken):
                    pass
                self.assertNothingForwarded()

    def test_no_sni_is_taken_as_the_connect_authority(self):
        self.assertStatus(self.raw(self.head(VERTEX), sni=None), 200)

    def test_an_upper_case_connect_is_the_same_host(self):
        connect = f"CONNECT {VERTEX.upper()}:443 HTTP/1.1\r\nHost: {VERTEX.upper()}:443\r\n\r\n".encode()
        self.assertStatus(self.lab.ask(connect=connect, token=ALICE), 200)

    def test_a_host_header_of_connect_that_disagrees(self):
        connect = f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {GEMINI}:443\r\n\r\n".encode()
        with contextlib.closing(self.lab.tunnel(connect=connect)) as tunnel:
            if tunnel.connect_status == 200:
                self.assertIn(tunnel.ask("POST", GENERATE, BODY, [BEARER]).status, (200, 421))
                self.assertEqual([r for r in self.cloud.log() if r["host"] == GEMINI], [])
            else:
                self.assertIn(tunnel.connect_status, (400, 421))

    def test_a_swap_host_on_another_port_is_not_swapped(self):
        with contextlib.closing(self.lab.tunnel(port=8443)) as tunnel:
            self.assertEqual(tunnel.connect_status, 403)
        self.assertNothingForwarded()

    def test_clear_text_to_a_swap_host_carries_no_token(self):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=10)) as sock:
            sock.sendall(client.request("POST", f"http://{VERTEX}{GENERATE}", VERTEX, [BEARER], BODY))
            response = client.Reader(sock).response()
            self.assertGreaterEqual(response.status, 400)
        self.assertNothingForwarded()


BAD = {"self-signed": "europe-west1", "expired": "europe-west2", "wrong-name": "europe-west3"}


class Certificates(LabCase):
    LAB = {"connect_to": [f"{place}-aiplatform.googleapis.com:443:127.0.0.1:{{p[{variant}]}}"
                          for variant, place in BAD.items()]}

    def test_bad_upstream_certificates(self):
        for variant, place in BAD.items():
            with self.subTest(variant=variant):
                response = self.lab.ask(f"{place}-aiplatform.googleapis.com", GENERATE.replace("us-central1", place), token=ALICE)
                message = self.assertOwnError(response, 502, "vertex")
                self.assertNotIn("wrong.example.org", message)
        self.assertNothingForwarded()
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_nobody_is_blamed(self):
        self.assertEqual(self.lab.query("select * from cooldown"), [])


def spellings():
    """Addresses of inner networks in every spelling that some resolver somewhere takes for one."""
    plain = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
             "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.1", "198.18.0.1", "240.0.0.1"]
    odd = ["2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0", "1",
           "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "127.0.0.1.", "127.00000.0.1",
           "127.0.0.0x1", "00000177.0.0.1"]
    six = ["::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254",
           "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "fe80::1", "fc00::1",
           "fd00:ec2::254", "ff02::1", "::ffff:0:127.0.0.1", "::ffff:10.0.0.1", "fec0::1", "100::1", "2001:db8::1",
           "0:0:0:0:0:ffff:7f00:0001", "::ffff:a9fe:a9fe"]
    names = ["localhost", "localhost.", "LOCALHOST", "foo.localhost", "metadata.google.internal", "metadata", "ip6-localhost"]
    return plain + odd + [f"[{a}]" for a in six] + ["[::1%25lo]", "[::1%lo]"] + names


class InnerNetwork(LabCase):
    @classmethod
    def setUpClass(cls):
        inner = {"loop.test": ["127.0.0.1"], "mapped.test": ["::ffff:127.0.0.1"], "six.test": ["::1"], "private.test": ["10.1.2.3"],
                 "link.test": ["169.254.169.254"], "nat64.test": ["64:ff9b::7f00:1"], "sixtofour.test": ["2002:7f00:1::1"],
                 "zero.test": ["0.0.0.0"], "cgnat.test": ["100.64.1.1"], "mixed.test": ["127.0.0.1", "10.0.0.1"]}
        cls.inner = sorted(inner)
        cls.dns = FakeDns(inner)
        cls.canary = socket.create_server(("127.0.0.1", 0))
        cls.hits = []
        threading.Thread(target=cls.watch, daemon=True).start()
        port = cls.canary.getsockname()[1]
        cls.lab = Lab(accounts=1, claude=False, conf={
            "upstream": {"dns": [f"127.0.0.1:{cls.dns.port}"], "connect_timeout": 2},
            "policy": {"ports": [443, port], "tunnel": "allow"}})
        cls.port = port

    @classmethod
    def watch(cls):
        while True:
            try:
                conn, peer = cls.canary.accept()
            except OSError:
                return
            cls.hits.append(peer)
            conn.close()

    @classmethod
    def tearDownClass(cls):
        cls.canary.close()
        try:
            super().tearDownClass()
        finally:
            cls.dns.close()

    def refused(self, authority, statuses):
        connect = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
        with contextlib.closing(self.lab.tunnel("x", connect=connect, tls=False)) as tunnel:
            self.assertIn(tunnel.connect_status, statuses, (authority, tunnel.connect_head))
            return tunnel.refusal()

    def test_literal_addresses_in_every_spelling(self):
        for address in spellings():
            with self.subTest(address=address):
                self.refused(f"{address}:{self.port}", (400, 403, 502))
        self.assertEqual(self.hits, [])

    def test_the_plain_ones_are_refused_by_policy(self):
        for address in ("127.0.0.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"):
            with self.subTest(address=address):
                response = self.refused(f"{address}:{self.port}", (403,))
                self.assertIn("credswap", response.one("proxy-status") or "")
                self.assertIn("text/plain", response.one("content-type"))
                self.assertTrue(response.body)

    def test_names_that_lead_there(self):
        for name in self.inner:
            with self.subTest(name=name):
                self.refused(f"{name}:{self.port}", (403,))
        self.assertEqual(self.hits, [])

    def test_a_name_that_changes_its_mind_is_resolved_once(self):
        turns = iter([["127.0.0.1"], ["127.0.0.1"]] * 5)
        self.dns.names["rebind.test"] = lambda: next(turns, ["127.0.0.1"])
        self.refused(f"rebind.test:{self.port}", (403,))
        self.assertEqual(self.hits, [])

    def test_a_name_that_does_not_exist_is_502(self):
        response = self.refused(f"nowhere.test:{self.port}", (502,))
        self.assertIn("credswap", response.one("proxy-status") or "")

    def test_the_proxys_own_ports(self):
        for port in (self.lab.port, self.lab.admin):
            self.refused(f"127.0.0.1:{port}", (403,))

    def test_absolute_form_requests_too(self):
        for address in ("127.0.0.1", "169.254.169.254", "[::1]", "2130706433", "loop.test", "metadata.google.internal"):
            with self.subTest(address=address):
                with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=10)) as sock:
                    sock.sendall(client.request("GET", f"http://{address}:{self.port}/computeMetadata/v1/", f"{address}:{self.port}"))
                    self.assertGreaterEqual(client.Reader(sock).response("GET").status, 400)
        self.assertEqual(self.hits, [])

    def test_odd_authorities_are_bad_requests(self):
        for authority in (f"tunnel.test:{self.port}x", f"tunnel.test:+{self.port}", f"tunnel.test:{self.port}/x", "tunnel.test",
                          "tunnel.test:", "tunnel.test:0", "tunnel.test:65536", "tunnel.test:99999999999", ":443", "user@tunnel.test:443",
                          "tunnel.test:443:443", "[::1:443", "tunnel%2etest:443", "tunnel.test\\x:443", "https://tunnel.test:443",
                          "/tunnel.test:443", "*:443", "tunnel.test:443#a", "tunnel.test:443?a", "tunnel..test:443",
                          "a" * 300 + ".test:443"):
            with self.subTest(authority=authority):
                self.refused(authority, (400, 403))


class Exceptions(LabCase):
    """allow_networks opens a part of the inner network, and no more."""

    LAB = {"accounts": 1, "claude": False, "conf": {"policy": {"allow_networks": ["127.0.0.2/32"], "ports": [443, 9443]}}}

    def test_only_the_exception_is_reachable(self):
        lab = self.lab
        for address, status in (("127.0.0.2", (502, 504)), ("127.0.0.1", (403,)), ("127.0.0.3", (403,)),
                                ("[::ffff:127.0.0.3]", (403,))):
            with self.subTest(address=address):
                with contextlib.closing(lab.tunnel(address, port=9443, tls=False)) as tunnel:
                    self.assertIn(tunnel.connect_status, status)

    def test_ports_outside_the_list(self):
        for port in (80, 22, 25, 444):
            with self.subTest(port=port):
                with contextlib.closing(self.lab.tunnel("tunnel.test", port=port, tls=False)) as tunnel:
                    self.assertEqual(tunnel.connect_status, 403)

    def test_a_gemini_request_still_works(self):
        self.assertStatus(self.lab.ask(GEMINI, GEMINI_PATH, token=ALICE), 200)
