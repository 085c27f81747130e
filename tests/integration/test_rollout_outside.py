"""Gates that ask others: a real Prometheus that scrapes the server, and a small webhook."""
import contextlib
import http.server
import json
import subprocess
import threading

import models
import pytest
from conftest import BINARY, wait_for
from hosts.prometheus import Prometheus
from test_rollout import ended, free_port
from traffic import Traffic

STEPS = [{"weight": "20%", "duration": "300ms", "min_requests": 20}, {"weight": "50%", "min_requests": 20}]
OF_CANDIDATE = 'leadsman_serving_requests_total{model="{{model}}",version="{{candidate}}"'
# The share that was refused; no data before the Prometheus has seen what can be judged.
BAD = f'(sum({OF_CANDIDATE},code!="OK"}}) or vector(0)) / (sum({OF_CANDIDATE}}}) > 20)'


def digits(repository, gates, **plan):
    return [{"name": "digits", "path": str(repository / "digits"), "monitoring": {"window": "1s"},
             "rollout": {"steps": STEPS, "interval": "100ms", "max_duration": "5m", "gates": gates, **plan}}]


@contextlib.contextmanager
def webhook(answer, raw=None):
    """(url, what it was sent): posts are answered by answer(message) → (status, body). `raw` gets headers and bytes."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            sent = self.rfile.read(int(self.headers["content-length"]))
            message = json.loads(sent)
            if raw is not None:
                raw.append((self.headers, sent))
            got.append(message)
            status, body = answer(message)
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            with contextlib.suppress(OSError):  # whoever asked has gone
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/gate", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_query_of_a_real_prometheus_decides(start, repository, tmp_path):
    admin = free_port()
    with Prometheus(tmp_path / "prometheus", {"leadsman": f"127.0.0.1:{admin}"}) as prometheus:
        gate = {"kind": "promql", "name": "refused", "address": prometheus.url, "query": BAD, "max": 0, "interval": "500ms", "failures": 2}
        seen = {"kind": "promql", "name": "scraped", "address": prometheus.url, "interval": "500ms", "min": 1, "max": 1,
                "query": 'up{job="leadsman"}'}
        models.release(repository, "digits", 1, models.classifier())
        server = start(models=digits(repository, [gate, seen]), admin={"port": admin})
        with Traffic(server, labels=False) as traffic:
            wait_for("a scrape", lambda: prometheus.query('up{job="leadsman"} == 1'))
            models.release(repository, "digits", 2, models.classifier())
            good = wait_for("the verdict on 2", lambda: ended(server, 2), timeout=60)
            assert good["phase"] == "promoted", good["reason"]
            assert "refused: 0 is within its bounds" in good["reason"] and "scraped: 1" in good["reason"]
            answers = {g["gate"]: g["outside"]["answers"] for g in good["gates"]}
            assert answers["refused"]["passed"] >= 2 and answers["refused"]["failed"] == 0
            models.release(repository, "digits", 3, models.pair())  # takes other inputs: every request to it is refused
            bad = wait_for("the verdict on 3", lambda: ended(server, 3), timeout=60)
        assert bad["phase"] == "rolled_back", bad["reason"]
        assert "refused: " in bad["reason"] and "is above 0, the last of 2 failing answers in a row" in bad["reason"], bad["reason"]
        assert traffic.sent > 0
        shown = server.cli("rollout", "show", str(bad["id"])).stdout
        assert "refused" in shown and "fails 2 of 2" in shown, shown
        metrics = server.get("/metrics").text
        assert 'leadsman_rollout_outside_answers_total{model="digits",gate="refused",outcome="answered"}' in metrics


def test_a_prometheus_that_is_away_holds_and_comes_back(start, repository, tmp_path):
    admin, port = free_port(), free_port()
    gate = {"kind": "promql", "address": f"http://127.0.0.1:{port}", "query": 'up{job="leadsman"}', "min": 1, "interval": "200ms",
            "timeout": "2s"}
    models.release(repository, "digits", 1, models.classifier())
    server = start(models=digits(repository, [gate]), admin={"port": admin})
    with Traffic(server, labels=False) as traffic:
        wait_for("traffic", lambda: traffic.sent > 100)
        models.release(repository, "digits", 2, models.classifier())
        away = wait_for("what it waits for", lambda: next(
            (r for r in server.rollouts() if (r["gates"][0]["outside"]["answers"]["open"] >= 3)), None))
        assert away["phase"] == "progressing" and away["step"] == 0
        assert "no answer: cannot connect" in away["reason"] and str(port) in away["reason"], away["reason"]
        # Other ticks go on meanwhile: what the candidate is given is counted.
        wait_for("evidence", lambda: server.rollouts()[0]["arms"]["candidate"]["requests"] > 50)
        with Prometheus(tmp_path / "prometheus", {"leadsman": f"127.0.0.1:{admin}"}, port=port):
            verdict = wait_for("the verdict", lambda: ended(server, 2), timeout=60)
    assert verdict["phase"] == "promoted", verdict["reason"]


def test_a_query_that_cannot_decide_says_why(start, repository, tmp_path):
    admin = free_port()
    with Prometheus(tmp_path / "prometheus", {"leadsman": f"127.0.0.1:{admin}"}) as prometheus:
        asked = {"none": "nothing_has_this_name", "many": "{__name__=~\"leadsman_.+\"}", "wrong": "sum(", "text": '"a text"'}
        gates = [{"kind": "promql", "name": name, "address": prometheus.url, "query": query, "max": 1, "interval": "200ms"}
                 for name, query in asked.items()]
        models.release(repository, "digits", 1, models.classifier())
        server = start(models=digits(repository, gates), admin={"port": admin})
        wait_for("a scrape", lambda: prometheus.query('up{job="leadsman"} == 1'))
        models.release(repository, "digits", 2, models.classifier())

        def said():
            rollouts = server.rollouts()
            words = {g["gate"]: g["outside"]["said"] for g in rollouts[0]["gates"]} if rollouts else {}
            return words if words and all(words.values()) else None

        words = wait_for("an answer to each", said)
        assert words["none"] == "no data: the query gives no series"
        assert "series and must give one" in words["many"]
        assert "parse error" in words["wrong"]
        assert "gives a string" in words["text"]
        assert server.rollouts()[0]["phase"] == "progressing" and server.rollouts()[0]["step"] == 0


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_a_webhook_decides(start, repository, verdict):
    held = threading.Event()

    def answer(message):
        if not held.is_set():
            return 200, {"verdict": "hold", "reason": "tests run"}
        return 200, {"verdict": verdict, "reason": f"{message['model']} {message['candidate']} was tested"}

    with webhook(answer) as (url, got):
        models.release(repository, "digits", 1, models.classifier())
        server = start(models=digits(repository, [{"kind": "webhook", "name": "acceptance", "url": url, "interval": "200ms"}]))
        with Traffic(server, labels=False) as traffic:
            wait_for("traffic", lambda: traffic.sent > 100)
            models.release(repository, "digits", 2, models.classifier())
            wait_for("a question", lambda: len(got) > 2)
            assert server.rollouts()[0]["step"] == 0
            assert "the last: hold: tests run" in server.rollouts()[0]["reason"], server.rollouts()[0]["reason"]
            held.set()
            end = wait_for("the verdict", lambda: ended(server, 2), timeout=60)
    assert end["phase"] == ("promoted" if verdict == "pass" else "rolled_back"), end["reason"]
    assert f"acceptance: {verdict}: digits 2 was tested" in end["reason"], end["reason"]
    first = got[0]
    assert (first["model"], first["stable"], first["candidate"], first["gate"], first["strategy"]) == (
        "digits", 1, 2, "acceptance", "canary")
    assert first["rollout"] == end["id"] and first["share"] == 0.2
    # The path may be a secret: it is shown nowhere.
    assert "/gate" not in server.get("/api/v1/configuration").text
    assert "/gate" not in server.log_text()


def test_a_webhook_that_hangs_or_talks_nonsense_holds(start, repository):
    hang = threading.Event()
    answers = iter([(500, b"broken"), (200, b"<html>"), (200, {"verdict": "yes"}), (200, b"x" * (1 << 20))])

    def answer(_):
        with contextlib.suppress(StopIteration):
            return next(answers)
        hang.wait(30)
        return 200, {"verdict": "pass"}

    with webhook(answer) as (url, got):
        try:
            models.release(repository, "digits", 1, models.classifier())
            server = start(models=digits(repository, [{"kind": "webhook", "url": url, "interval": "100ms", "timeout": "300ms"}]))
            with Traffic(server, labels=False) as traffic:
                wait_for("traffic", lambda: traffic.sent > 100)
                models.release(repository, "digits", 2, models.classifier())
                wait_for("questions", lambda: len(got) >= 6)
                now = wait_for("open answers", lambda: server.rollouts()[0]["gates"][0]["outside"]["answers"]["open"] >= 5
                               and server.rollouts()[0])
                assert now["phase"] == "progressing" and now["step"] == 0, now["reason"]
                assert now["gates"][0]["outside"]["answers"]["failed"] == 0
                before = now["arms"]["candidate"]["requests"]
                wait_for("ticks that go on", lambda: server.rollouts()[0]["arms"]["candidate"]["requests"] > before)
        finally:
            hang.set()


def test_the_configuration_names_every_error(tmp_path):
    (tmp_path / "token").write_text("")
    config = {"models": [{"name": "a", "path": str(tmp_path), "rollout": {"gates": [
        {"kind": "promql", "address": "prometheus", "query": "up{{", "failures": -1},
        {"kind": "webhook", "max": 1},
        {"kind": "webhook", "name": "b", "url": "http://ci", "token_file": "t", "username": "u"}]}}]}
    path = tmp_path / "bad.json"

    def check():
        path.write_text(json.dumps(config))
        return subprocess.run([str(BINARY), "serve", "--config", str(path), "--check-config"], capture_output=True, text=True, timeout=20)

    bad = check()
    assert bad.returncode == 2
    for part in ("gates[0].address: ", "gates[0].query: a {{ is not closed by }}", "gates[0].failures: ", "gates[0].max: is missing",
                 "gates[1].url: is missing", "gates[1].max: belongs to", "gates[2].username: either token_file"):
        assert f"models[0].rollout.{part}" in bad.stderr, f"{part}\n{bad.stderr}"
    config["models"][0]["rollout"]["gates"] = [{"kind": "webhook", "url": "http://ci", "token_file": str(tmp_path / "token")}]
    empty = check()
    assert empty.returncode == 2 and "gate webhook of model a: token_file: " in empty.stderr, empty.stderr
