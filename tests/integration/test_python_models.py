"""Models in Python worker processes: answers equal to Python's own, and a server that does not care what a worker does."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import models
import numpy as np
import pytest
import requests
from conftest import BINARY, MODELS_PYTHON, ROOT, wait_for
from traffic import asked_on_and_on, memory_after, resident

HERE = Path(__file__).parent
NAUGHTY = ROOT / "src/backend/testdata/python/naughty.py"


def infer(server, model, inputs, timeout=30, **parameters):
    return requests.post(f"{server.url}/v2/models/{model}/infer", json={"inputs": inputs, **parameters}, timeout=timeout)


def outputs_of(answer):
    assert answer.status_code == 200, answer.text
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer.json()["outputs"]}


def ask(server, what, model="naughty", timeout=30):
    return infer(server, model, [{"name": "what", "datatype": "BYTES", "shape": [1], "data": [what]}], timeout)


def said(server, what, model="naughty"):
    answer = ask(server, what, model)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"][0]


def alive(pid):
    return Path(f"/proc/{pid}").exists()


def children_of(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # one that has just ended
            if path.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(path.parent.name))
    return found


def metric(server, name, **labels):
    for line in server.get("/metrics").text.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' for k, v in labels.items() if f'{k}="{v}"' in line):
            if all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.split()[-1])
    return None


FORMATS = {"pickled": "sklearn", "joblibbed": "sklearn", "columns": "mlflow", "tensors": "mlflow", "keras3": "keras",
           "hdf5": "keras"}


@pytest.fixture(scope="module")
def made(tmp_path_factory, models_python):
    folder = tmp_path_factory.mktemp("python-models")
    models_python(HERE / "make_python_models.py", folder, timeout=240)
    return folder


def asked_by_mlflows_own_client(server, models_python):
    answers = json.loads(models_python(HERE / "ask_mlflow.py", server.url.rsplit(":", 1)[1]).splitlines()[-1])
    missing, text = answers.pop("missing column"), answers.pop("text for a number")
    assert "error code 400" in missing and "there is no column for the input 'colour'" in missing
    assert "error code 400" in text and "(input 'size', row 0)" in text and "secret" not in text
    assert answers.keys() == {"split", "split, other order", "records", "csv"}
    return answers


def test_answers_are_pythons_own(start, made, models_python):
    expected = json.loads((made / "expected.json").read_text())
    assert expected.keys() == FORMATS.keys()
    server = start(ready=False, backends={"python": {"interpreter": str(MODELS_PYTHON)}},
                   lifecycle={"load_threads": 3, "poll_interval": "200ms"}, mlflow={"model": "columns"},
                   models=[{"name": name, "path": str(made / name), "settle_time": "0ms"} for name in FORMATS])
    for name, case in expected.items():
        def settled(name=name):
            states = {v["state"]: v for v in server.model(name)["versions"]}
            assert "failed" not in states, states
            return "ready" in states and states["ready"]["format"] == FORMATS[name]
        wait_for(name, settled, timeout=150, every=0.1)
        got = outputs_of(infer(server, name, case["inputs"]))
        assert got.keys() == case["outputs"].keys(), name
        for output, values in case["outputs"].items():
            if isinstance(values[0], str):
                assert got[output].tolist() == values, name
            else:
                np.testing.assert_allclose(got[output], np.array(values), rtol=1e-6, atol=1e-6, err_msg=name)
    # Single rows by TensorFlow Serving's protocol, from the same workers.
    row = expected["pickled"]["inputs"][0]["data"][:4]
    answer = requests.post(server.url + "/v1/models/pickled:predict", json={"instances": [row]}, timeout=30)
    assert answer.status_code == 200, answer.text
    # NaN is what scikit-learn's linear models refuse; that is the client's to mend.
    answer = infer(server, "columns", [{"name": "size", "datatype": "FP64", "shape": [1], "data": [1.0]},
                                       {"name": "count", "datatype": "INT64", "shape": [1], "data": [1]},
                                       {"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "blue"]}])
    assert answer.status_code == 400 and "not of one length" in answer.text, answer.text
    assert metric(server, "leadsman_python_workers", model="pickled", state="ready") == 1
    for form, got in asked_by_mlflows_own_client(server, models_python).items():
        np.testing.assert_allclose(got, expected["columns"]["outputs"]["output"], rtol=1e-6, atol=1e-6, err_msg=form)


def test_a_forest_is_asked_once_for_both_outputs(models_python):
    models_python(HERE / "ask_forests.py", ROOT / "plugins/python")


def document_blocks():
    text = (ROOT / "docs/python-models.md").read_text()
    return dict(re.findall(r"<!-- test: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))


def test_the_documents_example_runs_word_by_word(start, tmp_path):
    blocks = document_blocks()
    folder = tmp_path / "repository/lengths/1"
    folder.mkdir(parents=True)
    for file in ("model.py", "units.json"):
        (folder / file).write_text(blocks[file])
    path = tmp_path / "leadsman.yaml"
    path.write_text(blocks["leadsman.yaml"])
    checked = subprocess.run([str(BINARY), "config", "check", str(path)], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    server = start(backends={"python": {"interpreter": sys.executable}}, models=[
        {"name": "lengths", "path": str(folder.parent),
         "format": "python", "settle_time": "0ms", "runtime_options": {"option.default_unit": "in"}}])
    length = {"name": "length", "datatype": "FP64", "shape": [2], "data": [1, 2]}
    got = outputs_of(infer(server, "lengths", [length]))
    np.testing.assert_allclose(got["centimetres"], [2.54, 5.08])
    assert got["source"].tolist() == ["in", "in"]
    got = outputs_of(infer(server, "lengths", [length, {"name": "unit", "datatype": "BYTES", "shape": [2], "data": ["cm", "in"]}]))
    np.testing.assert_allclose(got["centimetres"], [1, 5.08])
    answer = infer(server, "lengths", [length, {"name": "unit", "datatype": "BYTES", "shape": [2], "data": ["cm", "ell"]}])
    assert answer.status_code == 400 and "unknown unit ell; known are cm, in" in answer.text, answer.text
    assert {p.name for p in folder.iterdir()} == {"model.py", "units.json"}


CLOSING = """
import os

