"""What lives at one account of the Gemini API or Vertex AI: uploads, files, caches, operations, batches.

Each belongs to the account whose credential made it; another one's request is refused in the
provider's words. Ids are random, as there: the same content twice is two files.
"""
import gzip
import hashlib
import os
import re
import urllib.parse

import answers
from replies import google_error, json_answer

GEMINI = "generativelanguage.googleapis.com"
BASE = f"https://{GEMINI}/v1beta/"
REFERENCE = re.compile(r'"(?:fileUri|file_uri|cachedContent|cached_content)"\s*:\s*"((?:[^"\\]|\\.)*)"')


def new_id():
    return os.urandom(6).hex()


def denied(name):
    kind, _, ident = name.rpartition("/")
    what = "File " if kind.endswith("files") else ""
    return google_error(403, f"You do not have permission to access the {what}{ident} or it may not exist.")


def answer(request, value, more=(), status=200):
    """JSON, compressed when the client takes that and asks for it by a header of ours."""
    body = answers.dump(value).encode()
    coding = request.one("accept-encoding") or ""
    if request.one("x-fake-gzip") and "br" in coding.replace(" ", "").split(","):
        return json_answer(status, b"\x8b\x00\x80{}\x03", (*more, ("Content-Encoding", "br")))
    if request.one("x-fake-gzip") and "gzip" in coding:
        return json_answer(status, gzip.compress(body), (*more, ("Content-Encoding", "gzip")))
    return json_answer(status, body, more)


