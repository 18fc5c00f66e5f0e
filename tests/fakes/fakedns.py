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
    is a callable gives its addresses anew for each question (rebinding); one that is a text is the name
    it is an alias of."""

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

    def answer(self, query):
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
        while isinstance(found, str) and len(records) < 8:
            target = b"".join(bytes([len(part)]) + part.encode() for part in found.split(".")) + b"\0"
            records.append(owner + struct.pack("!HHLH", CNAME, 1, 1, len(target)) + target)
            owner, found = target, self.names.get(found)
        addresses = [ipaddress.ip_address(a) for a in (found() if callable(found) else found or [])]
        for address in addresses:
            if (address.version == 4) == (kind == A) and kind in (A, AAAA):
                records.append(owner + struct.pack("!HHLH", kind, 1, 1, len(address.packed)) + address.packed)
        code = 0 if records or found is not None else 3
        head = struct.pack("!HHHHHH", ident, 0x8180 | code, 1, len(records), 0, 0)
        return head + query[12:at + 5] + b"".join(records)

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
                    reply = self.answer(conn.recv(size))
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
