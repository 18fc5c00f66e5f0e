"""What lives at one account goes back to it: uploads, files, caches, operations, batches; and to nobody else."""
import base64
import contextlib
import gzip
import hashlib
import json
import socket
import time

import client
import rpc
from harness import ALICE, GEMINI, MODEL, VERTEX, LabCase, built_with, email, slow, until

BEARER = [("authorization", "Bearer " + ALICE)]
VEO = MODEL.format("us-central1", "google", "veo-3.1", "{}")
CACHES = "/v1/projects/{}/locations/us-central1/cachedContents"
JOBS = "/v1/projects/{}/locations/us-central1/batchPredictionJobs"
GENERATE = MODEL.format("us-central1", "google", "gemini-2.5-pro", "generateContent")
GEMINI_GENERATE = "/v1beta/models/gemini-2.5-pro:generateContent"
UPLOAD = "/upload/v1beta/files"
START = [("x-goog-upload-protocol", "resumable"), ("x-goog-upload-command", "start")]
TEAM = ["gemini-team%d-0123456789abcdef" % n for n in range(8)]
CAROL = "gemini-carol-0123456789abcdef"
TIMES = 12  # by chance, over four accounts: once in 16 million


def body_with(*refs, key="fileUri"):
    parts = [{"text": "what is this?"}] + [{"fileData": {"mimeType": "text/plain", key: r}} for r in refs]
    return json.dumps({"contents": [{"role": "user", "parts": parts}]}).encode()


def cached(name):
    return json.dumps({"contents": [{"parts": [{"text": "go on"}]}], "cachedContent": name}).encode()


class PinCase(LabCase):
    """Four accounts of the same weight, nine clients of one pool: chance cannot pass."""
    LAB = {"accounts": 4, "claude": False}
    H2 = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for n, token in enumerate(TEAM):
            cls.lab.add_client(f"team{n}", "gemini", token)
        until(lambda: cls.lab.ask(GEMINI, "/v1beta/files", b"", token=TEAM[-1], method="GET").status == 200)

    def setUp(self):
        super().setUp()
        for n in range(1, 5):
            if self.lab.query("select 1 from account where name = ? and state <> 'up'", f"acct-{n}"):
                self.lab.cs("account", "set", f"acct-{n}", "state=up")
                self.lab.cs("account", "clear", f"acct-{n}")
        self.settle()

    def ask(self, path, body=b"", token=ALICE, method="POST", headers=(), host=GEMINI):
        return self.lab.ask(host, path, body, headers, token, method, carrier="x-goog-api-key", h2=self.H2)

    def get(self, path, token=ALICE, **how):
        return self.ask(path, token=token, method="GET", **how)

    def ok(self, response):
        self.assertStatus(response, 200)
        return json.loads(response.body) if response.body else {}

    def settle(self):
        """The daemon follows the store within a second: an edit of ours is there when a later one is."""
        before = self.lab.query("select value from generation")[0]["value"]
        self.assertTrue(until(lambda: self.generation() >= before), "the store is not followed")
        time.sleep(0.05)  # main has told the workers; now they read it

    def generation(self):
        return json.loads(self.lab.page("/status", self.lab.admin)[2])["store"]["generation"]

    def start(self, token=ALICE, more=()):
        response = self.ask(UPLOAD, b'{"file":{"displayName":"x"}}', token, headers=START + list(more))
        self.assertStatus(response, 200)
        url = response.one("x-goog-upload-url")
        self.assertTrue(url.startswith(f"https://{GEMINI}/upload/"), url)
        return url.split(GEMINI, 1)[1]

    def piece(self, path, data, offset, command="upload", token=ALICE, more=()):
        return self.ask(path, data, token, headers=[("x-goog-upload-command", command),
                                                    ("x-goog-upload-offset", str(offset))] + list(more))

    def upload(self, data=b"data", token=ALICE, more=()):
        return self.ok(self.piece(self.start(token), data, 0, "upload, finalize", token, more))["file"]

    def who(self, text):
        """Accounts that requests with TEXT in their target or body went to."""
        found = set()
        for row in self.cloud.log():
            if text in row["target"] or text in (row["body"] or ""):
                found.add(row["account"])
        return found

    def only(self, text):
        found = self.who(text)
        self.assertEqual(len(found), 1, f"{text} was seen at {found}")
        return found.pop()

    def account_of(self, name):
        return self.lab.query("select account from pin where name = ?", name)[0]["account"]

    def stored(self, name):
        return until(lambda: self.lab.query("select * from pin where name = ?", name))

    def elsewhere(self, account):
        """A file at another account than ACCOUNT."""
        self.lab.cs("account", "set", account, "state=drain")
        self.settle()
        other = self.upload()
        self.lab.cs("account", "set", account, "state=up")
        self.settle()
        self.stored(other["name"])
        self.assertNotEqual(self.account_of(other["name"]), account)
        return other


