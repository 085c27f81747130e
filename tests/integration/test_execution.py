"""How requests are run: batches, deadlines, drain, reload, readiness, memory. Real clients against the real binary."""
import concurrent.futures
import collections
import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import conftest
import models
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from conftest import wait_for
from traffic import asked_on_and_on, memory_after, resident
from tritonclient.utils import InferenceServerException


def metric(server, name, **labels):
    """The sum of all samples of `name` that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    total = 0.0
    for line in server.get("/metrics").text.splitlines():
        if line.startswith((name + "{", name + " ")) and all(label in line for label in wanted):
            total += float(line.rsplit(" ", 1)[1])
    return total


def state(server, name, version):
    """Of a version of a model that may not be configured yet."""
    versions = server.model(name).get("versions", [])
    return next((v["state"] for v in versions if v["version"] == version), None)


def serve(start, repository, name, payload, *, model=None, **config):
    models.release(repository, name, 1, payload)
    return start(models=[{"name": name, "path": str(repository / name), **(model or {})}], **config)


def test_batches_give_each_client_its_own_rows(start, repository):
    server = serve(start, repository, "half", models.half_plus_two(),
                   model={"batching": {"max_batch_size": 16, "max_delay": "2ms", "queue": {"max_size": 10000}}})

    def client(number):
        session, wrong = requests.Session(), []
        for i in range(60):
            rows = [float(number * 1000 + i * 7 + r) for r in range(1 + (number + i) % 20)]
            answer = session.post(server.url + "/v1/models/half:predict", json={"instances": rows}, timeout=30).json()
            if answer.get("predictions") != [x / 2 + 2 for x in rows]:
                wrong.append((rows, answer))
        return wrong

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(client, range(16)), []) == []
    assert server.model("half")["versions"][0]["execution"] == "batched"
    batches = metric(server, "leadsman_batching_batches_total", model="half")
    requests_run = metric(server, "leadsman_batching_queue_duration_seconds_count", model="half")
    assert 0 < batches < requests_run, "nothing was batched"
    assert metric(server, "leadsman_batching_split_requests_total") > 0
    assert metric(server, "leadsman_batching_rejected_total") == 0


@contextlib.contextmanager
def v2_client(server, protocol):
    """infer(model, value, **arguments) of a tritonclient, for one row of x"""
    at = {triton_grpc: server.grpc, triton_http: server.url.removeprefix("http://")}[protocol]
    with protocol.InferenceServerClient(at) as client:
        def infer(model, value, **arguments):
            x = protocol.InferInput("x", [1], "FP32")
            x.set_data_from_numpy(np.array([value], np.float32))
            return client.infer(model, [x], **arguments)
        yield infer


def test_each_request_of_one_batch_gets_the_outputs_it_asked_for(start, repository):
    server = serve(start, repository, "pair", models.pair(),
                   model={"instances": 1, "batching": {"max_batch_size": 4, "max_delay": "10s"}})
    a, b = np.array([[1, 2]], "f"), np.array([[3, 5]], "f")
    expected = {"sum": [[4, 7]], "difference": [[-2, -3]]}

    def ask(protocol, names):
        at = {triton_grpc: server.grpc, triton_http: server.url.removeprefix("http://")}[protocol]
        with protocol.InferenceServerClient(at) as client:
            given = [protocol.InferInput(name, [1, 2], "FP32") for name in "ab"]
            for tensor, values in zip(given, (a, b), strict=True):
                tensor.set_data_from_numpy(values)
            answer = client.infer("pair", given, outputs=[protocol.InferRequestedOutput(name) for name in names] or None)
            return {name: answer.as_numpy(name) for name in expected}

    asked = [(triton_http, ["sum"]), (triton_grpc, ["difference"]), (triton_http, ["difference", "sum"]), (triton_grpc, [])]
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        for (protocol, names), got in zip(asked, pool.map(lambda each: ask(*each), asked), strict=True):
            for name, values in got.items():
                wanted = expected[name] if name in (names or expected) else None
                assert (values if values is None else values.tolist()) == wanted, (protocol.__name__, names, name)
    assert metric(server, "leadsman_batching_batches_total", model="pair", reason="full") == 1
    assert metric(server, "leadsman_batching_batches_total", model="pair") == 1


ORDERED = '''
"""Answers by how many requests it has run, this one included. The first waits for a file."""
import os
import time

inputs = [("x", "FP32", [-1])]
outputs = [("place", "INT64", [-1])]


def load(directory, options):
    return {"gate": options["gate"], "runs": 0}


def predict(state, inputs):
    while not os.path.exists(state["gate"]):
        time.sleep(0.01)
    state["runs"] += 1
    return [state["runs"]]
'''


@pytest.mark.parametrize("protocol", [triton_http, triton_grpc], ids=["http", "grpc"])
def test_v2_priority_is_the_order_of_service(start, repository, tmp_path, protocol):
    gate = tmp_path / "gate"
    server = start(backends={"python": {"interpreter": sys.executable}}, models=[{
        "name": "ordered", "path": models.release_script(repository, "ordered", ORDERED), "warmup_requests": 0,
        "runtime_options": {"option.gate": str(gate)},
        "batching": {"max_batch_size": 1, "priorities": {"levels": 3, "default_level": 2}}}])

    def ask(priority):
        with v2_client(server, protocol) as infer:
            return infer("ordered", 1, priority=priority).as_numpy("place")[0]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        try:
            asked = [pool.submit(ask, 0)]
            wait_for("the first to run", lambda: metric(server, "leadsman_batching_instances_busy", model="ordered") == 1)
            for waiting, priority in enumerate((3, 0, 2, 1, 1), start=1):
                asked.append(pool.submit(ask, priority))
                wait_for("the next to wait", lambda n=waiting: metric(server, "leadsman_batching_queue_depth", model="ordered") == n)
        finally:
            gate.touch()
        assert [answer.result(30) for answer in asked] == [1, 6, 4, 5, 2, 3]


def test_metrics_say_why_a_batch_was_closed_and_how_large_it_was(start, repository):
    batching = {"preferring": {"max_batch_size": 4, "max_delay": "10s", "preferred_sizes": [2]},
                "hasty": {"max_batch_size": 4, "max_delay": "1ms"}, "ready": {"max_batch_size": 4}}
    for name in batching:
        models.release(repository, name, 1, models.half_plus_two())
    server = start(models=[{"name": name, "path": str(repository / name), "instances": 1, "batching": settings}
                           for name, settings in batching.items()])

    def ask(name, *rows):
        answer = requests.post(f"{server.url}/v1/models/{name}:predict", json={"instances": rows}, timeout=30)
        assert answer.json() == {"predictions": [row / 2 + 2 for row in rows]}

    ask("preferring", 1, 2, 3, 4)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda row: ask("preferring", row), (5, 6)))
    ask("hasty", 1)
    ask("ready", 1, 2, 3)

    def closed(name):
        reasons = ("full", "preferred", "padding", "drain", "idle", "delay", "deadline", "incompatible")
        counts = {reason: metric(server, "leadsman_batching_batches_total", model=name, reason=reason) for reason in reasons}
        return {reason: count for reason, count in counts.items() if count}

    assert closed("preferring") == {"full": 1, "preferred": 1}
    assert closed("hasty") == {"delay": 1} and closed("ready") == {"idle": 1}
    assert metric(server, "leadsman_batching_batch_rows_sum", model="preferring") == 6
    assert [metric(server, "leadsman_batching_batch_rows_bucket", model="preferring", le=le) for le in (1, 2, 4)] == [0, 1, 2]


@contextlib.contextmanager
def busy(server, name):
    """One request that keeps the model's only instance until the block ends by closing the server's patience: it is endless."""
    def ask():
        with contextlib.suppress(requests.RequestException):
            requests.post(server.url + f"/v1/models/{name}:predict", json={"instances": [1e12]}, timeout=60)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for("the model to compute", lambda: metric(server, "leadsman_batching_instances_busy", model=name) == 1)
    yield
    server.kill()
    thread.join(60)


def test_a_request_that_cannot_make_its_deadline_is_answered_while_the_model_still_runs(start, repository):
    server = serve(start, repository, "endless", models.endless(), model={"instances": 1})
    url = server.url + "/v1/models/endless:predict"
    with busy(server, "endless"):
        # These wait in the queue, and leave it: the instance will never be free again.
        late = requests.post(url, json={"instances": [0]}, headers={"x-request-timeout-ms": "50"}, timeout=30)
        assert late.status_code == 504, late.text
        assert "deadline" in late.json()["error"]
        assert metric(server, "leadsman_batching_rejected_total", reason="expired") == 1
        # V2's own parameter, in microseconds.
        for protocol, status in ((triton_http, "504"), (triton_grpc, "StatusCode.DEADLINE_EXCEEDED")):
            with v2_client(server, protocol) as infer, pytest.raises(InferenceServerException, match="deadline") as error:
                infer("endless", 0, timeout=50_000)
            assert error.value.status() == status
        wrong = requests.post(url, json={"instances": [0]}, headers={"x-request-timeout-ms": "soon"}, timeout=30)
        assert wrong.status_code == 400 and "x-request-timeout-ms" in wrong.json()["error"]


SLOW = '''
"""Takes 0.3 s for a run, and as long as a file is missing."""
import os
import time

inputs = outputs = [("x", "FP32", [-1])]


def load(directory, options):
    return options["gate"]


def predict(gate, inputs):
    time.sleep(0.3)
    while not os.path.exists(gate):
        time.sleep(0.01)
    return inputs["x"]
'''


def test_what_cannot_make_its_deadline_is_refused_at_once(start, repository, tmp_path):
    """Counted as that, and not as one that waited until its deadline had passed."""
    gate = tmp_path / "gate"
    gate.touch()
    server = start(backends={"python": {"interpreter": sys.executable}}, models=[{
        "name": "slow", "path": models.release_script(repository, "slow", SLOW), "runtime_options": {"option.gate": str(gate)},
        "instances": 1, "batching": {"max_batch_size": 1}}])
    url = server.url + "/v1/models/slow:predict"

    def ask(x, **headers):
        return requests.post(url, json={"instances": [x]}, headers=headers, timeout=30)

    def refused():
        return metric(server, "leadsman_batching_rejected_total", model="slow", reason="deadline")

    # With an idle instance it is tried, whatever is known of the model.
    assert ask(1).json() == {"predictions": [1]}
    gate.unlink()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        try:
            asked = [pool.submit(ask, 0)]
            wait_for("the first to run", lambda: metric(server, "leadsman_batching_instances_busy", model="slow") == 1)
            # Less than the model takes, were it free.
            late = ask(9, **{"x-request-timeout-ms": "200"})
            assert late.status_code == 504 and "deadline" in late.json()["error"], late.text
            assert refused() == 1
            for waiting in (1, 2, 3):
                asked.append(pool.submit(ask, waiting))
                wait_for("the next to wait", lambda n=waiting: metric(server, "leadsman_batching_queue_depth", model="slow") == n)
            # Three runs are ahead of it.
            for count, (protocol, status) in enumerate(((triton_http, "504"), (triton_grpc, "StatusCode.DEADLINE_EXCEEDED")), 2):
                with v2_client(server, protocol) as infer, pytest.raises(InferenceServerException, match="deadline") as error:
                    infer("slow", 9, timeout=700_000)
                assert error.value.status() == status and refused() == count
            with v2_client(server, triton_grpc) as infer, pytest.raises(InferenceServerException) as error:
                infer("slow", 9, client_timeout=0.7)
            assert error.value.status() == "StatusCode.DEADLINE_EXCEEDED"
            wait_for("the call's own deadline", lambda: refused() == 4)
        finally:
            gate.touch()
        assert [answer.result(30).json() for answer in asked] == [{"predictions": [x]} for x in range(4)]
    assert metric(server, "leadsman_batching_rejected_total", model="slow") == refused() == 4


@pytest.mark.parametrize("close", [True, False])
def test_a_client_that_closes_leaves_the_queue_and_one_that_only_sends_no_more_is_answered(start, repository, close):
    server = serve(start, repository, "endless", models.endless(), model={"instances": 1})
    host, port = server.url.removeprefix("http://").split(":")

    def ask(rounds):
        client = http.client.HTTPConnection(host, int(port), timeout=60)
        client.request("POST", "/v1/models/endless:predict", body=json.dumps({"instances": [rounds]}))
        return client

    def depth():
        return metric(server, "leadsman_batching_queue_depth", model="endless")

    running = ask(10_000)
    wait_for("the model to compute", lambda: metric(server, "leadsman_batching_instances_busy", model="endless") == 1)
    waiting = ask(0)
    wait_for("the request to wait", lambda: depth() == 1)
    if close:
        waiting.close()
        wait_for("it to leave the queue", lambda: depth() == 0)
        assert metric(server, "leadsman_batching_rejected_total", reason="cancelled") == 1
    else:
        waiting.sock.shutdown(socket.SHUT_WR)
        answer = waiting.getresponse()
        assert answer.status == 200 and "predictions" in json.loads(answer.read())
        assert metric(server, "leadsman_batching_rejected_total", reason="cancelled") == 0
    assert running.getresponse().status == 200


def test_a_drain_under_load_loses_no_request(start, repository):
    server = serve(start, repository, "half", models.half_plus_two(),
                   model={"batching": {"max_batch_size": 8, "max_delay": "1ms"}},
                   server={"drain_delay": "2s", "drain_timeout": "20s"})
    failures, answered, left = [], [0] * 8, threading.Event()

    def client(number):
        """Keeps its connection until it is told to close it, and then goes elsewhere, as a load balancer would."""
        session = requests.Session()
        while True:
            try:
                answer = session.post(server.url + "/v1/models/half:predict", json={"instances": [number]}, timeout=30)
            except requests.ConnectionError as error:
                if left.is_set():
                    return  # a new connection after the listener has closed: elsewhere by now
                failures.append(repr(error))
                return
            if answer.status_code != 200 or answer.json()["predictions"] != [number / 2 + 2]:
                failures.append(answer.text)
            answered[number] += 1
            if answer.headers.get("Connection") == "close":
                return

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    wait_for("traffic", lambda: min(answered) > 20)
    server.process.send_signal(signal.SIGTERM)
    for port in (server.url, server.admin):
        wait_for("readiness to be off", lambda port=port: requests.get(port + "/readyz", timeout=5).status_code == 503)
    assert "stopping" in requests.get(server.url + "/readyz", timeout=5).text
    # Not ready, and still accepting: load balancers need a moment.
    late = requests.post(server.url + "/v1/models/half:predict", json={"instances": [1]}, timeout=5)
    assert late.status_code == 200
    seen = list(answered)
    wait_for("traffic to go on", lambda: all(a > b for a, b in zip(answered, seen)))
    left.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert server.process.wait(30) == 0, server.log_text()


def test_the_same_signal_again_hastens(start, repository):
    server = serve(start, repository, "half", models.half_plus_two(),
                   server={"drain_delay": "10m", "drain_timeout": "10m"})
    server.process.send_signal(signal.SIGTERM)
    wait_for("readiness to be off", lambda: server.get("/readyz").status_code == 503)
    server.process.send_signal(signal.SIGINT)  # another one does not
    assert requests.get(server.url + "/v2/health/live", timeout=5).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0, server.log_text()


def rewrite(server, change):
    """A new configuration file, put in place at once."""
    document = json.loads(server.path.read_text())
    change(document)
    part = server.path.with_suffix(".part")
    part.write_text(json.dumps(document))
    os.replace(part, server.path)


@pytest.mark.parametrize("how", ["signal", "file", "api"])
def test_a_reload_is_all_or_nothing_and_can_be_seen(start, repository, how):
    models.release(repository, "b", 1, models.half_plus_two())
    server = serve(start, repository, "a", models.half_plus_two(), config_reload="auto" if how == "file" else "signal")

    def reload_now():
        if how == "signal":
            server.process.send_signal(signal.SIGHUP)
        if how == "api":
            return requests.post(server.admin + "/api/v1/reload", timeout=30)
        return None

    assert metric(server, "leadsman_config_last_reload_successful") == 1
    began = metric(server, "leadsman_config_last_reload_success_timestamp_seconds")
    assert began > 0
    rewrite(server, lambda c: c["models"].append({"name": "b", "path": str(repository / "b")}))
    answer = reload_now()
    assert answer is None or answer.status_code == 200, answer.text
    wait_for("the new model", lambda: state(server, "b", 1) == "ready")
    assert metric(server, "leadsman_config_reloads_total", result="ok") == 1

    rewrite(server, lambda c: c["models"].pop(0) and c["models"][0].update(nonsense=1))
    answer = reload_now()
    assert answer is None or (answer.status_code == 400 and "nonsense" in answer.text), answer.text
    wait_for("the failure to show", lambda: metric(server, "leadsman_config_reloads_total", result="failed") == 1)
    assert metric(server, "leadsman_config_last_reload_successful") == 0
    assert "nonsense" in server.get("/api/v1/status").json()["config_reload"]["error"]
    shown = server.cli("status").stdout
    assert "the newest was refused" in shown and "nonsense" in shown
    assert server.version_state("a", 1) == "ready" and server.version_state("b", 1) == "ready"


def test_readiness_waits_for_the_models_that_are_required_and_says_why(start, repository):
    good = models.release(repository, "good", 1, models.half_plus_two())
    (good / "manifest.json").rename(good / "away")
    models.release(repository, "broken", 1, b"not a model")
    models.release(repository, "optional", 1, b"not a model either")
    server = start(ready=False, models=[
        {"name": "good", "path": str(repository / "good"), "require_manifest": True},
        {"name": "broken", "path": str(repository / "broken"), "load_retries": 0},
        {"name": "optional", "path": str(repository / "optional"), "load_retries": 0, "required": False}])

    def unready():
        for url in (server.admin, server.url):
            answer = requests.get(url + "/readyz", timeout=5)
            assert answer.status_code == 503
        return {m["model"]: m for m in answer.json()["models"]}

    wait_for("the failure", lambda: unready().get("broken", {}).get("state") == "failed")
    assert set(unready()) == {"good", "broken"}
    assert unready()["good"]["state"] == "new" and "manifest" in unready()["good"]["detail"]
    assert unready()["broken"]["detail"]
    (good / "away").rename(good / "manifest.json")
    wait_for("the good one", lambda: set(unready()) == {"broken"})
    models.release(repository, "broken", 2, models.half_plus_two())
    wait_for("readiness", lambda: requests.get(server.url + "/readyz", timeout=5).status_code == 200)
    assert requests.get(server.admin + "/readyz", timeout=5).json() == {"ready": True, "reasons": [], "models": [], "notes": []}


def test_a_model_has_the_threads_that_it_was_given(start, repository):
    threads = {}
    for wanted in (1, 17):
        server = serve(start, repository, "halves", models.half_plus_two(), model={"intra_op_threads": wanted})
        answer = requests.post(server.url + "/v1/models/halves:predict", json={"instances": [1.0, 2.0]}, timeout=30)
        assert answer.json() == {"predictions": [2.5, 3.0]}
        threads[wanted] = len(os.listdir(f"/proc/{server.process.pid}/task"))
        assert server.stop() == 0
    # The thread of the call is one of them; what lists and loads has one more or less by chance.
    assert 12 <= threads[17] - threads[1] <= 20, threads


def test_a_model_that_does_not_fit_waits_and_says_so(start, repository):
    models.release(repository, "half", 1, models.half_plus_two())
    server = start(ready=False, models=[{"name": "half", "path": str(repository / "half"), "load_retry_delay": "50ms"}],
                   lifecycle={"poll_interval": "50ms", "memory_limit": "1MB"})
    wait_for("the reason", lambda: any(m["state"] == "memory" and "memory: needs about" in m["detail"] for m in
                                       requests.get(server.url + "/readyz", timeout=5).json()["models"]))


@pytest.fixture
def cpu_group():
    """A control group of its own, with a quota: quota(cores) gives its folder."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    own = {name: path for _, names, path in (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
           for name in names.split(",")}
    made = []

    def quota(cores):
        for _, mount, kind, options, *_ in mounts:
            old = kind == "cgroup" and "cpu" in options.split(",")
            if not old and kind != "cgroup2":
                continue
            above = Path(mount + own.get("cpu" if old else "", "/"))
            above = above if above.is_dir() else Path(mount)  # in a container the path may be the host's
            try:
                if not old:
                    if "cpu" not in (above / "cgroup.controllers").read_text().split():
                        continue
                    (above / "cgroup.subtree_control").write_text("+cpu")
                group = above / f"leadsman-test-{os.getpid()}-{len(made)}"
                group.mkdir()
                made.append(group)
                for file, text in {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": int(cores * 100_000)}.items() if old else {
                        "cpu.max": f"{int(cores * 100_000)} 100000"}.items():
                    (group / file).write_text(str(text))
            except OSError as error:
                pytest.skip(f"a control group with a CPU quota cannot be made here: {error}")
            return group
        pytest.skip("a control group with a CPU quota cannot be made here: no mount has the cpu controller")

    yield quota
    for group in made:
        wait_for("the group to be empty", lambda group=group: not (group / "cgroup.procs").read_text())
        group.rmdir()


