"""TCP servers that tests put where a client, a tunnel or a provider could lead."""
import contextlib
import socket
import threading


class Server:
    """A thread for each connection; what one says is serve()'s.  It ends with the process, or by close()."""

    def __init__(self, server=None):
        self.server = server or socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve_one, args=(conn,), daemon=True).start()

    def serve_one(self, conn):
        with conn, contextlib.suppress(OSError):
            self.serve(conn)

    def serve(self, conn):
        raise NotImplementedError

    def close(self):
        self.server.close()


class Echo(Server):
    """Returns what it gets, and its end."""

    def serve(self, conn):
        copy(conn, conn)


def copy(a, b):
    """All that A says to B, and its end."""
    with contextlib.suppress(OSError):
        while data := a.recv(65536):
            b.sendall(data)
    with contextlib.suppress(OSError):
        b.shutdown(socket.SHUT_WR)


def join(a, b):
    """Each says to the other what it hears; returns when both have ended."""
    back = threading.Thread(target=copy, args=(b, a), daemon=True)
    back.start()
    copy(a, b)
    back.join(10)


def read_head(conn):
    """Up to the empty line; what came if the peer ended before."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = conn.recv(65536)
        if not data:
            break
        head += data
    return head
