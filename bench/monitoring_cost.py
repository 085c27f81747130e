"""What monitoring costs a served request (--parts monitoring).

One server has each model twice, with monitoring on and off, and is asked for the one and the other in turns of a few
seconds: what the machine does to both falls out of a pair, as it does not when two servers are compared. CPU time is
that of the process's threads, all of them. A turn is long beside the wait after it: wide inputs are profiled within a
budget per second, and would be charged to these requests twice if the wait were as long as the turn.
"""
import os
import pathlib
import shutil
import statistics
import time

import cases
import measure
import systems

KINDS = ("json", "binary")
CONNECTIONS = (8, 32)
TURN_S = 4
SETTLE_S = 1.2  # what the monitor folds and writes afterwards, at most a second later, belongs to these requests
THREADS = ("monitor", "monitor-db")  # the collector and what writes its database


def thread_seconds(pid):
    """{name: CPU seconds}"""
    seconds = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            seconds[name] = seconds.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            pass  # a thread that has ended
    return seconds


def twice(folder, models):
    """A repository with each model under two names."""
    target = folder / "twice"
    shutil.rmtree(target, ignore_errors=True)
    for model in models:
        for name in (model, f"{model}-off"):
            shutil.copytree(folder / "repository" / model, target / "repository" / name)
            for manifest in (target / "repository" / name).glob("*/manifest.json"):
                manifest.write_text(manifest.read_text().replace(f'"name": "{model}"', f'"name": "{name}"', 1))
    return target


def ask(server, kind, model, suffix, connections, folder):
    """(CPU µs a request of the whole process, share of it that the monitor's threads took)"""
    url, body, headers = cases.http_request(server, kind, model, folder)
    before = thread_seconds(server.pid)
    said = measure.http_load(url.replace(f"/{model}/", f"/{model}{suffix}/"), body, headers, connections, TURN_S, folder / "cost.lua")
    time.sleep(SETTLE_S)
    after = thread_seconds(server.pid)
    spent = {name: after[name] - before.get(name, 0) for name in after}
    total = sum(spent.values())
    return total / said["requests"] * 1e6, sum(spent.get(name, 0) for name in THREADS) / total


def run(folder, work, options):
    """{(kind, model, connections): [{"ratio", "share", "cpu_us_per_request"} of a pair]}"""
    off = [f"{model}-off" for model in options.models]
    server = systems.Leadsman(twice(folder, options.models), work, options.bin / "leadsman", [*options.models, *off], off, name="twice")
    found = {}
    try:
        for kind in (kind for kind in KINDS if kind in options.kinds):
            for model in options.models:
                if kind == "binary" and model != "mlp":
                    continue
                for connections in (count for count in CONNECTIONS if count in options.connections):
                    print(f"monitoring on and off in turns: {model} {kind} c={connections}", flush=True)
                    ask(server, kind, model, "", connections, folder)  # warm
                    pairs = []
                    for number in range(options.pairs):
                        order = ("", "-off") if number % 2 == 0 else ("-off", "")
                        said = {suffix: ask(server, kind, model, suffix, connections, folder) for suffix in order}
                        pairs.append({"ratio": said[""][0] / said["-off"][0], "share": said[""][1],
                                      "cpu_us_per_request": said[""][0]})
                    found[kind, model, connections] = pairs
    finally:
        server.stop()
    return found


def median(pairs, metric):
    return statistics.median(pair[metric] for pair in pairs)


def print_found(found, options):
    print(f"\nMonitoring on and off in one server, {options.pairs} pairs of {TURN_S} seconds each; CPU of all its threads\n")
    print(f"| {'case':18} | {'CPU µs/request':>14} | {'on / off':>8} | {'quartiles':>13} | {'monitor threads':>15} | {'of the pairs':>14} |")
    print(f"| {'-' * 18} | {'-' * 13}: | {'-' * 7}: | {'-' * 13} | {'-' * 14}: | {'-' * 14} |")
    for (kind, model, connections), pairs in found.items():
        low, _, high = statistics.quantiles(pair["ratio"] for pair in pairs)
        shares = [100 * pair["share"] for pair in pairs]
        print(f"| {f'{model} {kind} c={connections}':18} | {median(pairs, 'cpu_us_per_request'):14.1f} | {median(pairs, 'ratio'):8.2f} | "
              f"{low:5.2f} to {high:4.2f} | {statistics.median(shares):13.1f} % | {min(shares):4.1f} to {max(shares):4.1f} % |")


def goals(found):
    """[(words, limit, values)]: the ratio, of the pairs."""
    return [(f"{model} {kind} c={connections}: monitoring on / off", 1.05, [pair["ratio"] for pair in pairs])
            for (kind, model, connections), pairs in found.items()]


def rows(found):
    return [{"bench": "serving", "system": "leadsman", "case": f"{model} {kind} c={connections}", "metric": metric, "unit": unit,
             "value": round(median(pairs, of), 4), "runs": [round(pair[of], 4) for pair in pairs]}
            for (kind, model, connections), pairs in found.items()
            for metric, of, unit in (("monitoring_on_over_off", "ratio", "1"), ("monitor_threads_share", "share", "1"))]
