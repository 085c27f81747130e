"""Who may read from a store: credentials that are right, wrong, exchanged or expiring while a model is on its way."""
import base64
import contextlib
import json
import re
import subprocess
import time

import pytest
import requests
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from remote_models import IMPATIENT, environment, put_version, reason, refresh, serves

from conftest import wait_for
from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.google_tokens import GoogleTokens
from tests.hosts.stores import FakeGcs, MlflowServer, Minio, WebServer


def note_of(server):
    return wait_for("the note", lambda: server.model("digits")["note"])


def cut(proxy, path, then):
    """The next transfer of `path` breaks in the middle, and `then` happens meanwhile."""
    proxy.fault("cut", path=path, after=100_000, then=then)


# ---- S3


def test_s3_keys_that_are_wrong_say_where_they_came_from(tmp_path, start, monkeypatch):
    with Minio(tmp_path / "store") as store:
        put_version(store, tmp_path, 1)
        with environment(monkeypatch, Minio.keys("nobody", "wrong-secret")):
            server = start(ready=False, models=[{"name": "digits", "path": store.uri}], storage={**IMPATIENT, **store.storage})
        note = wait_for("the note", lambda: server.model("digits")["note"])
        assert "refused the credentials from the environment (AWS_ACCESS_KEY_ID): InvalidAccessKeyId" in note
        assert "wrong-secret" not in server.log_text() and "wrong-secret" not in note


def test_s3_keys_that_are_exchanged_in_mid_download_are_read_anew(tmp_path, start, monkeypatch):
    with Minio(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        admin = store.admin()
        admin.user_add("old-user", "old-user-secret")
        admin.policy_set("readwrite", "old-user")
        file = tmp_path / "credentials"

        def write(user):
            file.write_text(f"[default]\naws_access_key_id = {user}\naws_secret_access_key = {user}-secret\n")
        write("old-user")
        uri, storage, _ = store.through(proxy.port)
        with environment(monkeypatch, {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_CONFIG_FILE": "/nonexistent"}):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, "stall_timeout": "20s", **storage})
        serves(server, 1)
        # The transfer stands still; meanwhile the user is removed, and another takes over.
        proxy.fault("stall", path="/2/model.onnx", after=100_000)
        put_version(store, tmp_path, 2)
        refresh(server)
        wait_for("half of it", lambda: any(v.get("fetched_bytes", 0) > 100_000 for v in server.model("digits")["versions"]))
        admin.user_add("new-user", "new-user-secret")
        admin.policy_set("readwrite", "new-user")
        admin.user_remove("old-user")
        write("new-user")
        proxy.clear()
        serves(server, 2)
        assert any(wanted for wanted in proxy.ranges("/2/model.onnx")), "it went on where it stood"


def test_s3_session_tokens_that_are_exchanged_in_mid_download_are_read_anew(tmp_path, start, monkeypatch):
    """Temporary keys, out of MinIO's own STS, which somebody keeps fresh in the shared credentials file."""
    with Minio(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        admin, file, secrets = store.admin(), tmp_path / "credentials", []

        def session(user):
            admin.user_add(user, f"{user}-secret")
            admin.policy_set("readwrite", user)
            keys = store.session(user, f"{user}-secret")
            secrets.extend(keys[1:])
            file.write_text("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n".format(*keys))

        def exchange():
            session("second")
            admin.user_remove("first")  # and with it the sessions that it began

        session("first")
        uri, storage, _ = store.through(proxy.port)
        with environment(monkeypatch, {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_CONFIG_FILE": "/nonexistent"}):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}], storage={**IMPATIENT, **storage})
        serves(server, 1)
        cut(proxy, "/2/model.onnx", exchange)
        put_version(store, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        # The old keys are refused, the new ones take up where it broke.
        assert proxy.ranges("/2/model.onnx") == [None, "bytes=100000-", "bytes=100000-"]
        assert not [secret for secret in secrets if secret in server.log_text()]


class Issuer(WebServer):
    """Who signs web identity tokens: what Kubernetes is to the pods that it mounts them into."""

    def __init__(self, folder):
        super().__init__(folder)
        self.key = RSA.generate(2048)
        (self.root / ".well-known").mkdir()
        (self.root / ".well-known/openid-configuration").write_text(json.dumps(
            {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "authorization_endpoint": f"{self.url}/none",
             "token_endpoint": f"{self.url}/none"}))
        (self.root / "keys").write_text(json.dumps({"keys": [
            {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": self._number(self.key.n),
             "e": self._number(self.key.e)}]}))
        self.minio = {"MINIO_IDENTITY_OPENID_CONFIG_URL": f"{self.url}/.well-known/openid-configuration",
                      "MINIO_IDENTITY_OPENID_CLIENT_ID": "leadsman"}

    def token(self, seconds):
        now = int(time.time())
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "one"},
                 {"iss": self.url, "aud": "leadsman", "sub": "serviceaccount", "policy": "readwrite", "iat": now,
                  "exp": now + seconds}]
        text = ".".join(self._b64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{self._b64(pkcs1_15.new(self.key).sign(SHA256.new(text.encode())))}"

    def _number(self, value):
        return self._b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))

    @staticmethod
    def _b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_s3_takes_a_mounted_web_identity_token(tmp_path, start, monkeypatch):
    """What Kubernetes mounts: a signed token, exchanged at MinIO's own STS for keys that expire."""
    with Issuer(tmp_path / "issuer") as issuer, Minio(tmp_path / "store", env=issuer.minio) as store:
        put_version(store, tmp_path, 1)
        file = tmp_path / "token"
        file.write_text(issuer.token(-3600))
        with environment(monkeypatch, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file)}):
            storage = {**IMPATIENT, "s3": {"endpoint": store.url, "sts_endpoint": store.url}}
            server = start(ready=False, models=[{"name": "digits", "path": store.uri}], storage=storage)
        note = note_of(server)
        assert f"the web identity token in {file}" in note, note
        valid = issuer.token(3600)
        file.write_text(valid)
        serves(server, 1)
        assert valid not in server.log_text()


def test_s3_web_identity_that_expires_in_mid_download_is_read_anew(tmp_path, start, monkeypatch):
    """MinIO's keys live as long as the token that they were got for; the mounted file has another one by then."""
    with Issuer(tmp_path / "issuer") as issuer, Minio(tmp_path / "store", env=issuer.minio) as store, \
            FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        file, life = tmp_path / "token", 5
        file.write_text(issuer.token(3600))
        uri, storage, _ = store.through(proxy.port)
        storage["s3"]["sts_endpoint"] = store.url
        with environment(monkeypatch, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file)}):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, "stall_timeout": "30s", **storage})
        serves(server, 1)
        fresh = issuer.token(3600)

        def expire():
            time.sleep(life + 1)
            assert "expired" in sts(store, short) and "Credentials" in sts(store, fresh)
            file.write_text(fresh)

        short = issuer.token(life)
        file.write_text(short)
        cut(proxy, "/2/model.onnx", expire)
        put_version(store, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert proxy.ranges("/2/model.onnx")[:2] == [None, "bytes=100000-"], "it goes on where it broke"
        assert short not in server.log_text() and fresh not in server.log_text()


def sts(store, token):
    """What MinIO's STS says to a web identity token."""
    return requests.post(store.url, timeout=10, data={"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
                                                      "WebIdentityToken": token}).text


# ---- Google Cloud Storage

def google_front(tmp_path):
    """A certificate of storage.googleapis.com, for a proxy that is it; (with its key, its authority)."""
    pair, authority = tmp_path / "front.pem", tmp_path / "front-ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=front", "-addext",
                    "subjectAltName=DNS:storage.googleapis.com", "-keyout", pair, "-out", authority], check=True,
                   capture_output=True)
    pair.write_text(pair.read_text() + authority.read_text())
    return pair, authority