def pools_of(server):
    """How many threads each pool has whose size follows from the cores."""
    names = collections.Counter()
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # one that has just ended
            names[(task / "comm").read_text().strip().rpartition("-")[0]] += 1
    return {name: names[name] for name in ("serving", "grpc")}


def test_the_pools_are_as_large_as_the_quota_of_the_control_group(cpu_group, start, repository, tmp_path, monkeypatch):
    models.release(repository, "half", 1, models.half_plus_two())
    config = {"models": [{"name": "half", "path": str(repository / "half")}], "server": {"request_timeout": "60s"}}
    cores = len(os.sched_getaffinity(0))
    inside = tmp_path / "leadsman"
    for quota, expected in ((0.5, 1), (1.5, min(2, cores))):
        group = cpu_group(quota)
        binary = shlex.quote(str(conftest.BINARY))
        inside.write_text(f"#!/bin/sh\necho $$ > {shlex.quote(str(group))}/cgroup.procs && exec {binary} \"$@\"\n")
        inside.chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setattr(conftest, "BINARY", inside)
            server = start(**config)
        assert str(server.process.pid) in (group / "cgroup.procs").read_text().split()
        assert pools_of(server) == {"serving": expected, "grpc": expected}
        answer = requests.post(server.url + "/v1/models/half:predict", json={"instances": [2]}, timeout=30)
        assert answer.json() == {"predictions": [3]}
        assert server.stop() == 0


