"""What a rollout's plan promises beside its gates: who comes first, how long is waited, who approves, when it will be over."""
import hashlib
import hmac

import models
import pytest
import requests
from conftest import wait_for
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


def test_a_candidate_that_is_never_ready_is_taken_back_and_that_is_told(gunicorn, gateway):  # noqa: F811
    one, nobody = gunicorn(version=1), f"127.0.0.1:{free_port()}"
    plan = {**PLAN, "progress_deadline": "3s"}
    with webhook(lambda _: (200, {})) as (url, got):
        server = gateway([(1, [one.endpoint], None), (2, [nobody], None)], health={"path": "/healthz", "interval": "100ms"},
                         models=[{"name": "digits", "rollout": plan}])
        server.config["alarms"] = {"webhooks": [{"url": url, "rollouts": True}]}
        server.kill()
        server.start()
        assert server.cli("rollout", "start", "digits", "2").returncode == 0
        end = wait_for("the end", lambda: next((r for r in server.rollouts() if r["phase"] == "rolled_back"), None))
        assert "version 2 was not ready within 3 s (progress_deadline): no endpoint is healthy: " + nobody in end["reason"], end["reason"]
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
