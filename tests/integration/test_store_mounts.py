"""Models on mounts: a GlusterFS volume whose brick is cut off, slow, damaged on the way, silent or dead, and a volume that is
read-only or goes away. The right version comes, or the reason is told; the old version and other models serve on."""
import itertools
import signal
import subprocess

import pytest
from models import half_plus_two, release
from remote_models import answer, padded, reason, serves
from traffic import asked_on_and_on

from conftest import wait_for
from tests.hosts.stores import Gluster, gluster_impossible


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    impossible = gluster_impossible()
    if impossible:
        pytest.skip(f"GlusterFS: {impossible}")
    with Gluster(tmp_path_factory.mktemp("gluster")) as volume:
        volume.versions = itertools.count(1)
        yield volume


@pytest.fixture
def mounted(volume, start, repository):
    """(server, put): `digits` is on the volume, `steady` is not; put() writes the next version on another machine's mount, and
    gives its number."""
    def put():
        version = next(volume.versions)
        release(volume.elsewhere, "digits", version, padded(version))
        return version

    release(repository, "steady", 1, half_plus_two())
    version = put()
    server = start(models=[{"name": "digits", "path": str(volume.mount / "digits"), "load_retry_delay": "100ms"},
                           {"name": "steady", "path": str(repository / "steady")}])
    serves(server, version)
    with asked_on_and_on(server, "steady", [4], [4], clients=1):
        yield server, put
    volume.proxy.clear()
    server.stop()


def test_a_glusterfs_volume(volume, mounted):
    server, put = mounted
    version = put()
    serves(server, version)
    assert (volume.brick_folder / f"digits/{version}/model.onnx").exists()


@pytest.mark.parametrize("fault", ["cut", "delay"])
def test_a_fault_on_the_way_from_a_brick_passes(volume, mounted, fault):
    server, put = mounted
    before = volume.proxy.spoilt
    volume.proxy.spoil(**{"cut": {"after": 100_000, "then": volume.proxy.cut}, "delay": {"delay": 0.02}}[fault])
    version = put()
    serves(server, version)
    assert volume.proxy.spoilt > before


def test_what_is_damaged_on_the_way_from_a_brick_is_refused(volume, mounted):
    server, put = mounted
    volume.proxy.spoil(swap=(b"half_plus_two", b"half_plus_ten"))
    version = put()
    wait_for("the refusal", lambda: server.version_state("digits", version) == "failed")
    assert "the file model.onnx has sha256" in reason(server, version)
    assert answer(server)[0] == 2.0 + version - 1
    serves(server, put())


@pytest.mark.parametrize("silent", [True, False])
def test_a_brick_that_falls_silent_or_dies_in_mid_read_is_told(volume, mounted, silent):
    server, put = mounted

    def die():
        volume.kill()
        volume.proxy.cut()  # what the brick had sent already would be enough for a whole model

    volume.proxy.spoil(after=100_000, then=volume.proxy.hold if silent else die)
    version = put()
    why = wait_for("the reason", lambda: (w := reason(server, version)) and "Transport endpoint is not connected" in w and w)
    assert f"{volume.mount}/digits/{version}/" in why  # which file depends on the attempt
    wait_for("the note", lambda: "cannot be read and is looked for again" in server.model("digits")["note"])
    assert answer(server)[0] == 2.0 + version - 1
    volume.proxy.clear()
    if not silent:
        volume.run()
    serves(server, version)
    wait_for("a clean note", lambda: server.model("digits")["note"] == "")


def test_a_mount_that_hangs_is_told_while_it_does(volume, mounted, start):
    """The mount's own process stands still: whoever looks at the folder waits in the kernel."""
    server, put = mounted
    [client] = [client for place, client in volume.clients if place == volume.mount]
    folder = volume.mount / "digits"
    client.process.send_signal(signal.SIGSTOP)
    try:
        told = f"the folder {folder} has not answered for "
        wait_for("the note", lambda: told in server.model("digits")["note"])
        assert answer(server)  # which needs no file
        silent = next(line for line in server.get("/metrics").text.splitlines()
                      if line.startswith('leadsman_lifecycle_store_silent_seconds{model="digits"}'))
        assert float(silent.split()[-1]) >= 5

        # A server that begins meanwhile says what it waits for, and serves what lies elsewhere.
        other = start(ready=False, models=[{"name": "digits", "path": str(folder)}, server.config["models"][1]])

        def unready():
            models = other.get("/readyz").json()["models"]
            return {model["model"]: (model["state"], model["detail"]) for model in models}
        wait_for("the reason", lambda: unready().get("digits", ("", ""))[0] == "fetching" and told in unready()["digits"][1])
        assert set(unready()) == {"digits"}

        # One that has to look there before it knows its models gives up.
        given_up = server.cli("serve", "--model-repository", str(volume.mount))
        assert given_up.returncode == 2, given_up
        assert f"repository.path (--model-repository): {volume.mount} has not answered for 10 s" in given_up.stderr
    finally:
        client.process.send_signal(signal.SIGCONT)
    wait_for("a clean note", lambda: server.model("digits")["note"] == "")
    wait_for("the other", lambda: other.get("/readyz").status_code == 200)
    serves(server, put())


def test_an_empty_mount_point_says_so(start, tmp_path):
    (tmp_path / "mount" / "digits").mkdir(parents=True)
    server = start(ready=False, models=[{"name": "digits", "path": str(tmp_path / "mount" / "digits")}])
    note = wait_for("the note", lambda: server.model("digits")["note"])
    assert f"{tmp_path / 'mount' / 'digits'} holds no version folder" in note and "is it mounted?" in note
    [why] = server.get("/readyz").json()["models"]
    assert (why["model"], why["state"]) == ("digits", "empty") and "is it mounted?" in why["detail"]


def test_a_read_only_volume_that_goes_away_and_comes_back(tmp_path, start):
    written, mount = tmp_path / "written", tmp_path / "mount"
    for folder in (written, mount):
        folder.mkdir()

    def mounts(*words):
        return subprocess.run(["mount", *words], check=False, capture_output=True).returncode == 0

    def attach():
        return mounts("--bind", written, mount) and mounts("-o", "remount,bind,ro", mount)

    if not attach():
        pytest.skip("mounting is not allowed")
    try:
        release(written, "digits", 1, padded(1))
        server = start(models=[{"name": "digits", "path": str(mount / "digits")}])
        serves(server, 1)
        release(written, "digits", 2, padded(2))
        serves(server, 2)
        subprocess.run(["umount", "-l", mount], check=True)
        note = wait_for("the note", lambda: server.model("digits")["note"])
        assert "the model's folder cannot be read and is looked for again" in note and str(mount) in note
        assert answer(server)[0] == 4.0
        release(written, "digits", 3, padded(3))
        assert attach()
        serves(server, 3)
        assert server.model("digits")["note"] == ""
    finally:
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
