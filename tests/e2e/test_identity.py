"""One identity for each tunnel, and verified upstreams."""
import contextlib
import socket
import ssl

import client
from harness import ALICE, BODY, CLAUDE, GEMINI, GENERATE, VERTEX, LabCase

OF_BYTES = True

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
