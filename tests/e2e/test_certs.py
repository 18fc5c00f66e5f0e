"""What our CA signs, judged by openssl."""
import contextlib
import datetime
import os
import re
import ssl
import subprocess
import unittest

import client
from harness import ALICE, BODY, CLAUDE, GEMINI, GENERATE, VERTEX, Lab, LabCase


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Certificates(LabCase):
    LAB = {"accounts": 1, "claude": False}

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
