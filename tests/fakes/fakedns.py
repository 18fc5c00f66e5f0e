#!/usr/bin/env python3
"""A name server on loopback whose answers the test writes: A, AAAA and CNAME.

    with FakeDns({"two.test": ["127.0.0.3", "127.0.0.1"]}) as dns: dns.port, dns.asked
"""
import ipaddress
import socket
import struct
import threading

A, CNAME, AAAA = 1, 5, 28


class FakeDns:
    """Answers over UDP and TCP on one port.  A name without an entry does not exist; a value that
    is a callable gives its addresses anew for each question (rebinding); one that is a text with a dot is
    the name it is an alias of; one that is a word is a fault: silent, servfail, refused, garbage, wrong-id,
    wrong-name, short, truncated (over TCP all is well: 127.0.0.1), empty."""

    def __init__(self, names, address="127.0.0.1"):
        self.names = {n.lower(): a for n, a in names.items()}
        self.asked = []
        self.udp, self.tcp = self._one_port(address)
        self.port = self.udp.getsockname()[1]
        for loop in (self._udp, self._tcp):
            threading.Thread(target=loop, daemon=True).start()

    @staticmethod
    def _one_port(address):
        """A port that is free for both: one that is free for UDP may be somebody's TCP connection."""
        for attempt in range(50):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((address, 0))
            try:
                return udp, socket.create_server((address, udp.getsockname()[1]))
            except OSError:
                udp.close()
                if attempt == 49:
                    raise

    def spoil(self, fault, reply, over_tcp):
        """REPLY with FAULT in it, or None."""
        ident, flags = struct.unpack("!HH", reply[:4])
        if fault in ("servfail", "refused"):
            return struct.pack("!HH", ident, flags & 0xFFF0 | (2 if fault == "servfail" else 5)) + reply[4:]
        if fault == "wrong-id":
            return struct.pack("!H", ident ^ 0x5555) + reply[2:]
        if fault == "wrong-name":
            return reply[:13] + bytes([reply[13] ^ 1]) + reply[14:]
        if fault == "truncated" and not over_tcp:
            return struct.pack("!HH", ident, flags | 0x0200) + reply[4:]
        return {"silent": None, "garbage": reply[:2] + b"\xff" * 60, "short": reply[:7]}.get(fault, reply)

    def answer(self, query, over_tcp=False):
        """The answer to QUERY in wire format, or None for something unreadable."""
        try:
            ident, flags, count = struct.unpack("!HHH", query[:6])
            labels, at = [], 12
            while size := query[at]:
                labels.append(query[at + 1:at + 1 + size].decode("ascii").lower())
                at += size + 1
            kind, _ = struct.unpack("!HH", query[at + 1:at + 5])
        except (struct.error, IndexError, UnicodeDecodeError):
            return None
        if count != 1 or flags & 0x8000:
            return None
        name = ".".join(labels)
        self.asked.append((name, kind))
        records, owner = [], b"\xc0\x0c"
        found = self.names.get(name)
        while isinstance(found, str) and "." in found and len(records) < 8:
            target = b"".join(bytes([len(part)]) + part.encode() for part in found.split(".")) + b"\0"
            records.append(owner + struct.pack("!HHLH", CNAME, 1, 1, len(target)) + target)
            owner, found = target, self.names.get(found)
        fault = found if isinstance(found, str) else None
        if fault:
            found = [] if fault == "empty" else ["127.0.0.1"]
        addresses = [ipaddress.ip_address(a) for a in (found() if callable(found) else found or [])]
        for address in addresses:
            if (address.version == 4) == (kind == A) and kind in (A, AAAA):
                records.append(owner + struct.pack("!HHLH", kind, 1, 1, len(address.packed)) + address.packed)
        code = 0 if records or found is not None else 3
        head = struct.pack("!HHHHHH", ident, 0x8180 | code, 1, len(records), 0, 0)
        reply = head + query[12:at + 5] + b"".join(records)
        return self.spoil(fault, reply, over_tcp) if fault else reply

    def _udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
                reply = self.answer(query)
                if reply:
                    self.udp.sendto(reply, peer)
            except OSError:
                return

    def _tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            with conn:
                try:
                    conn.settimeout(2)
                    size, = struct.unpack("!H", conn.recv(2))
                    reply = self.answer(conn.recv(size), over_tcp=True)
                    conn.sendall(struct.pack("!H", len(reply)) + reply)
                except (OSError, struct.error, TypeError):
                    pass

    def close(self):
        self.udp.close()
        self.tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()
