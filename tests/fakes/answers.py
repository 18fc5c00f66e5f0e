"""What the fake providers answer, as pure functions of the request.

The cloud sends these bytes and a test client computes them again to compare byte for byte, so
nothing here may depend on time, account, token or connection.  In a request body that is a JSON
object a member "fake"

    "fake": {"bytes": N, "events": N, "gap_ms": M}

chooses the size, and so does, for clients that send no members of their own, a text anywhere in the body:

    [fake bytes=N events=N gap_ms=M gate=N]

bytes: length of the generated text (per event when streaming); events: number of streamed
pieces; gap_ms: pause before each piece; gate: with gap_ms, after so many pieces the rest waits until the control port
opens it (/open), which a test does when its client has shown the first.
"""
import hashlib
import json
import re

BLOCK = 65536
DEFAULT_BYTES = 64
DEFAULT_EVENTS = 4
WISH = re.compile(rb"\[fake((?: (?:bytes|events|gap_ms|gate)=[0-9]{1,6})+)\]")


def sha(body):
    return hashlib.sha256(body).hexdigest()


def blocks(seed, size):
    """Yields SIZE hex characters in pieces that depend on SEED and position."""
    if size <= BLOCK:
        if size > 0:
            yield hashlib.shake_128(seed.encode()).hexdigest((size + 1) // 2)[:size]
        return
    base = hashlib.shake_128(seed.encode()).hexdigest(BLOCK // 2)
    tail = base[16:]
    index = 0
    while size > 0:
        piece = f"{index:016x}{tail}"
        yield piece if size >= BLOCK else piece[:size]
        size -= BLOCK
        index += 1


def text(seed, size):
    return "".join(blocks(seed, size))


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def options(body_json, body=b""):
    """(bytes, events, gap in seconds) that the request asked for."""
    fake = body_json.get("fake") if isinstance(body_json, dict) else None
    if not isinstance(fake, dict) and b"[fake " in body:
        wish = WISH.search(body)
        fake = dict(pair.split("=") for pair in wish[1].decode().split()) if wish else None
    if not isinstance(fake, dict):
        return DEFAULT_BYTES, DEFAULT_EVENTS, 0.0
    return (int(fake.get("bytes", DEFAULT_BYTES)), int(fake.get("events", DEFAULT_EVENTS)),
            float(fake.get("gap_ms", 0)) / 1000)


def gate(body):
    """After how many pieces the rest waits; None: it does not."""
    wish = WISH.search(body)
    found = re.search(rb" gate=([0-9]+)", wish[1]) if wish else None
    return int(found[1]) if found else None


def _gemini(model, digest, part, prompt, total, finish):
    candidate = {"content": {"role": "model", "parts": [{"text": part}]}, "index": 0}
    if finish:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate],
            "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": total,
                              "totalTokenCount": prompt + total},
            "modelVersion": model, "responseId": digest[:22]}


MARK = "\x00TEXT\x00"


def with_text(value, seed, size):
    """The JSON of VALUE, in which MARK stands where SIZE generated characters go.
    Returns (length, iterator of byte pieces)."""
    before, after = dump(value).split(json.dumps(MARK)[1:-1])
    before, after = before.encode(), after.encode()

    def pieces():
        yield before
        for block in blocks(seed, size):
            yield block.encode()
        yield after
    return len(before) + size + len(after), pieces()


def gemini_plain(model, body, size):
    digest = sha(body)
    return with_text(_gemini(model, digest, MARK, len(body) // 4, size // 4, True), digest, size)


def gemini_events(model, body, size, events):
    """The JSON texts of a streamed answer; usage is cumulative and the last one wins."""
    digest = sha(body)
    for i in range(events):
        yield dump(_gemini(model, digest, text(f"{digest}:{i}", size), len(body) // 4,
                           (i + 1) * size // 4, i == events - 1)).encode()


def gemini_sse(model, body, size, events):
    for event in gemini_events(model, body, size, events):
        yield b"data: " + event + b"\r\n\r\n"


def gemini_array(model, body, size, events):
    """The form without alt=sse: one JSON array, piece by piece."""
    for i, event in enumerate(gemini_events(model, body, size, events)):
        yield (b",\r\n" if i else b"[") + event
    yield b"]" if events else b"[]"


def claude_plain(model, body, size):
    digest = sha(body)
    value = {"id": "msg_" + digest[:24], "type": "message", "role": "assistant", "model": model,
             "content": [{"type": "text", "text": MARK}], "stop_reason": "end_turn",
             "stop_sequence": None,
             "usage": {"input_tokens": len(body) // 4, "output_tokens": size // 4}}
    return with_text(value, digest, size)


def claude_event(name, value):
    return b"event: " + name.encode() + b"\ndata: " + dump({"type": name, **value}).encode() + b"\n\n"


def claude_sse(model, body, size, events):
    digest = sha(body)
    yield claude_event("message_start", {"message": {
        "id": "msg_" + digest[:24], "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": len(body) // 4, "output_tokens": 1}}})
    yield claude_event("content_block_start",
                       {"index": 0, "content_block": {"type": "text", "text": ""}})
    for i in range(events):
        if i == 1:
            yield claude_event("ping", {})
        yield claude_event("content_block_delta", {"index": 0, "delta": {
            "type": "text_delta", "text": text(f"{digest}:{i}", size)}})
    yield claude_event("content_block_stop", {"index": 0})
    yield claude_event("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None},
                                         "usage": {"output_tokens": events * size // 4}})
    yield claude_event("message_stop", {})


def vector(body, count=8):
    digest = hashlib.sha256(body).digest()
    return [digest[i] / 256 for i in range(count)]


def embed(body):
    return dump({"embedding": {"values": vector(body)}}).encode()


def batch_embed(body):
    return dump({"embeddings": [{"values": vector(body)}]}).encode()


def predict(body):
    return dump({"predictions": [{"embeddings": {"values": vector(body),
                                                 "statistics": {"token_count": len(body) // 4}}}]}).encode()


def count_gemini(body):
    return dump({"totalTokens": len(body) // 4}).encode()


def count_claude(body):
    return dump({"input_tokens": len(body) // 4}).encode()


def echo(method, target, body):
    """Hosts that are only tunnelled to."""
    return dump({"method": method, "target": target, "sha256": sha(body), "length": len(body)}).encode()


def expected(kind, model, body):
    """The whole answer body for a request of KIND: gemini, gemini-sse, gemini-array, claude,
    claude-sse, count-gemini, count-claude, embed, predict."""
    size, events, _ = options(json.loads(body), body)
    if kind == "gemini":
        return b"".join(gemini_plain(model, body, size)[1])
    if kind == "claude":
        return b"".join(claude_plain(model, body, size)[1])
    stream = {"gemini-sse": gemini_sse, "gemini-array": gemini_array, "claude-sse": claude_sse}
    if kind in stream:
        return b"".join(stream[kind](model, body, size, events))
    return {"count-gemini": count_gemini, "count-claude": count_claude, "embed": embed,
            "predict": predict}[kind](body)
