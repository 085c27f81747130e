"""A folder of models that others put theirs into while the server runs, and Triton's own client beside it."""

import json
import shutil

import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from conftest import wait_for
from test_triton_config import ask, row_sums
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


SUMS = {
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2, 2], "reshape": {"shape": [4]}}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}],
}


def explicit(start, repository, files=False, **more):
    return start(repository={"path": str(repository), "control": "explicit", "files": files}, **more)


@pytest.fixture(params=["http", "grpc"])
def connect(request):
    def of(server):
        if request.param == "http":
            return client_of(server)
        return triton_grpc.InferenceServerClient(server.grpc)
    return of


def max_batch_size(server, name):
    return client_of(server).get_model_config(name)["max_batch_size"]


def test_a_configuration_in_the_load_holds_until_the_next_load(start, repository, connect):
    add(repository, "sums")
    server = explicit(start, repository)
    client = connect(server)
    client.load_model("sums")
    with pytest.raises(InferenceServerException, match="parameters.file: set repository.files: true in the configuration"):
        client.load_model("sums", config="{}", files={"file:2/model.py": b"import os\n"})
    assert max_batch_size(server, "sums") == 0
    client.load_model("sums", config=json.dumps(SUMS))
    assert max_batch_size(server, "sums") == 8
    got, sums = ask(client_of(server), 3)
    assert (got[:, 0] == sums).all()
    # What the server itself says of a model is a configuration, too.
    said = client_of(server).get_model_config("sums")
    client.load_model("sums", config=json.dumps({**said, "max_batch_size": 4}))
    assert max_batch_size(server, "sums") == 4
    with pytest.raises(InferenceServerException, match=r"parameters.config: input\[0\]: unknown field shape in ModelInput"):
        client.load_model("sums", config=json.dumps({"input": [{"name": "x", "shape": [4]}]}))
    assert max_batch_size(server, "sums") == 4
    client.load_model("sums")
    assert max_batch_size(server, "sums") == 0


def test_a_model_is_made_of_the_files_in_the_load(start, repository, connect, tmp_path):
    add(repository, "sums")
    server = explicit(start, repository, files=True, data_dir=str(tmp_path / "data"))
    client = connect(server)
    client.load_model("sums")
    files = {"file:7/model.onnx": row_sums(width=4), "file:labels.txt": b"a\n"}
    with pytest.raises(InferenceServerException, match="parameters.config must be given with parameters.file:7/model.onnx"):
        client.load_model("sent", files=files)
    client.load_model("sent", config=json.dumps(SUMS), files=files)
    assert client.is_model_ready("sent", "7") and client.is_model_ready("sums", "1")
    got, sums = ask(client_of(server), 2, name="sent")
    assert (got[:, 0] == sums).all()
    assert server.get("/readyz").status_code == 200

    # In the place of the folder's, and back.
    client.load_model("sums", config=json.dumps(SUMS), files=files)
    assert client.is_model_ready("sums", "7")
    wait_for("version 1 to go", lambda: not client.is_model_ready("sums", "1"))
    client.load_model("sums")
    assert client.is_model_ready("sums", "1")

    for path in ("file:../1/model.onnx", "file:/1/model.onnx", "file:1/../../model.onnx"):
        with pytest.raises(InferenceServerException, match="must stay in the model's folder"):
            client.load_model("sent", config="{}", files={**files, path: b"x"})
    with pytest.raises(InferenceServerException, match="what was loaded before goes on serving: failed to load sent"):
        client.load_model("sent", config="{}", files={"file:8/model.onnx": b"not a model"})
    assert client.is_model_ready("sent", "7")
    for version in (6, 7, 8):
        with pytest.raises(InferenceServerException, match=f"there is no version in the files of the load: version {version}: "):
            client.load_model("sent", config="{}", files={f"file:{version}/foo.bin": b"no model"})
    assert client.is_model_ready("sent", "7")
    deep = '{"parameters": ' + "[" * 250_000 + "]" * 250_000 + "}"
    with pytest.raises(InferenceServerException, match="parameters.config: is nested deeper than 100 levels"):
        client.load_model("sent", config=deep)
    client.unload_model("sent")
    wait_for("the files to go", lambda: list((tmp_path / "data" / "given-models").iterdir()) == [])
    assert "sent" not in names(server)
