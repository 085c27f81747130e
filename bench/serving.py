#!/usr/bin/env python3
"""./dev bench serving: Leadsman beside other servers, the same request for all.

The figure is CPU microseconds per request of the server's whole process tree: unlike latency and throughput it hardly
depends on how many cores the load generator takes away. Systems take turns, round by round; medians are reported.
Then what monitoring costs, on and off in turns (--parts monitoring), the highest rate at a 99th percentile of 10 ms, with
batching (--parts batched), the memory of a server with one model (--parts memory), and what a load costs the requests of
another model (--parts loading).
"""
import argparse
import json
import os
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

import batched  # noqa: E402
import cases  # noqa: E402
import loading  # noqa: E402
import make_models  # noqa: E402
import measure  # noqa: E402
import memory  # noqa: E402
import monitoring_cost  # noqa: E402
import systems  # noqa: E402
from command_line import at_least, listed, until_stopped  # noqa: E402
from hosts.process import HostError  # noqa: E402

MODELS = ["iris", "mlp"]
CONNECTIONS = [1, 8, 32]
PARTS = ["requests", "monitoring", "batched", "memory", "loading"]
METRICS = {"cpu_us_per_request": "us", "requests_per_s": "1/s", "p50_us": "us", "p99_us": "us", "rss_mb": "MB"}


def cases_of(system, options):
    """(kind, model, connections) that this system is measured with. Python servers and /invocations: the MLP alone."""
    found = []
    for kind in options.kinds:
        if kind not in systems.SPEAKS[system]:
            continue
        for model in options.models:
            narrow = kind != "json" or system in systems.PYTHON_SERVERS
            if narrow and model != "mlp" and system != "gunicorn":
                continue
            found += [(kind, model, connections) for connections in options.connections]
    return found


def case_name(kind, model, connections):
    return f"{model} {kind} c={connections}"


def rows_of(runs, more, found):
    rows = list(more)
    for (system, *case), results in runs.items():
        for metric, unit in METRICS.items():
            values = [round(result[metric], 3) for result in results]
            rows.append({"bench": "serving", "system": system, "case": case_name(*case), "metric": metric, "unit": unit,
                         "value": round(statistics.median(values), 3), "runs": values})
    for (system, setting), rates in found.items():
        rows.append({"bench": "serving", "system": system, "case": f"wide batched, {setting}", "metric": "requests_per_s",
                     "unit": "1/s", "value": round(statistics.median(rates), 1), "runs": [round(rate, 1) for rate in rates]})
    return rows


def ratios(runs, over, under, metric="cpu_us_per_request"):
    """Per round, so that what the machine did in that round falls out."""
    pairs = zip(runs.get(over, []), runs.get(under, []))
    return [a[metric] / b[metric] for a, b in pairs if b[metric] > 0]


def request_goals(runs, options):
    """[(words, limit, ratios)]; the limit is the highest ratio that is good enough."""
    goals = []
    for model in options.models:
        for connections in options.connections:
            for kind in options.kinds:
                case, name = (kind, model, connections), case_name(kind, model, connections)
                limit = 0.6 if connections == 1 else 0.35 if model == "iris" else 0.45
                # Triton has no API of TensorFlow Serving: its own gRPC stands in.
                beside = ("grpc" if kind == "tfs-grpc" else kind, model, connections)
                goals.append((f"{name}: leadsman / triton", limit, ratios(runs, ("leadsman", *case), ("triton", *beside))))
                goals.append((f"{name}, batching: leadsman / triton", limit,
                              ratios(runs, ("leadsman-batching", *case), ("triton-batching", *beside))))
                for peer in systems.PYTHON_SERVERS:
                    goals.append((f"{name}: leadsman / {peer}", 0.1, ratios(runs, ("leadsman", *case), (peer, *case))))
                if kind == "json" and model == "mlp":
                    goals.append((f"{name}: memory, leadsman / triton", 1.0,
                                  ratios(runs, ("leadsman", *case), ("triton", *case), "rss_mb")))
    return [goal for goal in goals if goal[2]]


def batched_goals(found):
    """Triton's best setting counts, so the goal reads: its best over ours at most 1/1.2."""
    best = {}
    for (system, setting), rates in found.items():
        rate = statistics.median(rates)
        if rate > best.get(system, (0, None))[0]:
            best[system] = (rate, setting)
    if len(best) < 2:
        return []
    over, under = found[("triton", best["triton"][1])], found[("leadsman", best["leadsman"][1])]
    return [(f"wide batched: triton ({best['triton'][1]}) / leadsman", 1 / 1.2, [a / b for a, b in zip(over, under) if b > 0])]


def print_runs(runs, options):
    print("\nMedians of", options.rounds, "rounds; CPU of the server's process tree\n")
    print(f"| {'case':18} | {'system':21} | {'CPU µs/request':>14} | {'requests/s':>10} | {'p50 µs':>8} | {'p99 µs':>8} | {'RSS MB':>7} |")
    print(f"| {'-' * 18} | {'-' * 21} | {'-' * 13}: | {'-' * 9}: | {'-' * 7}: | {'-' * 7}: | {'-' * 6}: |")
    order = {name: at for at, name in enumerate(options.systems)}
    for (system, *case), results in sorted(runs.items(), key=lambda item: (*item[0][1:], order[item[0][0]])):
        median = {metric: statistics.median(result[metric] for result in results) for metric in METRICS}
        print(f"| {case_name(*case):18} | {system:21} | {median['cpu_us_per_request']:14.1f} | {median['requests_per_s']:10,.0f} | "
              f"{median['p50_us']:8,.0f} | {median['p99_us']:8,.0f} | {median['rss_mb']:7.0f} |")


