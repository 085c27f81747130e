"""What a version takes in memory when it is loaded, and what comes back when it goes."""
import sys

import models
import numpy as np
import onnx
import pytest
import requests
from conftest import wait_for
from onnx import TensorProto, helper, numpy_helper


def shown(server, version=1):
    return {v["version"]: v for v in server.model("table")["versions"]}.get(version, {})


def lookup(values):
    """y = table[x], with a table of so many values."""
    table = numpy_helper.from_array(np.arange(values, dtype="f"), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])], "lookup",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])], [table])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def gauges(server, name):
    found = {}
    for line in server.get("/metrics").text.splitlines():
        if line.startswith(name + "{"):
            found[line.split('version="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
    return found


SCRIPT = """
import numpy as np

inputs, outputs = [("x", "INT64", [-1])], [("y", "FP32", [-1])]


def load(directory, options):
    return np.arange(%d, dtype="f")


def predict(table, inputs):
    return table[inputs["x"]]
"""


def put(repository, kind, version, values):
    if kind == "python":
        models.release_script(repository, "table", SCRIPT % values, version)
    else:
        models.release(repository, "table", version, lookup(values))


@pytest.mark.parametrize("kind", ["onnx", "python"])
def test_what_a_version_of_150_mb_takes_and_gives_back(start, repository, kind):
    """Of a Python model it is what its worker takes, a process of its own."""
    big = 150_000_000
    put(repository, kind, 1, big // 4)
    server = start(backends={"python": {"interpreter": sys.executable}}, models=[{"name": "table", "path": str(repository / "table")}])
    answer = requests.post(server.url + "/v1/models/table:predict", json={"instances": [5, 1_000_000]}, timeout=30)
    assert answer.json() == {"predictions": [5.0, 1_000_000.0]}
    taken = shown(server)["memory_bytes"]
    assert 0.9 * big < taken < 3 * big, taken
    assert shown(server)["unload_returned_bytes"] is None
    assert gauges(server, "leadsman_lifecycle_version_memory_bytes") == {"1": pytest.approx(taken)}

    put(repository, kind, 2, 1000)
    wait_for("the small one alone", lambda: (shown(server, 2).get("state"), shown(server)["state"]) == ("ready", "gone"))
    gone, small = shown(server), shown(server, 2)
    assert gone["memory_bytes"] == 0
    assert 0.9 * big < gone["unload_returned_bytes"] < 1.1 * taken, (gone, taken)
    assert small["memory_bytes"] < big / (3 if kind == "python" else 10) and small["unload_returned_bytes"] is None
    assert gauges(server, "leadsman_lifecycle_version_memory_bytes") == {"2": pytest.approx(small["memory_bytes"])}
    assert gauges(server, "leadsman_lifecycle_unload_returned_bytes") == {"1": pytest.approx(gone["unload_returned_bytes"])}
