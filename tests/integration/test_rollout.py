"""Rollouts decided by evidence, on the real server with real traffic."""
import json
import os
import signal
import socket
import subprocess

import models
import requests
from conftest import BINARY, stable_version, wait_for
from traffic import Traffic

PLAN = {"steps": [{"weight": "20%", "duration": "300ms"}, {"weight": "50%", "duration": "300ms"}],
        "gates": [{"kind": "errors", "margin": 2, "floor": "2%"},
                  {"kind": "latency", "margin": 2, "floor": "5%", "ignore_below": "100ms"},
                  {"kind": "quality", "margin": 2, "floor": "5%"}],
        "interval": "100ms", "max_duration": "5m"}


def digits(repository, **rollout):
    return [{"name": "digits", "path": str(repository / "digits"), "rollout": {**PLAN, **rollout},
             "monitoring": {"window": "1s"}}]


def ended(server, candidate):
    return next((r for r in server.rollouts() if r["candidate"] == candidate
                 and r["phase"] not in ("progressing", "held")), None)


def run_alone(*arguments):
    """As Server.cli, where there is no server."""
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "LEADSMAN_SERVER": "http://127.0.0.1:1"})


def test_a_good_version_is_promoted_and_a_bad_one_taken_back(start, repository, tmp_path):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    server = start(models=digits(repository))
    with Traffic(server) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier())
        good = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
        assert good["phase"] == "promoted", good["reason"]
        wait_for("1 to leave memory", lambda: server.version_state("digits", 1) == "gone")
        models.release(repository, "digits", 3, models.classifier(wrong_class=7))
        bad = wait_for("the verdict on 3", lambda: ended(server, 3), timeout=60)
        assert bad["phase"] == "rolled_back"
        assert "quality" in bad["reason"] and "wrong" in bad["reason"], bad["reason"]
        assert str(bad["arms"]["candidate"]["requests"]) in bad["reason"].replace(",", "")
    assert traffic.failures == []
    traffic_now = server.model("digits")["traffic"]
    assert traffic_now["stable"] == 2 and not traffic_now["candidate"]
    # What the page and the metrics say agrees with the verdicts.
    history = server.get(f"/api/v1/rollouts/{bad['id']}/history").json()
    assert history["ticks"][-1]["decision"] == "roll_back"
    quality = next(g for g in history["ticks"][-1]["gates"] if g["gate"] == "quality")
    assert quality["harm_log_e"] >= quality["harm_log_bound"]
    metrics = server.get("/metrics").text
    assert 'leadsman_rollout_verdicts_total{model="digits",verdict="promoted"} 1' in metrics
    assert 'leadsman_rollout_verdicts_total{model="digits",verdict="rolled_back"} 1' in metrics
    # Both verdicts come out again of their records alone, on a machine without the server.
    for verdict in (good, bad):
        record = tmp_path / f"{verdict['id']}.json"
        record.write_text(server.cli("rollout", "record", str(verdict["id"])).stdout)
        alone = run_alone("rollout", "replay", str(record))
        assert alone.returncode == 0 and "to the same verdict" in alone.stdout, alone.stdout + alone.stderr
    changed = json.loads(record.read_text())
    assert changed["verdict"]["reason"] == bad["reason"] and changed["program"] in server.cli("version").stdout
    changed["ticks"][-1]["input"]["candidate_window"][4] = 0  # wrong answers
    record.write_text(json.dumps(changed))
    alone = run_alone("rollout", "replay", str(record))
    assert alone.returncode == 14 and f"tick {len(changed['ticks'])}: gate quality" in alone.stdout, alone.stdout
    assert server.cli("rollout", "replay", "digits").returncode == 0
    plan = server.cli("rollout", "plan", "digits", "--simulate=5", "--json")
    assert plan.returncode == 0, plan.stderr
    seen = json.loads(plan.stdout)
    assert seen["traffic"]["requests_per_second"] > 1 and seen["traffic"]["label_share"] > 0.5
    assert [gate["gate"] for gate in seen["forecast"]["steps"][1]["gates"]] == ["errors", "latency", "quality"]
    assert [run["runs"] for run in seen["played"]] == [5] * 4
    # A rejected version does not come back, also not after a restart.
    server.stop()
    server.start()
    assert server.model("digits")["traffic"]["stable"] == 2
    time_was = len(server.rollouts())
    wait_for("a few polls", lambda: server.get("/api/v1/status").json()["uptime_seconds"] > 1)
    assert len(server.rollouts()) == time_was
    assert server.version_state("digits", 3) not in ("ready", "warming", "loading")