def print_batched(found):
    print("\nHighest rate with 99 % of the answers within 10 ms, open loop (Poisson), V2 binary, model `wide`\n")
    print(f"| {'system':9} | {'setting':26} | {'requests/s':>10} | of the rounds |")
    print(f"| {'-' * 9} | {'-' * 26} | {'-' * 9}: | ------------- |")
    for (system, setting), rates in found.items():
        print(f"| {system:9} | {setting:26} | {statistics.median(rates):10,.0f} | {min(rates):,.0f} to {max(rates):,.0f} |")


def print_goals(goals):
    """True when all hold."""
    if not goals:
        return True
    held = True
    print(f"\n| {'goal (CPU per request, unless said)':58} | {'limit':>6} | {'measured':>8} | {'of the rounds':>13} | holds |")
    print(f"| {'-' * 58} | {'-' * 5}: | {'-' * 7}: | {'-' * 13} | ----- |")
    for words, limit, values in goals:
        median = statistics.median(values)
        holds = median <= limit
        held = held and holds
        print(f"| {words:58} | {limit:6.2f} | {median:8.2f} | {min(values):5.2f} to {max(values):4.2f} | {'yes' if holds else 'NO':5} |")
    return held


def expected_outputs(folder, rows):
    import numpy as np
    import onnxruntime

    outputs = {}
    for model, row in rows.items():
        session = onnxruntime.InferenceSession(str(folder / "repository" / model / "1" / "model.onnx"),
                                               providers=["CPUExecutionProvider"])
        outputs[model] = session.run(["y"], {"x": np.array([row], np.float32)})[0].ravel().tolist()
    return outputs


def run_requests(work, expected, options, failures):
    """{(system, kind, model, connections): [result of a round]}, CPU of others a second"""
    runs, other = {}, []
    for number in range(options.rounds):
        order = options.systems[number % len(options.systems):] + options.systems[:number % len(options.systems)]
        for system in order:
            print(f"round {number + 1} of {options.rounds}: {system}", flush=True)
            server = None
            try:
                server = systems.start(system, work, work, options)
                for kind, model, connections in cases_of(system, options):
                    result = cases.run(system, server, kind, model, connections, work, expected[model], options)
                    runs.setdefault((system, kind, model, connections), []).append(result)
                    other.append(result["other_cpu"])
            except (HostError, OSError) as error:
                failures.append(f"{system}: {error}")
                print(f"  failed: {error}", flush=True)
            finally:
                if server is not None:
                    server.stop()
    return runs, other


def run(options):
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    expected = expected_outputs(work, make_models.make(work))
    print(f"{measure.cpu_model()}, {os.cpu_count()} cores; load average at the start {os.getloadavg()[0]:.2f}; "
          f"the load generator runs on the same cores", flush=True)
    runs, other, found, failures, more, goals = {}, [], {}, [], [], []
    if "requests" in options.parts:
        runs, other = run_requests(work, expected, options, failures)
        print_runs(runs, options)
    parts = {"monitoring": lambda: monitoring_cost.run(work, work, options), "batched": lambda: batched.run(work, work, options),
             "memory": lambda: memory.run(work, work, options), "loading": lambda: loading.run(work, options)}
    for part, measured in parts.items():
        if part not in options.parts or "leadsman" not in options.systems:
            continue
        try:
            values = measured()
        except (HostError, OSError) as error:
            failures.append(f"{part}: {error}")
            continue
        if part == "monitoring":
            monitoring_cost.print_found(values, options)
        if part == "batched":
            found = values
            print_batched(found)
            goals += batched_goals(found)
        else:
            module = {"monitoring": monitoring_cost, "memory": memory, "loading": loading}[part]
            more += module.rows(values)
            goals += module.goals(values)
    held = print_goals([*request_goals(runs, options), *goals])
    if other:
        measure.print_what_else_ran(other)
    if options.json:
        options.json.write_text(json.dumps(rows_of(runs, more, found), indent=1) + "\n")
        print(f"rows written to {options.json}")
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures or not (runs or more or found) else 0 if held else 3


def main():
    every = list(systems.SPEAKS)
    parser = argparse.ArgumentParser(prog="./dev bench serving", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all goals hold, 3 some do not, 1 something failed.")
    parser.add_argument("--parts", type=listed(PARTS), default=PARTS, help=",".join(PARTS))
    parser.add_argument("--systems", type=listed(every), default=every, help=",".join(every))
    parser.add_argument("--kinds", type=listed(cases.KINDS), default=list(cases.KINDS), help="kinds of request: " + ",".join(cases.KINDS))
    parser.add_argument("--models", type=listed(MODELS), default=MODELS, help=",".join(MODELS))
    parser.add_argument("--connections", type=listed(CONNECTIONS, int), default=CONNECTIONS, help="1,8,32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=at_least(2), default=15, help="of a turn with monitoring on and one with it off")
    parser.add_argument("--batched-rounds", type=int, default=3)
    parser.add_argument("--loading-rounds", type=at_least(2), default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, runs} rows here")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the built programs")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench-serving")
    options = parser.parse_args()

    return until_stopped(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
