"""What a rollout's plan promises beside its gates: who comes first, how long is waited, who approves, when it will be over."""
import hashlib
import hmac
import json
import subprocess

import models
import pytest
import requests
from conftest import BINARY, wait_for
from hosts.prometheus import Prometheus
from test_gateway import PLAN, free_port, gateway, gunicorn  # noqa: F401
from test_rollout import ended
from test_rollout_outside import digits, webhook
from traffic import Traffic


def test_each_rollout_puts_users_of_its_own_first(gunicorn, gateway):  # noqa: F811
    one, two = gunicorn(version=1), gunicorn(version=2)
    plan = {"steps": [{"weight": "20%", "duration": "10m"}, {"weight": "60%", "duration": "10m"}], "interval": "100ms",
            "gates": [{"kind": "errors", "margin": 2, "floor": "5%"}]}
    server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                     split={"by": "header", "name": "x-user"}, models=[{"name": "digits", "rollout": plan}])
    share = lambda: next(v["share"] for v in server.service()["versions"] if v["version"] == 2)  # noqa: E731

    def with_candidate():
        with requests.Session() as session:
            return {user for user in range(200) if session.post(
                server.url + "/predict", data=b"x", headers={"x-user": f"user-{user}"}, timeout=10).json()["version"] == 2}

    wait_for("its share", lambda: share() == 0.2)
    first, seed = with_candidate(), server.rollouts()[0]["split_seed"]
    assert 10 < len(first) < 80 and seed is not None
    server.kill()
    server.start()
    wait_for("its share again", lambda: share() == 0.2)
    assert with_candidate() == first, "a restart keeps who is where"
    assert server.cli("rollout", "promote", "digits").returncode == 0
    wait_for("the next share", lambda: share() == 0.6)
    assert with_candidate() >= first, "nobody goes back while it grows"
    assert server.cli("rollout", "abort", "digits").returncode == 0
    wait_for("its end", lambda: server.rollouts()[0]["phase"] == "aborted")
    assert server.cli("rollout", "retry", "digits").returncode == 0
    wait_for("the share of another one", lambda: share() == 0.2)
    assert server.rollouts()[0]["split_seed"] != seed
    assert with_candidate() != first


def test_a_candidate_that_is_never_ready_again_is_taken_back_and_that_is_told(gunicorn, gateway):  # noqa: F811
    one, two = gunicorn(version=1), gunicorn(version=2)
    plan = {**PLAN, "steps": [{"weight": "20%", "duration": "10m"}], "max_duration": "1h", "progress_deadline": "3s"}
    with webhook(lambda _: (200, {})) as (url, got):
        server = gateway([(1, [one.endpoint], None), (2, [two.endpoint], None)], health={"path": "/healthz", "interval": "100ms"},
                         models=[{"name": "digits", "rollout": plan}])
        wait_for("its beginning", lambda: any(r["phase"] == "progressing" for r in server.rollouts()))
        # Both are started again, and one of them does not come.
        server.kill()
        two.kill()
        server.config["alarms"] = {"webhooks": [{"url": url, "rollouts": True}]}
        server.start()
        end = wait_for("the end", lambda: next((r for r in server.rollouts() if r["phase"] == "rolled_back"), None))
        assert "ready" in end["reason"] and " within 3 s (progress_deadline): no endpoint is healthy: " + two.endpoint in end["reason"], end["reason"]
        told = wait_for("the message", lambda: next((m for m in got if m["event"] == "rollout.rolled_back"), None))
    assert told["rollout"]["reason"] == end["reason"]
    assert requests.post(server.url + "/predict", data=b"x", timeout=10).json()["version"] == 1


