"""No way into the inner network: not by a tunnel, not by an http:// request, not by a provider's name."""
import contextlib
import socket

import client
from fakedns import FakeDns
import servers
from harness import ALICE, GEMINI, GEMINI_PATH, VERTEX, Lab, LabCase, free_port, until

OF_BYTES = True

GOOD = "127.0.0.2"  # plays the outer world: allow_networks opens it and nothing else

PLAIN = ("127.0.0.1", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.0.0.1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "169.254.169.254", "169.254.0.1",
         "100.64.0.1", "100.127.255.255", "100.100.100.200", "168.63.129.16", "224.0.0.1", "239.255.255.255", "255.255.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "192.88.99.1")
ODD = ("2130706433", "2130706434", "0x7f000001", "0X7F000001", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.0.0.01", "017700000001", "127.1", "127.0.1", "0", "1", "0x0", "00", "127", "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe",
       "0251.0376.0251.0376", "025177524776", "169.16689662", "169.254.43518", "127.0.0.1.", "127.0.0.1..", "127.00000.0.1", "127.0.0.0x1", "00000177.0.0.1", "127.0.0.01", "127.0.0.256", "383.0.0.1", "127.0.0.1.1", "4294967296", "6425673729",
       "-2130706433", "+2130706433", "127,0,0,1", "127.0.0", "127..1", ".127.0.0.1", "0b1111111.0.0.1", "1.0x7f", "localhost.0x7f", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00", "127.0.0.1%20", "[127.0.0.1]", "0xffffffff7f000001")
SIX = ("::1", "::", "::2", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::ffff:127.0.0.1", "::FFFF:127.0.0.1", "::ffff:7f00:1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "0:0:0:0:0:ffff:7f00:0001", "::127.0.0.1", "::7f00:1",
       "::ffff:0:127.0.0.1", "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::10.0.0.1", "64:ff9b::0.0.0.0", "64:ff9b:1::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:1::1",
       "2001::7f00:1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1", "ff05::1", "ff0e::1", "100::1",
       "5f00::1", "4000::1", "fe80::5efe:127.0.0.1", "2001:470::5efe:127.0.0.1", "2001:470::200:5efe:10.0.0.1", "1::1")
SIX_ODD = ("[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[fe80::1%1]", "[::1", "::1", "[[::1]]", "[::1]]", "[0::0::1]", "[::0x1]", "[::ffff:127.1]", "[::ffff:0177.0.0.1]", "[::ffff:2130706433]", "[v1.::1]", "[::1]x", "[::12345]", "[:::1]", "[1]", "[]", "[::1/128]", "[ ::1]", "[::%31]")
NAMES = ("localhost", "localhost.", "LOCALHOST", "LocalHost", "foo.localhost", "localhost.localdomain", "metadata.google.internal", "metadata.google.internal.", "metadata", "ip6-localhost", "ip6-loopback", "instance-data", "kubernetes.default.svc",
         "127.0.0.1.nip.io", "localtest.me")
# what a name may lead to: {name: addresses}
LED = {"loop.test": ["127.0.0.1"], "loop3.test": ["127.3.3.3"], "mapped.test": ["::ffff:127.0.0.1"], "six.test": ["::1"], "both.test": ["127.0.0.1", "::1"], "private.test": ["10.1.2.3"], "private2.test": ["172.20.0.1", "192.168.1.1"], "link.test": ["169.254.169.254"],
       "nat64.test": ["64:ff9b::7f00:1"], "nat64meta.test": ["64:ff9b::a9fe:a9fe"], "sixtofour.test": ["2002:7f00:1::1"], "teredo.test": ["2001:0:4136:e378:8000:63bf:80ff:fffe"], "zero.test": ["0.0.0.0"], "zero6.test": ["::"], "cgnat.test": ["100.64.1.1"],
       "multicast.test": ["224.0.0.1"], "multicast6.test": ["ff02::1"], "broadcast.test": ["255.255.255.255"], "ula.test": ["fd00::1"], "link6.test": ["fe80::1"], "compat.test": ["::127.0.0.1"], "several.test": ["127.0.0.1", "10.0.0.1", "::1", "fd00::1"], "azure.test": ["168.63.129.16"],
       "alias.test": "loop.test", "alias2.test": "alias.test", "alias6.test": "six.test", "alias.meta.test": "link.test", "alias-localhost.test": "localhost", "localhost": ["127.0.0.1"], "metadata.google.internal": ["169.254.169.254"], "xn--bcher-kva.test": ["127.0.0.1"]}


class Canary(servers.Server):
    """Listens on every address of this machine, and says on which it was reached."""

    def __init__(self):
        self.hits = []
        try:
            server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError:
            server = socket.create_server(("0.0.0.0", 0))
        super().__init__(server)

    def serve(self, conn):
        self.hits.append(conn.getsockname()[0].removeprefix("::ffff:"))
        conn.settimeout(2)
        if conn.recv(4096):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary")


class Case(LabCase):
    """POLICY is what the lab's policy has on top."""

    POLICY = {}

    @classmethod
    def setUpClass(cls):
        cls.dns = FakeDns(LED)
        cls.addClassCleanup(cls.dns.close)
        cls.canary = Canary()
        cls.addClassCleanup(cls.canary.close)
        cls.port = cls.canary.port
        cls.lab = Lab(accounts=1, claude=False, conf={"upstream": {"dns": [f"127.0.0.1:{cls.dns.port}"], "connect_timeout": 2},
                                                      "policy": {"ports": [80, 443, cls.port], "tunnel": "allow", **cls.POLICY}})

    def setUp(self):
        super().setUp()
        self.canary.hits.clear()

    def tunnel(self, authority, statuses):
        connect = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("latin-1")
        with contextlib.closing(self.lab.tunnel("x", connect=connect, tls=False, timeout=6)) as tunnel:
            self.assertIn(tunnel.connect_status, statuses, (authority, tunnel.connect_head))
            if tunnel.connect_status != 200:
                response = tunnel.refusal()
                self.assertIn("credswap", response.one("proxy-status") or "")
                self.assertIn("text/plain", response.one("content-type"))
                self.assertTrue(tunnel.reader.at_end())
                return response
            return None

    def relay(self, authority, statuses, path="/computeMetadata/v1/"):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=6)) as sock:
            sock.sendall(f"GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nMetadata-Flavor: Google\r\n\r\n".encode("latin-1"))
            response = client.Reader(sock).response("GET")
            self.assertIn(response.status, statuses, (authority, response))
            if response.status >= 400:
                self.assertIn("text/plain", response.one("content-type"))
            return response


