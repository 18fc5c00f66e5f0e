"""gRPC: the swap is in the metadata, the project in the first message; refusals come as such a client can read them."""
import contextlib
import hashlib
import time

import answers
import rpc
from harness import ALICE, GEMINI, VERTEX, Lab, LabCase, email

SERVICE = "/google.cloud.aiplatform.v1.PredictionService/"
MODEL = "projects/{}/locations/us-central1/publishers/google/models/{}"
LIMITED = "gemini-limited-0123456789abcdef"


def request(model="gemini-2.5-pro", project="any-project", text="hello", more=b""):
    contents = rpc.field(1, "user") + rpc.field(2, rpc.field(1, text))
    return rpc.frame(rpc.field(2, contents) + rpc.field(5, MODEL.format(project, model)) + more)


def texts(body):
    """What the frames of an answer say."""
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        message, body = body[5:5 + size], body[5 + size:]
        for key in (2, 2, 2, 1):
            message = dict(rpc.fields(message))[key]
        found.append(message.decode())
    return found


class Calls(LabCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(accounts=2, cloud_args=("--h2",), start=False)
        cls.lab.add_client("limited", "gemini", LIMITED, "--models", "gemini-2.5-*")
        cls.lab.start()

    def setUp(self):
        super().setUp()
        for number in (1, 2):
            self.lab.cs("account", "clear", f"acct-{number}")

    def open(self, body=None, method="GenerateContent", token=ALICE, host=VERTEX, path=None, headers=(), end=True, pieces=()):
        tunnel = self.lab.tunnel(host, h2=True)
        self.addCleanup(tunnel.close)
        fields = [("content-type", "application/grpc"), ("te", "trailers"), *headers]
        if token:
            fields.append(("authorization", "Bearer " + token))
        return tunnel, tunnel.open("POST", path or SERVICE + method, fields, request() if body is None else body, end=end, **dict(pieces))

    def call(self, *args, **how):
        tunnel, x = self.open(*args, **how)
        tunnel.wait(x)
        return x

    def outcome(self, x):
        """(grpc-status, grpc-message) wherever they stand."""
        self.assertEqual((x.status, x.reset), (200, None))
        both = dict(x.headers) | dict(x.trailers)
        self.assertEqual(both["content-type"], "application/grpc")
        return int(both["grpc-status"]), both.get("grpc-message", "")

    def assertRefused(self, x, code, *words):
        status, message = self.outcome(x)
        self.assertEqual((status, x.body, x.trailers), (code, b"", []), message)
        for word in (*words, "(credswap, request cs_"):
            self.assertIn(word, message)
        self.assertIn("credswap", dict(x.headers)["proxy-status"])
        self.assertNothingForwarded()

    def row(self):
        return [r for r in self.cloud.log(VERTEX) if r["status"] == 200][-1]

    def test_the_project_is_the_accounts(self):
        for _ in range(8):  # by chance both accounts
            params = "model=projects%2Fany-project%2Flocations%2Fus-central1%2Fpublishers%2Fgoogle%2Fmodels%2Fm&x=1"
            x = self.call(headers=[("x-goog-request-params", params)])
            self.assertEqual(self.outcome(x), (0, ""))
            row = self.row()
            project = row["account"].split("@")[1].split(".")[0]
            sent = row["body"].encode("latin-1")
            self.assertEqual(sent, request(project=project))
            self.assertEqual(texts(bytes(x.body)), [answers.text(answers.sha(sent), 64)])
            self.assertEqual(dict(map(tuple, row["headers"]))["x-goog-request-params"], params.replace("any-project", project))
        self.assertCleanCloud()

    def test_shorter_and_longer_names(self):
        with contextlib.closing(self.lab.tunnel(VERTEX, h2=True)) as tunnel:
            for project in ("p", "the-project-of-a-client-with-a-very-long-name" * 3):
                x = tunnel.open("POST", SERVICE + "GenerateContent", [("content-type", "application/grpc"), ("te", "trailers"),
                                ("authorization", "Bearer " + ALICE)], request(project=project))
                tunnel.wait(x)
                self.assertEqual(self.outcome(x), (0, ""))
        self.assertCleanCloud()

    def test_an_account_without_quota_is_replaced_and_so_is_the_project(self):
        self.cloud.fail("429", times=1, host=VERTEX)
        self.assertEqual(self.outcome(self.call()), (0, ""))
        first, second = self.cloud.log(VERTEX)
        self.assertEqual((first["status"], second["status"]), (429, 200))
        for row in (first, second):
            self.assertIn(row["account"].split("@")[1].split(".")[0], row["body"])
        self.assertNotEqual(first["account"], second["account"])
        self.assertCleanCloud()

    def test_a_stream_comes_as_it_is_made(self):
        times = []
        x = self.call(request(text="[fake events=5 gap_ms=80]"), "StreamGenerateContent",
                      pieces={"on_piece": lambda _data: times.append(time.monotonic())})
        self.assertEqual(self.outcome(x), (0, ""))
        digest = answers.sha(self.row()["body"].encode("latin-1"))
        self.assertEqual(texts(bytes(x.body)), [answers.text(f"{digest}:{i}", 64) for i in range(5)])
        self.assertGreater(times[-1] - times[0], 0.2)

    def test_a_message_in_many_pieces(self):
        body = request(text="word " * 9000)
        tunnel, x = self.open(body[:3], end=False)
        cuts = (3, 5, 6, 7, 20, 20000, len(body) - 30, len(body) - 1, len(body))
        for begin, end in zip(cuts, cuts[1:]):
            tunnel.send_body(x, body[begin:end], end == len(body))
            time.sleep(0.02)
        tunnel.wait(x)
        self.assertEqual(self.outcome(x), (0, ""))
        project = self.row()["account"].split("@")[1].split(".")[0]
        self.assertEqual(self.row()["body"].encode("latin-1"), request(project=project, text="word " * 9000))

    def test_long_messages(self):
        """Up to what may be sent again they are rewritten, beyond they pass as they are."""
        for size, is_rewritten in ((900_000, True), (1_500_000, False)):
            with self.subTest(size=size):
                body = request(text="x" * size)
                self.call(body, headers=[("content-length", str(len(body)))])
                row = self.cloud.log(VERTEX)[-1]
                project = row["account"].split("@")[1].split(".")[0]
                wanted = request(project=project, text="x" * size) if is_rewritten else body
                self.assertEqual((row["body_len"], row["body_sha256"]), (len(wanted), hashlib.sha256(wanted).hexdigest()))

    def test_later_messages_pass_as_they_are(self):
        tunnel, x = self.open(request(), end=False)
        self.assertTrue(self.cloud.wait(lambda c: c.log(VERTEX)), "the first message goes out before the second has come")
        tunnel.send_body(x, request(text="later"), True)
        tunnel.wait(x)
        row = self.cloud.log(VERTEX)[-1]
        project = row["account"].split("@")[1].split(".")[0]
        self.assertEqual(row["body"].encode("latin-1"), request(project=project) + request(text="later"))

    def test_what_is_not_to_be_read_passes(self):
        for body in (b"", b"\0\0\0\0\0", b"\1\0\0\0\3abc", b"\0\0\0\0\4\x0a\x7fab", request()[:-3]):
            with self.subTest(body=body):
                self.assertEqual(self.outcome(self.call(body))[0], 3)
                self.assertEqual(self.cloud.log(VERTEX)[-1]["body"].encode("latin-1"), body)

    def test_own_answers_can_be_read(self):
        self.assertRefused(self.call(token="gemini-nobody-0123456789abcdef"), 16, "not known here")
        self.assertRefused(self.call(token=None), 16, "No client token")
        self.assertRefused(self.call(headers=[("x-api-key", "gemini-other-0123456789abcdef")]), 3, "several")
        self.assertRefused(self.call(headers=[("x-note", ALICE)]), 3)
        for path in ("/google.cloud.aiplatform.v1.EndpointService/DeployModel", "/google.cloud.aiplatform.v1.GenAiCacheService/ListCachedContents"):
            self.assertRefused(self.call(path=path), 5, "path")

    def test_a_limited_client_must_name_its_model(self):
        self.assertEqual(self.outcome(self.call(token=LIMITED))[0], 0)
        self.cloud.reset()
        other = rpc.field(3, MODEL.format("p", "gemini-2.5-flash")) + rpc.field(5, MODEL.format("p", "veo-3"))
        for body in (request("veo-3"), request(more=other), b"\1" + request()[1:], b"\0\0\0\0\0", b""):
            self.assertRefused(self.call(body, token=LIMITED), 7, "model")

    def test_what_the_provider_refuses_is_the_clients_to_see(self):
        self.cloud.fail("400", times=1, host=VERTEX, message="out of candles: 100%")
        self.assertEqual(self.outcome(self.call()), (3, "out%20of%20candles%3A%20100%25"))
        self.assertTrue(self.cloud.wait(lambda _: self.lab.query("SELECT 1 FROM request WHERE status = 400 AND account <> ''")))

    def test_gemini_has_no_project(self):
        path = "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent"
        body = rpc.frame(rpc.field(1, "models/gemini-2.5-pro"))
        self.assertEqual(self.outcome(self.call(body, host=GEMINI, path=path))[0], 12)  # the fake has no such service
        self.assertEqual(self.cloud.log(GEMINI)[-1]["body"].encode("latin-1"), body)

    def test_the_store_has_its_model(self):
        self.assertEqual(self.outcome(self.call(request("gemini-2.5-rare")))[0], 0)
        found = self.cloud.wait(lambda _: self.lab.query("SELECT client, account, front, back FROM request WHERE model = 'gemini-2.5-rare'"))
        self.assertEqual([(r["client"], r["front"], r["back"]) for r in found], [("alice", "h2", "h2")])
        self.assertIn(found[0]["account"], [email(n).split("@")[0] for n in (1, 2)])
