"""A WebSocket that lasts: numbered messages at a steady pace through the daemon to the fake cloud's Live API, and back."""
import contextlib
import json
import statistics
import time

import frames
import harness
import lab
import websocket

PATH = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
MODEL = "projects/client-project/locations/us-central1/publishers/google/models/gemini-live"
A_SECOND = 100
AHEAD = 50    # messages that may be under way
EACH = 100    # a ping from each side with so many messages
SIZES = (0, 60, 125, 126, 900, 3000, 300, 20000)  # beside the number


def message(number):
    """(opcode, payload); no two are the same."""
    size = SIZES[number % len(SIZES)]
    return (frames.TEXT if number % 2 else frames.BINARY), b"%08d" % number + bytes([97 + number % 26]) * size


class Talk:
    def __init__(self, ws, count):
        self.ws, self.count = ws, count
        self.sent = self.got = self.pongs = self.pings = 0
        self.begun, self.delays = {}, []

    def send_due(self, start):
        while self.sent < self.count and self.sent - self.got < AHEAD and time.monotonic() >= start + self.sent / A_SECOND:
            opcode, payload = message(self.sent)
            self.begun[self.sent] = time.monotonic()
            self.ws.send(payload, opcode)
            self.sent += 1
            if self.sent % EACH == 0:
                self.ws.raw(frames.frame(frames.PING, b"%d" % self.sent, masked=True))
                self.ws.send("ping me")  # the fake sends a ping of its own instead of an echo

    def take(self):
        got = self.ws.receive()
        lab.require(got is not None, "the connection ended after", self.got, "messages")
        opcode, payload = got
        if opcode == frames.PONG:
            self.pongs += 1
            lab.require(payload == b"%d" % (self.pongs * EACH), "pong", payload, "came for ping", self.pongs * EACH)
        elif opcode == frames.PING:
            self.pings += 1
            self.ws.raw(frames.frame(frames.PONG, payload, masked=True))
        else:
            lab.require((opcode, payload) == message(self.got), "message", self.got, "came back as", opcode, payload[:20], len(payload))
            self.delays.append(time.monotonic() - self.begun.pop(self.got))
            self.got += 1

    def is_over(self):
        rounds = self.count // EACH
        return self.got == self.count and self.pongs == self.pings == rounds

    def run(self):
        start = time.monotonic()
        while not self.is_over():
            self.send_due(start)
            if self.got < self.sent or self.sent == self.count:
                self.take()
            else:
                time.sleep(max(0.0, start + self.sent / A_SECOND - time.monotonic()))
        return time.monotonic() - start


def talk(seconds):
    """Figures of so many seconds of talk; raises when a message is lost, changed or out of order."""
    with contextlib.closing(harness.Lab(accounts=1, conf={"run": {"workers": 1}})) as one, \
            contextlib.closing(websocket.WebSocket(one.tunnel(), PATH, [("authorization", "Bearer " + harness.ALICE)])) as ws:
        lab.require(ws.response.status == 101, ws.response)
        ws.send(json.dumps({"setup": {"model": MODEL}}))
        lab.require(ws.receive() == (frames.BINARY, b'{"setupComplete":{}}'), "no answer to the setup")
        warm = Talk(ws, 2 * EACH)
        warm.run()
        before = lab.status_of(one.daemon, "VmRSS")
        it = Talk(ws, int(seconds * A_SECOND))
        took = it.run()
        growth = lab.status_of(one.daemon, "VmHWM") - before
        seen = one.cloud.log(harness.VERTEX)[-1]
        lab.require("client-project" not in seen["body"], "the project of the setup was not the account's")
        ws.raw(frames.frame(frames.CLOSE, (1000).to_bytes(2, "big"), masked=True))
        lab.require(ws.receive() == (frames.CLOSE, (1000).to_bytes(2, "big")), "no close came back")
    delays = sorted(it.delays)
    return {"sent": it.sent, "seconds": took, "pings": it.pings, "growth": growth, "p50_ms": 1000 * statistics.median(delays),
            "p99_ms": 1000 * delays[len(delays) * 99 // 100]}
