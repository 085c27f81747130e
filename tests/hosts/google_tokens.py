"""A token endpoint that speaks as Google's do: signed assertions and refresh tokens at /token, and a machine's metadata service.
Its tokens hold until expire(), or for as long as it says. What it takes it checks as Google does; refusal() is what a service
behind it answers to who brings no good token.
"""
import base64
import http.server
import json
import secrets
import threading
import time
import urllib.parse

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"


class GoogleTokens:
    lifetime = 3600  # seconds, of the tokens to come

    def __init__(self):
        self.key = RSA.generate(2048)
        self.account = "reader@tests.iam.gserviceaccount.com"
        self.user = {"client_id": "client-id", "client_secret": "client+secret/&=", "refresh_token": "1//refresh token%"}
        self.lock = threading.Lock()
        self.issued = []  # (kind of grant, token)
        self.good = {}    # token → when it expires
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                if self.path != _METADATA or self.headers.get("Metadata-Flavor") != "Google":
                    return self.answer(403, {"error": "forbidden"})
                self.answer(200, host.issue("metadata"))

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                refused = host.check({name: values[0] for name, values in form.items()}) if self.path == "/token" else "not here"
                if refused:
                    return self.answer(400, {"error": "invalid_grant", "error_description": refused})
                self.answer(200, host.issue(form["grant_type"][0]))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.uri = f"http://{self.host}/token"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def service_account(self, key=None):
        """The file that a service account's owner gets, by default with the key whose public half is known here."""
        return json.dumps({"type": "service_account", "client_email": self.account, "private_key_id": "one",
                           "private_key": (key or self.key).export_key().decode(), "token_uri": self.uri})

    def authorized_user(self):
        """The file that gcloud writes for a person."""
        return json.dumps({"type": "authorized_user", "token_uri": self.uri, **self.user})

    def issue(self, kind):
        token = "ya29." + secrets.token_urlsafe(48)
        with self.lock:
            self.good[token] = time.monotonic() + self.lifetime
            self.issued.append((kind, token))
        return {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}

    def expire(self):
        """All tokens so far, before their time: who has one believes it good."""
        with self.lock:
            self.good.clear()

    def refusal(self, headers):
        """For FaultProxy's guard."""
        scheme, _, token = (headers.get("Authorization") or "").partition(" ")
        with self.lock:
            if scheme == "Bearer" and self.good.get(token, 0) > time.monotonic():
                return None
        body = {"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}
        return 401, {"WWW-Authenticate": "Bearer realm=\"https://accounts.google.com/\""}, json.dumps(body).encode()

    def check(self, form):
        """Why a grant is refused; None when it is good."""
        if form.get("grant_type") == "refresh_token":
            return None if {name: form.get(name) for name in self.user} == self.user else "Bad Request"
        if form.get("grant_type") != _JWT:
            return "unknown grant_type"
        signed, _, signature = form["assertion"].rpartition(".")
        header, claims = (json.loads(_unpadded(part)) for part in signed.split("."))
        if header != {"alg": "RS256", "typ": "JWT", "kid": "one"}:
            return f"odd header {header}"
        try:
            pkcs1_15.new(self.key.public_key()).verify(SHA256.new(signed.encode()), _unpadded(signature))
        except ValueError:
            return "Invalid JWT Signature."
        now = time.time()
        if (claims["iss"], claims["aud"], claims["scope"]) != (self.account, self.uri, _SCOPE):
            return f"odd claims {claims}"
        if not now - 60 <= claims["iat"] <= now + 60 or not now < claims["exp"] <= claims["iat"] + 3600:
            return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        return None

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
