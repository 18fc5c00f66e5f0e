"""gRPC beside the REST forms: Vertex AI's PredictionService, as far as clients ask for text.

A call is a POST over HTTP/2 whose body is frames (one byte of flags, four of length, a protobuf message); its
answer is frames too, and its end two trailers.  A refusal is one head alone.  The text is the one that answers.py
makes of the body, frames and all.
"""
import asyncio
import re
import urllib.parse

import answers

PATH = re.compile(r"/google\.cloud\.aiplatform\.(v1|v1beta1)\.PredictionService/(GenerateContent|StreamGenerateContent)\Z")
MODEL = re.compile(r"projects/([^/]+)/locations/([^/]+)/publishers/google/models/([^/]+)\Z")
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}


def asks(request):
    return request.method == "POST" and (request.one("content-type") or "").startswith("application/grpc")


# -- protobuf: (field, value) with a number or bytes for value --

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            if at + size > len(data):
                raise IndexError("a field is longer than the message")
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def field(key, value):
    if isinstance(value, int):
        return number(key << 3) + number(value)
    value = value.encode() if isinstance(value, str) else value
    return number(key << 3 | 2) + number(len(value)) + value


def frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def message_of(body):
    """The one message of a call, or None when it is none."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return None
    return body[5:]


def piece(model, text, prompt, total, finish):
    candidate = field(2, field(1, "model") + field(2, field(1, text))) + (field(3, 1) if finish else b"")
    usage = field(1, prompt) + field(2, total) + field(3, prompt + total)
    return frame(field(2, candidate) + field(4, usage) + field(11, model))


# -- answering --

async def refuse(request, status, message):
    """STATUS, as HTTP counts, in one head without a body."""
    stream = request.conn
    request.status = status
    stream.busy = stream.head_sent = stream.closed = True
    stream.conn.h2.send_headers(stream.id, [(":status", "200"), ("content-type", "application/grpc"),
                                            ("grpc-status", str(CODES.get(status, 2))),
                                            ("grpc-message", urllib.parse.quote(message))], end_stream=True)
    stream.conn.send()
    stream.finish(request)


def why_not(cloud, request, account, location):
    """(message, None) of a call that may be answered, else (None, (status, message))."""
    match = PATH.match(request.path)
    if not match:
        return None, (501, "Method not found.")
    body = bytes(request.body or b"")
    message = message_of(body)
    try:
        name = next((v for k, v in fields(message or b"") if k == 5), b"").decode()
    except (IndexError, KeyError, ValueError):
        message = None
    if message is None:
        return None, (400, "Request contains an invalid argument.")
    model = MODEL.match(name)
    if not model:
        return None, (400, f"Invalid resource name {name}")
    if model[1] != account.project:
        cloud.note("project", f"{account.email} used for project {model[1]}", request.conn)
        return None, (403, f"Permission 'aiplatform.endpoints.predict' denied on project {model[1]}.")
    if model[2] != location:
        cloud.note("location", f"{model[2]} at {request.host}", request.conn)
        return None, (400, f"{model[2]} is not served here.")
    return model[3], None


async def call(cloud, request, account, location):
    """Answers a call of ACCOUNT at a host of LOCATION."""
    model, refusal = why_not(cloud, request, account, location)
    if refusal:
        await refuse(request, *refusal)
        return
    body = bytes(request.body)
    digest = answers.sha(body)
    size, events, gap = answers.options({}, body)
    if not request.path.endswith("/StreamGenerateContent"):
        texts = [answers.text(digest, size)]
    else:
        texts = [answers.text(f"{digest}:{i}", size) for i in range(events)]
    stream = request.conn
    request.status = 200
    stream.write(stream.head(200, (("content-type", "application/grpc"),)))
    for i, text in enumerate(texts):
        if gap:
            await asyncio.sleep(gap)
            await cloud.at_gate(request, i)
        stream.write(piece(model, text, len(body) // 4, (i + 1) * size // 4, i == len(texts) - 1))
        await stream.drain()
    stream.trailers = [("grpc-status", "0")]
    stream.finish(request)
