#!/usr/bin/env python3
"""Throw-away keys for the tests: a CA, server certificates and service-account key files.

Everything is made at run time in a directory of mode 0700; nothing of it is ever committed.

    pki.py --dir DIR [--accounts N]     makes what is missing in DIR and prints one path a line
"""
import argparse
import datetime
import ipaddress
import json
import os
import secrets
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TOKEN_URI = "https://oauth2.googleapis.com/token"
DAY = datetime.timedelta(days=1)

# One certificate each; the first matching entry serves the SNI.
SERVER_NAMES = {
    "google": ["*.googleapis.com", "aiplatform.us.rep.googleapis.com",
               "aiplatform.eu.rep.googleapis.com"],
    "anthropic": ["api.anthropic.com"],
    "other": ["tunnel.test", "*.tunnel.test", "localhost"],
}


def write_private(path, data):
    """Writes DATA to PATH with mode 0600 from its first byte on."""
    tmp = f"{path}.{secrets.token_hex(4)}"
    fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(data)
    os.replace(tmp, path)


def pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def pem_cert(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_ca(common_name="Fake Public CA"):
    """Returns (certificate, key) of a new root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY).not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                           critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256()))
    return cert, key


def issue(ca_cert, ca_key, names, begin=-1, end=20):
    """Returns (certificate, key) for NAMES, valid from BEGIN to END, in days from now.
    Without a CA (None, None) the certificate is signed by its own key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(subject)
            .issuer_name(ca_cert.subject if ca_cert else subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now + begin * DAY).not_valid_after(now + end * DAY)
            .add_extension(x509.SubjectAlternativeName([general_name(n) for n in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(ca_key or key, hashes.SHA256()))
    return cert, key


def _save_pair(path, cert, key):
    write_private(path, pem_key(key) + pem_cert(cert))


def make_servers(directory):
    """Makes ca.pem and the server certificates (key and certificate in one file) once.
    Returns {variant: path}: google, anthropic, other, self-signed, expired, wrong-name."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    names = list(SERVER_NAMES) + ["self-signed", "expired", "wrong-name"]
    paths = {n: os.path.join(directory, f"server-{n}.pem") for n in names}
    ca_path = os.path.join(directory, "ca.pem")
    paths["ca"] = ca_path
    if all(os.path.exists(p) for p in paths.values()):
        return paths
    ca_cert, ca_key = make_ca()
    everything = sum(SERVER_NAMES.values(), [])
    for label, san in SERVER_NAMES.items():
        _save_pair(paths[label], *issue(ca_cert, ca_key, san))
    _save_pair(paths["self-signed"], *issue(None, None, everything))
    _save_pair(paths["expired"], *issue(ca_cert, ca_key, everything, begin=-20, end=-10))
    _save_pair(paths["wrong-name"], *issue(ca_cert, ca_key, ["wrong.example.org"]))
    with open(ca_path, "wb") as out:
        out.write(pem_cert(ca_cert))
    return paths


def make_account(directory, name, project=None, pkcs1=False):
    """Writes a service-account key file of Google's shape and returns its path."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    project = project or f"{name}-project"
    email = f"{name}@{project}.iam.gserviceaccount.com"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL if pkcs1 else serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    data = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem,
        "client_email": email,
        "client_id": str(10 ** 20 + secrets.randbelow(10 ** 20)),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url":
            "https://www.googleapis.com/robot/v1/metadata/x509/" + email.replace("@", "%40"),
        "universe_domain": "googleapis.com",
    }
    path = os.path.join(directory, f"{name}.json")
    write_private(path, json.dumps(data, indent=2).encode() + b"\n")
    return path


def make_accounts(directory, count, prefix="acct"):
    """Makes acct-1.json ... acct-COUNT.json where missing; returns their paths."""
    paths = []
    for i in range(1, count + 1):
        path = os.path.join(directory, f"{prefix}-{i}.json")
        paths.append(path if os.path.exists(path) else make_account(directory, f"{prefix}-{i}"))
    return paths


def load_account(path):
    """Returns what the token endpoint knows of a key file: its public half."""
    with open(path, encoding="utf-8") as f:
        data = json.load(f)
    key = serialization.load_pem_private_key(data["private_key"].encode(), None)
    return {"email": data["client_email"], "project": data["project_id"],
            "kid": data["private_key_id"], "public_key": key.public_key()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--accounts", type=int, default=0)
    args = parser.parse_args()
    for path in sorted(make_servers(args.dir).values()):
        print(path)
    for path in make_accounts(os.path.join(args.dir, "accounts"), args.accounts):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
