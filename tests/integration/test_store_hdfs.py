"""HDFS with two NameNodes, permissions and delegation tokens: a real pair, of which one stands by."""
import re

import pytest
from remote_models import IMPATIENT, answer, environment, put_version, reason, refresh, serves

from conftest import wait_for
from tests.hosts.fault_proxy import FaultProxy
from tests.hosts.stores import HdfsPair

MODEL = "model.onnx?op=OPEN"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with HdfsPair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def hdfs(pair):
    """Without a model, with the first NameNode active."""
    pair.secure(False)
    pair.activate(0)
    pair.ask("DELETE", "/models/digits", "DELETE&recursive=true")
    return pair


@pytest.fixture
def serving(hdfs, tmp_path, start, monkeypatch):
    """serving(ports, user, **hdfs) → a server whose version 1 is in the store."""
    put_version(hdfs, tmp_path, 1)

    def _serving(ports=None, user="trainer", ready=True, **options):
        with environment(monkeypatch, {"HADOOP_USER_NAME": user}):
            return start(ready=ready, models=[{"name": "digits", "path": hdfs.uri, "load_retry_delay": "50ms"}],
                         storage={**IMPATIENT, "hdfs": {**hdfs.at(*(ports or hdfs.ports))["hdfs"], **options}})
    return _serving


def note_of(server):
    return wait_for("the note", lambda: server.model("digits")["note"])


def begun_at(proxy, version):
    """Where the transfers from the DataNode began."""
    return [int(re.search(r"offset=(\d+)", path)[1]) for _, path, *_ in proxy.seen
            if f"/{version}/{MODEL}" in path and path.startswith("/to-port-")]


def test_the_active_namenode_is_found(hdfs, serving, tmp_path):
    hdfs.activate(1)
    server = serving()
    serves(server, 1)
    hdfs.activate(0)
    put_version(hdfs, tmp_path, 2)
    refresh(server)
    serves(server, 2)


def test_a_failover_in_mid_download(hdfs, serving, tmp_path):
    with FaultProxy(hdfs.ports[0]) as first, FaultProxy(hdfs.ports[1]) as second:
        server = serving([first.port, second.port])
        serves(server, 1)
        first.fault("cut", path=f"{MODEL}&user.name=trainer&namenode", after=100_000, then=lambda: hdfs.activate(1))
        put_version(hdfs, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert begun_at(first, 2) == [0] and begun_at(second, 2) == [100_000]


def test_without_an_active_namenode_the_old_version_serves(hdfs, serving, tmp_path):
    server = serving([hdfs.ports[1]], ready=False)
    assert "no NameNode is active: StandbyException: Operation category READ is not supported in state standby" in note_of(server)
    hdfs.activate(1)
    refresh(server)
    serves(server, 1)
    hdfs.activate(0)
    refresh(server)
    assert "StandbyException" in note_of(server)
    serves(server, 1)


def test_a_user_who_may_not_read(hdfs, serving, tmp_path):
    hdfs.ask("PUT", "/models/digits", "SETPERMISSION&permission=700")
    server = serving(user="stranger", ready=False)
    note = note_of(server)
    assert "/models/digits may not be read with the user name stranger: AccessControlException: Permission denied" in note, note
    assert answer(server)[0] is None
    hdfs.ask("PUT", "/models/digits", "SETPERMISSION&permission=755")
    refresh(server)
    serves(server, 1)
    # One version that is not for everybody.
    put_version(hdfs, tmp_path, 2)
    hdfs.ask("PUT", "/models/digits/2/model.onnx", "SETPERMISSION&permission=600")
    refresh(server)
    wait_for("the reason", lambda: "may not be read with the user name stranger" in reason(server, 2))
    serves(server, 1)
    hdfs.ask("PUT", "/models/digits/2/model.onnx", "SETPERMISSION&permission=644")
    serves(server, 2)


def test_delegation_tokens(hdfs, serving, tmp_path):
    file = tmp_path / "token"
    tokens = old, first, second, third = [hdfs.token() for _ in range(4)]
    hdfs.cancel(old)
    file.write_text(old)
    hdfs.ask("PUT", "/models/digits", "SETPERMISSION&permission=700")
    put_version(hdfs, tmp_path, 2)
    with FaultProxy(hdfs.ports[0]) as proxy:
        hdfs.secure(True)
        server = serving([proxy.port], ready=False, user="", token_file=str(file))

        def refused():
            note = note_of(server)
            assert f"/models/digits may not be read with the token in {file}: " in note and "InvalidToken" in note, note
            return note

        refused()
        file.write_text(f"{first}\n")
        refresh(server)
        serves(server, 2)

        def exchange():
            hdfs.cancel(first)
            file.write_text(second)

        hdfs.secure(False)
        put_version(hdfs, tmp_path, 3)
        hdfs.secure(True)
        proxy.fault("cut", path=f"/3/{MODEL}&delegation={first}&namenode", after=100_000, then=exchange)
        refresh(server)
        serves(server, 3)
        assert begun_at(proxy, 3) == [0, 100_000]
        # Cancelled, and not yet replaced: told, and the version serves on.
        hdfs.cancel(second)
        refresh(server)
        note = refused()
        serves(server, 3)
        file.write_text(third)
        refresh(server)
        wait_for("a clean note", lambda: server.model("digits")["note"] == "")
        assert not [token for token in tokens if token in server.log_text() + note]


def test_a_namenode_that_goes_away_in_mid_download(hdfs, serving, tmp_path):
    def nobody(_):
        raise ConnectionResetError

    def away():
        hdfs.activate(1)
        first.guard = nobody
        first.stop()

    first = FaultProxy(hdfs.ports[0])
    with FaultProxy(hdfs.ports[1]) as second:
        server = serving([first.port, second.port])
        serves(server, 1)
        first.fault("cut", path=f"{MODEL}&user.name=trainer&namenode", after=100_000, then=away)
        put_version(hdfs, tmp_path, 2)
        refresh(server)
        serves(server, 2)
        assert begun_at(second, 2) == [100_000]