class Uploads(PinCase):
    def test_pieces_queries_and_the_end_by_everybody_of_the_pool(self):
        for number in range(TIMES):
            data = [b"%d-%d" % (number, i) * 100 for i in range(5)]
            path, offset = self.start(TEAM[number % 8]), 0
            for i, part in enumerate(data):
                asked = self.piece(path, b"", offset, "query", TEAM[(number + i) % 8])
                self.assertStatus(asked, 200)
                self.assertEqual(asked.one("x-goog-upload-size-received"), str(offset))
                command = "upload, finalize" if i == 4 else "upload"
                last = self.piece(path, part, offset, command, TEAM[(number + 3 * i + 1) % 8])
                self.assertStatus(last, 200)
                offset += len(part)
            made = json.loads(last.body)["file"]
            self.assertEqual(made["sha256Hash"], hashlib.sha256(b"".join(data)).hexdigest())
            self.only(path.partition("?")[2])
            self.assertEqual(self.piece(path, b"", 0, "query").one("x-goog-upload-status"), "final")
        self.assertCleanCloud()

    def test_a_cancelled_upload(self):
        path = self.start()
        self.assertStatus(self.piece(path, b"", 0, "cancel", TEAM[0]), 200)
        self.assertEqual(self.piece(path, b"", 0, "query", TEAM[1]).one("x-goog-upload-status"), "cancelled")

    def test_it_goes_on_at_an_account_that_is_being_drained(self):
        path = self.start()
        self.assertStatus(self.piece(path, b"one", 0), 200)
        account = self.only(path.partition("?")[2])
        name = next(f"acct-{n}" for n in range(1, 5) if email(n) == account)
        self.lab.cs("account", "set", name, "state=drain")
        self.settle()
        made = self.ok(self.piece(path, b"two", 3, "upload, finalize"))["file"]
        self.ok(self.ask(GEMINI_GENERATE, body_with(made["uri"])))
        self.assertEqual(self.only(path.partition("?")[2]), account)
        self.assertEqual(self.only(made["name"]), account)

    def test_it_does_not_go_on_elsewhere_when_its_account_is_off(self):
        path = self.start()
        name = next(f"acct-{n}" for n in range(1, 5) if email(n) == self.cloud.log(GEMINI)[-1]["account"])
        self.lab.cs("account", "set", name, "state=off")
        self.settle()
        self.cloud.reset()
        self.assertOwnError(self.piece(path, b"one", 0), 404, "gemini", ("switched off",))
        self.assertNothingForwarded()

    def test_an_upload_that_nobody_began_here(self):
        known = self.start().partition("upload_id=")[2].partition("&")[0]
        self.cloud.reset()
        for query in ("upload_id=up-unknown", "upload_id=a&upload_id=b", "upload_id=", "upload%5Fid=up-unknown",
                      f"upload_id={known}&upload%5fid=other", f"upload_id={known}&upload%5id=other"):
            with self.subTest(query=query):
                self.assertOwnError(self.piece(f"{UPLOAD}?{query}", b"x", 0), 404, "gemini", ("Begin it anew",))
        self.assertNothingForwarded()

    def test_no_token_no_upload(self):
        path = self.start()
        self.cloud.reset()
        self.assertOwnError(self.lab.ask(GEMINI, path, b"x", START, h2=self.H2), 401, "gemini")
        self.assertNothingForwarded()

    def test_a_token_that_expires_meanwhile(self):
        path = self.start()
        self.cloud.expire()
        self.ok(self.piece(path, b"one", 0, "upload, finalize", TEAM[2]))
        self.only(path.partition("?")[2])

    def test_refusals_and_losses_stay_at_the_account(self):
        for kind, status in (("429", 429), ("503", 503), ("cut-before-head", 502)):
            with self.subTest(kind=kind):
                path = self.start()
                self.cloud.fail(kind, host=GEMINI, path="/upload/*", times=1)
                self.assertStatus(self.piece(path, b"one", 0), status)
                self.ok(self.piece(path, b"one", 0, "upload, finalize", TEAM[1]))
                self.only(path.partition("?")[2])

    def test_an_address_without_a_host(self):
        raw = f"HTTP/1.1 200 OK\r\nLocation: {UPLOAD}?upload_id=relative\r\nContent-Length: 0\r\n\r\n".encode()
        self.cloud.fail("raw", host=GEMINI, path="/upload/*", data=base64.b64encode(raw).decode(), times=1)
        self.assertEqual(self.ask(UPLOAD + "?uploadType=resumable", b"{}").one("location"), UPLOAD + "?upload_id=relative")
        account = self.cloud.log(GEMINI)[-1]["account"]
        for token in TEAM:  # the fake knows of no such upload, but its owner is asked
            self.assertStatus(self.piece(f"{UPLOAD}?upload_id=relative", b"x", 0, token=token), 403)
            self.assertEqual(self.cloud.log(GEMINI)[-1]["account"], account)

    def test_a_grpc_stream_is_waited_for_up_to_its_first_message(self):
        self.upload()
        grpc = "/google.ai.generativelanguage.v1beta.GenerativeService/StreamGenerateContent"
        with contextlib.closing(self.lab.tunnel(GEMINI, h2=True)) as tunnel:
            fields = [("x-goog-api-key", ALICE), ("content-type", "application/grpc"), ("te", "trailers")]
            x = tunnel.open("POST", grpc, fields, rpc.frame(rpc.field(1, "models/m")), end=False)
            self.assertTrue(until(lambda: [r for r in self.cloud.log(GEMINI) if r["target"] == grpc]), "nothing is sent before the second message")
            tunnel.cancel(x)

    def test_the_older_protocol_with_location(self):
        for number in range(6):
            response = self.ask(UPLOAD + "?uploadType=resumable", b"{}", TEAM[number])
            path = response.one("location").split(GEMINI, 1)[1]
            made = self.ok(self.ask(path, b"data", TEAM[number + 1], "PUT"))["file"]
            self.ok(self.get("/v1beta/" + made["name"], TEAM[number + 2]))

    def test_in_one_request(self):
        for number in range(TIMES):
            made = self.ok(self.ask(UPLOAD, b"--x", TEAM[number % 8], headers=[("x-goog-upload-protocol", "multipart")]))["file"]
            self.ok(self.get("/v1beta/" + made["name"], TEAM[(number + 1) % 8]))
            self.only(made["name"])

    def test_an_address_that_is_not_intercepted_is_refused(self):
        for url in ("https://upload.tunnel.test/upload/v1beta/files?upload_id=1", "http://" + GEMINI + UPLOAD + "?upload_id=1",
                    "https://" + GEMINI + UPLOAD, "https://" + GEMINI + ":444" + UPLOAD + "?upload_id=1"):
            with self.subTest(url=url):
                raw = f"HTTP/1.1 200 OK\r\nX-Goog-Upload-URL: {url}\r\nContent-Length: 0\r\n\r\n".encode()
                self.cloud.fail("raw", host=GEMINI, path="/upload/*", data=base64.b64encode(raw).decode(), times=1)
                response = self.ask(UPLOAD, b"{}", headers=START)
                self.assertOwnError(response, 502, "gemini")
                self.assertIsNone(response.one("x-goog-upload-url"))

    def test_the_upload_id_is_nowhere_kept(self):
        ident = self.start().partition("upload_id=")[2].partition("&")[0]
        self.assertTrue(until(lambda: self.lab.query("select 1 from pin where name like 'uploads/%'")))
        self.lab.scan_secrets()
        for name in ("credswap.db", "credswap.db-wal", "log"):
            with contextlib.suppress(FileNotFoundError), open(self.lab.path(name), "rb") as f:
                self.assertNotIn(ident.encode(), f.read(), name)


