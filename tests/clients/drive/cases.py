"""Runs the cases that argv names and prints one line of JSON for each; README.md says what they are."""
import json
import os
import sys

MODEL, TAG = os.environ["MODEL"], os.environ["TAG"]
URL = f"https://generativelanguage.googleapis.com/v1beta/models/{MODEL}:"
PLAIN, STREAM = URL + "generateContent", URL + "streamGenerateContent?alt=sse"


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(json.loads(body)["error"]["message"] if body.lstrip()[:1] in (b"{", "{") else str(body))
        self.status = status


def body(prompt):
    return json.dumps({"contents": [{"role": "user", "parts": [{"text": prompt}]}]}).encode()


def text_of(answer):
    return json.loads(answer)["candidates"][0]["content"]["parts"][0]["text"]


def events(lines):
    """The data of server-sent events."""
    for line in lines:
        line = line.decode() if isinstance(line, bytes) else line
        if line.startswith("data: "):
            yield text_of(line[6:])


def cases(plain, stream):
    for name in sys.argv[1:]:
        wish = " " + os.environ["WISH"] if name == "stream" else ""
        prompt = f"{TAG}-{name} say something{wish}"
        line = {"case": name}
        try:
            if name == "stream":
                line["pieces"] = []
                for piece in filter(None, stream(prompt)):
                    if not line["pieces"]:
                        print("first piece", flush=True)
                    line["pieces"].append(piece)
            else:
                line["text"] = plain(prompt)
        except Exception as error:
            line["status"] = getattr(error, "status", None)
            line["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(line), flush=True)