def test_an_incompatible_version_is_taken_back_for_its_errors(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository))
    with Traffic(server) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.pair())  # takes other inputs: every request to it is refused
        verdict = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
    assert verdict["phase"] == "rolled_back" and "errors" in verdict["reason"], verdict["reason"]
    assert 0 < len(traffic.failures) < 60  # what the candidate was exposed to, nothing more
    # Requests on their way while the verdict fell are answered by the candidate, and not in its count.
    assert 0 <= len(traffic.failures) - verdict["arms"]["candidate"]["errors"] <= 12


def test_requests_that_name_the_candidate_are_not_evidence(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository))
    with Traffic(server) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier())
        wait_for("the split", lambda: (server.model("digits")["traffic"] or {}).get("candidate_share"))
        for _ in range(200):  # more than all the split can give it, and each of them is refused
            answer = requests.post(f"{server.url}/v1/models/digits/versions/2:predict", json={"instances": [[1.0]]})
            assert answer.status_code == 400, answer.text
        verdict = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
    assert verdict["phase"] == "promoted", verdict["reason"]
    assert verdict["arms"]["candidate"]["errors"] == 0


def test_killed_at_every_step_it_comes_to_the_same_verdict(start, repository):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    steps = [{"weight": share, "duration": "700ms"} for share in ("10%", "30%", "60%")]
    server = start(models=digits(repository, steps=steps), server={"port": free_port()}, admin={"port": free_port()})
    seen = set()
    with Traffic(server, retry_connect=True) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier())
        while len(seen) < len(steps):
            # Held for a moment after each restart, while the candidate is loaded again.
            running = wait_for("the next step", lambda: next(
                (r for r in server.rollouts() if r["candidate"] == 2 and r["phase"] != "held"
                 and (r["step"] not in seen or r["phase"] != "progressing")), None), timeout=60)
            if running["phase"] != "progressing":
                break
            seen.add(running["step"])
            server.kill()
            server.start()
            after = next(r for r in server.rollouts() if r["candidate"] == 2)
            assert after["id"] == running["id"] and after["step"] >= running["step"]
            assert after["arms"]["candidate"]["requests"] >= running["arms"]["candidate"]["requests"]
        verdict = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
    assert verdict["phase"] == "promoted", verdict["reason"]
    assert seen == {0, 1, 2}
    assert len(server.rollouts()) == 1
    server.kill()
    server.start()
    assert server.model("digits")["traffic"]["stable"] == 2


def test_killed_before_a_rollback_it_still_rolls_back(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository), server={"port": free_port()}, admin={"port": free_port()})
    with Traffic(server, retry_connect=True, rate=200) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier(wrong_class=1))
        wait_for("the rollout", lambda: any(r["candidate"] == 2 for r in server.rollouts()))
        server.kill()
        server.start()
        verdict = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
    assert verdict["phase"] == "rolled_back", verdict["reason"]


def test_promote_and_abort_by_hand(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository))
    wait_for("a stable version", lambda: stable_version(server) == 1)
    models.release(repository, "digits", 2, models.classifier())
    wait_for("the rollout", lambda: server.rollouts())
    shown = server.cli("rollout", "show", "digits")
    assert shown.returncode == 0 and "digits" in shown.stdout and "progressing" in shown.stdout
    run = server.cli("rollout", "abort", "digits")
    assert run.returncode == 0, run.stderr
    assert wait_for("the abort", lambda: ended(server, 2))["phase"] == "aborted"
    assert server.model("digits")["traffic"]["stable"] == 1
    assert server.cli("rollout", "abort", "digits").returncode == 1  # it has ended
    again = server.cli("rollout", "retry", "digits")
    assert again.returncode == 0, again.stderr
    wait_for("the second try", lambda: server.rollouts()[0]["phase"] == "progressing")
    assert server.rollouts()[0]["plan_notes"][0].startswith("rollout 1 once more")
    assert server.cli("rollout", "promote", "digits", "--full").returncode == 0
    assert wait_for("the promotion", lambda: server.rollouts()[0]["phase"] == "promoted")
    assert server.cli("rollout", "watch", "digits").returncode == 0
    assert server.cli("rollout", "show", "99").returncode == 4


