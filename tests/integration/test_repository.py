"""A folder of models that others put theirs into while the server runs, and Triton's own client beside it."""

import shutil

import pytest
import tritonclient.http as triton
from conftest import wait_for
from test_triton_config import row_sums
from tritonclient.utils import InferenceServerException


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "repository"


def add(repository, name, file="model.onnx"):
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / file).write_bytes(row_sums())


def names(server):
    return {model["name"]: model["versions"] for model in server.get("/api/v1/models").json()["models"]}


def client_of(server):
    return triton.InferenceServerClient(server.url.removeprefix("http://"))


def test_folders_that_come_are_served_and_those_that_go_are_unloaded(start, repository):
    add(repository, "first")
    server = start(repository={"path": str(repository)}, models=[{"name": "first", "settle_time": "0s"}])
    client = client_of(server)
    assert client.is_model_ready("first")

    add(repository, "second")
    (repository / "no model").mkdir()
    wait_for("the second", lambda: client.is_model_ready("second"))
    note = 'in the repository "no model" is passed over'
    wait_for("a word about the third", lambda: note in server.cli("status").stdout)
    assert [m["name"] for m in server.get("/api/v1/configuration").json()["models"]] == ["first", "second"]

    shutil.rmtree(repository / "second")
    wait_for("the end of the second", lambda: "second" not in names(server))
    assert client.is_model_ready("first")

    # As if the volume had gone: nothing is taken away, and a reload says so.
    shutil.rmtree(repository)
    wait_for("a word about it", lambda: "cannot be listed, its models stay as they are" in server.cli("status").stdout)
    assert client.is_model_ready("first") and server.get("/readyz").status_code == 200


def test_a_load_by_request_finds_what_came_since_and_does_not_wait(start, repository):
    repository.mkdir()
    server = start(repository={"path": str(repository), "control": "explicit"}, lifecycle={"poll_interval": "1h"})
    client = client_of(server)
    assert client.get_model_repository_index() == []
    with pytest.raises(InferenceServerException, match="there is no folder of that name in"):
        client.load_model("late")

    add(repository, "late")  # its files would rest for 5 s otherwise
    client.load_model("late")
    assert client.is_model_ready("late")
    assert [(m["name"], m["state"]) for m in client.get_model_repository_index()] == [("late", "READY")]

    # What is wrong is told at once, not waited for.
    add(repository, "torch", file="model.pt")
    with pytest.raises(InferenceServerException, match="no model is recognised; looked for .*there is model.pt"):
        client.load_model("torch")
    client.unload_model("late")
    wait_for("the unload", lambda: not client.is_model_ready("late"))
    client.load_model("late")
    assert client.is_model_ready("late")
