"""Predictions that are sent to `leadsman monitor`: POST /api/v1/events, and CloudEvents as KServe's agent sends them."""
import json
import pathlib

import requests
from conftest import wait_for
from test_monitor_logs import monitor  # noqa: F401: a fixture

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
TOTAL = "leadsman_monitor_requests_total"


def port_of(watch):
    return watch.said("monitoring")[-1]["cloudevents_port"]


def test_events_are_counted_labelled_and_survive_an_orderly_end(monitor):  # noqa: F811
    watch = monitor("--cloudevents-port", "0")
    url = watch.admin + "/api/v1/events"
    batch = [{"model": "two words", "version": 2, "request_id": f"r{i}", "status": 200, "latency_ms": 5,
              "features": {"age": i, "income": 2 * i}, "prediction": i % 3} for i in range(300)]
    answer = requests.post(url, json={"events": [*batch, {"model": "x", "latency": 3}]}, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 300 and answer.json()["rejected"] == 1
    assert answer.json()["errors"][0].startswith("events[300].latency: unknown key"), answer.text
    watch.await_metric(300, TOTAL, model="two words", version="2", outcome="ok")
    assert watch.metric("leadsman_monitor_request_duration_seconds_count", model="two words") == 300

    lines = "".join(json.dumps({"model": "two words", "version": 2, "request_id": f"l{i}", "prediction": 1, "label": 1}) + "\n"
                    for i in range(10))
    answer = requests.post(url, data=lines, headers={"content-type": "application/x-ndjson"}, timeout=10)
    assert answer.json()["labels_accepted"] == 10, answer.text
    labels = [{"request_id": f"r{i}", "label": 0} for i in range(300)]
    assert requests.post(watch.admin + "/api/v1/labels", json={"labels": labels}, timeout=10).status_code == 200
    watch.await_metric(310, "leadsman_monitor_labelled_total", model="two words")
    watch.await_metric(200, "leadsman_monitor_wrong_total", model="two words")
    source = [s for s in watch.logs()["sources"] if s["source"] == "events API"][0]
    assert source["model_features"] == {"two words": ["age", "income"]}
    assert requests.post(url, data="nonsense", timeout=10).status_code == 400
    assert watch.stop() == 0


def test_a_batch_that_is_sent_again_counts_once(monitor):  # noqa: F811
    watch = monitor("--cloudevents-port", "0")
    url = watch.admin + "/api/v1/events"
    batch = [{"model": "iris", "version": 1, "request_id": f"r{i}", "status": 200, "prediction": i % 3, "label": 0} for i in range(50)]
    assert requests.post(url, json=batch, timeout=10).json()["accepted"] == 50
    again = requests.post(url, json=[*batch, {"model": "iris", "version": 1, "status": 200}], timeout=10)  # as a client after a timeout
    assert again.status_code == 200
    assert (again.json()["accepted"], again.json()["duplicate"], again.json()["rejected"]) == (1, 50, 0), again.text
    watch.await_metric(51, TOTAL, model="iris", version="1", outcome="ok")
    watch.await_metric(50, "leadsman_monitor_labelled_total", model="iris")
    assert watch.metric("leadsman_intake_events_duplicate_total") == 50
    assert watch.stop() == 0


def cloud_event(half, event_id, **headers):
    return {"ce-specversion": "1.0", "ce-type": f"org.kubeflow.serving.inference.{half}", "ce-id": event_id,
            "ce-source": "http://localhost:9081/", "ce-inferenceservicename": "iris", "ce-namespace": "ml",
            "ce-endpoint": "default", "content-type": "application/json", **headers}


def test_what_kserves_agent_sends(monitor):  # noqa: F811
    """Headers and bodies of KServe's agent v0.17.0 in front of its Python server: V1, V2, and a call that failed."""
    watch = monitor("--cloudevents-port", "0")
    with open(GOLDEN / "kserve/agent.jsonl") as sent:
        for line in sent:
            event = json.loads(line)
            answer = requests.post(f"http://127.0.0.1:{port_of(watch)}/", data=event["body"].encode(),
                                   headers=event["headers"], timeout=10)
            assert answer.status_code == 200, answer.text  # all that the agent takes for a success
    watch.await_metric(2, TOTAL, model="iris", version="0", outcome="ok")
    watch.await_metric(1, TOTAL, model="iris", version="3", outcome="ok")
    assert watch.metric("leadsman_monitor_request_duration_seconds_count", model="iris") == 3
    assert watch.metric("leadsman_monitor_predictions_total", model="iris", version="3", **{"class": "1"}) == 1
    assert watch.metric("leadsman_intake_cloudevents_waiting") == 1, "no answer of 200, no event of it"
    assert requests.post(watch.admin + "/api/v1/labels", json={"request_id": "mine", "label": 1}, timeout=10).status_code == 200
    watch.await_metric(1, "leadsman_monitor_labelled_total", model="iris", version="3")
    assert watch.stop() == 0


def test_cloud_events_join_and_what_stays_alone_counts_at_the_end(monitor):  # noqa: F811
    watch = monitor("--cloudevents-port", "0")
    url = f"http://127.0.0.1:{port_of(watch)}/"
    for i in range(50):
        request = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [i, 2]}]}
        response = {"model_name": "iris", "model_version": "4",
                    "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [i % 3]}]}
        halves = [("request", request, "2026-01-01T00:00:00.000Z"), ("response", response, "2026-01-01T00:00:00.005Z")]
        for half, body, time in halves if i % 2 else reversed(halves):
            sent = requests.post(url, json=body, headers=cloud_event(half, f"r{i}", **{"ce-time": time}), timeout=10)
            assert sent.status_code == 200, sent.text
    watch.await_metric(50, TOTAL, model="iris", version="4", outcome="ok")
    assert watch.metric("leadsman_intake_cloudevents_joined_total") == 50
    assert watch.metric("leadsman_monitor_request_duration_seconds_count", model="iris") == 50
    assert requests.post(url, json={}, timeout=10).status_code == 400
    assert requests.get(url, timeout=10).status_code == 405
    requests.post(url, data=b"\x00\x01", headers=cloud_event("request", "broken"), timeout=10)
    watch.await_metric(1, "leadsman_intake_cloudevents_undecodable_total", reason="body")
    assert watch.metric("leadsman_intake_cloudevents_waiting") == 1
    assert watch.stop() == 0


def area(positive, negative):
    """Of all pairs the share in which the positive has the higher score, ties as half."""
    return sum((p > n) + (p == n) / 2 for p in positive for n in negative) / (len(positive) * len(negative))


def test_segments_and_the_areas_of_three_classes(monitor, tmp_path):  # noqa: F811
    config = tmp_path / "leadsman.yaml"
    config.write_text(json.dumps({"models": [{"name": "insects", "monitoring": {
        "max_join_rate": 100000, "max_segments": 5,
        "segments": [{"name": "tenant"}, {"name": "age", "input": "age", "cuts": [30], "values": ["< 30", ">= 30"]}]}}]}))
    watch = monitor("--config", config, "--cloudevents-port", "0")
    rows = []
    for i in range(300):
        scores = [i * 37 % 61 / 128, i * 23 % 53 / 128]
        scores.append(1 - sum(scores))
        rows.append((scores, scores.index(max(scores)) if i % 3 else (i * 5 + i // 7) % 3))
    events = [{"model": "insects", "version": 1, "request_id": f"i{i}", "status": 200, "prediction": scores, "label": label,
               "features": {"age": i % 60}, "segments": {"tenant": ["acme", "globex", "initech", f"t{i}"][i % 4], "colour": "red"}}
              for i, (scores, label) in enumerate(rows)]
    answer = requests.post(watch.admin + "/api/v1/events", json=events, timeout=10)
    assert answer.status_code == 200 and answer.json()["accepted"] == 300, answer.text
    watch.await_metric(300, "leadsman_monitor_labelled_total", model="insects")
    found = requests.get(watch.admin + "/api/v1/models/insects/quality", timeout=10).json()["versions"][0]

    areas = {str(k): area([s[k] for s, label in rows if label == k], [s[k] for s, label in rows if label != k]) for k in range(3)}
    many = found["scores"][1]
    assert many["of"] == "all_classes" and many["rows"] == 300 and "left_out" not in many
    for one in many["classes"]:
        assert abs(one["auc"] - areas[one["class"]]) <= one["auc_error"] + 1e-9
    assert abs(many["auc"] - sum(areas.values()) / 3) <= many["auc_error"] + 1e-9
    assert watch.metric("leadsman_monitor_auc", model="insects") == many["auc"]

    segments = {(x["by"], x["segment"]): x for x in found["segments"]}
    assert segments["age", "< 30"]["requests"]["ok"] == segments["age", ">= 30"]["requests"]["ok"] == 150
    acme = [label != s.index(max(s)) for i, (s, label) in enumerate(rows) if i % 4 == 0]
    assert segments["tenant", "acme"]["labelled"] == 75 and segments["tenant", "acme"]["wrong"] == sum(acme)
    assert segments["tenant", "(other)"]["requests"]["ok"] == 75, "there is room for five"
    assert watch.metric("leadsman_monitor_segments_folded_total", model="insects") >= 75
    assert watch.metric("leadsman_intake_events_unknown_segments_total") == 300
    assert watch.stop() == 0


def test_what_the_ways_in_lose_is_an_alarm(monitor, tmp_path):  # noqa: F811
    config = tmp_path / "leadsman.yaml"
    config.write_text(json.dumps({"alarms": {"evaluation_interval": "100ms", "for": "0s"}}))
    watch = monitor("--config", config, "--cloudevents-port", "0")

    def alarms():
        found = requests.get(watch.admin + "/api/v1/alarms", timeout=10).json()
        return {a["of"]: a for a in found["alarms"] if a["kind"] == "capture_loss" and a["state"] == "firing"}

    # What was lost before the first look is not known to be of the last ten minutes.
    wait_for("a look", lambda: watch.metric("leadsman_alarm_last_look_timestamp_seconds") > 0)
    assert alarms() == {}
    url = f"http://127.0.0.1:{port_of(watch)}/"
    for i in range(20):
        structured = {"content-type": "application/cloudevents+json"}
        assert requests.post(url, data="nonsense", headers=structured, timeout=10).status_code == 200
        assert requests.post(url, data=b"\x00\x01", headers=cloud_event("request", f"r{i}"), timeout=10).status_code == 200
    wrong = [{"model": "iris", "latency": 3}] * 20 + [{"model": "iris"}]
    assert requests.post(watch.admin + "/api/v1/events", json=wrong, timeout=10).json()["rejected"] == 20
    wait_for("three alarms", lambda: len(alarms()) == 3)
    found = alarms()
    assert set(found) == {"cloudevents", "cloudevents bodies", "events API"}
    assert found["cloudevents"]["severity"] == "page" and found["cloudevents bodies"]["severity"] == "ticket"
    assert "20 of 21 entries of POST /api/v1/events were lost" in found["events API"]["summary"], found
    assert watch.metric("leadsman_alarm_firing", kind="capture_loss") == 3
    assert watch.stop() == 0
