"""What our CA signs, judged by openssl."""
import contextlib
import datetime
import os
import re
import ssl
import subprocess
import unittest

import client
import pki
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from harness import ALICE, BODY, CLAUDE, GEMINI, GENERATE, VERTEX, Lab, LabCase

OF_BYTES = True


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Certificates(LabCase):
    LAB = {"accounts": 1, "claude": False, "connect_to": ["storage.googleapis.com:443:127.0.0.1:{p[main]}"]}

    def leaf(self, host):
        """(PEM of the leaf, text of openssl)"""
        with self.lab.tunnel(host) as tunnel:
            pem = ssl.DER_cert_to_PEM_cert(tunnel.tls.getpeercert(True))
        status, text = openssl("x509", "-noout", "-text", stdin=pem)
        self.assertEqual(status, 0)
        return pem, text

    @staticmethod
    def date(text, label):
        found = re.search(label + r"\s*:\s*(.+?) GMT", text)[1]
        return datetime.datetime.strptime(re.sub(r" +", " ", found), "%b %d %H:%M:%S %Y")

    def test_leaf_fields(self):
        for host in (VERTEX, GEMINI, CLAUDE, "aiplatform.us.rep.googleapis.com"):
            with self.subTest(host=host):
                pem, text = self.leaf(host)
                self.assertEqual(re.findall(r"(?:DNS|IP Address):([^\s,]+)", text), [host])
                self.assertRegex(text, r"TLS Web Server Authentication\s*\n")
                self.assertNotIn("TLS Web Client Authentication", text)
                self.assertIn("CA:FALSE", text)
                begin, end = self.date(text, "Not Before"), self.date(text, "Not After")
                self.assertLessEqual(end - begin, datetime.timedelta(days=30))
                now = datetime.datetime.utcnow()
                self.assertTrue(begin <= now < end)
                serial = openssl("x509", "-noout", "-serial", stdin=pem)[1].strip().split("=")[1]
                self.assertGreaterEqual(len(serial), 28)
                self.assertRegex(text, r"ecdsa-with-SHA(256|384)|sha256WithRSAEncryption")
                path = self.lab.path("leaf.pem")
                with open(path, "w", encoding="ascii") as out:
                    out.write(pem)
                status, said = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile",
                                       self.lab.ca, path)
                self.assertEqual(status, 0, said)

    def test_leaf_and_ca_by_fields(self):
        """What test_leaf_fields reads as text, read as values."""
        with open(self.lab.ca, "rb") as f:
            ca = x509.load_pem_x509_certificate(f.read())
        serials = set()
        for host in (VERTEX, GEMINI, "aiplatform.googleapis.com", "europe-west4-aiplatform.googleapis.com", CLAUDE):
            with self.subTest(host=host):
                leaf = x509.load_pem_x509_certificate(self.leaf(host)[0].encode())
                serials.add(leaf.serial_number)
                self.assertTrue(64 < leaf.serial_number.bit_length() <= 159, "random enough, and 20 octets at most")
                kinds = {e.value.__class__: e for e in leaf.extensions}
                self.assertEqual([n.value for n in kinds[x509.SubjectAlternativeName].value], [host])
                self.assertEqual(list(kinds[x509.ExtendedKeyUsage].value), [ExtendedKeyUsageOID.SERVER_AUTH])
                self.assertEqual((kinds[x509.BasicConstraints].value.ca, kinds[x509.BasicConstraints].critical), (False, True))
                usage = kinds[x509.KeyUsage]
                self.assertTrue(usage.critical and usage.value.digital_signature)
                self.assertFalse(usage.value.key_cert_sign or usage.value.crl_sign)
                self.assertEqual(kinds[x509.AuthorityKeyIdentifier].value.key_identifier,
                                 ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest)
                self.assertEqual(leaf.issuer, ca.subject)
                self.assertLessEqual(leaf.not_valid_after, ca.not_valid_after)
        self.assertEqual(len(serials), 5, "a serial for each")
        basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertEqual((basic.critical, basic.value.ca, basic.value.path_length), (True, True, 0))
        names = ca.extensions.get_extension_for_class(x509.NameConstraints)
        self.assertTrue(names.critical)
        permitted = [n.value for n in names.value.permitted_subtrees if isinstance(n, x509.DNSName)]
        self.assertEqual(sorted(n.lstrip(".") for n in permitted), ["anthropic.com", "googleapis.com"])
        usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
        self.assertTrue(usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature)

    def test_no_leaf_but_for_swap_hosts(self):
        """A tunnel's certificate is its target's own, below a swap domain too; who cannot be reached has none at all."""
        for host in ("tunnel.test", "storage.googleapis.com"):
            with self.subTest(host=host):
                with self.lab.tunnel(host, context=client.trusting(self.cloud.ca)) as tunnel:
                    self.assertEqual(tunnel.connect_status, 200)
                with self.assertRaises(ssl.SSLCertVerificationError):
                    self.lab.tunnel(host)
        for host in ("www.bank.test", "evil-googleapis.com", f"{VERTEX}.evil.test", "127.0.0.1", "googleapis.com.test"):
            with self.subTest(host=host), contextlib.closing(self.lab.tunnel(host, tls=False)) as tunnel:
                self.assertNotEqual(tunnel.connect_status, 200)

    def test_python_refuses_a_forged_leaf_too(self):
        """ssl by its own verification, in a handshake: a leaf of our CA for a bank, and one for a swap host."""
        with open(self.lab.ca, "rb") as f:
            ca = x509.load_pem_x509_certificate(f.read())
        with open(self.lab.path("ca.key"), "rb") as f:
            ca_key = serialization.load_pem_private_key(f.read(), None)
        for name, good in (("www.bank.test", False), ("googleapis.com.bank.test", False), ("127.0.0.1", False), (VERTEX, True)):
            with self.subTest(name=name):
                cert, key = pki.issue(ca, ca_key, [name], end=2)
                path = self.lab.path("forged.pem")
                pki.write_private(path, pki.pem_key(key) + pki.pem_cert(cert))
                server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                server_side.load_cert_chain(path)
                self.assertEqual(self.shakes_hands(server_side, name), good)

    def shakes_hands(self, server_side, name):
        """Do a client that trusts our CA and a server agree?  In memory."""
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        near = client.trusting(self.lab.ca).wrap_bio(to_client, to_server, server_hostname=name)
        far = server_side.wrap_bio(to_server, to_client, server_side=True)
        done = set()
        for _ in range(6):
            for side in (near, far):
                try:
                    side.do_handshake()
                    done.add(side)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLCertVerificationError:
                    return False
        return len(done) == 2

    def test_clients_below_tls_1_2_are_refused(self):
        for version, good in ((ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
            with self.subTest(version=version.name):
                context = client.trusting(self.lab.ca)
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = context.maximum_version = version
                try:
                    with self.lab.tunnel(context=context):
                        agreed = True
                except (ssl.SSLError, ConnectionError):
                    agreed = False
                self.assertEqual(agreed, good)

    def test_a_leaf_is_made_once(self):
        first, second = self.leaf(VERTEX)[0], self.leaf(VERTEX)[0]
        self.assertEqual(first, second)

    def test_the_ca_is_bounded(self):
        status, text = openssl("x509", "-noout", "-text", "-in", self.lab.ca)
        self.assertEqual(status, 0)
        self.assertRegex(text, r"Basic Constraints: critical\s+CA:TRUE, pathlen:0")
        self.assertRegex(text, r"Name Constraints: critical")
        permitted = set(re.findall(r"DNS:([^\s,]+)", text.split("Name Constraints")[1]))
        self.assertEqual({p.lstrip(".") for p in permitted}, {"googleapis.com", "anthropic.com"})
        self.assertRegex(text, r"Key Usage: critical\s+[^\n]*Certificate Sign")
        self.assertEqual(os.stat(self.lab.path("ca.key")).st_mode & 0o777, 0o600)

    def test_a_leaf_outside_the_constraints_is_refused_by_clients(self):
        """Whoever stole the CA key could not play a bank."""
        work = self.lab.path("forge")
        os.makedirs(work, exist_ok=True)
        for name, expected in (("www.bank.test", False), (VERTEX, True)):
            with self.subTest(name=name):
                key, request, cert, ext = (os.path.join(work, n) for n in ("k.pem", "r.pem", "c.pem", "e.cnf"))
                with open(ext, "w", encoding="ascii") as out:
                    out.write(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
                status, said = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                                       "-out", request, "-subj", "/O=test")
                self.assertEqual(status, 0, said)
                status, said = openssl("x509", "-req", "-in", request, "-CA", self.lab.ca, "-CAkey", self.lab.path("ca.key"), "-days", "2",
                                       "-extfile", ext, "-out", cert)
                if status:
                    self.skipTest("the CA key is not a plain PEM file")
                status, said = openssl("verify", "-CAfile", self.lab.ca, cert)
                self.assertEqual(status == 0, expected, said)

    def test_no_certificate_for_a_foreign_name(self):
        for sni in ("www.bank.test", "evil.googleapis.com.test"):
            with self.subTest(sni=sni):
                try:
                    with self.lab.tunnel(VERTEX, sni=sni) as tunnel:
                        _, text = openssl("x509", "-noout", "-text", stdin=ssl.DER_cert_to_PEM_cert(tunnel.tls.getpeercert(True)))
                        self.assertNotIn(sni, text)
                except (ssl.SSLError, ConnectionError, client.Broken):
                    pass

    def test_sessions_resume(self):
        context = client.trusting(self.lab.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.lab.tunnel(context=context) as first:
            first.ask("POST", GENERATE, BODY, [("authorization", "Bearer " + ALICE)])
            session = first.tls.session
        with contextlib.closing(self.lab.tunnel(tls=False)) as second:
            tls = context.wrap_socket(second.sock, server_hostname=VERTEX, session=session)
            self.assertTrue(tls.session_reused)
            tls.close()


class Console(unittest.TestCase):
    def test_ca_commands(self):
        lab = Lab(accounts=0, claude=False, clients=False, start=False)
        try:
            with open(lab.ca, encoding="ascii") as f:
                pem = f.read()
            self.assertIn(pem.strip(), lab.cs("ca", "export").stdout)
            shown = lab.cs("ca", "show").stdout
            done = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", lab.ca)[1]
            self.assertIn(done.split("=")[1].strip().replace(":", "").lower(), shown.replace(":", "").lower())
            lab.cs("ca", "init", status=None)  # whatever it says, a CA that is there stays
            with open(lab.ca, encoding="ascii") as f:
                self.assertEqual(f.read(), pem)
        finally:
            lab.close()