inputs = outputs = [("x", "FP64", [-1])]


def load(directory, options):
    return {"file": options["file"], "asked": 0}


def predict(state, inputs):
    state["asked"] += len(inputs["x"])
    return inputs["x"]


def close(state):
    with open(state["file"], "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} was asked {state['asked']} rows\\n")
"""


def test_close_is_called_with_the_state_when_a_model_is_unloaded_and_at_the_end(start, repository, tmp_path):
    path, file = models.release_script(repository, "closing", CLOSING), tmp_path / "closed"
    server = start(backends={"python": {"interpreter": sys.executable}}, repository={"control": "explicit", "load_at_start": ["*"]},
                   models=[{"name": "closing", "path": path, "warmup_requests": 0, "runtime_options": {"option.file": str(file)}}])
    x = [{"name": "x", "datatype": "FP64", "shape": [3], "data": [1, 2, 3]}]
    outputs_of(infer(server, "closing", x))
    assert not file.exists()
    control = f"{server.url}/v2/repository/models/closing/"
    assert requests.post(control + "unload", timeout=10).status_code == 200
    wait_for("close()", file.exists)
    assert requests.post(control + "load", timeout=60).status_code == 200
    outputs_of(infer(server, "closing", x))
    outputs_of(infer(server, "closing", x))
    assert server.stop() == 0
    first, second = file.read_text().splitlines()
    assert first.endswith("was asked 3 rows") and second.endswith("was asked 6 rows") and first.split()[0] != second.split()[0]


PATIENT = """
import os
import time

inputs, outputs = [("x", "FP32", [-1])], [("y", "FP32", [-1])]


def load(directory, options):
    while not os.path.exists(options["go"]):
        time.sleep(0.01)


def predict(state, inputs):
    return inputs["x"]
"""


def test_what_loads_in_no_time_does_not_wait_for_interpreters_that_start(start, repository, tmp_path):
    go = tmp_path / "go"
    slow = [{"name": name, "path": models.release_script(repository, name, PATIENT), "runtime_options": {"option.go": str(go)}}
            for name in ("a1", "a2", "a3")]
    models.release(repository, "half", 1, models.half_plus_two())
    server = start(ready=False, backends={"python": {"interpreter": sys.executable}}, lifecycle={"load_threads": 2},
                   models=[*slow, {"name": "half", "path": str(repository / "half")}])
    wait_for("the cheap one", lambda: server.version_state("half", 1) == "ready")
    assert {server.version_state(model["name"], 1) for model in slow} <= {"loading", "new", "fetching", "gone", None}
    assert requests.get(server.admin + "/readyz", timeout=5).status_code == 503
    go.touch()
    wait_for("all", lambda: requests.get(server.admin + "/readyz", timeout=5).status_code == 200, timeout=60)


RELOADED = """
import time

