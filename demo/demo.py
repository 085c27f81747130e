#!/usr/bin/env python3
"""./dev demo: serve a model, watch it, and let the evidence decide on its next two versions, with a running commentary.

Everything that happens is real: the server, its client, the late labels, the Prometheus that scrapes it. Leaves
demo-out/report.html (and report.png where Chromium is installed), the data behind it, and the logs.
"""
import os
import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Nothing runs yet that would have to be stopped; the imports below take a second, in which Ctrl-C ends quietly.
if __name__ == "__main__":
    for number in STOP_SIGNALS:
        signal.signal(number, lambda number, _: os._exit(128 + number))

import argparse  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import urllib.error  # noqa: E402
import urllib.request  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import report  # noqa: E402
import train  # noqa: E402
from hosts.process import HostError, HostProcess, free_port  # noqa: E402
from hosts.prometheus import Prometheus  # noqa: E402
from terminal import Terminal, e_value, table  # noqa: E402

MODEL = train.MODEL
ENDED = ("promoted", "rolled_back", "aborted")

CONFIG = """\
# Written by the demo; a configuration to start from. Every key: `leadsman reference config`
server:
  address: 127.0.0.1
  port: {port}
  grpc_port: {grpc_port}
admin:
  address: 127.0.0.1
  port: {admin_port}
data_dir: ./data
lifecycle: {{poll_interval: 500ms}}
models:
  - name: digits
    path: ./repository/digits
    monitoring:
      window: 1s
      label_timeout: 10m
    rollout:
      strategy: canary
      steps:
        - {{weight: 10%, duration: 3s, min_requests: 100}}
        - {{weight: 25%, duration: 3s, min_requests: 200}}
        - {{weight: 50%, duration: 3s, min_requests: 400}}
      gates:
        # A rate below its floor is good enough; above it, the candidate may have at most `margin` times the stable's.
        - {{kind: errors, margin: 2.0, floor: 1%}}
        - {{kind: latency, margin: 2.0, floor: 1%, ignore_below: 10ms}}
        - {{kind: quality, margin: 1.5, floor: 3%}}
      alpha: 1%       # P(an equal version is rolled back), whole rollout
      beta: 5%        # P(a version worse than the margin is promoted), each gate
      interval: 500ms
      max_duration: 5m
      on_inconclusive: roll_back
"""

QUESTIONS = [
    ("Requests answered, by version", 'sum by (version) (leadsman_serving_requests_total{model="digits"})', "{:,.0f}"),
    ("Requests by protocol", 'sum by (protocol) (leadsman_serving_requests_total{model="digits"})', "{:,.0f}"),
    ("Requests answered with an error", 'sum(leadsman_serving_requests_total{model="digits",code!="OK"}) or vector(0)', "{:,.0f}"),
    ("Busiest second of the last two minutes", 'max_over_time(sum(rate(leadsman_serving_requests_total{model="digits"}[5s]))[2m:1s])',
     "{:,.0f} requests/s"),
    ("99 % of the answers took less than",
     '1000 * histogram_quantile(0.99, sum by (le) (rate(leadsman_serving_request_duration_seconds_bucket{model="digits"}[1m])))',
     "{:.2f} ms"),
]


class DemoError(RuntimeError):
    """Something the demo cannot go on from; the message is for the person in front of it."""


class Admin:
    def __init__(self, url):
        self.url = url

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise DemoError(f"GET {path}: HTTP {error.code}: {error.read()[:300].decode(errors='replace')}") from error

    def ready(self):
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def newest_rollout(self, candidate):
        rollouts = self.get(f"/api/v1/rollouts?model={MODEL}")["rollouts"]
        return next((rollout for rollout in rollouts if rollout["candidate"] == candidate), None)

    def version(self, number):
        versions = self.get(f"/api/v1/models/{MODEL}")["versions"]
        return next((version for version in versions if version["version"] == number), None)


class Client:
    """The client process and the newest line it has said."""

    def __init__(self, host):
        self.host = host
        self.last = {"requests": 0, "failed": 0, "labels": 0, "p50_ms": None, "p99_ms": None, "first_failure": "",
                     "by_protocol": {}}

    def read(self):
        for line in self.host.log_tail(3).splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:
                continue
            if "requests" in parsed:
                self.last = parsed
            elif "label_error" in parsed:
                raise DemoError(f"the labels API refused: {parsed['label_error']}")
        if not self.host.running():
            raise DemoError(f"the client ended early; its log ends with:\n{self.host.log_tail()}")
        return self.last

    def stop(self):
        self.host.stop()
        for line in self.host.log_tail(3).splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:
                continue
            if "requests" in parsed:
                self.last = parsed
        return self.last


