#!/usr/bin/env python3
"""./dev bench serving: Leadsman beside other servers, one load generator (wrk), one request body for all.

The figure is CPU microseconds per request of the server's whole process tree: unlike latency and throughput it hardly
depends on how many cores the load generator takes away. Systems take turns, round by round; medians are reported.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

import make_models  # noqa: E402
from hosts.gunicorn import Gunicorn  # noqa: E402
from hosts.process import HostError, HostProcess, free_port  # noqa: E402
from hosts.triton import Triton  # noqa: E402

SYSTEMS = ["echo", "leadsman", "leadsman-unmonitored", "triton", "gunicorn"]
MODELS = ["iris", "mlp"]
CONNECTIONS = [1, 8, 32]
METRICS = {"cpu_us_per_request": "us", "requests_per_s": "1/s", "p50_us": "us", "p99_us": "us", "rss_mb": "MB"}
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

WRK_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %.1f %.1f\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout, e.status, latency:percentile(50), latency:percentile(99)))
end
"""

LEADSMAN_CONFIG = """
server: {{address: 127.0.0.1, port: {port}, grpc_port: 0}}
admin: {{address: 127.0.0.1, port: {admin_port}}}
data_dir: {data}
log: {{level: warn}}
models:
  - {{name: iris, path: {repository}/iris, monitoring: {{enabled: {monitored}}}}}
  - {{name: mlp, path: {repository}/mlp, monitoring: {{enabled: {monitored}}}}}
"""


class Leadsman:
    def __init__(self, folder, work, binary, monitored):
        name = "leadsman" if monitored else "leadsman-unmonitored"
        port, admin_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = work / f"{name}.yaml"
        config.write_text(LEADSMAN_CONFIG.format(
            port=port, admin_port=admin_port, data=work / f"{name}-data", repository=folder / "repository",
            monitored="true" if monitored else "false"))
        self.host = HostProcess(name, [binary, "serve", "--config", config], work / f"{name}.log")
        try:
            self.host.wait_until(lambda: answers(f"http://127.0.0.1:{admin_port}/readyz"), 30)
        except BaseException:
            self.host.stop()
            raise

    pid = property(lambda self: self.host.pid)

    def stop(self):
        return self.host.stop()


class Echo:
    def __init__(self, work, binary):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.host = HostProcess("echo", [binary, port, os.cpu_count()], work / "echo.log")
        try:
            self.host.wait_until(lambda: answers(self.url + "/"), 10)
        except BaseException:
            self.host.stop()
            raise

    pid = property(lambda self: self.host.pid)

    def stop(self):
        return self.host.stop()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def start(system, folder, work, options):
    if system == "echo":
        return Echo(work, options.echo_binary)
    if system == "triton":
        return Triton(folder / "triton", work)
    if system == "gunicorn":
        return Gunicorn(folder / "repository", work)
    return Leadsman(folder, work, options.binary, system == "leadsman")


def process_tree(root):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(root):
    total = 0
    for pid in process_tree(root):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICKS


def rss_mb(root):
    pages = 0
    for pid in process_tree(root):
        try:
            pages += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            pass
    return pages * PAGE / 2**20