class InnerNetwork(Case):
    def both(self, host, statuses):
        with self.subTest(host=host, way="tunnel"):
            self.tunnel(f"{host}:{self.port}", statuses)
        with self.subTest(host=host, way="relay"):
            self.relay(f"{host}:{self.port}", statuses)

    def tearDown(self):
        super().tearDown()
        self.assertEqual(self.canary.hits, [])

    def test_addresses_of_ipv4(self):
        for address in PLAIN:
            self.both(address, (403,))

    def test_addresses_of_ipv6(self):
        for address in SIX:
            self.both(f"[{address}]", (403,))
            self.both(f"[{address.upper()}]", (403,))

    def test_odd_spellings(self):
        for address in ODD:
            self.both(address, (403,) if address == "127.0.0.1." else (400, 403, 502))
        for address in SIX_ODD:
            self.both(address, (400,))

    def test_names(self):
        for name in NAMES:
            self.both(name, (403, 502))
        for name in LED:
            self.both(name, (403,))
            self.both(name.upper(), (403,))
            self.both(name + ".", (403,))

    def test_a_name_that_does_not_exist_is_502(self):
        self.both("nowhere.test", (502,))

    def test_default_ports(self):
        for authority in ("127.0.0.1", "[::1]", "loop.test"):
            with self.subTest(authority=authority):
                self.relay(authority, (403, 502))

    def test_ports_outside_the_list(self):
        for port in (22, 25, 6379, self.lab.admin, free_port()):
            for host in ("127.0.0.1", "loop.test", "tunnel.test", "8.8.8.8"):
                with self.subTest(host=host, port=port):
                    self.tunnel(f"{host}:{port}", (403,))
                    self.relay(f"{host}:{port}", (403,))

    def test_a_mapped_host_is_no_way_to_its_target(self):
        for authority in (f"127.0.0.1:{self.lab.cloud.port}", f"[::ffff:127.0.0.1]:{self.lab.cloud.port}"):
            self.tunnel(authority, (403,))

    def test_the_userinfo_trick(self):
        for authority in (f"tunnel.test@127.0.0.1:{self.port}", f"127.0.0.1:{self.port}@tunnel.test:443", f"tunnel.test:443@127.0.0.1:{self.port}", f"127.0.0.1:{self.port}#@tunnel.test:443", f"127.0.0.1:{self.port}/@tunnel.test:443",
                          f"127.0.0.1:{self.port}\\@tunnel.test:443", f"127.0.0.1:{self.port}?@tunnel.test:443", f"tunnel.test\\@127.0.0.1:{self.port}"):
            with self.subTest(authority=authority):
                self.tunnel(authority, (400,))

    def test_relay_does_not_follow_the_host_field(self):
        for target, host in (("tunnel.test:443", f"127.0.0.1:{self.port}"), (f"127.0.0.1:{self.port}", "tunnel.test:443")):
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=6)) as sock:
                sock.sendall(client.request("GET", f"http://{target}/", host))
                self.assertIn(client.Reader(sock).response("GET").status, (400, 403, 421))

    def test_other_schemes(self):
        for scheme in ("https", "ftp", "file", "gopher", "ws", "HTTPS"):
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=6)) as sock:
                sock.sendall(client.request("GET", f"{scheme}://127.0.0.1:{self.port}/", f"127.0.0.1:{self.port}"))
                self.assertEqual(client.Reader(sock).response("GET").status, 400)