class UploadsH2(Uploads):
    LAB = {"accounts": 4, "claude": False, "cloud_args": ("--h2",)}
    H2 = True

    test_an_address_that_is_not_intercepted_is_refused = None  # raw answers are HTTP/1's
    test_an_address_without_a_host = None


class Files(PinCase):
    def test_a_file_is_used_where_it_is(self):
        for number in range(TIMES):
            made = self.upload(b"%d" % number, TEAM[number % 8])
            for i, (key, ref) in enumerate((("fileUri", made["uri"]), ("file_uri", made["uri"]), ("fileUri", made["uri"].replace("/", "\\/")))):
                body = body_with("REF", key=key).replace(b"REF", ref.encode())
                self.ok(self.ask(GEMINI_GENERATE, body, TEAM[(number + i) % 8]))
            self.ok(self.get("/v1beta/" + made["name"], TEAM[(number + 5) % 8]))
            self.assertStatus(self.get(f"/download/v1beta/{made['name']}:download?alt=media", TEAM[(number + 6) % 8]), 200)
            self.ok(self.ask("/v1beta/" + made["name"], method="DELETE", token=TEAM[(number + 7) % 8]))
            self.only(made["name"])
            self.assertTrue(until(lambda name=made["name"]: not self.lab.query("select 1 from pin where name = ?", name)))
        self.assertCleanCloud()

    def test_several_files_of_one_client_come_to_one_account(self):
        for token in TEAM:
            files = [self.upload(b"%d" % n, token)["uri"] for n in range(3)]
            self.ok(self.ask(GEMINI_GENERATE, body_with(*files), token))

    def test_files_of_two_accounts_cannot_be_served(self):
        first = self.upload()
        self.stored(first["name"])
        second = self.elsewhere(self.account_of(first["name"]))
        self.cloud.reset()
        message = self.assertOwnError(self.ask(GEMINI_GENERATE, body_with(first["uri"], second["uri"])), 400, "gemini")
        self.assertIn("different accounts", message)
        self.assertNothingForwarded()

    def test_a_large_body_is_looked_at_too(self):
        for number in range(6):
            uri = self.upload(b"%d" % number, TEAM[number])["uri"]
            account = self.cloud.log(GEMINI)[-1]["account"]
            part = b'{"parts": [{"text": "' + b"x" * 700000 + b'"}]}, '
            self.ok(self.ask(GEMINI_GENERATE, body_with(uri).replace(b"[", b"[" + part, 1), TEAM[number + 1]))
            self.assertEqual(self.cloud.log(GEMINI)[-1]["account"], account)  # the fake keeps no such body

    def other_pool(self):
        """CAROL has the same accounts by another pool."""
        self.lab.sql("insert into pool (name) values ('other') on conflict do nothing")
        self.lab.cs("pool", "set", "other", "acct-1=1", "acct-2=1", "acct-3=1", "acct-4=1")
        if not self.lab.query("select 1 from client where name = 'carol'"):
            self.lab.add_client("carol", "gemini", CAROL, "--pool", "other")
        self.settle()

    def test_other_pools_do_not_get_at_it(self):
        self.other_pool()
        made, path = self.upload(), self.start()
        self.cloud.reset()
        uri = made["uri"]
        packed = gzip.compress(body_with(uri))
        for response in (self.get("/v1beta/" + made["name"], CAROL),
                         self.get("/v1beta/files/%" + "%02x" % ord(made["name"][6]) + made["name"][7:], CAROL),
                         self.ask("/v1beta/" + made["name"], token=CAROL, method="DELETE"),
                         self.ask(GEMINI_GENERATE, body_with(uri), CAROL),
                         self.ask(GEMINI_GENERATE, body_with(uri).replace(b"files/", b"file\\u0073/"), CAROL),
                         self.ask(GEMINI_GENERATE, body_with(uri.replace(GEMINI, GEMINI + ":443")), CAROL),
                         self.ask(GEMINI_GENERATE, body_with(uri.replace("files/", "%66iles/")), CAROL),
                         self.ask(GEMINI_GENERATE, packed, CAROL, headers=[("content-encoding", "gzip")]),
                         self.ask(GEMINI_GENERATE, packed, CAROL, headers=[("content-encoding", "x-gzip")]),
                         self.piece(path, b"x", 0, token=CAROL),
                         self.piece(path.replace("upload_id", "upload%5Fid"), b"x", 0, token=CAROL)):
            self.assertOwnError(response, 403, "gemini", ("may not exist",))
        grpc = self.ask(GEMINI_GENERATE, body_with(uri), CAROL, headers=[("content-type", "application/grpc")])
        self.assertIn("credswap", grpc.one("proxy-status") or "", "that type does not hide what the body names")
        self.assertNothingForwarded()
        self.ok(self.get("/v1beta/" + made["name"]))

    def test_what_cannot_be_read_is_refused_while_somebody_has_something(self):
        uri = self.upload()["uri"]
        body = body_with(uri)
        packed = gzip.compress(body)
        self.cloud.reset()
        for name, data, headers in (("two members", gzip.compress(b" ") + packed, [("content-encoding", "gzip")]),
                                    ("broken", packed[:20] + b"xxxx" + packed[24:], [("content-encoding", "gzip")]),
                                    ("br", packed, [("content-encoding", "br")]),
                                    ("several", packed, [("content-encoding", "gzip, gzip")]),
                                    ("two fields", packed, [("content-encoding", "identity"), ("content-encoding", "gzip")]),
                                    ("protobuf", b"\x0a\x00", [("content-type", "application/x-protobuf")]),
                                    ("a long name", body_with(uri + "?" + "x" * 600), [])):
            with self.subTest(name):
                self.assertOwnError(self.ask(GEMINI_GENERATE, data, headers=headers), 400, "gemini", ("uncompressed or as gzip",))
        self.assertOwnError(self.ask(GEMINI_GENERATE, body_with(*(f"files/{n}" for n in range(65)))), 400, "gemini", ("more than 64",))
        self.assertNothingForwarded()
        many = self.ask(GEMINI_GENERATE, body_with(*(f"files/{n % 64}" for n in range(200))))
        self.assertEqual((many.status, many.one("proxy-status")), (403, None))  # the provider's word
        self.assertStatus(self.ask(GEMINI_GENERATE, body_with("https://example.com/?" + "x" * 600)), 200)

    def test_grpc_in_base64_is_refused_while_somebody_has_something(self):
        self.upload()
        self.cloud.reset()
        path = "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent"
        response = self.ask(path, b"AAAAAAA=", headers=[("content-type", "application/grpc-web-text")])
        self.assertIn("credswap", response.one("proxy-status") or "", response)
        self.assertNothingForwarded()

    def test_a_path_that_is_too_long_to_be_read(self):
        long = CACHES.format("p" * 1100) + "/1"
        self.assertOwnError(self.get(long, host=VERTEX), 404, "vertex")
        self.assertNothingForwarded()

    def test_what_is_not_ours_is_nobodys_business(self):
        for ref in ("https://example.com/v1beta/files/abc", "https://www.youtube.com/watch?v=1", "gs://bucket/files/abc", "files/"):
            self.assertStatus(self.ask(GEMINI_GENERATE, body_with(ref)), 200)

    def test_answers_in_gzip(self):
        more = [("accept-encoding", "br, gzip, deflate"), ("x-fake-gzip", "1")]
        for number in range(TIMES):
            response = self.piece(self.start(TEAM[number % 8]), b"x", 0, "upload, finalize", TEAM[number % 8], more)
            self.assertEqual(response.one("content-encoding"), "gzip")
            made = json.loads(gzip.decompress(response.body))["file"]
            self.ok(self.get("/v1beta/" + made["name"], TEAM[(number + 1) % 8]))
            self.only(made["name"])
        self.ok(self.ask(GEMINI_GENERATE, body_with(), headers=[("accept-encoding", "br, gzip, deflate")]))
        self.assertIn(["accept-encoding", "br, gzip, deflate"], [[n.lower(), v] for n, v in self.cloud.log(GEMINI)[-1]["headers"]])

    def test_a_list_shows_one_accounts_files(self):
        made = self.upload(b"x", TEAM[3])
        names = [f["name"] for f in self.ok(self.get("/v1beta/files", TEAM[3]))["files"]]
        self.assertIn(made["name"], names)

    def test_a_restart_between(self):
        made, path = [self.upload(b"%d" % n, TEAM[n]) for n in range(4)], self.start(TEAM[4])
        self.lab.stop()
        self.lab.start()
        for i, file in enumerate(made):
            self.ok(self.ask(GEMINI_GENERATE, body_with(file["uri"]), TEAM[7 - i]))
            self.only(file["name"])
        self.ok(self.piece(path, b"x", 0, "upload, finalize", TEAM[5]))

    def test_an_expired_pin_is_unknown(self):
        path, made = self.start(), self.upload()
        self.stored(made["name"])
        self.lab.sql("update pin set expires_at = 1")
        self.assertTrue(until(lambda: self.piece(path, b"", 0, "query").status == 404, 2))
        self.assertOwnError(self.piece(path, b"x", 0), 404, "gemini")
        self.assertIn(self.get("/v1beta/" + made["name"], TEAM[1]).status, (200, 403))  # as the provider says

    def test_the_console_shows_and_drops_them(self):
        made = self.upload()
        row = until(lambda: [r for r in self.lab.rows("pin", "list") if r["name"] == made["name"]])[0]
        self.assertEqual((row["pool"], row["client"], row["domain"]), ("gemini", "alice", GEMINI))
        self.assertAlmostEqual(row["expires_at"] - row["made_at"], 48 * 3600, delta=5)
        self.assertIn(made["name"], [r["name"] for r in self.lab.rows("pin", "list", row["account"])])
        self.assertEqual(self.lab.rows("pin", "list", "nobody"), [])
        number = int(row["account"][-1])
        target = f"acct-{number % 4 + 1}"
        self.lab.sql(f"update pin set account = '{target}' where name = '{made['name']}'")
        self.assertTrue(until(lambda: self.get("/v1beta/" + made["name"]).status == 403, 2), "an edit is not followed")
        self.lab.cs("pin", "rm", made["name"], "--pool", "none", status=1)
        self.lab.cs("pin", "rm", made["name"])
        self.lab.cs("pin", "rm", made["name"], status=1)
        self.assertIn(f"pin {made['name']}: removed", self.lab.cs("events").stdout)
        self.assertTrue(until(lambda: self.get("/v1beta/" + made["name"]).status == 200, 2), "the client's own account again")

    def test_a_row_of_anybodys_making_is_followed(self):
        for number in range(1, 5):
            name = f"files/made-by-hand-{number}"
            self.lab.sql(f"insert into pin (name, pool, account, expires_at) values ('{name}', 'gemini', 'acct-{number}', unixepoch() + 99)")
            self.assertTrue(until(lambda n=name, e=email(number): all(self.served_by(n, t) == e for t in TEAM), 2))

    def served_by(self, name, token):
        self.get("/v1beta/" + name, token)
        return self.cloud.log(GEMINI)[-1]["account"]

    @slow
    def test_the_table_is_bounded(self):
        before = self.lab.rss()
        for start in range(0, 60000, 10000):
            self.lab.sql("insert into pin (name, pool, account, expires_at) with recursive n(i) as (select 1 union all select i + 1 from n "
                         f"limit 10000) select 'files/many-' || (i + {start}), 'gemini', 'acct-1', unixepoch() + 999 from n")
            until(lambda: self.get("/v1beta/files").status == 200)
        self.assertLessEqual(self.lab.query("select count(*) as n from pin")[0]["n"], 20064)
        made = self.upload()
        self.ok(self.ask(GEMINI_GENERATE, body_with(made["uri"]), TEAM[0]))
        self.lab.sql("delete from pin where name like 'files/many-%'")
        self.settle()
        if not built_with("libasan") and not built_with("libtsan"):  # whose heaps are their own
            self.assertLess(self.lab.rss() - before, 64 << 20)

    def test_ephemeral_tokens_are_not_swapped(self):
        live = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained"
        for headers, path in (([("authorization", "Token auth_tokens/abc")], live), ([], live + "?access_token=auth_tokens/abc"),
                              ([], "/v1alpha/auth_tokens/abc")):
            self.assertOwnError(self.lab.ask(GEMINI, path, b"", headers, method="GET", h2=self.H2), 401, "gemini")
        self.assertOwnError(self.ask("/v1alpha/auth_tokens", b"{}"), 404, "gemini")
        self.assertNothingForwarded()


