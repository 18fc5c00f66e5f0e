"""The fake token endpoint: checks a JWT-bearer grant as strictly as Google and issues tokens.

Every refusal has the shape and the words of the real one, so that a client that reads them
(clock trouble, deleted account, bad signature) can be tested.
"""
import base64
import json
import secrets
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

AUDIENCE = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLOUD = "https://www.googleapis.com/auth/cloud-platform"
RETRIEVER = "https://www.googleapis.com/auth/generative-language.retriever"
SCOPES = {CLOUD, RETRIEVER, CLOUD + ".read-only",
          "https://www.googleapis.com/auth/generative-language.tuning",
          "https://www.googleapis.com/auth/generative-language.peruserquota"}
TOKEN_BYTES = 1024

CLOCK = ("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
         "Check your iat and exp values in the JWT claim.")


class Refused(Exception):
    def __init__(self, status, error, description):
        super().__init__(description)
        self.status = status
        self.body = json.dumps({"error": error, "error_description": description}).encode()


class Account:
    """What the endpoint knows of a service account.  state: ok, deleted, disabled, unpropagated."""

    def __init__(self, email, project, kid, public_key):
        self.email = email
        self.project = project
        self.kid = kid
        self.public_key = public_key
        self.state = "ok"
        self.mints = 0
        self.refused = 0


class Token:
    def __init__(self, account, scope, expires_at):
        self.account = account
        self.scope = set(scope.split(" "))
        self.expires_at = expires_at
        self.state = "ok"


def decode(part):
    if "=" in part:
        raise ValueError("padding")
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


class Issuer:
    """Registered accounts and the tokens they were given."""

    def __init__(self):
        self.accounts = {}
        self.tokens = {}
        self.ttl = 3599
        self.skew = 0
        self.attempts = 0
        self.unknown = 0

    def now(self):
        return time.time() + self.skew

    def register(self, email, project, kid, public_key):
        old = self.accounts.get(email)
        if old is None or old.kid != kid:
            self.accounts[email] = Account(email, project, kid, public_key)

    def grant(self, content_type, body):
        """The JSON members of a success, or Refused."""
        self.attempts += 1
        account, scope = self.check(content_type, body)
        token = self.issue(account, scope)
        return {"access_token": token, "expires_in": self.ttl, "token_type": "Bearer"}

    def issue(self, account, scope):
        # Long runs of dots at the end are what the real ones show, and what a client must not trim.
        core = "ya29.c." + secrets.token_urlsafe(720)
        token = core[:TOKEN_BYTES - 64].ljust(TOKEN_BYTES, ".")
        self.tokens[token] = Token(account, scope, self.now() + self.ttl)
        account.mints += 1
        return token

    def check(self, content_type, body):
        if (content_type or "").split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            raise Refused(400, "invalid_request", "Bad Request")
        try:
            form = urllib.parse.parse_qs(body.decode("ascii"), strict_parsing=True, keep_blank_values=True)
        except (UnicodeDecodeError, ValueError):
            raise Refused(400, "invalid_request", "Bad Request") from None
        if set(form) != {"grant_type", "assertion"} or any(len(v) != 1 for v in form.values()):
            raise Refused(400, "invalid_request", "Bad Request")
        if form["grant_type"][0] != GRANT:
            raise Refused(400, "unsupported_grant_type", "Invalid grant_type: " + form["grant_type"][0])
        return self.check_assertion(form["assertion"][0])

    def check_assertion(self, assertion):
        parts = assertion.split(".")
        try:
            header, claims = (json.loads(decode(p)) for p in parts[:2])
            signature = decode(parts[2])
            if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
                raise ValueError
        except (ValueError, IndexError):
            raise Refused(400, "invalid_request", "Bad Request") from None
        account = self.accounts.get(claims.get("iss"))
        if account is None or account.state == "deleted":
            self.unknown += account is None
            self.count_refusal(account)
            raise Refused(400, "invalid_grant", "Invalid grant: account not found")
        try:
            self.check_claims(account, header, claims, parts, signature)
        except Refused:
            self.count_refusal(account)
            raise
        return account, claims["scope"]

    @staticmethod
    def count_refusal(account):
        if account:
            account.refused += 1

    def check_claims(self, account, header, claims, parts, signature):
        if account.state == "disabled":
            raise Refused(401, "disabled_client", "The OAuth client was disabled.")
        if account.state == "unpropagated":
            raise Refused(400, "invalid_grant", "Invalid JWT: No valid verifier found for issuer.")
        if header.get("alg") != "RS256" or header.get("typ") != "JWT" or header.get("kid") != account.kid:
            raise Refused(400, "invalid_grant", "Invalid JWT Signature.")
        try:
            account.public_key.verify(signature, ".".join(parts[:2]).encode(), padding.PKCS1v15(),
                                      hashes.SHA256())
        except InvalidSignature:
            raise Refused(400, "invalid_grant", "Invalid JWT Signature.") from None
        if claims.get("aud") != AUDIENCE:
            raise Refused(400, "invalid_grant", "Invalid JWT: Failed audience check. "
                                                "The right audience is " + AUDIENCE)
        iat, exp, now = claims.get("iat"), claims.get("exp"), self.now()
        if type(iat) is not int or type(exp) is not int:
            raise Refused(400, "invalid_grant", CLOCK)
        if iat > now + 60 or iat < now - 300 or exp > iat + 3600 or exp <= now:
            raise Refused(400, "invalid_grant", CLOCK)
        scope = claims.get("scope")
        if not isinstance(scope, str) or not scope or not set(scope.split(" ")) <= SCOPES:
            raise Refused(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")

    def find(self, token):
        """(Token, None) when it may be used now, else (Token or None, Google's reason)."""
        known = self.tokens.get(token)
        if known is None:
            return None, "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        if known.expires_at <= self.now() or known.state != "ok":
            return known, "ACCESS_TOKEN_EXPIRED"
        return known, None
