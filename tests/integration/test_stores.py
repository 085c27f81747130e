"""Models from real stores, and through a proxy that cuts, delays and corrupts: whatever happens ends in the right version or
a clear error, with the old version serving."""
import hashlib
import itertools
import re
import subprocess

import pytest
import requests
from models import release
from remote_models import IMPATIENT, answer, environment, padded, put_version, reason, refresh, serves

from conftest import BINARY, ROOT, wait_for
from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.stores import FakeGcs, Hdfs, Minio, WebServer

STORES = {"s3": Minio, "gcs": FakeGcs, "hdfs": Hdfs, "web": WebServer, "mlflow": None}
# The part of a request's URL by which a file is read, not only listed; of HDFS what the DataNode is asked.
READ_OF = {"s3": "/model.onnx", "gcs": "model.onnx?alt=media", "hdfs": "model.onnx?op=OPEN&user.name=trainer&namenode",
           "web": "/model.onnx", "mlflow": "/model.onnx"}
LIST_OF = {"s3": "list-type", "gcs": "/o?", "hdfs": "LISTSTATUS", "web": "versions.json", "mlflow": "model-versions"}


@pytest.fixture(scope="module", params=STORES)
def opened(request, tmp_path_factory):
    """(kind, store, versions): one store of each kind for all tests that take `spoilt`; `versions` counts what is put there."""
    kind = request.param
    # Tests before may have registered the name already: each has its own.
    with (request.getfixturevalue("mlflow_server").model("spoilt") if kind == "mlflow"
          else STORES[kind](tmp_path_factory.mktemp(kind))) as store:
        yield kind, store, itertools.count(1)