@contextlib.contextmanager
def google(tmp_path, start, monkeypatch, kind, tokens):
    """(store, proxy, server): fake-gcs-server behind a proxy that demands the tokens of `tokens`, and a server that gets
    these as `kind` says. The metadata service is asked only for the real endpoint, which the proxy therefore is."""
    certificate, authority = google_front(tmp_path) if kind == "metadata" else (None, None)
    with FakeGcs(tmp_path / "store") as store, \
            FaultProxy(store.port, guard=tokens.refusal, certificate=certificate) as proxy:
        put_version(store, tmp_path, 1)
        key = tmp_path / "key.json"
        env, storage = {"HOME": str(tmp_path)}, {"gcs": {"endpoint": f"http://127.0.0.1:{proxy.port}"}}
        if kind == "metadata":
            env |= {"GCE_METADATA_HOST": tokens.host, "https_proxy": f"http://127.0.0.1:{proxy.port}"}
            storage = {"ca_file": str(authority)}
        elif kind == "authorized_user":
            key.write_text(tokens.authorized_user())
            env["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
        else:
            key.write_text(tokens.service_account())
            storage["gcs"]["credentials_file"] = str(key)
        with environment(monkeypatch, env):
            server = start(models=[{"name": "digits", "path": store.uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, **storage})
        serves(server, 1)
        yield store, proxy, server


GRANTS = {"service_account": "urn:ietf:params:oauth:grant-type:jwt-bearer", "authorized_user": "refresh_token",
          "metadata": "metadata"}
GCS_MODEL = "2%2Fmodel.onnx?alt=media"


@pytest.mark.parametrize("kind", GRANTS)
def test_gcs_tokens_that_expire_in_mid_download_are_fetched_anew(tmp_path, start, monkeypatch, kind):
    with GoogleTokens() as tokens, google(tmp_path, start, monkeypatch, kind, tokens) as (store, proxy, server):
        assert [grant for grant, _ in tokens.issued] == [GRANTS[kind]], "one token does for listing and reading"
        assert proxy.hosts == ["storage.googleapis.com:443"] * len(proxy.hosts)
        cut(proxy, GCS_MODEL, tokens.expire)
        put_version(store, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert proxy.ranges(GCS_MODEL) == [None, "bytes=100000-", "bytes=100000-"] and proxy.refused == 1
        assert [grant for grant, _ in tokens.issued] == [GRANTS[kind]] * 2
        secrets = [token for _, token in tokens.issued] + [tokens.user["client_secret"], tokens.user["refresh_token"]]
        assert not [secret for secret in secrets if secret in server.log_text()]


def test_gcs_tokens_that_live_a_second_are_fetched_for_each_request(tmp_path, start, monkeypatch):
    with GoogleTokens() as tokens:
        tokens.lifetime = 1
        with google(tmp_path, start, monkeypatch, "service_account", tokens) as (store, proxy, server):
            cut(proxy, GCS_MODEL, lambda: time.sleep(1.1))
            put_version(store, tmp_path, 2)
            refresh(server)
            serves(server, 2)
            assert proxy.ranges(GCS_MODEL)[:2] == [None, "bytes=100000-"]
            assert len({token for _, token in tokens.issued}) >= 3


def test_gcs_keys_that_are_refused_say_where_they_came_from(tmp_path, start, monkeypatch):
    with GoogleTokens() as tokens, google(tmp_path, start, monkeypatch, "service_account", tokens) as (store, proxy, server):
        key = tmp_path / "key.json"
        stranger = tokens.service_account(RSA.generate(2048))
        # The token is taken back, and the key with it: what was fetched serves on.
        key.write_text(stranger)
        tokens.expire()
        put_version(store, tmp_path, 2)
        refresh(server)
        note = note_of(server)
        assert f"{key}: the token service refused: invalid_grant: Invalid JWT Signature." in note, note
        serves(server, 1)
        line = json.loads(stranger)["private_key"].splitlines()[5]
        assert line not in server.log_text() and "assertion=" not in server.log_text()
        key.write_text('{"type": "external_account"}')
        refresh(server)
        wait_for("the other note", lambda: 'type "external_account" are not supported' in server.model("digits")["note"])
        key.write_text(tokens.service_account())
        refresh(server)
        serves(server, 2)


# ---- Web servers

def test_http_credentials_come_from_a_netrc_file(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store", password=("reader", "pass-word")) as store:
        put_version(store, tmp_path, 1)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login reader password pass-word\n")
        with environment(monkeypatch, {}):
            refused = start(ready=False, models=[{"name": "digits", "path": store.uri}], storage=IMPATIENT)
            note = wait_for("the note", lambda: refused.model("digits")["note"])
            assert "answered 401: no credentials were given" in note
            server = start(models=[{"name": "digits", "path": store.uri}],
                           storage={**IMPATIENT, "http": {"netrc_file": str(netrc)}})
        serves(server, 1)
        assert "pass-word" not in server.log_text()


def test_http_credentials_that_are_wrong_say_where_they_came_from(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store", password=("reader", "pass-word")) as store:
        put_version(store, tmp_path, 1)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login reader password not-the-password\n")
        with environment(monkeypatch, {}):
            server = start(ready=False, models=[{"name": "digits", "path": store.uri}],
                           storage={**IMPATIENT, "http": {"netrc_file": str(netrc)}})
        note = note_of(server)
        assert f"answered 401 to the credentials from {netrc}" in note, note
        assert "not-the-password" not in server.log_text() + note
        netrc.write_text("machine 127.0.0.1 login reader password pass-word\n")
        refresh(server)
        serves(server, 1)


def test_a_mounted_http_token_that_changes_in_mid_download_is_read_anew(tmp_path, start, monkeypatch):
    file = tmp_path / "token"
    with WebServer(tmp_path / "store", tokens=True) as store, FaultProxy(store.port) as proxy:
        def exchange(token):
            store.accept(token)
            file.write_text(f"{token}\n")

        exchange("the-first-token")
        put_version(store, tmp_path, 1)
        uri, storage, _ = store.through(proxy.port)
        with environment(monkeypatch, {}):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, **storage, "http": {"token_file": str(file)}})
        serves(server, 1)
        cut(proxy, "/2/model.onnx", lambda: exchange("the-second-token"))
        put_version(store, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert proxy.ranges("/2/model.onnx") == [None, "bytes=100000-"]
        # In mid-download it is accepted no longer, and replaced only later: what came is kept.
        cut(proxy, "/3/model.onnx", lambda: store.accept("the-third-token"))
        put_version(store, tmp_path, 3)
        refresh(server)
        wait_for("the reason", lambda: f"answered 401 to the credentials from {file}" in reason(server, 3))
        serves(server, 2)
        exchange("the-third-token")
        serves(server, 3)
        assert set(proxy.ranges("/3/model.onnx")[1:]) == {"bytes=100000-"}
        # Between two looks at the index.
        store.accept("the-fourth-token")
        refresh(server)
        assert f"answered 401 to the credentials from {file}" in note_of(server)
        serves(server, 3)
        exchange("the-fourth-token")
        refresh(server)
        wait_for("a clean note", lambda: server.model("digits")["note"] == "")
        assert not re.search("the-(first|second|third|fourth)-token", server.log_text())


# ---- MLflow

# It takes its time over a password.
PATIENT = {**IMPATIENT, "stall_timeout": "30s"}


@pytest.fixture(scope="session")
def guarded_mlflow(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("guarded"), guarded=True) as server:
        yield server


def test_mlflow_asks_for_user_and_password(guarded_mlflow, tmp_path, start, monkeypatch):
    user, password = guarded_mlflow.reader
    with guarded_mlflow.model("password") as store:
        put_version(store, tmp_path, 1)
        models = [{"name": "digits", "path": store.uri}]

        def started(ready=True, **env):
            with environment(monkeypatch, {f"MLFLOW_TRACKING_{name}": value for name, value in env.items()}):
                return start(ready=ready, models=models, storage={**PATIENT, **store.storage})

        nobody = started(ready=False)
        assert re.search(r"refused to answer without credentials \(MLFLOW_TRACKING_USERNAME", note_of(nobody)), note_of(nobody)
        wrong = started(ready=False, USERNAME=user, PASSWORD="not the password")
        assert "refused the credentials from the environment (MLFLOW_TRACKING_USERNAME)" in note_of(wrong)
        assert "not the password" not in wrong.log_text() + note_of(wrong)
        serves(started(USERNAME=user, PASSWORD=password), 1)


def test_mlflow_takes_a_bearer_token(guarded_mlflow, tmp_path, start, monkeypatch):
    guarded_mlflow.accept("a-bearer-token")
    with guarded_mlflow.model("bearer") as store:
        put_version(store, tmp_path, 1)
        models, storage = [{"name": "digits", "path": store.uri}], {**PATIENT, **store.storage}
        with environment(monkeypatch, {"MLFLOW_TRACKING_TOKEN": "another-token"}):
            wrong = start(ready=False, models=models, storage=storage)
        assert "refused the credentials from the environment (MLFLOW_TRACKING_TOKEN)" in note_of(wrong)
        assert "another-token" not in wrong.log_text() + note_of(wrong)
        with environment(monkeypatch, {"MLFLOW_TRACKING_TOKEN": "a-bearer-token"}):
            serves(start(models=models, storage=storage), 1)
        # As MLflow's own client has it: a user with a password comes first.
        user, password = guarded_mlflow.reader
        with environment(monkeypatch, {"MLFLOW_TRACKING_TOKEN": "another-token", "MLFLOW_TRACKING_USERNAME": user,
                                       "MLFLOW_TRACKING_PASSWORD": password}):
            serves(start(models=models, storage=storage), 1)


def test_a_mounted_mlflow_token_that_changes_in_mid_download_is_read_anew(guarded_mlflow, tmp_path, start, monkeypatch):
    file = tmp_path / "token"

    def exchange(token):
        guarded_mlflow.accept(token)
        file.write_text(f"{token}\n")

    exchange("the-first-token")
    with guarded_mlflow.model("mounted") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        uri, storage, _ = store.through(proxy.port)
        storage["mlflow"]["token_file"] = str(file)
        with environment(monkeypatch, {}):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}], storage={**PATIENT, **storage})
        serves(server, 1)
        cut(proxy, "/model.onnx", lambda: exchange("the-second-token"))
        put_version(store, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert proxy.ranges("/model.onnx")[-2:] == [None, "bytes=100000-"]
        # Accepted no longer, and not yet replaced: told, and the version serves on.
        guarded_mlflow.accept("the-third-token")
        refresh(server)
        assert f"refused the credentials from {file}" in note_of(server)
        serves(server, 2)
        exchange("the-third-token")
        refresh(server)
        wait_for("a clean note", lambda: server.model("digits")["note"] == "")
        assert not re.search("the-(first|second|third)-token", server.log_text())
