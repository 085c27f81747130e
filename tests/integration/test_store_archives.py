"""Versions in archives, from a web server: good ones are unpacked and served; of what may do harm nothing reaches a disk beyond the
cache, and the old version serves on."""
import io
import os
import stat
import tarfile
import zipfile

import pytest
from models import release
from remote_models import IMPATIENT, answer, environment, padded, reason, refresh, serves

from conftest import wait_for
from tests.hosts.stores import WebServer

ZEROS = bytes(8 << 20)


def tar(*entries):
    """Of (name, content or kind, where a link leads)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content, *link in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes) and len(content) > 1:
                entry.size = len(content)
            else:
                entry.type, entry.linkname = content, link[0] if link else ""
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(*entries):
    """The same as a zip archive; the kind of a file is its mode."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, *mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return packed.getvalue()


MODEL = ("model.onnx", b"model")
HARM = {
    "symbolic link": ("tar.gz", tar(MODEL, ("link", tarfile.SYMTYPE, "/etc/passwd")), 'entry "link" is a link'),
    "symbolic link inside": ("tar.gz", tar(MODEL, ("link", tarfile.SYMTYPE, "model.onnx")), 'entry "link" is a link'),
    "write through a link": ("tar.gz", tar(("out", tarfile.SYMTYPE, "/tmp"), ("out/evil", b"evil")), 'entry "out" is a link'),
    "hard link": ("tar.gz", tar(MODEL, ("link", tarfile.LNKTYPE, "model.onnx")), 'entry "link" is a link'),
    "hard link to outside": ("tar.gz", tar(MODEL, ("link", tarfile.LNKTYPE, "/etc/passwd")), 'entry "link" is a link'),
    "parent folder": ("tar.gz", tar(MODEL, ("../evil", b"evil")), "leaves its folder"),
    "parent folder within": ("tar.gz", tar(MODEL, ("a/../../evil", b"evil")), "leaves its folder"),
    "absolute": ("tar.gz", tar(MODEL, ("/tmp/leadsman-evil", b"evil")), "leaves its folder"),
    "backslash": ("tar.gz", tar(MODEL, ("..\\evil", b"evil")), "leaves its folder"),
    "device": ("tar.gz", tar(MODEL, ("null", tarfile.CHRTYPE)), "neither a file nor a folder"),
    "block device": ("tar.gz", tar(MODEL, ("disk", tarfile.BLKTYPE)), "neither a file nor a folder"),
    "pipe": ("tar.gz", tar(MODEL, ("pipe", tarfile.FIFOTYPE)), "neither a file nor a folder"),
    "twice": ("tar.gz", tar(MODEL, ("./model.onnx", b"other")), '"model.onnx" comes twice'),
    "twice but for case": ("tar.gz", tar(MODEL, ("Model.onnx", b"other")), "differs only by case from model.onnx"),
    "file and folder": ("tar.gz", tar(MODEL, ("model.onnx/x", b"other")), "both a file and a folder"),
    "bomb": ("tar.gz", tar(*((f"zeros{i}", ZEROS) for i in range(10))), "more than 200 times its"),
    "no archive": ("tar.gz", b"<html>sign in first</html>", "no .tar, .tar.gz"),
    "cut": ("tar.gz", tar(("model.onnx", os.urandom(50_000)))[:20_000], "truncated gzip input"),
    "zip: symbolic link": ("zip", zipped(MODEL, ("link", "/etc/passwd", stat.S_IFLNK | 0o777)), 'entry "link" is a link'),
    "zip: parent folder": ("zip", zipped(MODEL, ("../evil", b"evil")), "leaves its folder"),
    "zip: absolute": ("zip", zipped(MODEL, ("/tmp/leadsman-evil", b"evil")), "leaves its folder"),
    "zip: device": ("zip", zipped(MODEL, ("null", b"", stat.S_IFCHR | 0o666)), "neither a file nor a folder"),
    "zip: twice but for case": ("zip", zipped(MODEL, ("MODEL.ONNX", b"other")), "differs only by case from model.onnx"),
    "zip: bomb": ("zip", zipped(*((f"zeros{i}", ZEROS) for i in range(10))), "more than 200 times its"),
}


@pytest.fixture
def site(tmp_path):
    """(store, publish): publish(version, ending, bytes) puts an archive onto a web server."""
    with WebServer(tmp_path / "store") as store:
        def publish(version, ending, content):
            name = f"digits-{version}.{ending}"
            (store.root / "digits" / name).write_bytes(content)
            store.versions[version] = {"version": version, "archive": name}
            store.write_index()
        yield store, publish


def test_what_may_do_harm_is_refused(site, tmp_path, start, monkeypatch):
    store, publish = site
    publish(1, "tar.gz", tar(("model.onnx", padded(1))))
    cache = tmp_path / "cache"
    with environment(monkeypatch, {}):
        server = start(models=[{"name": "digits", "path": store.uri, "load_retries": 0}],
                       storage={**IMPATIENT, "cache_dir": str(cache)})
    serves(server, 1)
    for version, (harm, (ending, archive, why)) in enumerate(HARM.items(), 2):
        publish(version, ending, archive)
        refresh(server)
        wait_for(harm, lambda: server.version_state("digits", version) == "failed")
        assert why in reason(server, version), (harm, reason(server, version))
        assert answer(server)[0] == 3.0, harm
    assert not os.path.exists("/tmp/leadsman-evil") and not os.path.exists("/tmp/evil")
    left = [path for path in tmp_path.rglob("*") if path.name.endswith("evil") or path.is_symlink()]
    assert not left, left
    wait_for("what was refused to be deleted", lambda: not list((cache / "staging").iterdir()))
    assert len(list((cache / "versions").glob("*.use"))) == 1


def test_an_archive_is_kept_to_the_size_of_a_version(site, tmp_path, start, monkeypatch):
    store, publish = site
    publish(1, "tar.gz", tar(("model.onnx", padded(1))))
    with environment(monkeypatch, {}):
        server = start(models=[{"name": "digits", "path": store.uri, "load_retries": 0}],
                       storage={**IMPATIENT, "max_version_size": "4MiB"})
    serves(server, 1)
    publish(2, "tar.gz", tar(("model.onnx", padded(2)), ("weights", ZEROS)))
    refresh(server)
    wait_for("the failure", lambda: server.version_state("digits", 2) == "failed")
    assert "the archive holds more than storage.max_version_size" in reason(server, 2)
    assert answer(server)[0] == 3.0


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
