"""Versions in archives, from a web server."""
import tarfile
import zipfile

from models import release
from remote_models import IMPATIENT, answer, environment, padded, reason, refresh, serves

from conftest import wait_for
from tests.hosts.stores import WebServer


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
