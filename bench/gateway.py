#!/usr/bin/env python3
"""./dev bench gateway: `leadsman gateway` beside Envoy, nginx and HAProxy, one worker each, in front of the same service.

The figure is CPU microseconds per request of the proxy's whole process tree; "bare" is the service asked without a proxy, and its own
CPU. Systems take turns, round by round; medians are reported, and ratios of the same round. A run is refused in which a request failed,
an answer did not come from the service, or connections to it were not kept. Then what 10,000 idle connections cost (--parts idle).
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

import gateway_idle  # noqa: E402
import measure  # noqa: E402
import proxies  # noqa: E402
from command_line import at_least, listed, until_stopped  # noqa: E402
from hosts.process import HostError  # noqa: E402

PARTS = ["requests", "idle"]
BODIES = {"90B": 90, "5.5KB": 5500}
CONNECTIONS = [8, 32]
METRICS = {"cpu_us_per_request": "us", "requests_per_s": "1/s", "p50_us": "us", "p99_us": "us", "rss_mb": "MB"}
# The highest ratio that is good enough; those without are told only.
LIMITS = {"envoy": 0.55, "haproxy": None, "nginx": None}
CAPTURE_LIMIT = 1  # of Envoy: features decoded and profiled
MIRROR_LIMIT = 0.5  # of Envoy mirroring: and the answers compared
PATH = "/v1/models/iris:predict"


def case_name(body, connections):
    return f"{body} c={connections}"


def write_body(folder, name):
    """A prediction's JSON of exactly so many bytes."""
    path, size = folder / f"body-{name}.json", BODIES[name]
    head, tail = '{"instances":[[', ']]}'
    numbers = "5.1,3.5,1.4,0.2," * (size // 16 + 1)
    path.write_text(head + numbers[:size - len(head) - len(tail) - 1] + "1" + tail)
    return path


def check_answer(proxy, body):
    """One request by hand."""
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.port}{PATH}", body.read_bytes(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        got = answer.read().decode(errors="replace")
    if got != proxies.ANSWER:
        raise HostError(f"the answer is not the service's: {got[:200]}")


def check_counts(requests, connections, before, after, words):
    """What nginx behind has counted, the look at its counters included, against what the client says."""
    taken, served = after[0] - before[0] - 1, after[1] - before[1] - 1
    if served < requests * 0.98 - connections:
        raise HostError(f"only {served} of {requests:.0f} requests came to the {words}")
    if taken > connections + requests * 0.01:
        raise HostError(f"{taken} connections were made to the {words} for {requests:.0f} requests: they are not kept")


def measured(proxy, system, name, connections, work, upstream, shadow, options):
    body = write_body(work, name)
    url, headers = f"http://127.0.0.1:{proxy.port}{PATH}", {"Content-Type": "application/json"}
    check_answer(proxy, body)
    script = work / "request.lua"
    measure.http_load(url, body, headers, connections, 1, script)  # warm
    behind = [(upstream, "service"), *([(shadow, "shadow")] if system in proxies.MIRRORS else [])]
    before = [host.status() for host, _ in behind]
    others = sum(measure.cpu_seconds(host.pid) for host in (upstream, shadow) if host.pid != proxy.pid)
    busy, cpu = measure.machine_busy_seconds(), measure.cpu_seconds(proxy.pid)
    result = measure.http_load(url, body, headers, connections, options.seconds, script)
    cpu = measure.cpu_seconds(proxy.pid) - cpu
    busy = measure.machine_busy_seconds() - busy
    others = sum(measure.cpu_seconds(host.pid) for host in (upstream, shadow) if host.pid != proxy.pid) - others
    for (host, words), was in zip(behind, before):
        check_counts(result["requests"], connections, was, host.status(), words)
    check_answer(proxy, body)
    return {"cpu_us_per_request": cpu / result["requests"] * 1e6, "requests_per_s": result["requests"] / result["seconds"],
            "p50_us": result["p50_us"], "p99_us": result["p99_us"], "rss_mb": measure.rss_mb(proxy.pid),
            "other_cpu": max(0.0, busy - cpu - others - result["own_cpu"]) / result["seconds"]}


def in_turns(wanted, rounds, words, one, failures):
    """one(system, round) for each, round by round, another one first each time."""
    for number in range(rounds):
        at = number % max(len(wanted), 1)
        for system in wanted[at:] + wanted[:at]:
            print(f"round {number + 1} of {rounds}: {words}{system}", flush=True)
            try:
                one(system, number)
            except (HostError, OSError) as error:
                failures.append(f"{words}{system}: {error}")
                print(f"  failed: {error}", flush=True)