class Exceptions(Case):
    """allow_networks opens one address, which plays the outer world, and no more."""

    POLICY = {"allow_networks": [GOOD + "/32"]}

    def got(self, name, statuses):
        self.canary.hits.clear()
        self.tunnel(f"{name}:{self.port}", statuses)

    def test_only_the_exception_is_reachable(self):
        self.tunnel(f"{GOOD}:{self.port}", (200,))
        self.assertEqual(self.relay(f"{GOOD}:{self.port}", (200,)).body, b"canary")
        self.tunnel(f"[::ffff:{GOOD}]:{self.port}", (200,))
        self.assertTrue(until(lambda: self.canary.hits == [GOOD] * 3, 3), self.canary.hits)
        self.canary.hits.clear()
        for address in ("127.0.0.1", "127.0.0.3", "[::ffff:127.0.0.3]", "[::1]", "127.2", "[64:ff9b::127.0.0.1]"):
            self.tunnel(f"{address}:{self.port}", (400, 403))
        self.assertEqual(self.canary.hits, [])

    def test_of_a_mixed_answer_only_the_good_address_is_dialled(self):
        for number, addresses in enumerate((["127.0.0.1", GOOD], [GOOD, "127.0.0.1"], ["::1", "127.0.0.1", GOOD, "10.0.0.1"], [GOOD, "::1"])):
            name = f"mixed{number}.test"
            self.dns.names[name] = addresses
            with self.subTest(addresses=addresses):
                self.canary.hits.clear()
                self.tunnel(f"{name}:{self.port}", (200, 403))
                self.relay(f"{name}:{self.port}", (200, 403))
                self.assertLessEqual(set(self.canary.hits), {GOOD})

    def test_a_name_that_changes_its_mind(self):
        """Good when it is looked at, bad a moment later: one answer serves for the check and the dial."""
        def turning(name, first, later):
            self.dns.names[name] = lambda: first if self.dns.asked.count((name, 1)) == 1 else later
            return f"{name}:{self.port}"
        for way in (self.tunnel, self.relay):
            with self.subTest(way=way.__name__):
                self.canary.hits.clear()
                authority = turning(f"rebind.{way.__name__}.test", [GOOD], ["127.0.0.1"])
                way(authority, (200,))
                self.assertTrue(until(lambda: self.canary.hits == [GOOD], 3), self.canary.hits)
                way(authority, (403,))
                authority = turning(f"later.{way.__name__}.test", ["127.0.0.1"], [GOOD])
                way(authority, (403,))
                way(authority, (200,))
                self.assertTrue(until(lambda: self.canary.hits == [GOOD] * 2, 3), self.canary.hits)

    def test_aliases_of_both_kinds(self):
        self.dns.names |= {"good.test": [GOOD], "to-good.test": "good.test", "to-bad.test": "loop.test", "via.test": "to-bad.test"}
        self.tunnel(f"to-good.test:{self.port}", (200,))
        for name in ("to-bad.test", "via.test"):
            self.tunnel(f"{name}:{self.port}", (403,))
        self.assertTrue(until(lambda: self.canary.hits == [GOOD], 3), self.canary.hits)