def port_or_free(wanted):
    """The usual port when nobody has it, so that the README's commands work as they stand."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
            return wanted
        except OSError:
            return free_port()


def gate_progress(terminal, rollout):
    """Lines that show a rollout as it stands, and the same in one plain line."""
    steps = rollout["step_count"]
    share = {"promoted": "all traffic", "rolled_back": "no traffic", "aborted": "no traffic"}.get(
        rollout["phase"], f"{100 * rollout['share']:.0f} % (step {min(rollout['step'] + 1, steps)} of {steps})")
    head = f"  v{rollout['candidate']} gets {share}, {rollout['arms']['candidate']['requests']:,} requests so far"
    lines = [terminal.bold(head),
             terminal.dim(f"    {'bad events':<16}{'v' + str(rollout['stable']):>16}{'v' + str(rollout['candidate']):>16}"
                          f"   {'evidence of harm':<28}{'evidence of safety':<26}")]
    plain = [head.strip()]
    for gate in rollout["gates"]:
        words = report.GATE_WORDS.get(gate["gate"], gate["gate"])
        counts = [f"{gate[arm]['events']:,}/{gate[arm]['exposure']:,}" for arm in ("stable", "candidate")]
        harm = f"{e_value(gate['harm_log_e'])} of {e_value(gate['harm_log_bound'])}"
        safe = f"{e_value(gate['safe_log_e'])} of {e_value(gate['safe_log_bound'])}"
        lines.append(f"    {words:<16}{counts[0]:>16}{counts[1]:>16}   "
                     f"{terminal.meter(gate['harm_log_e'], gate['harm_log_bound'])} {harm:<15}"
                     f"{terminal.meter(gate['safe_log_e'], gate['safe_log_bound'])} {safe:<14}")
        plain.append(f"{gate['gate']} {counts[1]} (v{rollout['stable']}: {counts[0]}) harm {harm}, safe {safe}")
    return lines, "  " + " | ".join(plain)


def follow_rollout(terminal, admin, client, candidate, timeout):
    """Shows the evidence as it grows, until the verdict. Returns the rollout as it ended."""
    begin, notes_shown = time.monotonic(), 0
    while time.monotonic() - begin < timeout:
        said = client.read()
        rollout = admin.newest_rollout(candidate)
        if rollout is None:
            version = admin.version(candidate)
            state = f"{version['state']}" + (f": {version['reason']}" if version.get("reason") else "") if version else "not seen yet"
            terminal.block([f"  v{candidate}: {state}"], f"  v{candidate}: {state}", every=1)
            if version and version["state"] == "failed":
                raise DemoError(f"v{candidate} could not be loaded: {version['reason']}")
            time.sleep(0.25)
            continue
        notes = rollout.get("plan_notes") or []  # that of quality comes with the first labels
        if len(notes) > notes_shown:
            terminal.settle()
            for note in notes[notes_shown:]:
                terminal.say(terminal.dim(f"  plan: {note}"))
            notes_shown = len(notes)
        lines, plain = gate_progress(terminal, rollout)
        if rollout["phase"] in ENDED:
            terminal.block(lines, plain, every=0)
            terminal.settle()
            return rollout
        lines.append(terminal.dim(f"    {rollout['reason']}"))
        lines.append(terminal.dim(f"    client: {said['requests']:,} requests, {said['failed']} failed"))
        terminal.block(lines, plain)
        time.sleep(0.5)
    raise DemoError(f"no verdict on v{candidate} within {timeout} s; the server says: {rollout['reason'] if rollout else 'no rollout'}")


def say_verdict(terminal, rollout):
    took = report.seconds(rollout["ended"]) - report.seconds(rollout["started"])
    word = report.PHASES[rollout["phase"]][0].upper()
    style = terminal.good if rollout["phase"] == "promoted" else terminal.bad
    terminal.say(f"  {style(word)} after {took:.0f} s and {rollout['arms']['candidate']['requests']:,} requests to "
                 f"v{rollout['candidate']}:")
    for part in report.reason_words(rollout).split("; "):
        terminal.say(f"    {part}")


def ask_prometheus(prometheus):
    answers = []
    for question, query, form in QUESTIONS:
        lines = []
        for labels, value in sorted(prometheus.query(query), key=lambda series: sorted(series[0].items())):
            name = " ".join(f"v{text}" if label == "version" else text for label, text in labels.items() if label != "__name__")
            lines.append((name + ": " if name else "") + form.format(value))
        answers.append({"question": question, "query": query, "answer": lines or ["no data"]})
    return answers


def screenshot(page, picture):
    """A picture of the page by Chromium, when it is installed. Returns whether there is one."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        return False
    profile = picture.parent / "chromium"
    command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--force-device-scale-factor=1",
               f"--user-data-dir={profile}", "--window-size=1240,2920", f"--screenshot={picture}", page.as_uri()]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # Chromium refuses to run as root with it
    picture.unlink(missing_ok=True)
    host = HostProcess("chromium", command, picture.parent / "chromium.log")
    try:
        host.process.wait(40)
    except subprocess.TimeoutExpired:
        pass
    finally:
        host.stop(grace=2)
        shutil.rmtree(profile, ignore_errors=True)
    return picture.exists()