def run_requests(work, upstream, shadow, options, failures):
    """{(system, body, connections): [result of a round]}"""
    runs = {}

    def one(system, number):
        proxy = proxies.start(system, work, upstream, shadow, options)
        try:
            for name in options.bodies:
                for connections in options.connections:
                    result = measured(proxy, system, name, connections, work, upstream, shadow, options)
                    runs.setdefault((system, name, connections), []).append({**result, "round": number})
        finally:
            proxy.stop()

    in_turns(options.systems, options.rounds, "", one, failures)
    return runs


def run_idle(work, upstream, shadow, options, failures):
    """{system: [result of a round]}"""
    found = {}

    def one(system, _):
        proxy = proxies.start(system, work, upstream, shadow, options)
        try:
            found.setdefault(system, []).append(gateway_idle.measure_one(proxy, options.idle_connections))
        finally:
            proxy.stop()

    wanted = [system for system in proxies.IDLE_SYSTEMS if system in options.systems]
    in_turns(wanted, options.idle_rounds, f"{options.idle_connections} idle connections, ", one, failures)
    return found


def ratios(runs, over, under, metric="cpu_us_per_request"):
    """Per round, so that what the machine did in that round falls out; rounds in which one of the two failed are left out."""
    beside = {result["round"]: result[metric] for result in runs.get(under, [])}
    return [result[metric] / beside[result["round"]] for result in runs.get(over, []) if beside.get(result["round"], 0) > 0]


def request_goals(runs, options):
    """[(words, limit or None, ratios)]"""
    goals = []
    for peer, limit in LIMITS.items():
        for name in options.bodies:
            for connections in options.connections:
                goals.append((f"{case_name(name, connections)}: leadsman / {peer}", limit,
                              ratios(runs, ("leadsman", name, connections), (peer, name, connections))))
    for name in options.bodies:
        for connections in options.connections:
            goals.append((f"{case_name(name, connections)}: leadsman-capture / envoy", CAPTURE_LIMIT,
                          ratios(runs, ("leadsman-capture", name, connections), ("envoy", name, connections))))
    for name in options.bodies:
        for connections in options.connections:
            goals.append((f"{case_name(name, connections)}: leadsman-mirror / envoy-mirror", MIRROR_LIMIT,
                          ratios(runs, ("leadsman-mirror", name, connections), ("envoy-mirror", name, connections))))
    return [goal for goal in goals if goal[2]]


def idle_goals(found):
    mb = [result["mb_per_10000"] for result in found.get("leadsman", [])]
    return [("10,000 idle connections, MB", gateway_idle.LIMIT_MB, mb)] if mb else []


def rows_of(runs, found, options):
    rows = []
    for (system, *case), results in runs.items():
        for metric, unit in METRICS.items():
            values = [round(result[metric], 3) for result in results]
            rows.append({"bench": "gateway", "system": system, "case": case_name(*case), "metric": metric, "unit": unit,
                         "value": round(statistics.median(values), 3), "runs": values})
    for system, results in found.items():
        for metric, unit in gateway_idle.UNITS.items():
            values = [round(result[metric], 2) for result in results]
            rows.append({"bench": "gateway", "system": system, "case": f"{options.idle_connections} idle connections", "metric": metric,
                         "unit": unit, "value": round(statistics.median(values), 2), "runs": values})
    return rows


def print_runs(runs, options):
    print(f"\nMedians of {options.rounds} rounds of {options.seconds} s; CPU of the proxy's process tree, of the service itself for bare\n")
    print(f"| {'case':10} | {'system':20} | {'CPU µs/request':>14} | of the rounds | {'requests/s':>10} | {'p50 µs':>7} | {'p99 µs':>7} | {'RSS MB':>6} |")
    print(f"| {'-' * 10} | {'-' * 20} | {'-' * 13}: | {'-' * 13} | {'-' * 9}: | {'-' * 6}: | {'-' * 6}: | {'-' * 5}: |")
    order = {name: at for at, name in enumerate(options.systems)}
    bodies = {name: at for at, name in enumerate(options.bodies)}
    for (system, *case), results in sorted(runs.items(), key=lambda item: (bodies[item[0][1]], item[0][2], order[item[0][0]])):
        median = {metric: statistics.median(result[metric] for result in results) for metric in METRICS}
        values = [result["cpu_us_per_request"] for result in results]
        print(f"| {case_name(*case):10} | {system:20} | {median['cpu_us_per_request']:14.1f} | {min(values):5.1f} to {max(values):4.1f} | "
              f"{median['requests_per_s']:10,.0f} | {median['p50_us']:7,.0f} | {median['p99_us']:7,.0f} | {median['rss_mb']:6.0f} |")