class FilesH2(Files):
    LAB = {"accounts": 4, "claude": False, "cloud_args": ("--h2",)}
    H2 = True

    def test_other_pools_do_not_get_at_it_by_grpc(self):
        self.other_pool()
        made = self.upload()
        owner = self.cloud.log(GEMINI)[-1]["account"]
        self.cloud.reset()
        path = "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent"
        data = rpc.field(3, rpc.field(1, "text/plain") + rpc.field(2, made["uri"]) + rpc.field(6, 50))
        body = rpc.frame(rpc.field(1, "models/gemini-2.5-pro") + rpc.field(2, rpc.field(1, data)))
        confusing = rpc.frame(b"".join(rpc.field(9, f"projects/p/locations/l/models/{n}") for n in range(6)) + body[5:])
        for message, token, code in ((body, CAROL, 7), (confusing, CAROL, 7), (body, TEAM[1], 12)):  # 12: the fake has no such service
            with contextlib.closing(self.lab.tunnel(GEMINI, h2=True)) as tunnel:
                fields = [("x-goog-api-key", token), ("content-type", "application/grpc"), ("te", "trailers")]
                x = tunnel.open("POST", path, fields, end=False)
                for i in range(0, len(message), 40):
                    tunnel.send_body(x, message[i:i + 40], i + 40 >= len(message))
                tunnel.wait(x)
                both = dict(x.headers) | dict(x.trailers)
                self.assertEqual(int(both["grpc-status"]), code, both)
        self.assertEqual(len(self.cloud.log(GEMINI)), 1)
        self.assertEqual(self.cloud.log(GEMINI)[0]["account"], owner, "the message names a file of another account")