def machine_busy_seconds():
    values = [int(word) for word in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / TICKS


def check_answer(system, model, url, body, expected):
    """One request by hand: is the answer the model's? A server that is fast and wrong is not compared."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        got = answer.read()
    if system == "echo":
        if got != body:
            raise HostError("echo does not echo")
        return
    values = json.loads(got)["outputs"][0]["data"]
    if len(values) != len(expected) or any(abs(a - b) > 1e-4 for a, b in zip(values, expected)):
        raise HostError(f"{system} answers {values} for {model}; ONNX Runtime itself says {expected}")


def load(url, script, connections, seconds):
    """wrk's own sum-up; HostError when any request failed."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script, url]
    begin = os.times()
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    end = os.times()
    match = re.search(r"RESULT (.*)", result.stdout)
    if not match:
        raise HostError(f"wrk failed: {result.stdout[-500:]}{result.stderr[-500:]}")
    requests, duration, broken, non_2xx, p50, p99 = (float(word) for word in match.group(1).split())
    if broken or non_2xx:
        raise HostError(f"{broken:.0f} broken connections and {non_2xx:.0f} answers other than 2xx from {url}")
    own = end.children_user + end.children_system - begin.children_user - begin.children_system
    return {"requests": requests, "seconds": duration / 1e6, "p50_us": p50, "p99_us": p99, "own_cpu": own}


def measure(system, server, model, connections, folder, expected, seconds):
    url = f"{server.url}/v2/models/{model}/infer"
    body = (folder / f"{model}-v2.json").read_bytes()
    script = folder / f"{model}.lua"
    script.write_text(WRK_SCRIPT.format(body=folder / f"{model}-v2.json"))
    check_answer(system, model, url, body, expected[model])
    load(url, script, connections, 1)  # warm
    busy, cpu = machine_busy_seconds(), cpu_seconds(server.pid)
    result = load(url, script, connections, seconds)
    cpu, busy = cpu_seconds(server.pid) - cpu, machine_busy_seconds() - busy
    check_answer(system, model, url, body, expected[model])
    return {"cpu_us_per_request": cpu / result["requests"] * 1e6, "requests_per_s": result["requests"] / result["seconds"],
            "p50_us": result["p50_us"], "p99_us": result["p99_us"], "rss_mb": rss_mb(server.pid),
            "other_cpu": max(0.0, busy - cpu - result["own_cpu"]) / result["seconds"]}


def expected_outputs(folder, rows):
    import numpy as np
    import onnxruntime

    outputs = {}
    for model, row in rows.items():
        session = onnxruntime.InferenceSession(str(folder / "repository" / model / "1" / "model.onnx"),
                                               providers=["CPUExecutionProvider"])
        outputs[model] = session.run(["y"], {"x": np.array([row], np.float32)})[0].ravel().tolist()
    return outputs


def case_name(model, connections):
    return f"{model} json c={connections}"


def rows_of(runs):
    rows = []
    for (system, model, connections), results in runs.items():
        for metric, unit in METRICS.items():
            values = [round(result[metric], 3) for result in results]
            rows.append({"bench": "serving", "system": system, "case": case_name(model, connections), "metric": metric,
                         "unit": unit, "value": round(statistics.median(values), 3), "runs": values})
    return rows


def ratios(runs, over, under, model, connections):
    """Per round, so that what the machine did in that round falls out."""
    pairs = zip(runs.get((over, model, connections), []), runs.get((under, model, connections), []))
    return [a["cpu_us_per_request"] / b["cpu_us_per_request"] for a, b in pairs if b["cpu_us_per_request"] > 0]


def goals(runs, models, connection_counts):
    """[(words, limit, ratios)]"""
    found = []
    for model in models:
        for connections in connection_counts:
            limit = 0.6 if connections == 1 else 0.35 if model == "iris" else 0.45
            found.append((f"{case_name(model, connections)}: leadsman / triton", limit,
                          ratios(runs, "leadsman", "triton", model, connections)))
            found.append((f"{case_name(model, connections)}: monitoring on / off", 1.05,
                          ratios(runs, "leadsman", "leadsman-unmonitored", model, connections)))
    return [goal for goal in found if goal[2]]


def print_results(runs, options):
    print("\nMedians of", options.rounds, "rounds; CPU of the server's process tree\n")
    print(f"| {'case':15} | {'system':21} | {'CPU µs/request':>14} | {'requests/s':>10} | {'p50 µs':>8} | {'p99 µs':>8} | {'RSS MB':>7} |")
    print(f"| {'-' * 15} | {'-' * 21} | {'-' * 13}: | {'-' * 9}: | {'-' * 7}: | {'-' * 7}: | {'-' * 6}: |")
    for model in options.models:
        for connections in options.connections:
            for system in options.systems:
                results = runs.get((system, model, connections))
                if not results:
                    continue
                median = {metric: statistics.median(result[metric] for result in results) for metric in METRICS}
                print(f"| {case_name(model, connections):15} | {system:21} | {median['cpu_us_per_request']:14.1f} | "
                      f"{median['requests_per_s']:10,.0f} | {median['p50_us']:8,.0f} | {median['p99_us']:8,.0f} | {median['rss_mb']:7.0f} |")
    held = True
    found = goals(runs, options.models, options.connections)
    if found:
        print(f"\n| {'goal (CPU per request)':40} | {'limit':>6} | {'measured':>8} | {'of the rounds':>13} | holds |")
        print(f"| {'-' * 40} | {'-' * 5}: | {'-' * 7}: | {'-' * 13} | ----- |")
        for words, limit, values in found:
            median = statistics.median(values)
            holds = median <= limit
            held = held and holds
            print(f"| {words:40} | {limit:6.2f} | {median:8.2f} | {min(values):5.2f} to {max(values):4.2f} | {'yes' if holds else 'NO':5} |")
    return held


def cpu_model():
    match = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match.group(1) if match else "unknown CPU"


def run(options):
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    rows = make_models.make(work)
    expected = expected_outputs(work, rows)
    print(f"{cpu_model()}, {os.cpu_count()} cores; load average at the start {os.getloadavg()[0]:.2f}; "
          f"the load generator runs on the same cores", flush=True)
    runs, other, failures = {}, [], []
    for number in range(options.rounds):
        order = options.systems[number % len(options.systems):] + options.systems[:number % len(options.systems)]
        for system in order:
            print(f"round {number + 1} of {options.rounds}: {system}", flush=True)
            server = None
            try:
                server = start(system, work, work, options)
                for model in options.models:
                    for connections in options.connections:
                        result = measure(system, server, model, connections, work, expected, options.seconds)
                        runs.setdefault((system, model, connections), []).append(result)
                        other.append(result["other_cpu"])
            except (HostError, OSError) as error:
                failures.append(f"{system}: {error}")
                print(f"  failed: {error}", flush=True)
            finally:
                if server is not None:
                    server.stop()
    held = print_results(runs, options)
    note = (f"{cpu_model()}, {os.cpu_count()} cores; load average at the end {os.getloadavg()[0]:.2f}; other processes used "
            f"{100 * statistics.median(other):.0f} % of a core (median), at most {100 * max(other):.0f} %" if other else "nothing was measured")
    print(f"\n{note}")
    if other and max(other) > 0.3:
        print("The machine was not quiet: quote the ratios, not the microseconds, and run again alone.")
    if options.json:
        options.json.write_text(json.dumps(rows_of(runs), indent=1) + "\n")
        print(f"rows written to {options.json}")
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures or not runs else 0 if held else 3


def listed(allowed, kind=str):
    def parse(text):
        values = [kind(word) for word in text.split(",")]
        for value in values:
            if value not in allowed:
                raise argparse.ArgumentTypeError(f"{value} is not among {', '.join(map(str, allowed))}")
        return values
    return parse


class Stopped(BaseException):
    pass


def main():
    parser = argparse.ArgumentParser(prog="./dev bench serving", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all goals hold, 3 some do not, 1 something failed.")
    parser.add_argument("--systems", type=listed(SYSTEMS), default=SYSTEMS, help=",".join(SYSTEMS))
    parser.add_argument("--models", type=listed(MODELS), default=MODELS, help=",".join(MODELS))
    parser.add_argument("--connections", type=listed(CONNECTIONS, int), default=CONNECTIONS, help="1,8,32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, runs} rows here")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/bin/leadsman")
    parser.add_argument("--echo-binary", type=pathlib.Path, default=ROOT / "build/release/bin/echo_server")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench-serving")
    options = parser.parse_args()

    def stop(number, _):
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run(options)
    except Stopped as stopped:
        print("\nstopped")
        return 128 + stopped.args[0]


if __name__ == "__main__":
    sys.exit(main())