def print_idle(found, options):
    print(f"\n{options.idle_connections:,} idle connections, each of which has asked once; resident memory, medians of {options.idle_rounds} rounds\n")
    print(f"| {'system':10} | {'before, MB':>10} | {'after, MB':>9} | {'MB per 10,000':>13} | of the rounds  |")
    print(f"| {'-' * 10} | {'-' * 9}: | {'-' * 8}: | {'-' * 12}: | -------------- |")
    for system, results in found.items():
        median = {metric: statistics.median(result[metric] for result in results) for metric in gateway_idle.UNITS}
        values = [result["mb_per_10000"] for result in results]
        print(f"| {system:10} | {median['rss_before_mb']:10.1f} | {median['rss_after_mb']:9.1f} | {median['mb_per_10000']:13.1f} | "
              f"{min(values):5.1f} to {max(values):5.1f} |")


def print_goals(goals):
    """True when all hold that have a limit."""
    held = True
    if goals:
        print(f"\n| {'ratio of CPU per request (or as said)':38} | {'limit':>6} | {'measured':>8} | of the rounds  | holds |")
        print(f"| {'-' * 38} | {'-' * 5}: | {'-' * 7}: | -------------- | ----- |")
    for words, limit, values in goals:
        median = statistics.median(values)
        holds = limit is None or median <= limit
        held = held and holds
        print(f"| {words:38} | {'' if limit is None else f'{limit:.2f}':>6} | {median:8.2f} | {min(values):5.2f} to {max(values):5.2f} | "
              f"{'' if limit is None else 'yes' if holds else 'NO':5} |")
    return held


def run(options):
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    gateway_idle.raise_open_files(options.idle_connections if "idle" in options.parts else 1024)
    print(f"{measure.cpu_model()}, {os.cpu_count()} cores; load average at the start {os.getloadavg()[0]:.2f}; "
          f"the load generator and the service run on the same cores", flush=True)
    runs, found, failures = {}, {}, []
    with proxies.Upstream(work) as upstream, proxies.Upstream(work, "shadow") as shadow:
        if "requests" in options.parts:
            runs = run_requests(work, upstream, shadow, options, failures)
        if "idle" in options.parts:
            found = run_idle(work, upstream, shadow, options, failures)
    if runs:
        print_runs(runs, options)
    if found:
        print_idle(found, options)
    held = print_goals([*request_goals(runs, options), *idle_goals(found)])
    other = [result["other_cpu"] for results in runs.values() for result in results]
    if other:
        measure.print_what_else_ran(other)
    if options.json:
        options.json.write_text(json.dumps(rows_of(runs, found, options), indent=1) + "\n")
        print(f"rows written to {options.json}")
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures or not (runs or found) else 0 if held else 3


def run_or_say(options):
    try:
        return run(options)
    except HostError as error:
        print(f"failed: {error}")
        return 1


def main():
    parser = argparse.ArgumentParser(prog="./dev bench gateway", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all goals hold, 3 some do not, 1 something failed.")
    parser.add_argument("--parts", type=listed(PARTS), default=PARTS, help=",".join(PARTS))
    parser.add_argument("--systems", type=listed(proxies.SYSTEMS), default=proxies.SYSTEMS, help=",".join(proxies.SYSTEMS))
    parser.add_argument("--bodies", type=listed(BODIES), default=list(BODIES), help=",".join(BODIES))
    parser.add_argument("--connections", type=listed(CONNECTIONS, int), default=CONNECTIONS, help="8,32")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--seconds", type=at_least(1), default=3, help="of each run")
    parser.add_argument("--idle-connections", type=at_least(100), default=10_000)
    parser.add_argument("--idle-rounds", type=at_least(1), default=3)
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, runs} rows here")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the built programs")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench-gateway")
    options = parser.parse_args()

    return until_stopped(lambda: run_or_say(options))


if __name__ == "__main__":
    sys.exit(main())