class Lasting(PinCase):
    """Caches, operations and batches, of both APIs."""

    def test_caches_of_the_gemini_api(self):
        for number in range(TIMES):
            name = self.ok(self.ask("/v1beta/cachedContents", b'{"model":"models/gemini-2.5-pro","ttl":"%ds"}' % number, TEAM[number % 8]))["name"]
            self.ok(self.get("/v1beta/" + name, TEAM[(number + 1) % 8]))
            self.ok(self.ask("/v1beta/" + name, b'{"ttl":"9s"}', TEAM[(number + 2) % 8], "PATCH"))
            self.ok(self.ask(GEMINI_GENERATE, cached(name), TEAM[(number + 3) % 8]))
            self.ok(self.ask("/v1beta/" + name, token=TEAM[(number + 4) % 8], method="DELETE"))
            self.only(name)

    def test_a_cache_is_made_where_its_file_is(self):
        for number in range(TIMES):
            uri = self.upload(b"%d" % number, TEAM[number % 8])["uri"]
            body = body_with(uri)[:-1] + b',"model":"models/gemini-2.5-pro"}'
            name = self.ok(self.ask("/v1beta/cachedContents", body, TEAM[(number + 1) % 8]))["name"]
            self.ok(self.ask(GEMINI_GENERATE, cached(name), TEAM[(number + 2) % 8]))

    def test_operations_and_the_file_that_comes_of_them(self):
        for number in range(TIMES):
            name = self.ok(self.ask("/v1beta/models/veo-3.1:predictLongRunning", b'{"instances":[{}]}', TEAM[number % 8]))["name"]
            done = self.ok(self.get("/v1beta/" + name, TEAM[(number + 1) % 8]))
            uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
            self.assertStatus(self.get(uri.split(GEMINI, 1)[1], TEAM[(number + 2) % 8]), 200)
            self.only(name)
            again = json.dumps({"instances": [{"prompt": "on", "video": {"uri": uri.partition(":download")[0]}}]}).encode()
            self.ok(self.ask("/v1beta/models/veo-3.1:predictLongRunning", again, TEAM[(number + 3) % 8]))
            self.only(uri.partition("/files/")[2].partition(":")[0])

    def test_batches_and_their_answers(self):
        for number in range(TIMES):
            name = self.ok(self.ask("/v1beta/models/gemini-2.5-pro:batchGenerateContent", b'{"batch":{}}', TEAM[number % 8]))["name"]
            results = self.ok(self.get("/v1beta/" + name, TEAM[(number + 1) % 8]))["response"]["responsesFile"]
            self.assertStatus(self.get(f"/download/v1beta/{results}:download?alt=media", TEAM[(number + 2) % 8]), 200)
            self.only(name)

    def test_caches_of_vertex_by_both_projects(self):
        for number in range(TIMES):
            name = self.ok(self.ask(CACHES.format("client-project"), b'{"model":"x"}', TEAM[number % 8], host=VERTEX))["name"]
            mine = "projects/client-project/" + name.split("/", 2)[2]
            self.assertNotEqual(mine, name)
            for i, spelled in enumerate((name, mine, mine.replace("/", "\\/"), mine.replace("projects/", "\\u0070rojects/"))):
                self.ok(self.ask(GENERATE, cached("REF").replace(b"REF", spelled.encode()), TEAM[(number + i) % 8], host=VERTEX))
            for i, spelled in enumerate((name, mine)):
                self.ok(self.get("/v1/" + spelled, TEAM[(number + i) % 8], host=VERTEX))
            self.ok(self.ask("/v1/" + mine, token=TEAM[(number + 5) % 8], method="DELETE", host=VERTEX))
            self.only(name.rpartition("/")[2])
        self.assertCleanCloud()

    def test_the_project_is_rewritten_however_the_body_comes(self):
        name = self.ok(self.ask(CACHES.format("client-project"), b"{}", host=VERTEX))["name"]
        mine = "projects/client-project/" + name.split("/", 2)[2]
        body = cached(mine) + b" " * 3
        whole = body.replace(b"projects/client-project", "/".join(name.split("/")[:2]).encode())
        for number in range(1, 6):
            self.cloud.reset()
            pieces = [body[i:i + number * 17] for i in range(0, len(body), number * 17)]
            with contextlib.closing(self.lab.tunnel(VERTEX, h2=self.H2)) as tunnel:
                self.ok(self.in_pieces(tunnel, GENERATE, pieces, [("x-goog-api-key", TEAM[number])]))
            self.assertEqual(self.cloud.log(VERTEX)[-1]["body"].encode(), whole)

    def in_pieces(self, tunnel, path, pieces, headers):
        if self.H2:
            x = tunnel.open("POST", path, headers, end=False)
            for piece in pieces:
                tunnel.send_body(x, piece)
            tunnel.send_body(x, b"", end=True)
            while not x.ended and tunnel.pump():
                pass
            return x.response()
        tunnel.send(client.request("POST", path, VERTEX, headers + [("transfer-encoding", "chunked")]))
        for piece in pieces:
            tunnel.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        tunnel.send(b"0\r\n\r\n")
        return tunnel.reader.response()

    def test_operations_by_the_name_in_the_body(self):
        for number in range(TIMES):
            name = self.ok(self.ask(VEO.format("predictLongRunning"), b'{"instances":[{}]}', TEAM[number % 8], host=VERTEX))["name"]
            mine = "projects/client-project/" + name.split("/", 2)[2]
            for i, spelled in enumerate((name, mine)):
                for key in ("operationName", "operation_name"):
                    fetch = json.dumps({key: spelled}).encode()
                    response = self.ask(VEO.format("fetchPredictOperation"), fetch, TEAM[(number + i) % 8], host=VERTEX)
                    if key == "operationName":  # the fake knows this spelling only
                        self.ok(response)
            self.only(name.rpartition("/")[2])
        self.assertCleanCloud()

    def test_jobs(self):
        for number in range(TIMES):
            name = self.ok(self.ask(JOBS.format("client-project"), b"{}", TEAM[number % 8], host=VERTEX))["name"]
            mine = "projects/client-project/" + name.split("/", 2)[2]
            for i, spelled in enumerate((name, mine)):
                self.ok(self.get("/v1/" + spelled, TEAM[(number + i) % 8], host=VERTEX))
            self.only(name.rpartition("/")[2])

    def test_an_account_that_is_off_or_taken_away(self):
        made = self.upload()
        name = self.ok(self.ask(CACHES.format("client-project"), b'{"model":"x"}', host=VERTEX))["name"]
        short = name.split("/", 4)[4]
        self.stored(short)
        for one, words, path, body, host in ((made["name"], "switched off", GEMINI_GENERATE, body_with(made["uri"]), GEMINI),
                                             (short, "switched off", GENERATE, cached(name), VERTEX)):
            self.stored(one)
            account = self.account_of(one)
            for change in (("account", "set", account, "state=off"), ("pool", "rm", "gemini", account)):
                self.lab.cs(*change)
                self.settle()
                self.cloud.reset()
                self.assertOwnError(self.ask(path, body, host=host), 404, "gemini", (words,))
                self.assertNothingForwarded()
                self.lab.cs("account", "set", account, "state=up")
                self.lab.cs("pool", "set", "gemini", account + "=1")
                self.settle()
            self.ok(self.ask(path, body, host=host))