inputs, outputs = [("x", "FP32", [-1])], [("y", "FP32", [-1])]


def load(directory, options):
    return None


def predict(state, inputs):
    time.sleep(0.01)  # clients that ask on and on leave the cores to the workers that start
    return inputs["x"] + 1
"""


def test_nothing_grows_over_a_hundred_reloads_under_load(start, repository):
    """Of two models side by side, fifty times each; every version has a worker of its own, which goes with it."""
    names = ("a", "b")
    for name in names:
        for version in (1, 2):
            models.release_script(repository, name, RELOADED, version)
    # Few predictions are kept for labels: their number grows with the traffic, up to one of its own.
    server = start(backends={"python": {"interpreter": sys.executable}},
                   lifecycle={"poll_interval": "10ms", "load_threads": 2, "load_priority": "normal"},
                   models=[{"name": name, "path": str(repository / name), "settle_time": "0s", "versions": {"specific": [1]},
                            "batching": {"max_batch_size": 8}, "monitoring": {"max_join_rate": 1}} for name in names])
    home = Path(f"/proc/{server.process.pid}")

    def swap(wanted):
        for model in server.config["models"]:
            model["versions"] = {"specific": [wanted]}
        part = server.path.with_suffix(".part")
        part.write_text(json.dumps(server.config))
        part.replace(server.path)
        assert requests.post(server.admin + "/api/v1/reload", timeout=30).status_code == 200
        for name in names:
            wait_for(f"version {wanted} of {name}", lambda name=name: server.version_state(name, wanted) == "ready", every=0.01)
            wait_for("the other to go", lambda name=name: server.version_state(name, 3 - wanted) == "gone", every=0.01)

    def held():
        """What else a worker takes of its server."""
        shared = [line for line in (home / "maps").read_text().splitlines() if "memfd:" in line or "/dev/shm" in line]
        return {"descriptors": len(list((home / "fd").iterdir())), "threads": len(list((home / "task").iterdir())),
                "shared": len(shared), "processes": len(children_of(server.process.pid))}

    def more(before):
        """A leak would be of a hundred; some pools start a thread when they first want it."""
        return {what: (before[what], count) for what, count in held().items() if count > before[what] + 4 * (what == "threads")}

    with asked_on_and_on(server, "a", [1, 2], [2, 3], clients=1), asked_on_and_on(server, "b", [3], [4], clients=1):
        for i in range(15):
            swap(2 - i % 2)
        held_before = held()
        before, after = memory_after(lambda: [swap(2 - i % 2) for i in range(50)], lambda: resident(server))
        with contextlib.suppress(AssertionError):
            wait_for("no more to be held", lambda: not more(held_before))
        assert more(held_before) == {}
    assert after <= before * 1.02, f"resident memory went from {before} to {after} kB over 100 reloads"


@pytest.fixture
def naughty(start, repository):
    def _naughty(server=None, instances=0, **options):
        path = models.release_script(repository, "naughty", NAUGHTY.read_text())
        return start(backends={"python": {"interpreter": sys.executable}}, server=server or {},
                     models=[{"name": "naughty", "path": path, "instances": instances, "runtime_options": options}])
    return _naughty


def test_workers_killed_under_load_cost_their_own_requests_only(naughty):
    server = naughty(instances=2)
    stop, outcomes, wrong = threading.Event(), {}, []

    def client(number):
        with requests.Session() as session:
            count = 0
            while not stop.is_set():
                count += 1
                text = f"{number}.{count}"
                answer = session.post(f"{server.url}/v2/models/naughty/infer", timeout=30, json={"inputs": [
                    {"name": "what", "datatype": "BYTES", "shape": [1], "data": ["echo " + text]}]})
                outcomes[answer.status_code] = outcomes.get(answer.status_code, 0) + 1
                if answer.status_code == 200 and answer.json()["outputs"][0]["data"] != [text]:
                    wrong.append(answer.text)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, i) for i in range(4)]
        try:
            for i in range(4):
                wait_for("two workers", lambda: metric(server, "leadsman_python_workers", model="naughty", state="ready") == 2)
                if i % 2:
                    os.kill(int(said(server, "pid")), signal.SIGKILL)
                else:
                    assert ask(server, "segv").status_code == 500
                wait_for("the end to be counted", lambda count=i + 1: count == metric(
                    server, "leadsman_python_worker_restarts_total", model="naughty", reason="crash"))
        finally:
            stop.set()
        for future in clients:
            future.result(40)
    assert not wrong
    assert outcomes[200] > 100 and outcomes.keys() <= {200, 500}, outcomes
    assert outcomes.get(500, 0) <= 4, outcomes  # at most the one that the killed worker was at


@pytest.mark.parametrize("said_by, instances, workers", [("nothing", 0, 1), ("the model", 3, 3), ("config.pbtxt", 0, 2)])
def test_the_models_instances_are_its_workers(naughty, repository, tmp_path, said_by, instances, workers):
    if said_by == "config.pbtxt":
        folder = repository / "naughty"
        folder.mkdir()
        (folder / "config.pbtxt").write_text("instance_group [ { count: 2 kind: KIND_CPU } ]")
    server = naughty(instances=instances)
    assert metric(server, "leadsman_python_workers", model="naughty", state="ready") == workers
    # As many requests at once, each with a worker of its own: they wait for one another.
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        together = list(pool.map(lambda _: said(server, f"meet {meeting} {workers}"), range(workers)))
    assert len(set(together)) == workers, together


def test_a_hang_is_told_in_the_status_and_mended(naughty):
    server = naughty(server={"request_timeout": "1s"}, hang_timeout="3s")
    worker = said(server, "pid")
    answer = ask(server, "hang")
    assert answer.status_code == 504 and "did not answer before the request's deadline" in answer.text, answer.text
    status = server.cli("status")
    assert status.returncode == 0 and "whose deadline has passed" in status.stdout, status.stdout + status.stderr
    wait_for("the next worker", lambda: ask(server, "pid").status_code == 200)
    assert said(server, "pid") != worker and not alive(worker)
    assert metric(server, "leadsman_python_worker_restarts_total", model="naughty", reason="hang") == 1


def test_a_worker_that_eats_memory_is_told_and_mended(naughty):
    server = naughty(max_memory="120MiB")
    worker = said(server, "pid")
    answer = ask(server, "memory 300 20")
    assert answer.status_code == 429 and "max_memory" in answer.json()["error"], answer.text
    wait_for("the next worker", lambda: ask(server, "pid").status_code == 200)
    assert said(server, "pid") != worker and not alive(worker)
    assert metric(server, "leadsman_python_worker_restarts_total", model="naughty", reason="memory") == 1
    assert metric(server, "leadsman_python_worker_restarts_total", model="naughty", reason="crash") in (None, 0)


def test_no_process_outlives_the_server(naughty):
    server = naughty()
    worker, orphan = said(server, "pid"), said(server, "daemon")
    assert alive(worker) and alive(orphan)
    server.kill()
    wait_for("the end of the worker and of what it started", lambda: not alive(worker) and not alive(orphan))


def test_without_python_the_other_models_serve(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    path = models.release_script(repository, "script", NAUGHTY.read_text())
    server = start(ready=False, backends={"python": {"interpreter": "/nowhere/python3"}}, models=[
        {"name": "digits", "path": str(repository / "digits")},
        {"name": "script", "path": path, "load_retries": 0}])
    wait_for("digits", lambda: server.version_state("digits", 1) == "ready")
    wait_for("script to fail", lambda: server.version_state("script", 1) == "failed")
    assert "/nowhere/python3" in json.dumps(server.model("script"))
    answer = ask(server, "echo", model="script")
    assert answer.status_code in (404, 503), answer.text
    off = start(ready=False, backends={"python": {"enabled": False}}, models=[{"name": "script", "path": path}])
    wait_for("script to fail", lambda: off.version_state("script", 1) == "failed")
    assert "backends.python.enabled" in json.dumps(off.model("script"))