@pytest.fixture
def spoilt(opened, tmp_path, start, monkeypatch):
    """(kind, proxy, server, put): a version is in the store; the server reads through the proxy; put() brings the next one and
    gives its number."""
    kind, store, versions = opened

    def put(**how):
        version = next(versions)
        put_version(store, tmp_path, version, **how)
        return version

    with FaultProxy(store.port) as proxy:
        version = put()
        uri, storage, env = store.through(proxy.port)
        with environment(monkeypatch, env):
            server = start(models=[{"name": "digits", "path": uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, **storage})
        serves(server, version)
        yield kind, proxy, server, put


def begun_at(kind, proxy):
    """Where the transfers of model.onnx began, in bytes."""
    if kind == "hdfs":  # which asks by its own parameter
        asked = [re.search(r"offset=(\d+)", path) for _, path, *_ in proxy.seen if READ_OF[kind] in path]
    else:
        asked = [re.match(r"bytes=(\d+)-", wanted or "") for wanted in proxy.ranges("model.onnx")]
    return [int(at[1]) if at else 0 for at in asked]


def test_every_fault_ends_in_the_right_version_or_a_clear_error(spoilt):
    kind, proxy, server, put = spoilt
    read, listing = READ_OF[kind], LIST_OF[kind]
    # Each of these passes by itself: the version comes, and is right.
    for fault in [{"kind": "cut", "after": 70_000}, {"kind": "truncate", "after": 50_000},
                  {"kind": "corrupt", "after": 1_000}, {"kind": "status", "code": 503, "times": 2},
                  {"kind": "status", "code": 429, "retry_after": 0}, {"kind": "stall", "after": 40_000},
                  {"kind": "delay", "seconds": 0.2}]:
        proxy.clear()
        proxy.fault(path=read, **fault)
        before = proxy.spoilt
        old = put()
        refresh(server)
        serves(server, old)
        assert proxy.spoilt > before, fault
    assert {70_000, 50_000, 40_000} <= set(begun_at(kind, proxy)), "what broke goes on where it stood"

    # These do not, for as long as they last: the old version serves and the reason is told.
    proxy.clear()
    proxy.fault("status", path=read, times=10_000, code=500)
    version = put()
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


SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def test_a_store_that_throttles_is_given_the_time_it_asks_for(spoilt):
    kind, proxy, server, put = spoilt
    read = READ_OF[kind]
    for code in (429, 503):
        proxy.fault("status", path=read, code=code, retry_after=1, body=SLOW_DOWN)
    before = len(proxy.moments(read))
    version = put()
    refresh(server)
    serves(server, version)
    refused, again, passed = proxy.moments(read)[before:]
    assert again - refused >= 1 and passed - again >= 1
    # What comes slowly, and for longer than `stall_timeout`, comes.
    proxy.fault("throttle", path=read, rate=150_000)
    version = put()
    refresh(server)
    serves(server, version)
    assert len(proxy.moments(read)) == before + 4


def test_a_store_that_hangs_in_mid_file_is_told_and_what_came_is_kept(spoilt):
    kind, proxy, server, put = spoilt
    proxy.fault("stall", path=READ_OF[kind], after=40_000)
    proxy.fault("stall", path=READ_OF[kind], times=10_000)
    before = len(begun_at(kind, proxy))
    version = put()
    refresh(server)
    wait_for("the reason", lambda: "has sent nothing for 1 s (storage.stall_timeout)" in reason(server, version))
    assert answer(server)[0] == 2.0 + version - 1
    proxy.clear()
    serves(server, version)
    first, *others = begun_at(kind, proxy)[before:]
    assert first == 0 and set(others) == {40_000}


def test_files_of_a_version_are_fetched_side_by_side(spoilt):
    kind, proxy, server, put = spoilt
    reads = [READ_OF[kind].replace("model.onnx", name) for name in ("model.onnx", "weights.bin")]
    for read in reads:
        proxy.fault("hang", path=read, times=10_000)
    before = [len(proxy.moments(read)) for read in reads]
    version = put(beside=["weights.bin"])
    refresh(server)
    # Neither ends: so the one was begun while the other was on its way.
    wait_for("both reads", lambda: all(len(proxy.moments(read)) > count for read, count in zip(reads, before, strict=True)))
    assert answer(server)[0] == 2.0 + version - 1
    proxy.clear()
    serves(server, version)


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


def test_a_server_killed_in_mid_download_has_published_nothing_and_goes_on_there(tmp_path, start, monkeypatch):
    with WebServer(tmp_path / "store") as store, FaultProxy(store.port) as proxy:
        put_version(store, tmp_path, 1)
        uri, storage, env = store.through(proxy.port)
        cache = tmp_path / "cache"
        proxy.fault("stall", path=READ_OF["web"], after=100_000)
        with environment(monkeypatch, env):
            server = start(ready=False, models=[{"name": "digits", "path": uri}],
                           storage={**IMPATIENT, "stall_timeout": "60s", "cache_dir": str(cache), **storage})
            wait_for("bytes", lambda: any(v.get("fetched_bytes", 0) >= 100_000 for v in server.model("digits").get("versions", [])))
            server.kill()
            whole = (tmp_path / "made/digits/1/model.onnx").read_bytes()
            kept = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 50_000]
            assert [path.read_bytes() == whole[:100_000] for path in kept] == [True]
            assert not any((cache / "blobs").rglob(hashlib.sha256(whole).hexdigest() + "*"))
            proxy.clear()
            server.start()
        serves(server, 1)
        assert begun_at("web", proxy) == [0, 100_000]


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
    """MinIO posts its notification to /refresh as it is; nobody polls."""
    with Minio(tmp_path / "first") as store:
        put_version(store, tmp_path, 1)
        with environment(monkeypatch, store.env):
            server = start(models=[{"name": "digits", "path": store.uri}], storage={**IMPATIENT, **store.storage})
        serves(server, 1)
        store.tell(server.admin + "/api/v1/models/digits/refresh")
        put_version(store, tmp_path, 2)
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


# ---- A start while the store is away

