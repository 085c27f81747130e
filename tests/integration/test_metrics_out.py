"""Metrics as real Prometheuses take them: exemplars that lead to a trace in Jaeger, native histograms, OTLP."""
import json
import subprocess

import models
import pytest
import requests
from conftest import BINARY, wait_for
from hosts.otlp_prometheus import OtlpPrometheus
from hosts.prometheus import Prometheus
from hosts.tracing import Jaeger

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DURATION = "leadsman_serving_request_duration_seconds"
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def digits(repository):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    return [{"name": "digits", "path": str(repository / "digits")}]


def ask(server, headers=None, times=1):
    for _ in range(times):
        answer = requests.post(f"{server.url}/v1/models/digits:predict", json={"instances": [[0.0] * 10]}, headers=headers or {},
                               timeout=10)
        assert answer.status_code == 200, answer.text


def only(values):
    """The value of a query that has one."""
    return values[0][1] if len(values) == 1 else None


def test_an_exemplar_leads_from_a_bucket_to_its_trace(start, digits, tmp_path):
    jaeger = Jaeger(tmp_path / "jaeger")
    server = start(models=digits, telemetry={"tracing": {"otlp_url": jaeger.otlp_url}})
    ask(server, times=5)
    ask(server, {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})

    def page():
        text = server.get("/metrics", headers=OPEN_METRICS).text
        return text if TRACE in text else None
    lines = [line for line in wait_for("the exemplar", page).splitlines() if " # {" in line]
    assert all(f'# {{trace_id="{TRACE}"}} ' in line for line in lines), "only the request whose trace is kept"
    assert {line.split("{")[0] for line in lines} == {DURATION + "_bucket", "leadsman_serving_compute_duration_seconds_bucket"}
    assert TRACE not in server.get("/metrics").text, "plain text has none"
    with Prometheus(tmp_path / "prometheus", {"leadsman": server.admin.removeprefix("http://")},
                    features=["exemplar-storage"]) as prometheus:
        (labels, exemplar), *more = wait_for("the exemplar in Prometheus", lambda: prometheus.exemplars(DURATION + "_bucket"))
    assert not more and labels["model"] == "digits" and labels["version"] == "1"
    assert 0 < float(exemplar["value"]) <= float(labels["le"])
    assert jaeger.trace(exemplar["labels"]["trace_id"])["predict digits"]


def test_native_histograms_are_read_by_prometheus(start, digits, tmp_path):
    server = start(models=digits)
    ask(server, times=200)
    with Prometheus(tmp_path / "prometheus", {"leadsman": server.admin.removeprefix("http://")},
                    features=["native-histograms"]) as prometheus:
        wait_for("the histogram", lambda: only(prometheus.query(f"histogram_count({DURATION})")) == 200)
        assert prometheus.query(DURATION + "_bucket") == [], "it came as one series"
        quantiles = [only(prometheus.query(f"histogram_quantile({q}, {DURATION})")) for q in (0.01, 0.5, 0.99)]
        assert 0 < quantiles[0] < quantiles[1] < quantiles[2] < 10
        total = only(prometheus.query(f"histogram_sum({DURATION})"))
        # Counters and gauges came in the same form.
        assert only(prometheus.query('sum(leadsman_serving_requests_total{model="digits",code="OK"})')) == 200
        assert only(prometheus.query("process_resident_memory_bytes")) > 1e6
    # The same requests by the classic buckets: they bound the same quantile from above, within their factor of two.
    counts = {float(line.split('le="')[1].split('"')[0]): float(line.rsplit(" ", 1)[1])
              for line in server.get("/metrics").text.splitlines() if line.startswith(DURATION + "_bucket")}
    bound = min(le for le, count in counts.items() if count >= 100)
    assert bound / 2.01 <= quantiles[1] <= bound * 1.01
    assert total / 200 < 10


