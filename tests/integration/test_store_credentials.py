"""Who may read from a store: credentials that are right, wrong, or exchanged while a model is on its way."""
import base64
import json
import time

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from remote_models import IMPATIENT, environment, put_version, refresh, serves

from conftest import wait_for
from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.stores import Minio, WebServer


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


def test_s3_takes_a_mounted_web_identity_token(tmp_path, start, monkeypatch):
    """What Kubernetes mounts: a signed token, exchanged at MinIO's own STS for keys that expire."""
    key = RSA.generate(2048)

    def number(value):
        return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def token(seconds):
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "one"},
                 {"iss": issuer.url, "aud": "leadsman", "sub": "serviceaccount", "policy": "readwrite",
                  "iat": int(time.time()), "exp": int(time.time()) + seconds}]
        text = ".".join(b64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{b64(pkcs1_15.new(key).sign(SHA256.new(text.encode())))}"

    with WebServer(tmp_path / "issuer") as issuer:
        (issuer.root / ".well-known").mkdir()
        (issuer.root / ".well-known/openid-configuration").write_text(json.dumps(
            {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", "authorization_endpoint": f"{issuer.url}/none",
             "token_endpoint": f"{issuer.url}/none"}))
        (issuer.root / "keys").write_text(json.dumps({"keys": [
            {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": number(key.n), "e": number(key.e)}]}))
        openid = {"MINIO_IDENTITY_OPENID_CONFIG_URL": f"{issuer.url}/.well-known/openid-configuration",
                  "MINIO_IDENTITY_OPENID_CLIENT_ID": "leadsman"}
        with Minio(tmp_path / "store", env=openid) as store:
            put_version(store, tmp_path, 1)
            file = tmp_path / "token"
            file.write_text(token(-3600))
            with environment(monkeypatch, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_EC2_METADATA_DISABLED": "true"}):
                storage = {**IMPATIENT, "s3": {"endpoint": store.url, "sts_endpoint": store.url}}
                server = start(ready=False, models=[{"name": "digits", "path": store.uri}], storage=storage)
            note = wait_for("the note", lambda: server.model("digits")["note"])
            assert f"the web identity token in {file}" in note, note
            valid = token(3600)
            file.write_text(valid)
            serves(server, 1)
            assert valid not in server.log_text()


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