def metric(server, name):
    line = re.search(rf'^{name}{{model="digits"}} (.+)$', server.get("/metrics").text, flags=re.MULTILINE)
    return line and float(line.group(1))


def from_cache(server):
    return metric(server, "leadsman_lifecycle_served_from_cache")


def test_a_server_that_starts_without_its_store_serves_what_it_had(tmp_path, start, monkeypatch):
    with Minio(tmp_path / "store") as store:
        put_version(store, tmp_path, 1)
        with environment(monkeypatch, store.env):
            server = start(models=[{"name": "digits", "path": store.uri}],
                           storage={**IMPATIENT, **store.storage, "poll_interval": "200ms"})
            serves(server, 1)
            assert from_cache(server) == 0
            server.stop()
            store.stop()

            server.start()
            serves(server, 1)
            note = server.model("digits")["note"]
            assert "not listed by its store since 20" in note and "served from the cache as last listed at 20" in note
            assert "may not be the newest" in server.cli("status").stdout
            assert from_cache(server) == 1

            store.run()
            wait_for("a clean note", lambda: server.model("digits")["note"] == "")
            assert from_cache(server) == 0
            assert metric(server, "leadsman_lifecycle_unloads_total") == 0, "nothing was loaded again"
            put_version(store, tmp_path, 2)
            serves(server, 2)
            server.stop()

        # Keys that are refused are no store that is away.
        with environment(monkeypatch, store.keys("leadsman-root", "another-secret")):
            server.start(ready=False)
            wait_for("the reason", lambda: "is not served to whom the store refuses" in server.model("digits")["note"])
            assert answer(server)[0] is None and from_cache(server) == 0


def test_an_alias_is_where_it_was_while_the_registry_is_away(mlflow_server, tmp_path, start, monkeypatch):
    with mlflow_server.model("remembered") as store, FaultProxy(store.port) as proxy:
        for version in (1, 2):
            put_version(store, tmp_path, version)
        store.alias("champion", 1)
        with environment(monkeypatch, {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}):
            server = start(models=[{"name": "digits", "path": "models:/remembered@champion"}], storage=IMPATIENT)
            serves(server, 1)
            server.stop()
            proxy.fault("status", path="registered-models", times=10_000, code=503)
            store.alias("champion", 2)
            server.start()
            serves(server, 1)
            assert "with the alias champion where it was then" in server.model("digits")["note"]
            proxy.clear()
            refresh(server)
            serves(server, 2)


# ---- Kinds of their own

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


@pytest.mark.parametrize("kind", [Minio, FakeGcs])
def test_artifacts_that_mlflow_keeps_in_a_bucket_come_from_there(mlflow_server, tmp_path, start, monkeypatch, kind):
    with kind(tmp_path / "store") as bucket, FaultProxy(bucket.port) as proxy:
        store = mlflow_server.model(f"in-{kind.__name__}", bucket)
        put_version(store, tmp_path, 1)
        _, storage, env = bucket.through(proxy.port)
        with environment(monkeypatch, env):
            server = start(models=[{"name": "digits", "path": store.uri, "load_retry_delay": "50ms"}],
                           storage={**IMPATIENT, **storage, **store.storage})
        serves(server, 1)
        read = "model.onnx?alt=media" if kind is FakeGcs else "/model.onnx"
        proxy.fault("cut", path=read, after=70_000)
        proxy.fault("status", path=read, code=503)
        put_version(store, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert proxy.ranges(read) == [None, None, "bytes=70000-", "bytes=70000-"]
        # The registry is one thing, the bucket another: it is told which of them is in trouble.
        proxy.fault("status", path=read, times=10_000, code=500)
        put_version(store, tmp_path, 3)
        refresh(server)
        wait_for("the reason", lambda: f"127.0.0.1:{proxy.port}" in reason(server, 3) and "500" in reason(server, 3))
        assert answer(server)[0] == 4.0