class Demo:
    def __init__(self, options):
        self.options = options
        self.out = options.out.resolve()
        self.terminal = Terminal()
        self.running = []  # newest last

    def start(self, thing):
        self.running.append(thing)
        return thing

    def stop_all(self):
        while self.running:
            self.running.pop().stop()

    def run(self):
        terminal, out, options = self.terminal, self.out, self.options
        out.mkdir(parents=True, exist_ok=True)
        for name in ("data", "repository", "staging", "prometheus", "report.html", "report.png", "report.json"):
            path = out / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

        terminal.heading("1. Three versions of a digit classifier, trained on 1,797 scanned digits")
        trained = train.train(out / "staging")
        terminal.say(train.results_table(trained))
        terminal.say("  v3 has an honest mistake in it: nothing fails, no error is raised, it just learned from 120 rows.")

        terminal.heading("2. leadsman serves v1")
        repository = out / "repository"
        train.release(out / "staging", repository, 1)
        port, grpc_port, admin_port = port_or_free(8501), port_or_free(8500), port_or_free(8502)
        config = out / "leadsman.yaml"
        config.write_text(CONFIG.format(port=port, grpc_port=grpc_port, admin_port=admin_port))
        admin = Admin(f"http://127.0.0.1:{admin_port}")
        begin = time.monotonic()
        server = self.start(HostProcess("leadsman", [options.binary, "serve", "--config", config], out / "leadsman.log"))
        server.wait_until(admin.ready, 30)
        terminal.say(f"  ready after {1000 * (time.monotonic() - begin):.0f} ms; predictions on http://127.0.0.1:{port}, "
                     f"admin API and metrics on {admin.url}")
        terminal.say(terminal.dim(f"  configuration {self.shown(config)}, log {self.shown(out / 'leadsman.log')}"))
        prometheus = self.start(Prometheus(out / "prometheus", {"leadsman": f"127.0.0.1:{admin_port}"}, options.prometheus))
        terminal.say(f"  a Prometheus scrapes it once a second: {prometheus.url}")
        client = self.start(Client(HostProcess("client", [
            sys.executable, ROOT / "demo" / "client.py", "--server", f"http://127.0.0.1:{port}", "--admin", admin.url,
            "--rate", options.rate, "--label-delay", options.label_delay], out / "client.log")))
        terminal.say(f"  a client replays the held-out images, {options.rate:g} requests/s, half TensorFlow Serving REST, half V2;")
        terminal.say(f"  the true labels follow {options.label_delay:g} s after each prediction")
        self.watch_baseline(admin, client, options.baseline)

        ended = {}
        for number, candidate, words, timeout in (
                (3, 2, "v2 is released: a canary begins by itself", 90),
                (4, 3, "v3 is released: no error will ever tell that it is worse", 90)):
            terminal.heading(f"{number}. {words}")
            target = train.release(out / "staging", repository, candidate)
            terminal.say(terminal.dim(f"  copied to {self.shown(target)}, manifest last"))
            ended[candidate] = follow_rollout(terminal, admin, client, candidate, timeout)
            say_verdict(terminal, ended[candidate])
            self.watch_baseline(admin, client, 3)

        terminal.heading("5. What Prometheus saw")
        answers = ask_prometheus(prometheus)
        for answer in answers:
            terminal.say(f"  {answer['question']}: {terminal.bold(', '.join(answer['answer']))}")
            terminal.say(terminal.dim(f"      {answer['query']}"))

        terminal.heading("6. What happened")
        shown = subprocess.run([options.binary, "rollout", "list", "--server", admin.url], capture_output=True, text=True,
                               timeout=15, check=False)
        terminal.say(terminal.dim("  $ leadsman rollout list"))
        terminal.say("\n".join("  " + line for line in (shown.stdout + shown.stderr).rstrip().splitlines()))
        data = report.collect(admin.url, MODEL)
        said = client.stop()
        self.running.remove(client)
        data.update(training=trained, promql=answers, client=said)
        rows = []
        for rollout in data["rollouts"]:
            quality = next((gate for gate in rollout["gates"] if gate["gate"] == "quality"), None)
            took = report.seconds(rollout["ended"]) - report.seconds(rollout["started"])
            rate = [f"{100 * quality[arm]['events'] / max(quality[arm]['exposure'], 1):.1f} %" if quality else "–"
                    for arm in ("stable", "candidate")]
            rows.append([f"v{rollout['stable']} → v{rollout['candidate']}", report.PHASES[rollout["phase"]][0], f"{took:.0f} s",
                         f"{rollout['arms']['candidate']['requests']:,}", rate[0], rate[1],
                         f"{sum(rollout['arms'][arm]['errors'] for arm in rollout['arms'])}"])
        terminal.say()
        terminal.say(table(["rollout", "verdict", "after", "requests to the new", "wrong: old", "wrong: new", "failed"], rows))
        terminal.say()
        terminal.say(f"  {said['requests']:,} requests by the client, {said['failed']} failed; "
                     f"{said['labels']:,} labels sent" + (f"; first failure: {said['first_failure']}" if said["failed"] else ""))
        (out / "report.json").write_text(json.dumps(data))
        report.write(data, out / "report.html")
        begin = time.monotonic()
        server.stop(grace=15)
        terminal.say(f"  SIGTERM: the server ended in {1000 * (time.monotonic() - begin):.0f} ms with status {server.process.returncode}")
        pictured = screenshot(out / "report.html", out / "report.png")
        terminal.say(f"  report: {terminal.bold(self.shown(out / 'report.html'))}" + (f", picture: {self.shown(out / 'report.png')}" if pictured else ""))

        problems = []
        if ended[2]["phase"] != "promoted":
            problems.append(f"v2 should have been promoted and was {ended[2]['phase']}")
        if ended[3]["phase"] != "rolled_back":
            problems.append(f"v3 should have been rolled back and was {ended[3]['phase']}")
        if said["failed"]:
            problems.append(f"{said['failed']} requests failed")
        if server.process.returncode != 0:
            problems.append(f"the server ended with status {server.process.returncode}")
        for problem in problems:
            terminal.say(terminal.bad(f"  {problem}"))
        if not problems:
            terminal.say(terminal.good(f"  all as it should be, in {time.monotonic() - terminal.begin:.0f} s"))
        return 1 if problems else 0

    def watch_baseline(self, admin, client, duration):
        """Some seconds of ordinary traffic."""
        until = time.monotonic() + duration
        while time.monotonic() < until:
            said = client.read()
            model = admin.get(f"/api/v1/models/{MODEL}")
            words = []
            for version in model["versions"]:
                totals = version.get("totals")
                if version["state"] == "ready" and totals and totals["requests"]:
                    accuracy = f", {100 * totals['accuracy']:.1f} % right of {totals['labelled']:,} labels" if totals.get("accuracy") is not None else ""
                    words.append(f"v{version['version']}: {totals['requests']:,} requests{accuracy}")
            line = (f"  {'; '.join(words) or 'first requests…'} | client: {said['requests']:,} sent, {said['failed']} failed"
                    + (f", p50 {said['p50_ms']:.1f} ms" if said["p50_ms"] else ""))
            self.terminal.block([line], line)
            time.sleep(0.5)
        self.terminal.settle()

    def shown(self, path):
        return str(path.relative_to(pathlib.Path.cwd())) if path.is_relative_to(pathlib.Path.cwd()) else str(path)


class Stopped(BaseException):
    """A signal asked the demo to end."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/bin/leadsman")
    parser.add_argument("--prometheus", help="path of the prometheus binary")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "demo-out")
    parser.add_argument("--rate", type=float, default=400, help="requests per second")
    parser.add_argument("--label-delay", type=float, default=2.0, help="seconds from a prediction to its label")
    parser.add_argument("--baseline", type=float, default=6.0, help="seconds of v1 alone")
    options = parser.parse_args()
    options.binary = options.binary.resolve()

    def stop(number, _):
        raise Stopped(number)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    demo = Demo(options)
    status = 1
    try:
        status = demo.run()
    except Stopped as stopped:
        demo.terminal.say("\nstopping")
        status = 128 + stopped.args[0]
    except (DemoError, HostError, OSError) as error:
        demo.terminal.say(demo.terminal.bad(f"the demo failed: {error}"))
    finally:
        # A second Ctrl-C must not interrupt the stopping.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        demo.stop_all()
    return status


if __name__ == "__main__":
    sys.exit(main())
