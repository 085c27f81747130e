"""Models from real stores, and through a proxy that cuts, delays and corrupts: whatever happens ends in the right version or
a clear error, with the old version serving."""
import base64
import contextlib
import json
import re
import subprocess
import tarfile
import time
import zipfile

import pytest
import requests
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from models import half_plus_two, release

from conftest import BINARY, ROOT, wait_for
from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.stores import FakeGcs, Gluster, Hdfs, MlflowServer, Minio, WebServer, gluster_impossible

# Quick to lose patience, so that a fault costs a test little.
IMPATIENT = {"poll_interval": "10m", "stall_timeout": "1s", "retry_delay": "10ms", "retries": 2, "connect_timeout": "2s"}
STORES = {"s3": Minio, "gcs": FakeGcs, "hdfs": Hdfs, "web": WebServer, "mlflow": None}
# The part of a request's URL by which a file is read, not only listed.
READ_OF = {"s3": "/model.onnx", "gcs": "model.onnx?alt=media", "hdfs": "model.onnx?op=OPEN", "web": "/model.onnx",
           "mlflow": "/model.onnx"}
LIST_OF = {"s3": "list-type", "gcs": "/o?", "hdfs": "LISTSTATUS", "web": "versions.json", "mlflow": "model-versions"}


def padded(shift):
    """A model with `shift` in its answer, and enough bytes to be cut in the middle."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
    model = onnx.load_from_string(half_plus_two())
    model.graph.initializer.remove(model.graph.initializer[1])
    model.graph.initializer.append(numpy_helper.from_array(np.array(float(shift), "f"), "two"))
    model.doc_string = f"{shift} " * 100_000
    helper.set_model_props(model, {"shift": str(shift)})
    return model.SerializeToString()


def put_version(store, tmp_path, version, manifest=True):
    folder = release(tmp_path / "made", "digits", version, padded(version))
    for name in ["model.onnx", *(["manifest.json"] if manifest else [])]:
        store.put(f"{version}/{name}", (folder / name).read_bytes())


def answer(server):
    reply = requests.post(server.url + "/v1/models/digits:predict", json={"instances": [4.0]}, timeout=10)
    return reply.json().get("predictions", [None])[0], reply


def serves(server, version):
    """Its answer is that of the version: 4 / 2 + version."""
    return wait_for(f"version {version} serving", lambda: answer(server)[0] == 2.0 + version, timeout=60)


def refresh(server):
    assert requests.post(server.admin + "/api/v1/models/digits/refresh", timeout=10).status_code == 202


def reason(server, version):
    return {v["version"]: v["reason"] for v in server.model("digits")["versions"]}.get(version, "")


@contextlib.contextmanager
def environment(monkeypatch, env):
    with monkeypatch.context() as patch:
        for name in ("AWS_PROFILE", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "http_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name, value in env.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(params=STORES)
def spoilt(request, tmp_path, start, monkeypatch):
    """(kind, store, proxy, server): version 1 is in the store; the server reads through the proxy."""
    kind = request.param
    # Tests before may have registered the name already: each has its own.
    opened = (request.getfixturevalue("mlflow_server").model("spoilt") if kind == "mlflow"
              else STORES[kind](tmp_path / "store"))
    with opened as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        uri, storage, env = store.through(proxy.port)
        with environment(monkeypatch, env):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, **storage})
        serves(server, 1)
        yield kind, store, proxy, server


def test_every_fault_ends_in_the_right_version_or_a_clear_error(spoilt, tmp_path):
    kind, store, proxy, server = spoilt
    read, listing = READ_OF[kind], LIST_OF[kind]
    version = 1
    # Each of these passes by itself: the version comes, and is right.
    for fault in [{"kind": "cut", "after": 70_000}, {"kind": "truncate", "after": 50_000},
                  {"kind": "corrupt", "after": 1_000}, {"kind": "status", "code": 503, "times": 2},
                  {"kind": "status", "code": 429, "retry_after": 0}, {"kind": "stall", "after": 40_000},
                  {"kind": "delay", "seconds": 0.2}]:
        version += 1
        proxy.clear()
        proxy.fault(path=read, **fault)
        before = proxy.spoilt
        put_version(store, tmp_path, version)
        refresh(server)
        serves(server, version)
        assert proxy.spoilt > before, fault
    if kind not in ("hdfs",):  # which asks by its own parameter
        assert any(wanted for wanted in proxy.ranges("model.onnx")), "a cut transfer is resumed by a range"

    # These do not, for as long as they last: the old version serves and the reason is told.
    old = version
    version += 1
    proxy.clear()
    proxy.fault("status", path=read, times=10_000, code=500)
    put_version(store, tmp_path, version)
    refresh(server)
    wait_for("the reason", lambda: "500" in reason(server, version))
    assert server.version_state("digits", version) in ("failed", "fetching")
    assert answer(server)[0] == 2.0 + old
    proxy.clear()
    serves(server, version)

    # A store that cannot be listed takes nothing away, and the note says since when.
    proxy.fault("status", path=listing, times=10_000, code=503)
    refresh(server)
    note = wait_for("the note", lambda: server.model("digits")["note"])
    assert "503" in note and "last listed at 20" in note, note
    assert answer(server)[0] == 2.0 + version
    proxy.clear()
    proxy.fault("hang", path=listing, times=10_000)
    refresh(server)
    wait_for("the note", lambda: "has sent nothing for 1" in server.model("digits")["note"])
    assert answer(server)[0] == 2.0 + version
    proxy.clear()
    refresh(server)
    wait_for("a clean note", lambda: server.model("digits")["note"] == "")


def test_bytes_that_stay_wrong_are_refused(tmp_path, start, monkeypatch):
    with Minio(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        uri, storage, env = store.through(proxy.port)
        with environment(monkeypatch, env):
            server = start(models=[{"name": "digits", "path": uri, "load_retries": 0}], storage={**IMPATIENT, **storage})
        proxy.fault("corrupt", path="/2/model.onnx", times=10_000, after=10)
        put_version(store, tmp_path, 2)
        refresh(server)
        wait_for("the failure", lambda: server.version_state("digits", 2) == "failed")
        assert "model.onnx: what came has the sha256" in reason(server, 2)
        assert answer(server)[0] == 3.0


def test_progress_is_shown_while_fetching(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        uri, storage, env = store.through(proxy.port)
        with environment(monkeypatch, env):
            server = start(models=[{"name": "digits", "path": uri}], storage={**IMPATIENT, "stall_timeout": "30s", **storage})
        serves(server, 1)
        proxy.fault("stall", path="/2/model.onnx", after=100_000)
        put_version(store, tmp_path, 2)
        refresh(server)

        def halfway():
            shown = {v["version"]: v for v in server.model("digits")["versions"]}.get(2, {})
            return shown.get("fetched_bytes", 0) > 100_000 and shown
        shown = wait_for("bytes of version 2", halfway)
        assert shown["state"] == "fetching" and shown["fetch_total_bytes"] > 200_000
        assert "% of 1 MB fetched" in server.cli("status").stdout
        proxy.clear()
        serves(server, 2)


def test_what_was_fetched_is_not_fetched_again_and_damage_is_repaired(tmp_path, start, monkeypatch):
    with Minio(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        uri, storage, env = store.through(proxy.port)
        cache = tmp_path / "cache"
        with environment(monkeypatch, env):
            def run():
                server = start(models=[{"name": "digits", "path": uri}],
                               storage={**IMPATIENT, "cache_dir": str(cache), **storage})
                serves(server, 1)
                server.stop()
                return len(proxy.ranges("model.onnx"))
            assert run() == 1
            assert run() == 1
            blobs = [path for path in (cache / "blobs").rglob("*") if path.is_file()]
            large = max(blobs, key=lambda path: path.stat().st_size)
            large.chmod(0o644)
            with open(large, "r+b") as damaged:
                damaged.seek(1000)
                damaged.write(b"damage")
            assert run() == 2


def test_a_full_cache_keeps_what_is_served(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store") as store:
        put_version(store, tmp_path, 1)
        with environment(monkeypatch, {}):
            server = start(models=[{"name": "digits", "path": store.uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, "cache_limit": "1MiB"})
        serves(server, 1)
        folder = release(tmp_path / "made", "digits", 2, padded(2) + b"\0" * 900_000)
        for name in ("model.onnx", "manifest.json"):
            store.put(f"2/{name}", (folder / name).read_bytes())
        refresh(server)
        wait_for("the reason", lambda: "storage.cache_limit" in reason(server, 2))
        assert answer(server)[0] == 3.0


def test_versions_without_manifest_rest_first(tmp_path, start, monkeypatch):
    with Minio(tmp_path / "store") as store:
        put_version(store, tmp_path, 1, manifest=False)
        with environment(monkeypatch, store.env):
            server = start(models=[{"name": "digits", "path": store.uri, "settle_time": "300ms"}],
                           storage={**IMPATIENT, **store.storage, "poll_interval": "100ms"})
        serves(server, 1)


def test_a_bucket_tells_of_new_versions_itself(tmp_path, start, monkeypatch):
    """MinIO's webhook notification, sent to /refresh as it is."""
    with Minio(tmp_path / "first") as store:
        put_version(store, tmp_path, 1)
        with environment(monkeypatch, store.env):
            server = start(models=[{"name": "digits", "path": store.uri}], storage={**IMPATIENT, **store.storage})
        serves(server, 1)
        put_version(store, tmp_path, 2)
        event = {"EventName": "s3:ObjectCreated:Put", "Key": "models/digits/2/manifest.json", "Records": []}
        assert requests.post(server.admin + "/api/v1/models/digits/refresh", json=event, timeout=10).status_code == 202
        serves(server, 2)
        assert requests.post(server.admin + "/api/v1/models/nobody/refresh", timeout=10).status_code == 404


