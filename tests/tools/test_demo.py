"""The demo's parts that need no server: its models, its report page, and the promise that nothing outlives it."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "demo"), str(ROOT / "tests")]
import report  # noqa: E402
import train  # noqa: E402
from hosts.process import HostError, HostProcess  # noqa: E402
from hosts.prometheus import Prometheus  # noqa: E402


@pytest.fixture(scope="module")
def staging(tmp_path_factory):
    folder = tmp_path_factory.mktemp("staging")
    return folder, train.train(folder)


def test_training_gives_the_errors_that_the_readme_tells(staging):
    _, results = staging
    assert [(row["version"], row["rows"], row["errors"], row["held_out"]) for row in results] == [
        (1, 1257, 21, 540), (2, 1257, 4, 540), (3, 120, 49, 540)]


def test_manifest_names_every_file_with_its_true_hash(staging):
    folder, _ = staging
    for version in (1, 2, 3):
        manifest = json.loads((folder / str(version) / "manifest.json").read_text())
        assert [entry["path"] for entry in manifest["files"]] == ["model.onnx"]
        data = (folder / str(version) / "model.onnx").read_bytes()
        assert manifest["files"][0]["sha256"] == hashlib.sha256(data).hexdigest()
        assert manifest["files"][0]["size_bytes"] == len(data)


def test_release_copies_a_version_and_refuses_to_change_one(staging, tmp_path):
    folder, _ = staging
    target = train.release(folder, tmp_path, 2)
    assert sorted(file.name for file in target.iterdir()) == ["manifest.json", "model.onnx"]
    with pytest.raises(SystemExit, match="immutable"):
        train.release(folder, tmp_path, 2)


def gate(name, harm, safe):
    return {"gate": name, "harm_log_e": harm, "harm_log_bound": 5.7, "safe_log_e": safe, "safe_log_bound": 3.0,
            "stable": {"exposure": 100, "events": 1},
            "candidate": {"exposure": 50, "events": 0, "exposure_needed": 40}}


def story(ended="2026-01-01T00:00:10Z", phase="promoted", reason="v2 <is> good"):
    arm = {"requests": 100, "errors": 0, "labelled": 50, "wrong": 1}
    ticks = [{"time": f"2026-01-01T00:00:0{second}Z", "step": 0, "share": 0.1, "decision": "", "stable": arm,
              "candidate": arm, "gates": [gate("quality", -1.0 * second, 0.9 * second)]} for second in range(1, 9)]
    rollout = {"id": 1, "model": "digits", "stable": 1, "candidate": 2, "phase": phase, "step": 0, "step_count": 3,
               "share": 0.1, "started": "2026-01-01T00:00:00Z", "ended": ended, "reason": reason, "alpha": 0.01,
               "beta": 0.05, "plan_notes": ["a note"], "gates": ticks[-1]["gates"], "ticks": ticks,
               "arms": {"stable": {"requests": 800, "errors": 0}, "candidate": {"requests": 800, "errors": 0}}}
    window = {"start": "2026-01-01T00:00:00Z", "seconds": 2.0, "requests": 10, "errors": 0, "labelled": 1, "wrong": 0}
    return {"model": {"name": "digits", "versions": []}, "rollouts": [rollout], "windows": {"1": [window], "2": [window]}}


def svgs(page):
    return [xml.fromstring(part.split("</svg>")[0].join(["<svg", "</svg>"])) for part in page.split("<svg")[1:]]


def test_report_draws_four_charts_and_escapes_what_the_server_says():
    page = report.render(story())
    assert len(svgs(page)) == 4
    assert "v2 &lt;is&gt; good" in page
    assert "<script" not in page and "http://" not in page and "https://" not in page


def test_report_tells_what_was_asked_outside_and_draws_no_evidence_of_it():
    told = story()
    asked = {**gate("latency <outside>", 0, 0), "outside": {"kind": "promql", "passes": True, "failures": 0, "failures_allowed": 3,
             "said": "0.2 is within its bounds", "answers": {"passed": 1200, "failed": 1, "open": 2}}}
    rollout = told["rollouts"][0]
    for gates in [rollout["gates"], *(tick["gates"] for tick in rollout["ticks"])]:
        gates.append(asked)
    page = report.render(told)
    assert "latency &lt;outside&gt; (promql)" in page and "0.2 is within its bounds" in page and "1,200 passing" in page
    assert "outside" not in report.evidence_chart(rollout, "harm")
    for tick in rollout["ticks"]:
        tick["gates"] = [asked]
    assert "No evidence was journaled" in report.evidence_chart(rollout, "harm")


def test_report_of_a_rollout_that_still_runs_has_no_end():
    page = report.render(story(ended=None, phase="progressing", reason="waiting for labels"))
    assert "in progress" in page and len(svgs(page)) == 4


def test_report_without_any_rollout_is_a_page_too():
    assert "No rollout yet" in report.render({**story(), "rollouts": []})


def test_prometheus_answers_queries_and_says_why_it_refuses_one(tmp_path):
    with Prometheus(tmp_path / "prometheus", {"nobody": "127.0.0.1:1"}) as prometheus:
        assert prometheus.query("1 + 1") == [({}, 2.0)]
        with pytest.raises(HostError, match="unclosed left parenthesis"):
            prometheus.query("sum(")
        pid = prometheus.host.pid
    assert not os.path.exists(f"/proc/{pid}")


def test_host_that_ends_at_once_is_told_with_its_log(tmp_path):
    host = HostProcess("crasher", ["sh", "-c", "echo no such disk; exit 7"], tmp_path / "log")
    with pytest.raises(HostError, match="(?s)status 7.*no such disk"):
        host.wait_until(lambda: False, 10)


def test_hosts_end_when_the_process_that_started_them_is_killed(tmp_path):
    program = ("import sys, time; sys.path.insert(0, sys.argv[1]); from hosts.process import HostProcess; "
               "host = HostProcess('sleeper', ['sleep', '600'], sys.argv[2]); print(host.pid, flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", program, str(ROOT / "tests"), str(tmp_path / "log")],
                              stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_ends_the_demo_without_a_traceback(tmp_path, number):
    (tmp_path / "numpy.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, str(ROOT / "demo" / "demo.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)}) as demo:
        assert demo.stdout.readline() == "importing\n"
        demo.send_signal(number)
        assert demo.communicate(timeout=30) == ("", "")
        assert demo.returncode == 128 + number