def test_pause_next_step_and_undo_by_hand(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository))
    wait_for("a stable version", lambda: stable_version(server) == 1)
    models.release(repository, "digits", 2, models.classifier())
    wait_for("the rollout", lambda: server.rollouts() and server.rollouts()[0]["share"] > 0)
    assert server.cli("rollout", "pause", "digits").returncode == 0
    paused = wait_for("the pause", lambda: next((r for r in server.rollouts() if r["paused_by"]), None))
    assert paused["phase"] == "held" and "paused by" in paused["reason"]
    # In mid-step, killed and started again: still paused, with the share that it had.
    server.kill()
    server.start()
    wait_for("the candidate", lambda: server.rollouts()[0]["share"] == 0.2)
    assert server.rollouts()[0]["paused_by"] == paused["paused_by"]
    assert server.cli("rollout", "promote", "digits").returncode == 0
    wait_for("the next step", lambda: server.rollouts()[0]["step"] == 1 and server.rollouts()[0]["share"] == 0.5)
    assert server.cli("rollout", "resume", "digits").returncode == 1  # the promotion has ended the pause
    assert server.cli("rollout", "promote", "digits").returncode == 0
    wait_for("the promotion", lambda: server.rollouts()[0]["phase"] == "promoted")
    wait_for("1 to leave memory", lambda: server.version_state("digits", 1) == "gone")
    undo = server.cli("rollout", "undo", "digits")
    assert undo.returncode == 0, undo.stderr
    back = wait_for("the way back", lambda: ended(server, 1))
    assert back["phase"] == "promoted" and "undone by" in back["reason"], back["reason"]
    assert server.model("digits")["traffic"]["stable"] == 1
    wait_for("2 to leave memory", lambda: server.version_state("digits", 2) == "gone")
    assert len(server.rollouts()) == 2  # and it does not come back by itself


BLUE_GREEN = {"strategy": "blue_green", "interval": "100ms", "max_duration": "5m",
              "blue_green": {"preview_duration": "300ms", "watch_duration": "500ms", "min_requests": 50},
              "gates": [{"kind": "errors", "max": "5%"}, {"kind": "quality", "max": "20%"}]}


def switching(repository, **blue_green):
    plan = {**BLUE_GREEN, "blue_green": {**BLUE_GREEN["blue_green"], **blue_green}}
    return [{"name": "digits", "path": str(repository / "digits"), "rollout": plan, "monitoring": {"window": "1s"}}]


def test_blue_green_switches_all_traffic_and_takes_it_back(start, repository):
    models.release(repository, "digits", 1, models.classifier(wrong_class=3))
    server = start(models=switching(repository))
    with Traffic(server) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier())
        good = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
        assert good["phase"] == "promoted" and good["strategy"] == "blue_green", good["reason"]
        assert good["arms"]["stable"]["requests"] == 0, "the two never had traffic at the same time"
        wait_for("1 to leave memory", lambda: server.version_state("digits", 1) == "gone")
        models.release(repository, "digits", 3, models.pair())  # takes other inputs: every request to it is refused
        bad = wait_for("the verdict on 3", lambda: ended(server, 3), timeout=60)
        assert bad["phase"] == "rolled_back" and "the bound is 5 %" in bad["reason"], bad["reason"]
        failed = len(traffic.failures)
        wait_for("traffic on the stable version", lambda: traffic.sent > 1000)
    assert server.model("digits")["traffic"] == {"stable": 2, "candidate": None, "candidate_share": 0}
    assert 0 < failed < 400
    decisions = [t["decision"] for t in server.get(f"/api/v1/rollouts/{bad['id']}/history").json()["ticks"] if t["decision"]]
    assert "switch" in decisions and decisions[-1] == "roll_back"


