"""A real Prometheus scrapes the server; promtool finds nothing wrong; the OpenAPI document and the reference pages hold."""
import json
import subprocess
from pathlib import Path

import models
import pytest
from conftest import ROOT, BINARY, wait_for
from hosts.prometheus import Prometheus, find_binary
from traffic import Traffic


def promtool():
    """Beside the Prometheus that the tests use."""
    return str(Path(find_binary()).with_name("promtool"))


@pytest.fixture
def server(start, repository):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    return start(models=[{"name": "digits", "path": str(repository / "digits"), "rollout": {"interval": "200ms"}}])


def test_prometheus_scrapes_and_answers(server, tmp_path):
    with Traffic(server, rate=200) as traffic, Prometheus(
            tmp_path / "prometheus", {"leadsman": server.admin.removeprefix("http://")}) as prometheus:
        wait_for("labels", lambda: server.get("/api/v1/status").json()["monitor"]["labels_joined"] > 100)
        for query, least in (
                ('sum(leadsman_serving_requests_total{model="digits",code="OK"})', 100),
                ('sum(leadsman_serving_request_duration_seconds_count{model="digits"})', 100),
                ('leadsman_monitor_accuracy{model="digits",version="1"}', 0.5),
                ("process_resident_memory_bytes", 1e6)):
            wait_for(query, lambda: any(value >= least for _, value in prometheus.query(query)))
        # Exact: what the client counted is what the server counted.
        traffic.stop()
        wait_for("equal counts", lambda: sum(value for _, value in prometheus.query(
            'sum(leadsman_serving_requests_total{model="digits"})')) == traffic.sent)
    assert traffic.failures == []


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_promtool_accepts_the_exposition(server, accept):
    answer = server.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith(accept.split(";")[0])
    if accept == "text/plain":
        run = subprocess.run([promtool(), "check", "metrics"], input=answer.text, capture_output=True, text=True, timeout=20)
        assert run.returncode == 0, run.stdout + run.stderr
    else:
        assert answer.text.endswith("# EOF\n")


def test_every_path_of_the_openapi_document_exists(server):
    document = server.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    fill = {"{model}": "digits", "{version}": "1", "{id}": "1", "{label}": "stable", "{service}": "digits"}
    for path, operations in document["paths"].items():
        for key, value in fill.items():
            path = path.replace(key, value)
        assert "{" not in path, path
        if "get" in operations:
            answer = server.get(path)
            # 501: what this server was not started with; it says so
            assert answer.status_code in (200, 404, 501, 503), (path, answer.status_code)
            if answer.status_code == 404:
                assert "1" in answer.text and "endpoint" not in answer.text.lower(), (path, answer.text)


def test_command_line_tables_and_json(server):
    for command in (["status"], ["models"], ["models", "digits"], ["rollout", "list"], ["config", "show"]):
        table = server.cli(*command)
        assert table.returncode == 0, (command, table.stderr)
        assert table.stdout.strip() and "\x1b[" not in table.stdout
        parsed = server.cli(*command, "--json")
        assert parsed.returncode == 0 and json.loads(parsed.stdout) is not None
    assert server.cli("labels", "add", "some-id", "7").returncode == 0
    unreachable = server.cli("status", "--server", "http://127.0.0.1:1")
    assert unreachable.returncode == 3 and "127.0.0.1:1" in unreachable.stderr


@pytest.mark.parametrize("arguments,page", [
    (["reference", "config"], "configuration.md"), (["reference", "config", "--json-schema"], "configuration.schema.json"),
    (["reference", "metrics"], "metrics.md")])
def test_reference_pages_are_those_of_the_code(arguments, page):
    run = subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=20)
    assert run.returncode == 0, run.stderr
    assert run.stdout == (ROOT / "docs/reference" / page).read_text(), f"run: leadsman {' '.join(arguments)} > docs/reference/{page}"