def test_memory_does_not_grow_over_a_hundred_reloads_under_load(start, repository):
    models.release(repository, "half", 2, models.half_plus_two())
    # Few predictions are kept for labels: their number grows with the traffic, up to one of its own.
    server = serve(start, repository, "half", models.half_plus_two(), lifecycle={"poll_interval": "10ms"},
                   model={"batching": {"max_batch_size": 8}, "versions": {"specific": [1]}, "monitoring": {"max_join_rate": 1}})

    def swap(wanted):
        """The other version takes over while both threads go on asking."""
        rewrite(server, lambda c: c["models"][0].update(versions={"specific": [wanted]}))
        assert requests.post(server.admin + "/api/v1/reload", timeout=30).status_code == 200
        wait_for(f"version {wanted}", lambda: server.version_state("half", wanted) == "ready", every=0.005)
        wait_for("the other to go", lambda: server.version_state("half", 3 - wanted) == "gone", every=0.005)

    with asked_on_and_on(server, "half", [1, 2], [2.5, 3]):
        for i in range(20):
            swap(2 - i % 2)
        # After the first loads: the pools of the runtime and of the allocator are filled once.
        before, after = memory_after(lambda: [swap(2 - i % 2) for i in range(100)], lambda: resident(server))
    assert after <= before * 1.02, f"resident memory went from {before} to {after} kB over 100 reloads"