def test_blue_green_waits_for_a_person_and_outlives_the_process(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=switching(repository, auto_promote=False, watch_duration="2s"), server={"port": free_port()},
                   admin={"port": free_port()})
    with Traffic(server, retry_connect=True) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier())
        waiting = wait_for("the preview", lambda: next((r for r in server.rollouts() if r["awaits_approval"]), None))
        assert waiting["share"] == 0 and waiting["phase"] == "held", waiting["reason"]
        assert server.version_state("digits", 1) == server.version_state("digits", 2) == "ready"
        assert server.cli("rollout", "promote", "digits").returncode == 0
        wait_for("the switch", lambda: server.rollouts()[0]["share"] == 1)
        assert server.version_state("digits", 1) == "ready", "kept to take it back"
        server.kill()
        server.start()
        verdict = wait_for("the verdict", lambda: ended(server, 2), timeout=60)
    assert verdict["phase"] == "promoted", verdict["reason"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_sigterm_under_load_loses_no_request(start, repository):
    """Three times 500 requests a second on kept connections; the client reconnects where it was told to close."""
    models.release(repository, "digits", 1, models.classifier())
    for _ in range(3):
        server = start(models=[{"name": "digits", "path": str(repository / "digits")}])
        traffic = Traffic(server, rate=500, threads=8, labels=False)
        refused_after = []
        with traffic:
            wait_for("traffic", lambda: traffic.sent > 300)
            server.process.send_signal(signal.SIGTERM)
            # New connections are refused once the listener is gone: that is how a load balancer learns it. Whatever
            # was sent on an open connection has been answered.
            server.process.wait(40)
            refused_after = [f for f in traffic.failures]
        lost = [f for f in refused_after if f[0] not in ("ConnectionRefusedError",)]
        assert lost == [], lost[:5]
        assert server.process.returncode == 0


def test_a_second_sigterm_cuts_what_is_left_and_ends_the_server(start, tmp_path):
    server = start(ready=False, models=[{"name": "digits", "path": str(tmp_path / "none")}])
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        # A body that does not end keeps the server draining.
        slow.sendall(b"POST /v1/models/digits:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n[")
        wait_for("the connection", lambda: any(
            line.startswith("leadsman_http_connections_open") and 'serving' in line and float(line.split()[-1]) >= 1
            for line in server.get("/metrics").text.splitlines()))
        server.process.send_signal(signal.SIGTERM)
        wait_for("the stop to begin", lambda: "stopping" in server.log_text())
        server.process.send_signal(signal.SIGTERM)
        # Long before the drain's 30 seconds, and in order.
        assert server.process.wait(10) == 0


def test_version_change_without_a_rollout_loses_no_request(start, repository):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=[{"name": "digits", "path": str(repository / "digits")}])
    with Traffic(server, rate=500, labels=False) as traffic:
        for version in (2, 3, 4):
            models.release(repository, "digits", version, models.classifier())
            wait_for(f"version {version} to take over", lambda: server.version_state("digits", version) == "ready")
            wait_for(f"version {version - 1} to go", lambda: server.version_state("digits", version - 1) == "gone")
    assert traffic.failures == []


def test_ready_only_once_a_model_is(start, repository):
    server = start(ready=False, models=[{"name": "digits", "path": str(repository / "digits")}])
    assert server.get("/livez").status_code == 200
    answer = server.get("/readyz")
    assert answer.status_code == 503 and "digits" in answer.text
    assert requests.get(server.url + "/v2/health/ready", timeout=5).status_code == 400
    models.release(repository, "digits", 1, models.classifier())
    wait_for("/readyz", lambda: server.get("/readyz").status_code == 200)


def test_readiness_names_only_what_it_waits_for(start, repository):
    models.release(repository, "broken", 1, b"this is not an ONNX file at all")
    server = start(ready=False, models=[{"name": name, "path": str(repository / name), "load_retries": 0, "required": name == "digits"}
                                        for name in ("digits", "broken")])
    (repository / "digits").mkdir()
    wait_for("the other to fail", lambda: any(v["state"] == "failed" for v in server.model("broken")["versions"]))
    reasons = wait_for("the reason", lambda: [r for r in server.get("/readyz").json()["reasons"] if "remove the model" in r])
    assert "digits" in reasons[0] and str(repository / "digits") in reasons[0], reasons
    assert "broken" not in server.get("/readyz").text
    models.release(repository, "digits", 1, models.classifier())
    wait_for("/readyz", lambda: server.get("/readyz").status_code == 200)


