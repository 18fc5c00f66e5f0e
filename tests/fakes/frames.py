"""WebSocket frames (RFC 6455) and permessage-deflate (RFC 7692), for either side."""
import base64
import hashlib
import os
import zlib

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
TAIL = b"\0\0\xff\xff"


def accept(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def frame(opcode, payload=b"", last=True, compressed=False, masked=False):
    head = bytes([last << 7 | compressed << 6 | opcode])
    size, bit = len(payload), masked << 7
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = os.urandom(4)
    whole = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


class Deflate:
    """One direction of permessage-deflate."""

    def __init__(self, takeover=True):
        self.takeover = takeover
        self.out = zlib.compressobj(wbits=-15)
        self.back = zlib.decompressobj(wbits=-15)

    def compress(self, data):
        done = self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)
        if not self.takeover:
            self.out = zlib.compressobj(wbits=-15)
        return done[:-4]

    def decompress(self, data):
        return self.back.decompress(data + TAIL)


class Parser:
    """Bytes to messages: (opcode, payload, was compressed). Control frames come as they are."""

    def __init__(self, masked, deflate=None):
        self.masked = masked
        self.deflate = deflate
        self.buf = bytearray()
        self.message = None

    def feed(self, data):
        self.buf += data
        while True:
            got = self.one()
            if got is None:
                return
            opcode, last, compressed, payload = got
            if opcode & 8:
                yield opcode, payload, False
                continue
            if opcode:
                assert self.message is None, "a message within a message"
                self.message = [opcode, bytearray(), compressed]
            assert self.message is not None, "nothing to go on with"
            self.message[1] += payload
            if last:
                opcode, payload, compressed = self.message
                self.message = None
                payload = bytes(payload)
                yield opcode, self.deflate.decompress(payload) if compressed else payload, compressed

    def one(self):
        buf = self.buf
        if len(buf) < 2:
            return None
        size, at = buf[1] & 127, 2
        if size >= 126:
            more = 2 if size == 126 else 8
            size, at = int.from_bytes(buf[2:2 + more], "big"), 2 + more
        assert bool(buf[1] & 128) == self.masked, "masked by the wrong side"
        at += 4 * self.masked
        if len(buf) < at + size:
            return None
        payload = bytes(buf[at:at + size])
        if self.masked:
            whole = (bytes(buf[at - 4:at]) * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
        got = buf[0] & 15, bool(buf[0] & 128), bool(buf[0] & 64), payload
        del buf[:at + size]
        return got
