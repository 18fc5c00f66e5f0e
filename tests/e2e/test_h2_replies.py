"""The proxy's own refusals over HTTP/2: a client whose body is on its way must get to read them."""
import concurrent.futures
import json
import time

from harness import BODY, GEMINI, GENERATE, Lab, LabCase

WRONG = "gemini-nobody-0123456789abcdef"


class Replies(LabCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(accounts=1, cloud_args=("--h2",), conf={"limits": {"header_timeout": 2}})

    def open(self, length, body=None, end=False, more=()):
        tunnel = self.lab.tunnel(h2=True)
        self.addCleanup(tunnel.close)
        fields = [("authorization", "Bearer " + WRONG), ("content-type", "application/json"), *more]
        if length is not None:
            fields.append(("content-length", str(length)))
        return tunnel, tunnel.open("POST", GENERATE, fields, body, end=end)

    def assertAnswered(self, x):
        self.assertEqual((x.status, x.ended), (401, True))
        self.assertIn(x.reset, (None, 0))
        self.assertIn("credswap", json.loads(bytes(x.body))["error"]["message"])
        self.assertNothingForwarded()

    def test_a_short_body_is_awaited(self):
        tunnel, x = self.open(len(BODY))
        time.sleep(0.3)
        tunnel.send_body(x, BODY[:5])
        time.sleep(0.3)
        tunnel.send_body(x, BODY[5:], True)
        tunnel.wait(x)
        self.assertAnswered(x)

    def test_one_that_never_comes_is_not(self):
        begin = time.monotonic()
        tunnel, x = self.open(len(BODY), BODY[:5])
        tunnel.wait(x)
        self.assertGreater(time.monotonic() - begin, 1)
        self.assertAnswered(x)

    def test_nor_a_long_one_or_one_without_a_length(self):
        for length in (1 << 20, None):
            begin = time.monotonic()
            tunnel, x = self.open(length, b"{")
            tunnel.wait(x)
            self.assertLess(time.monotonic() - begin, 1.5)
            self.assertAnswered(x)

    def test_nor_one_that_waits_for_our_word(self):
        begin = time.monotonic()
        tunnel, x = self.open(len(BODY), more=[("expect", "100-continue")])
        tunnel.wait(x)
        self.assertLess(time.monotonic() - begin, 1.5)
        self.assertAnswered(x)

    def test_curl_shows_it(self):
        def ask(number):
            body = json.dumps({"text": "x" * (20 if number % 2 else 30000)})
            return self.lab.curl("--http2", "--fail-with-body", "-H", "x-goog-api-key: " + WRONG, "-d", body,
                                 f"https://{GEMINI}/v1beta/models/m:generateContent")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in pool.map(ask, range(100)):
                self.assertEqual(done.returncode, 22, done.stderr)
                self.assertIn(b"credswap", done.stdout)