class OwnListeners(Case):
    """Even where loopback is allowed, nobody reaches the proxy through the proxy."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.stop()
        cls.lab.sections["policy"] |= {"allow_networks": ["127.0.0.0/8", "::1/128", "64:ff9b::/96"], "ports": [80, 443, cls.lab.port, cls.lab.admin, cls.port]}
        cls.lab.rewrite()
        cls.lab.start()

    def test_tunnels_and_relay(self):
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "loop.test", "LOOP.test.", "alias.test", "mapped.test", "localhost", "[64:ff9b::7f00:1]", "nat64.test"):
            for port in (self.lab.port, self.lab.admin):
                with self.subTest(host=host, port=port):
                    self.tunnel(f"{host}:{port}", (403,))
                    if (host, port) == ("127.0.0.1", self.lab.port) or (host.startswith("[::ffff") and port == self.lab.port):
                        continue  # its own pages by their whole address
                    response = self.relay(f"{host}:{port}", (403, 404, 502), "/metrics")
                    self.assertNotIn(b"credswap_", response.body)
        self.tunnel(f"loop.test:{self.port}", (200,))

    def test_its_own_pages_by_their_whole_address(self):
        self.assertIn(b"BEGIN CERTIFICATE", self.relay(f"127.0.0.1:{self.lab.port}", (200,), "/ca.pem").body)
        self.assertEqual(self.relay(f"127.0.0.1:{self.lab.port}", (404,), "/metrics").status, 404)


class Upstreams(Case):
    """A provider's name that leads inside gets neither a connection nor a token."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.stop()
        cls.lab.sections["upstream"]["connect_to"] = [c for c in cls.lab.connect_to if c.startswith(("oauth2", VERTEX, "*-"))]
        cls.lab.rewrite()
        cls.lab.start()

    def test_a_swap_host_that_leads_inside(self):
        for addresses in (["127.0.0.1"], ["10.0.0.1"], ["::1"], ["169.254.169.254"], ["64:ff9b::7f00:1"], "loop.test", ["127.0.0.1", "::1"]):
            self.dns.names[GEMINI] = addresses
            with self.subTest(addresses=addresses):
                message = self.assertOwnError(self.lab.ask(GEMINI, GEMINI_PATH, token=ALICE), 502, "gemini")
                self.assertNotIn("127.0.0.1", message)
        self.assertEqual(self.canary.hits, [])
        self.assertNothingForwarded()
        self.assertStatus(self.lab.ask(token=ALICE), 200)

    def test_rules_do_not_open_addresses(self):
        self.lab.cs("host", "set", "inner.test", "tunnel")
        self.dns.names["inner.test"] = ["127.0.0.1"]
        self.tunnel(f"inner.test:{self.port}", (403,))
        self.assertEqual(self.canary.hits, [])
