"""Providers and token endpoints with certificates and protocols that must not be trusted."""
import datetime
import os
import socket
import ssl
import subprocess

import pki
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
import servers
from harness import ALICE, DAEMON, GENERATE, OAUTH, Lab, LabCase, clean_env, shared_keys, until

DAY = datetime.timedelta(days=1)


def certificate(ca, names, *, cn="provider", begin=-1, end=20, uses=(ExtendedKeyUsageOID.SERVER_AUTH,), is_ca=False):
    """(certificate, key) with exactly these names; CA is (certificate, key), None: self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(ca[0].subject if ca else subject).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(now + begin * DAY).not_valid_after(now + end * DAY)
               .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([pki.general_name(n) for n in names]), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
    return builder.sign(ca[1] if ca else key, hashes.SHA256()), key


class Silent(servers.Server):
    """One TLS port that never answers; received is what came after a handshake."""

    def __init__(self, path, change=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(path)
        if change:
            change(self.context)
        self.received = b""
        super().__init__()

    def serve(self, conn):
        conn.settimeout(3)
        with self.context.wrap_socket(conn, server_side=True) as tls:
            self.received += tls.recv(65536)


def only(low, high):
    def change(context):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = low, high
    return change


class Door(servers.Server):
    """A port that leads to another one, which may change."""

    def __init__(self):
        self.leads_to = 0
        super().__init__()

    def serve(self, conn):
        with socket.create_connection(("127.0.0.1", self.leads_to), timeout=5) as far:
            servers.join(conn, far)


def weak(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")


def authorities():
    """(bundle of what is trusted, CA that is trusted, CA that is not)"""
    trusted, stranger = pki.make_ca("Trusted Test CA"), pki.make_ca("Stranger CA")
    with open(os.path.join(shared_keys(), "ca.pem"), "rb") as f:
        return f.read() + pki.pem_cert(trusted[0]), trusted, stranger


def kinds(host, trusted, stranger):
    """{kind: ((certificate, key), change of the context)}: none of them is HOST."""
    parent = host.split(".", 1)[1]
    intermediate = certificate(trusted, ["ca.test"], is_ca=False, uses=())
    tls = ssl.TLSVersion
    return {
        "self-signed": (certificate(None, [host]), None),
        "self-signed that says it is a CA": (certificate(None, [host], is_ca=True), None),
        "another CA": (certificate(stranger, [host]), None),
        "signed by a leaf": (certificate(intermediate, [host]), None),
        "expired": (certificate(trusted, [host], begin=-20, end=-1), None),
        "not yet valid": (certificate(trusted, [host], begin=2, end=20), None),
        "wrong name": (certificate(trusted, ["wrong.example.org"]), None),
        "name only in the common name": (certificate(trusted, [], cn=host), None),
        "common name right, names wrong": (certificate(trusted, ["wrong.example.org"], cn=host), None),
        "its parent": (certificate(trusted, [parent]), None),
        "a child": (certificate(trusted, ["x." + host]), None),
        "a wildcard two labels up": (certificate(trusted, ["*." + parent.split(".", 1)[1]]), None),
        "a wildcard for all": (certificate(trusted, ["*"]), None),
        "a wildcard inside a label": (certificate(trusted, [host[:4] + "*." + parent]), None),
        "the name and a dot more": (certificate(trusted, [host + ".evil.test"]), None),
        "an address": (certificate(trusted, ["127.0.0.1"]), None),
        "for clients only": (certificate(trusted, [host], uses=[ExtendedKeyUsageOID.CLIENT_AUTH]), None),
        "for code only": (certificate(trusted, [host], uses=[ExtendedKeyUsageOID.CODE_SIGNING]), None),
        "tls 1.0": (certificate(trusted, [host]), only(tls.TLSv1, tls.TLSv1)),
        "tls 1.1": (certificate(trusted, [host]), only(tls.TLSv1, tls.TLSv1_1)),
        "no cipher in common": (certificate(trusted, [host]), weak),
    }


class TlsCase(LabCase):
    """Servers that nobody must trust, one for each kind."""

    @classmethod
    def servers(cls, host_of):
        """Starts one server for each kind; returns {kind: (host, Silent)} and writes the bundle of roots."""
        lab = cls.lab
        bundle, trusted, stranger = authorities()
        roots = lab.path("roots.pem")
        with open(roots, "wb") as out:
            out.write(bundle)
        found = {}
        for number, kind in enumerate(kinds("a.b.test", trusted, stranger)):
            host = host_of(number)
            (cert, key), change = kinds(host, trusted, stranger)[kind]
            path = lab.path(f"server-{number}.pem")
            pki.write_private(path, pki.pem_key(key) + pki.pem_cert(cert))
            found[kind] = (host, Silent(path, change))
        lab.sections["upstream"]["ca_file"] = roots
        cls.trusted = trusted
        return found


class Providers(TlsCase):
    LAB = {"accounts": 2, "claude": False}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.stop()
        cls.found = cls.servers(lambda n: f"europe-west{n + 20}-aiplatform.googleapis.com")
        cls.good = "asia-east1-aiplatform.googleapis.com"
        path = cls.lab.path("server-good.pem")
        cert, key = certificate(cls.trusted, [cls.good], uses=())
        pki.write_private(path, pki.pem_key(key) + pki.pem_cert(cert))
        cls.right = Silent(path)
        entries = [f"{host}:443:127.0.0.1:{server.port}" for host, server in [*cls.found.values(), (cls.good, cls.right)]]
        cls.lab.sections["upstream"]["connect_to"] = entries + cls.lab.connect_to
        cls.lab.sections["upstream"]["read_timeout"] = 2
        cls.lab.rewrite()
        cls.lab.start()

    @classmethod
    def tearDownClass(cls):
        for _, server in cls.found.values():
            server.server.close()
        cls.right.server.close()
        super().tearDownClass()

    def place(self, host):
        return GENERATE.replace("us-central1", host.split("-aiplatform")[0])

    def test_none_of_them_gets_a_byte(self):
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        for kind, (host, server) in self.found.items():
            with self.subTest(kind=kind):
                response = self.lab.ask(host, self.place(host), token=ALICE)
                message = self.assertOwnError(response, 502, "vertex")
                self.assertNotIn("example.org", message)
                self.assertTrue(until(lambda: server.accepted > 0, 2), "never dialled: the test proves nothing")
                self.assertEqual(server.received, b"")
        self.assertEqual(len([r for r in self.cloud.log() if r["host"] != OAUTH]), 1, "the one before")
        self.assertEqual(self.lab.query("select * from cooldown"), [], "no account is to blame")
        self.assertStatus(self.lab.ask(token=ALICE), 200)
        self.lab.scan_secrets()

    def test_the_same_server_with_a_right_certificate_is_asked(self):
        response = self.lab.ask(self.good, self.place(self.good), token=ALICE)
        self.assertIn(response.status, (502, 504))  # it never answers
        self.assertTrue(until(lambda: b"POST /v1/projects/" in self.right.received, 2))


class TokenEndpoint(TlsCase):
    """The same at the token endpoint: no assertion leaves, the account fails over or the answer is 503."""

    LAB = {"accounts": 2, "claude": False, "conf": {"oauth": {"timeout": 3}}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.stop()
        cls.found = cls.servers(lambda _n: OAUTH)
        cls.door = Door()
        cls.lab.sections["upstream"]["connect_to"] = [f"{OAUTH}:443:127.0.0.1:{cls.door.port}"] + cls.lab.connect_to
        cls.lab.rewrite()
        cls.lab.start()

    @classmethod
    def tearDownClass(cls):
        cls.door.close()
        for _, server in cls.found.values():
            server.server.close()
        super().tearDownClass()

    def test_no_assertion_leaves(self):
        lab = self.lab
        for kind, (_, server) in self.found.items():
            with self.subTest(kind=kind):
                self.door.leads_to = server.port
                self.assertNotEqual(lab.cs("account", "refresh", "acct-1", status=None).returncode, 0)
                self.assertTrue(until(lambda: server.accepted > 0, 2), "never dialled: the test proves nothing")
                self.assertEqual(server.received, b"")
        self.assertOwnError(lab.ask(token=ALICE), 503, "vertex")
        self.assertNothingForwarded()
        self.assertEqual(self.cloud.stats()["mint_attempts"], 0)
        self.door.leads_to = self.cloud.port
        lab.cs("account", "refresh", "acct-1")
        self.assertTrue(until(lambda: lab.ask(token=ALICE).status == 200, 5))
        lab.scan_secrets()


class Configuration(LabCase):
    """Nothing in the configuration turns the checks off."""

    LAB = {"accounts": 1, "claude": False, "start": False}

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(**cls.LAB)

    def test_no_key_loosens_them(self):
        known = self.lab.cs("config", "show").stdout.lower()
        for word in ("verify", "insecure", "skip", "min_version", "tls_version", "cipher"):
            self.assertNotIn(word, known)
        for key in ("verify = false", "insecure = true", "tls_verify = 0", 'ca_file = "none"'):
            with self.subTest(key=key):
                path = self.lab.path("loose.conf")
                with open(self.lab.conf, encoding="utf-8") as f:
                    text = f.read()
                with open(path, "w", encoding="utf-8") as out:
                    out.write("\n".join(line for line in text.splitlines() if "ca_file" not in line or "ca_file" not in key)
                              .replace("upstream {", "upstream {\n  " + key))
                self.assertNotEqual(self.check(path).returncode, 0)

    def check(self, path, **env):
        return subprocess.run([DAEMON, "--config", path, "--check"], capture_output=True, text=True, env=clean_env(**env), cwd=self.lab.dir, check=False,
                              timeout=20)

    def test_a_missing_file_of_roots_is_an_error(self):
        self.assertNotEqual(self.check(self.lab.conf, CREDSWAP_UPSTREAM_CA_FILE="/nonexistent.pem").returncode, 0)
        self.assertEqual(self.check(self.lab.conf).returncode, 0)