def test_the_examples_of_the_documentation_are_valid(tmp_path):
    text = (ROOT / "docs/stores.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert len(examples) >= 6
    for example in examples:
        file = tmp_path / "example.yaml"
        file.write_text(example)
        checked = subprocess.run([BINARY, "config", "check", file], capture_output=True, text=True, check=False, timeout=30)
        assert checked.returncode == 0, f"{example}\n{checked.stdout}{checked.stderr}"


# ---- Credentials

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


# ---- The way there

def test_tls_is_checked_against_a_given_authority(tmp_path, start, monkeypatch):
    certificate = tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=store",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", tmp_path / "ca.pem"],
                   check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + (tmp_path / "ca.pem").read_text())
    with WebServer(tmp_path / "store", certificate=certificate) as store:
        put_version(store, tmp_path, 1)
        uri = f"https://127.0.0.1:{store.tls_port}/digits"
        with environment(monkeypatch, {}):
            refused = start(ready=False, models=[{"name": "digits", "path": uri}], storage=IMPATIENT)
            note = wait_for("the note", lambda: refused.model("digits")["note"])
            assert "is not trusted" in note and "storage.ca_file" in note, note
            server = start(models=[{"name": "digits", "path": uri}],
                           storage={**IMPATIENT, "ca_file": str(tmp_path / "ca.pem")})
        serves(server, 1)