def test_disk_full_for_the_journal_holds_the_rollout_and_serves_on(start, repository, tmp_path):
    full = tmp_path / "small"
    full.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(full)], capture_output=True, text=True)
    assert made.returncode == 0, f"this test needs the right to mount a small tmpfs: {made.stderr}"
    try:
        models.release(repository, "digits", 1, models.classifier())
        server = start(models=digits(repository), data_dir=str(full))
        with Traffic(server, rate=200) as traffic:
            wait_for("traffic", lambda: traffic.sent > 100)
            (full / "filler").write_bytes(b"")
            try:
                with open(full / "filler", "wb", buffering=0) as filler:
                    while True:
                        filler.write(b"x" * 4096)
            except OSError:
                pass
            models.release(repository, "digits", 2, models.classifier(wrong_class=3))
            wait_for("version 2", lambda: server.version_state("digits", 2) == "ready")
            before = traffic.sent
            wait_for("more traffic", lambda: traffic.sent > before + 600)
            phases = {r["phase"] for r in server.rollouts() if r["candidate"] == 2}
            assert "promoted" not in phases, server.rollouts()
            errors = [line for line in server.get("/metrics").text.splitlines()
                      if line.startswith("leadsman_rollout_journal_errors_total")]
            assert errors and float(errors[0].split()[-1]) > 0
            status = server.get("/api/v1/status").json()
            assert not status["rollout_journal"]["ok"] and "full" in status["rollout_journal"]["reason"], status
            assert "rollout journal" in server.model("digits")["note"]
            assert server.log_text().count("rollout journal cannot be written: rollouts hold") == 1
            assert "rollout journal can be written again" not in server.log_text()
            (full / "filler").unlink()
            verdict = wait_for("the verdict once there is room", lambda: ended(server, 2), timeout=60)
            assert verdict["phase"] == "rolled_back", verdict
            wait_for("the journal to take what it had refused", lambda: server.get("/api/v1/status").json()["rollout_journal"]
                     == {"ok": True, "reason": ""})
            assert server.log_text().count("rollout journal can be written again") == 1
        assert traffic.failures == []
        server.stop()
        server.start()  # what was rejected is still said after a restart
        shown = wait_for("version 2 to be listed", lambda: next(
            (v for v in server.model("digits")["versions"] if v["version"] == 2), None))
        assert shown["state"] == "gone" and "leadsman rollout start digits 2" in shown["reason"], shown
        server.stop()
    finally:
        subprocess.run(["umount", "-l", str(full)], check=False)


def test_harm_in_one_segment_takes_a_version_back_that_all_requests_together_do_not(start, repository, tmp_path):
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=[{
        "name": "digits", "path": str(repository / "digits"),
        "monitoring": {"window": "1s", "segments": [{"name": "seven", "input": "x", "index": 7, "cuts": [0.5]}]},
        "rollout": {"steps": [{"weight": "50%", "duration": "5m"}], "gates": [{"kind": "quality", "max": "50%"}],
                    "segments": {"by": ["seven"], "max": 2}, "interval": "100ms", "max_duration": "10m"}}])
    with Traffic(server) as traffic:
        wait_for("traffic", lambda: traffic.sent > 200)
        models.release(repository, "digits", 2, models.classifier(wrong_class=7))
        bad = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
    assert traffic.failures == []
    assert bad["phase"] == "rolled_back", bad["reason"]
    assert bad["reason"].startswith("rolled back: quality in seven=>= 0.5: "), bad["reason"]
    assert "e-BH over 2 tests" in bad["reason"]
    evidence = {one["segment"]: one for one in bad["segments"]["evidence"]}
    assert evidence["seven=>= 0.5"]["harmed"] and not evidence["seven=< 0.5"]["harmed"]
    assert evidence["seven=< 0.5"]["candidate"]["events"] == 0
    shown = server.cli("rollout", "show", str(bad["id"])).stdout
    assert "segment    seven=>= 0.5 quality: harmed" in shown, shown
    record = tmp_path / "verdict.json"
    record.write_text(server.cli("rollout", "record", str(bad["id"])).stdout)
    replayed = run_alone("rollout", "replay", str(record))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
