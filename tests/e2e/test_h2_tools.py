"""nghttp2's own clients against the front.  They know no proxy: a forwarder says the CONNECT for them."""
import contextlib
import re
import select
import socket
import subprocess
import threading

import answers
from harness import ALICE, BODY, GENERATE, VERTEX, Lab, LabCase, clean_env

BEARER = "authorization: Bearer " + ALICE
SECONDS = 60


class Forwarder:
    """Each connection becomes a tunnel to HOST:443 through the proxy."""

    def __init__(self, proxy, host):
        self.proxy, self.host = proxy, host
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.carry, args=(self.listener.accept()[0],), daemon=True).start()

    def carry(self, near):
        with contextlib.suppress(OSError), near, socket.create_connection(self.proxy) as far:
            far.sendall(f"CONNECT {self.host}:443 HTTP/1.1\r\nHost: {self.host}:443\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += far.recv(1)
            while True:
                for one in select.select([near, far], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)

    def close(self):
        self.listener.close()


class Tools(LabCase):
    H2 = True

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(accounts=4, cloud_args=("--h2",) if cls.H2 else ())
        cls.forwarder = Forwarder(("127.0.0.1", cls.lab.port), VERTEX)
        cls.body = cls.lab.path("body")
        with open(cls.body, "wb") as out:
            out.write(BODY)

    @classmethod
    def tearDownClass(cls):
        cls.forwarder.close()
        super().tearDownClass()

    def run_tool(self, *command):
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, env=clean_env(), check=False)

    def load(self, *how, count=1000, path=GENERATE):
        done = self.run_tool("h2load", f"--connect-to=127.0.0.1:{self.forwarder.port}", "-n", str(count), "-H", BEARER, "-d", self.body, *how,
                             f"https://{VERTEX}{path}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, rf"requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout")
        self.assertRegex(done.stdout, rf"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx")
        self.assertCleanCloud()
        return done.stdout

    def test_h2load_of_a_thousand(self):
        self.assertIn("Application protocol: h2", self.load("-c", "2", "-m", "32"))

    def test_h2load_of_a_hundred_at_once(self):
        self.load("-c", "1", "-m", "100")
        self.load("-c", "10", "-m", "1", count=200)

    def test_h2load_with_small_windows_and_frames(self):
        self.load("-c", "2", "-m", "8", "-w", "10", "-W", "12", "--max-frame-size=16384", "--header-table-size=0", count=200)

    def test_h2load_over_http_1(self):
        self.load("-c", "4", "--h1", count=200)

    def nghttp(self, *how, path=GENERATE):
        return self.run_tool("nghttp", "-v", "--no-verify-peer", "-H", ":authority: " + VERTEX, "-H", BEARER, *how,
                             f"https://127.0.0.1:{self.forwarder.port}{path}")

    def test_nghttp_posts(self):
        wanted = answers.expected("gemini", "gemini-2.5-pro", BODY).decode()
        for how in ((), ("--expect-continue",), ("--trailer", "x-checked: yes"), ("--padding=64",), ("--continuation",), ("--no-content-length",),
                    ("-m", "20"), ("-w", "10", "-W", "12"), ("--no-dep",), ("--hexdump",)):
            with self.subTest(how=how):
                done = self.nghttp("-d", self.body, *how)
                self.assertEqual(done.returncode, 0, done.stderr)
                count = 20 if "-m" in how else 1
                self.assertEqual(len(re.findall(r":status: 200", done.stdout)), count, done.stdout[-3000:])
                if not how:
                    self.assertIn(wanted, done.stdout)
                if how == ("--expect-continue",):
                    self.assertEqual(len(re.findall(r":status: 100", done.stdout)), 1)
                self.assertNotIn("PROTOCOL_ERROR", done.stdout)
        self.assertCleanCloud()

    def test_nghttp_sees_what_is_refused(self):
        for path, status in (("/telemetry", 404), (GENERATE.replace("client-project", "a b").replace(" ", "%20"), 200)):
            done = self.nghttp("-d", self.body, path=path)
            self.assertRegex(done.stdout, rf":status: {status}")


class ToolsBackHttp1(Tools):
    H2 = False


if __name__ == "__main__":
    import unittest
    unittest.main()