class Resources:
    def __init__(self):
        self.owners = {}
        self.uploads = {}

    def make(self, name, owner):
        self.owners[name] = owner
        return name

    def is_of(self, name, owner):
        return self.owners.get(name) == owner

    def of(self, owner, prefix):
        return [n for n, o in self.owners.items() if o == owner and n.startswith(prefix)]

    def crossed(self, body, owner):
        """An Answer when a body names what is not OWNER's, else None."""
        for text in REFERENCE.findall(body.decode("latin-1")):
            name = text.replace("\\/", "/").removeprefix(BASE)
            if re.match(r"(files|cachedContents|projects)/.", name) and not self.is_of(name, owner):
                return denied(name)
        return None

    # -- the Gemini API --

    def gemini(self, request, owner, parsed, body):
        """The Answer, or None: not about resources."""
        path = urllib.parse.unquote(request.path)
        if path.startswith("/upload/"):
            return self.upload(request, owner)
        path = path.removeprefix("/download")
        match = re.match(r"/v1(?:beta|alpha)?/(.*)\Z", path)
        if not match:
            return None
        rest, _, verb = match[1].partition(":")
        if verb in ("predictLongRunning", "batchGenerateContent") and request.method == "POST":
            crossed = self.crossed(body, owner)
            if crossed:
                return crossed
            base = "batches/" if verb == "batchGenerateContent" else rest + "/operations/"
            return answer(request, {"name": self.make(base + new_id(), owner)})
        if rest in ("files", "cachedContents") and request.method == "GET":
            return answer(request, {rest: [self.file(n) for n in self.of(owner, rest + "/")]})
        if rest == "cachedContents" and request.method == "POST":
            name = "cachedContents/" + new_id()
            return self.crossed(body, owner) or answer(
                request, {"name": self.make(name, owner), "model": parsed.get("model", "")})
        if not re.match(r"(files|cachedContents|batches|operations|tunedModels|models/[^/]+/operations)/[^/]+\Z", rest):
            return None
        return self.one(request, owner, rest, verb)

    def one(self, request, owner, name, verb):
        if not self.is_of(name, owner):
            return denied(name)
        if request.method == "DELETE":
            del self.owners[name]
            return answer(request, {})
        if verb == "download":
            return json_answer(200, b"content of " + name.encode())
        if "operations/" in name:
            video = self.make("files/" + new_id(), owner)
            return answer(request, {"name": name, "done": True, "response": {"generateVideoResponse": {
                "generatedSamples": [{"video": {"uri": f"{BASE}{video}:download?alt=media"}}]}}})
        if name.startswith("batches/"):
            return answer(request, {"name": name, "done": True, "response": {
                "responsesFile": self.make("files/batch-" + new_id(), owner)}})
        return answer(request, self.file(name))

    @staticmethod
    def file(name):
        return {"name": name, "uri": BASE + name, "state": "ACTIVE"}

    def upload(self, request, owner):
        """Resumable: start, pieces, query, finalize, cancel; also in one request."""
        query = dict(urllib.parse.parse_qsl(request.query))
        command = [c.strip() for c in (request.one("x-goog-upload-command") or "").split(",")]
        if "upload_id" in query:
            return self.going_on(request, owner, query["upload_id"], command)
        ident = f"up-{new_id()}"
        url = f"https://{GEMINI}/upload/v1beta/files?upload_id={ident}&upload_protocol=resumable"
        if "start" in command:
            self.uploads[ident] = {"owner": owner, "hash": hashlib.sha256(), "size": 0, "state": "active"}
            return json_answer(200, b"", (("X-Goog-Upload-URL", url), ("X-Goog-Upload-Status", "active")))
        if query.get("uploadType") == "resumable":
            self.uploads[ident] = {"owner": owner, "hash": hashlib.sha256(), "size": 0, "state": "active"}
            return json_answer(200, b"", (("Location", url),))
        return self.made(request, owner, request.body_sha, request.body_len)

    def going_on(self, request, owner, ident, command):
        at = self.uploads.get(ident)
        if not at or at["owner"] != owner:
            return google_error(403, "You do not have permission to access the upload.")
        status = (("X-Goog-Upload-Status", at["state"]), ("X-Goog-Upload-Size-Received", str(at["size"])))
        if "query" in command:
            return json_answer(200, b"", status)
        if "cancel" in command:
            at["state"] = "cancelled"
            return json_answer(200, b"", (("X-Goog-Upload-Status", "cancelled"),))
        offset = int(request.one("x-goog-upload-offset") or at["size"])
        if offset != at["size"] or at["state"] != "active":
            return google_error(400, f"Upload is {at['state']} at {at['size']}, not {offset}.")
        if "upload" in command or request.method == "PUT":
            at["hash"].update(request.body_sha.encode() if request.body is None else bytes(request.body))
            at["size"] += request.body_len
        if "finalize" in command or request.method == "PUT":
            at["state"] = "final"
            return self.made(request, owner, at["hash"].hexdigest(), at["size"], (("X-Goog-Upload-Status", "final"),))
        return json_answer(200, b"", (("X-Goog-Upload-Status", "active"),
                                      ("X-Goog-Upload-Size-Received", str(at["size"]))))

    def made(self, request, owner, sha, size, more=()):
        name = self.make("files/" + new_id(), owner)
        return answer(request, {"file": {**self.file(name), "sha256Hash": sha, "sizeBytes": str(size)}}, more)

    # -- Vertex AI --

    def operation(self, request, account, base, verb, parsed):
        """predictLongRunning begins an operation that only its own account can ask about."""
        if verb == "predictLongRunning":
            return answer(request, {"name": self.make(f"{base}/operations/{new_id()}", account.email)})
        name = str(parsed.get("operationName", ""))
        if not self.is_of(name, account.email):
            return google_error(404, "Operation not found.")
        return answer(request, {"name": name, "done": True, "response": {
            "videos": [{"mimeType": "video/mp4", "bytesBase64Encoded": "AAAA"}]}})

    def vertex(self, request, account, rest, parsed, body):
        name = request.path.split("/", 2)[2].partition(":")[0]
        if request.method == "POST" and not rest:
            return self.crossed(body, account.email) or answer(
                request, {"name": self.make(f"{name}/{new_id()}", account.email), "model": parsed.get("model", "")})
        if not self.is_of(name, account.email):
            return denied(name)
        if request.method == "DELETE":
            del self.owners[name]
            return answer(request, {})
        return answer(request, {"name": name})