@pytest.mark.parametrize("approved", [True, False])
def test_a_webhook_approves_a_step_or_refuses_it(start, repository, tmp_path, approved):
    answers = iter([(503, {}), (200, {"approved": None}), (200, b"<html>")])
    raw = []

    def answer(_):
        return next(answers, (200, {"approved": approved, "reason": "change 4711"}))

    (tmp_path / "secret").write_text("key\n")
    with webhook(answer, raw) as (url, got):
        approval = {"webhook": {"url": url, "secret_file": str(tmp_path / "secret"), "retry_after": "100ms", "on_refusal": "abort"}}
        models.release(repository, "digits", 1, models.classifier())
        server = start(models=digits(repository, [{"kind": "errors", "margin": 2, "floor": "20%"}], steps=[
            {"weight": "20%", "duration": "300ms", "min_requests": 20, "approval": approval}, {"weight": "50%", "min_requests": 20}]))
        with Traffic(server, labels=False) as traffic:
            wait_for("traffic", lambda: traffic.sent > 100)
            models.release(repository, "digits", 2, models.classifier())
            end = wait_for("the verdict", lambda: ended(server, 2), timeout=60)
    host = url.split("/")[2]
    if approved:
        assert end["phase"] == "promoted", end["reason"]
        assert f"step 1: approved by webhook {host}: change 4711" in end["plan_notes"], end["plan_notes"]
    else:
        assert end["phase"] == "aborted", end["reason"]
        assert f"aborted: webhook {host} has refused to approve step 1: change 4711" in end["reason"], end["reason"]
    assert len(got) == 4 and len({message["approval"] for message in got}) == 1
    assert (got[0]["event"], got[0]["model"], got[0]["candidate"], got[0]["step"]) == ("approval.wanted", "digits", 2, 0)
    for headers, body in raw:
        stamp, signature = (part.split("=", 1)[1] for part in headers["x-leadsman-signature"].split(","))
        assert signature == hmac.new(b"key", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    replay = server.cli("rollout", "replay", str(end["id"]))
    assert replay.returncode == 0, replay.stdout
    assert "/gate" not in server.get("/api/v1/configuration").text and "/gate" not in server.log_text()


def test_it_says_when_it_will_be_over(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository, [{"kind": "errors", "margin": 2, "floor": "20%", "weight": 3},
                                              {"kind": "latency", "floor": "90%", "ignore_below": "5s"}],
                                 steps=[{"weight": "50%", "duration": "40m", "approval": True}], max_duration="2h"))
    models.release(repository, "digits", 2, models.classifier())
    idle = wait_for("the rollout", lambda: next(iter(server.rollouts()), None))
    assert idle["expected_end"]["kind"] in ("unknown", "held") and idle["expected_end"]["in_seconds"] is None
    with Traffic(server, labels=False):
        busy = wait_for("an expected end", lambda: next((r for r in server.rollouts() if r["expected_end"]["kind"] == "approval"), None))
        assert 0 < busy["expected_end"]["in_seconds"] <= 40 * 60
        assert "approval of step 1 of 1 expected to be asked for about " in busy["expected_end"]["text"]
        shown = server.cli("rollout", "show", "digits").stdout
        assert "expected   approval of step 1 of 1" in shown, shown
        gates = {gate["gate"]: gate for gate in busy["gates"]}
        assert (gates["errors"]["alpha"], gates["latency"]["alpha"]) == (0.0075, 0.0025)
        assert "alpha: 1 % is shared by weight: errors 0.75 %, latency 0.25 %" in shown, shown
        assert server.cli("rollout", "pause", "digits").returncode == 0
        wait_for("the pause", lambda: server.rollouts()[0]["expected_end"]["text"].startswith("held: paused by "))


def test_a_gate_on_a_metric_that_is_not_there_is_refused(start, repository, tmp_path):
    def checked(config):
        path = tmp_path / "checked.json"
        path.write_text(json.dumps(config))
        return subprocess.run([str(BINARY), "config", "check", str(path)], capture_output=True, text=True, timeout=60)

    admin = free_port()
    with Prometheus(tmp_path / "prometheus", {"leadsman": f"127.0.0.1:{admin}"}) as prometheus:
        def gate(name, query, **more):
            return {"kind": "promql", "name": name, "address": prometheus.url, "query": query, "max": 1, **more}

        good = [gate("up", 'up{job="leadsman"}'), gate("seen", 'leadsman_build_info{version="{{candidate}}"}'), gate("later", "not_yet", allow_absent=True)]
        bad = [gate("none", "nothing_has_this_name"), gate("misspelt", 'sum(rate(leadsman_servng_requests_total{version="{{candidate}}"}[1m]))'),
               gate("wrong", "sum(")]
        models.release(repository, "digits", 1, models.classifier())
        server = start(models=digits(repository, good), admin={"port": admin})
        wait_for("a scrape", lambda: prometheus.query('up{job="leadsman"} == 1'))
        config = {"models": digits(repository, good)}
        fine = checked(config)
        assert fine.returncode == 0, fine.stderr
        config["models"] = digits(repository, [*good, *bad])
        refused = checked(config)
        assert refused.returncode == 2, refused.stderr
        for part in ("gates[3].query: gives nothing now", "gates[4].query: there is no metric leadsman_servng_requests_total", "gates[5].query: "):
            assert "model digits: rollout." + part in refused.stderr, f"{part}\n{refused.stderr}"
        assert "gates[0]" not in refused.stderr and "gates[1]" not in refused.stderr and "gates[2]" not in refused.stderr
        # A reload changes nothing then.
        server.config["models"] = config["models"]
        server.path.write_text(json.dumps(server.config))
        reload = requests.post(server.admin + "/api/v1/reload", timeout=60)
        assert reload.status_code >= 400 and "nothing_has_this_name" not in server.get("/api/v1/configuration").text
        assert "gates[3].query: gives nothing now" in reload.text, reload.text
    # Away: nobody knows, and that is said.
    away = checked(config)
    assert away.returncode == 0, away.stderr
    assert "warning: model digits: rollout.gates[0].address: " in away.stderr, away.stderr