class LastingH2(Lasting):
    LAB = {"accounts": 4, "claude": False, "cloud_args": ("--h2",)}
    H2 = True


class Removed(PinCase):
    LAB = {"accounts": 3, "claude": False}

    def test_pins_go_with_the_account_and_are_served_by_nobody(self):
        made, path = self.upload(), self.start()
        self.stored(made["name"])
        account = self.account_of(made["name"])
        self.lab.cs("account", "rm", account, "--yes")
        self.settle()
        self.assertEqual(self.lab.query("select count(*) as n from pin where account = ?", account)[0]["n"], 0)
        self.cloud.reset()
        for response in (self.get("/v1beta/" + made["name"]), self.ask(GEMINI_GENERATE, body_with(made["uri"])), self.piece(path, b"x", 0)):
            self.assertOwnError(response, 404, "gemini")
        self.assertNothingForwarded()


class Gateway(PinCase):
    """A client that knows no proxy gets addresses that lead back to us."""

    def direct(self, method, path, body=b"", token=ALICE, headers=()):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.lab.port), timeout=15)) as sock:
            sock.sendall(client.request(method, path, f"127.0.0.1:{self.lab.port}", [("x-goog-api-key", token)] + list(headers), body))
            return client.Reader(sock).response(method)

    def test_the_address_is_ours(self):
        own = f"http://127.0.0.1:{self.lab.port}"
        for number in range(TIMES):
            response = self.direct("POST", "/gemini" + UPLOAD, b"{}", TEAM[number % 8], START)
            url = response.one("x-goog-upload-url")
            self.assertTrue(url.startswith(own + "/gemini/upload/v1beta/files?upload_id="), url)
            command = [("x-goog-upload-command", "upload, finalize"), ("x-goog-upload-offset", "0")]
            done = self.direct("POST", url.removeprefix(own), b"data", TEAM[(number + 1) % 8], command)
            made = self.ok(done)["file"]
            self.assertTrue(made["uri"].startswith("https://" + GEMINI), "the provider must be given its own address again")
            self.ok(self.direct("POST", "/gemini" + GEMINI_GENERATE, body_with(made["uri"]), TEAM[(number + 2) % 8]))
            self.ok(self.get("/v1beta/" + made["name"], TEAM[(number + 3) % 8]))  # through the proxy, too
            self.only(made["name"])
        self.assertCleanCloud()

    def test_another_host_is_refused(self):
        raw = b"HTTP/1.1 200 OK\r\nX-Goog-Upload-URL: https://us-central1-aiplatform.googleapis.com/upload/x?upload_id=1\r\nContent-Length: 0\r\n\r\n"
        self.cloud.fail("raw", host=GEMINI, path="/upload/*", data=base64.b64encode(raw).decode(), times=1)
        self.assertOwnError(self.direct("POST", "/gemini" + UPLOAD, b"{}", headers=START), 502, "gemini")