def test_metrics_are_sent_by_otlp(start, digits, tmp_path):
    with OtlpPrometheus(tmp_path / "prometheus") as prometheus:
        (tmp_path / "headers").write_text("x-scope-orgid: one\n")
        server = start(models=digits, telemetry={
            "tracing": {"otlp_url": "http://127.0.0.1:9/v1/traces"},
            "metrics": {"otlp": {"url": prometheus.otlp_url, "interval": "1s", "instance_id": "left", "service_name": "digits",
                                 "headers_file": str(tmp_path / "headers")}}})
        ask(server, {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, times=20)
        labels = 'job="digits",instance="left"'
        wait_for("the counter", lambda: only(prometheus.query(
            f'sum(leadsman_serving_requests_total{{model="digits",code="OK",{labels}}})')) == 20)
        assert only(prometheus.query(f'leadsman_build_info{{{labels}}}')) == 1
        assert only(prometheus.query(f'{DURATION}_count{{{labels}}}')) == 20
        bucket = only(prometheus.query(f'{DURATION}_bucket{{{labels},le="+Inf"}}'))
        assert bucket == 20
        assert 0 < only(prometheus.query(f"histogram_quantile(0.5, {DURATION}_bucket{{{labels}}})")) < 10
        assert any(exemplar["labels"]["trace_id"] == TRACE for _, exemplar in wait_for(
            "an exemplar", lambda: prometheus.exemplars(DURATION + "_bucket")))
        # The names are those of /metrics: what is scraped and what is sent have the same dashboards.
        scraped = {line.split()[2] for line in server.get("/metrics").text.splitlines() if line.startswith("# TYPE")
                   and not line.endswith("histogram")}
        sent = set(prometheus.ask("label/__name__/values"))
        present = {line.split("{")[0].split()[0] for line in server.get("/metrics").text.splitlines() if not line.startswith("#")}
        assert scraped & present <= sent, scraped & present - sent
        ask(server, times=7)
        assert server.stop() == 0
        assert only(prometheus.query(f'sum(leadsman_serving_requests_total{{model="digits",code="OK",{labels}}})')) == 27, \
            "what was counted last is sent at the end"


def test_a_receiver_that_is_away_costs_nothing_and_is_counted(start, digits):
    server = start(models=digits, telemetry={"metrics": {"otlp": {"url": "http://127.0.0.1:9/v1/metrics", "interval": "1s"}}})
    ask(server, times=20)
    wait_for("a failure", lambda: 'leadsman_metrics_export_requests_total{result="failed"} 0' not in server.get("/metrics").text)
    assert server.stop() == 0


def test_too_many_series_are_left_out_in_order_and_said(start, digits):
    server = start(models=digits, telemetry={"metrics": {"max_series": 130}})
    ask(server, times=3)
    text = server.get("/metrics").text
    assert f'{DURATION}_count{{model="digits",version="1"}} 3' in text and 'le="+Inf"} 3' in text
    assert f"{DURATION}_bucket{{model=\"digits\",version=\"1\",le=\"1" not in text
    state = server.get("/api/v1/status").json()["metrics"]
    assert state["max_series"] == 130 and state["series"] <= 130
    assert {"family": DURATION, "series": 22, "buckets_only": True} in state["left_out"]
    assert sum(1 for line in text.splitlines() if not line.startswith("#")) <= 130
    assert "telemetry.metrics.max_series" in server.log_text()
    dropped = [float(line.split()[1]) for line in server.get("/metrics").text.splitlines()
               if line.startswith("leadsman_metrics_series_dropped_total ")]
    assert dropped == [sum(one["series"] for one in state["left_out"])]


@pytest.mark.parametrize("metrics, told", [
    ({"otlp": {"url": "http://127.0.0.1:4317/v1/metrics"}}, "4318/v1/metrics"),
    ({"otlp": {"url": "http://127.0.0.1:4318/v1/metrics", "headers_file": "gone"}}, "telemetry.metrics.otlp.headers_file"),
    ({"otlp": {"interval": "1ms"}}, "telemetry.metrics.otlp.interval")])
def test_what_cannot_be_is_refused_with_the_way_out(tmp_path, metrics, told):
    (tmp_path / "leadsman.yaml").write_text(json.dumps({"models": [{"name": "m", "path": "m"}], "telemetry": {"metrics": metrics}}))
    checked = subprocess.run([str(BINARY), "serve", "--check-config", "--config", str(tmp_path / "leadsman.yaml")],
                             capture_output=True, text=True, timeout=20)
    assert checked.returncode == 2 and told in checked.stdout + checked.stderr