def test_a_redirect_that_leads_nowhere_ends(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store") as store, environment(monkeypatch, {}):
        server = start(ready=False, models=[{"name": "digits", "path": f"{store.url}/loop"}], storage=IMPATIENT)
        note = wait_for("the note", lambda: server.model("digits")["note"])
        assert "redirects more than 5 times" in note


def test_a_full_disk_keeps_what_is_served(tmp_path, start, monkeypatch):
    cache = tmp_path / "disk"
    cache.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", cache], check=False).returncode != 0:
        pytest.skip("a full disk needs a small file system of its own: mounting is not allowed")
    try:
        with WebServer(tmp_path / "store") as store:
            put_version(store, tmp_path, 1)
            with environment(monkeypatch, {}):
                server = start(models=[{"name": "digits", "path": store.uri, "load_retry_delay": "50ms"}],
                               storage={**IMPATIENT, "cache_dir": str(cache)})
            serves(server, 1)
            folder = release(tmp_path / "made", "digits", 2, padded(2) + b"\0" * 8_000_000)
            for name in ("model.onnx", "manifest.json"):
                store.put(f"2/{name}", (folder / name).read_bytes())
            refresh(server)
            wait_for("the reason", lambda: "free" in reason(server, 2))
            assert "the disk of" in reason(server, 2) and answer(server)[0] == 3.0
            server.stop()
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=False)


# ---- Kinds of their own

def test_archives_from_a_web_server(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store") as store:
        site = store.root / "digits"
        folder = release(tmp_path / "made", "digits", 1, padded(1), manifest=False)
        with tarfile.open(site / "digits-1.tar.gz", "w:gz") as archive:
            archive.add(folder / "model.onnx", "digits/model.onnx")
        store.versions = {1: {"version": 1, "archive": "digits-1.tar.gz"}}
        store.write_index()
        with environment(monkeypatch, {}):
            server = start(models=[{"name": "digits", "path": store.uri, "load_retries": 0}], storage=IMPATIENT)
            single = start(models=[{"name": "digits", "path": f"{store.uri}/digits-1.tar.gz"}], storage=IMPATIENT)
        serves(server, 1)
        serves(single, 1)
        with zipfile.ZipFile(site / "two.zip", "w") as archive:
            archive.writestr("model.onnx", padded(2))
        store.versions[2] = {"version": 2, "archive": "two.zip"}
        store.write_index()
        refresh(server)
        serves(server, 2)
        with tarfile.open(site / "evil.tar", "w") as archive:
            link = tarfile.TarInfo("model.onnx")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        store.versions[3] = {"version": 3, "archive": "evil.tar"}
        store.write_index()
        refresh(server)
        wait_for("the failure", lambda: server.version_state("digits", 3) == "failed")
        assert 'entry "model.onnx" is a link' in reason(server, 3)
        assert answer(server)[0] == 4.0


def test_an_mlflow_alias_is_followed(mlflow_server, tmp_path, start, monkeypatch):
    with mlflow_server.model("followed") as store:
        for version in (1, 2):
            put_version(store, tmp_path, version)
        store.alias("champion", 1)
        with environment(monkeypatch, {"MLFLOW_TRACKING_URI": store.url}):
            alias = start(models=[{"name": "digits", "path": "models:/followed@champion"}], storage=IMPATIENT)
            fixed = start(models=[{"name": "digits", "path": "models:/followed/2"}], storage=IMPATIENT)
        serves(alias, 1)
        serves(fixed, 2)
        store.alias("champion", 2)
        refresh(alias)
        serves(alias, 2)


def test_a_glusterfs_volume(tmp_path, start):
    impossible = gluster_impossible()
    if impossible:
        pytest.skip(f"GlusterFS: {impossible}")
    with Gluster(tmp_path / "store") as volume:
        release(volume.mount, "digits", 1, padded(1))
        server = start(models=[{"name": "digits", "path": str(volume.mount / "digits")}])
        serves(server, 1)
        release(volume.mount, "digits", 2, padded(2))
        serves(server, 2)
        assert (volume.brick_folder / "digits/2/model.onnx").exists(), "the brick holds what was written through the mount"
        server.stop()