def test_memory_does_not_grow_over_a_hundred_new_versions_under_load(start, repository):
    # Few predictions are kept for labels: their number grows with the traffic, up to one of its own.
    server = serve(start, repository, "half", models.half_plus_two(), lifecycle={"poll_interval": "10ms"},
                   model={"batching": {"max_batch_size": 8}, "monitoring": {"max_join_rate": 1}})
    versions = iter(range(2, 1000))

    def replace():
        """The next number, as a training job gives one out; the one before goes."""
        version = next(versions)
        models.release(repository, "half", version, models.half_plus_two())
        wait_for(f"version {version}", lambda: server.version_state("half", version) == "ready", every=0.005)
        wait_for("the one before to go", lambda: server.version_state("half", version - 1) == "gone", every=0.005)
        shutil.rmtree(repository / "half" / str(version - 1))

    def counted():
        return {line.split('version="')[1].split('"')[0] for line in server.get("/metrics").text.splitlines()
                if line.startswith("leadsman_serving_requests_total{")}

    def least_resident():
        """Of a few moments: two versions are in memory while one takes the other's place, and pages come back late."""
        return min((replace(), resident(server))[1] for _ in range(40))

    with asked_on_and_on(server, "half", [1, 2], [2.5, 3]):
        for _ in range(200):  # something is kept of those that have gone, up to a bound that is reached by then
            replace()
        wait_for("the first to be forgotten", lambda: "1" not in counted())
        kept = len(counted())
        before, after = memory_after(lambda: [replace() for _ in range(60)], least_resident)
    assert after <= before * 1.02, f"resident memory went from {before} to {after} kB over 100 new versions"
    assert len(counted()) <= kept + 2
