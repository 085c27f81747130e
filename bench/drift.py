#!/usr/bin/env python3
"""./dev bench drift: after how many requests a change of real data is found, and what is said while nothing changes.

A server of the demo's digit classifier is asked by real requests, drawn from its held-out images: first as many as its
reference takes, then as many again in which something has changed, or nothing. Evidently and whylogs judge the same rows in
windows, against the same reference, with the tests that are their default.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "demo"))

from command_line import listed, until_stopped  # noqa: E402
import drift_picture  # noqa: E402
import drift_streams  # noqa: E402
import measure  # noqa: E402
import train  # noqa: E402
from hosts.process import HostProcess  # noqa: E402
from processes import in_parallel  # noqa: E402

PEERS = ["evidently", "whylogs"]
CHANGES = [case for case in drift_streams.IMAGES if case != "none"]
HEADS = {"leadsman": "leadsman", "evidently": "Evidently", "whylogs": "whylogs"}


def streams_of(options):
    """(system, case, seed)"""
    cases = [("none", seed) for seed in range(options.quiet)]
    cases += [(case, 1000 + seed) for case in CHANGES for seed in range(options.streams)]
    return [(system, *case) for case in cases for system in options.systems]


def run_streams(options, failures):
    """{(system, case): [result]}; see drift_one.py"""
    settings = options.work / "options.json"
    settings.write_text(json.dumps({name: str(value) if isinstance(value, pathlib.Path) else value
                                    for name, value in vars(options).items()}))
    results = {}

    def result_of(stream):
        system, case, seed = stream
        return options.work / f"{system}-{case.replace(' ', '-')}-{seed}.json"

    def start(stream):
        result = result_of(stream)
        return HostProcess("a stream", [sys.executable, ROOT / "bench/drift_one.py", *stream, settings, result], result.with_suffix(".log"))

    with contextlib.closing(in_parallel(streams_of(options), options.parallel, start)) as ended:
        for stream, host in ended:
            system, case, _ = stream
            if host.process.returncode != 0:
                failures.append(f"{system}, {case}: {host.log_tail(4)}")
                continue
            said = json.loads(result_of(stream).read_text())
            results.setdefault((system, case), []).append(said)
            words = f"{said['found']:,} requests: {', '.join(said['names'][:3])}" if said["found"] else "nothing said"
            print(f"{HEADS[system]:9} {drift_streams.WORDS[case]:23} {words}", flush=True)
    return results


def median_found(results, after):
    """None where fewer than half of the streams found it."""
    found = [result["found"] if result["found"] is not None else after * 10 for result in results]
    median = statistics.median(found)
    return None if median > after else median


def shown(value):
    return "not found" if value is None else f"{value:,.0f}"


def print_results(results, options):
    print(f"\nRequests after the change until it was found: median of {options.streams} streams, {options.after:,} at most\n")
    print(f"| {'change':24} |" + "".join(f" {HEADS[system]:>10} |" for system in options.systems) + " first named by leadsman |")
    print(f"| {'-' * 24} |" + "".join(f" {'-' * 9}: |" for _ in options.systems) + " ----------------------- |")
    for case in CHANGES:
        own = results.get(("leadsman", case), [])
        names = ", ".join(next((result["names"][:2] for result in own if result["names"]), ["-"]))
        print(f"| {drift_streams.WORDS[case]:24} |" + "".join(
            f" {shown(median_found(results[(system, case)], options.after)) if (system, case) in results else '-':>10} |"
            for system in options.systems) + f" {names:23} |")
    print(f"\nWhile nothing changes: {options.quiet} streams of {options.after:,} requests\n")
    print(f"| {'system':10} | {'streams with an alarm':>21} | {'windows said to have drifted':>28} |")
    print(f"| {'-' * 10} | {'-' * 20}: | {'-' * 27}: |")
    for system in options.systems:
        quiet = results.get((system, "none"), [])
        windows = sum(result.get("windows", 0) for result in quiet)
        of = f"{sum(result['alarms'] for result in quiet)} of {windows}" if windows else "-"
        said = f"{sum(result['alarms'] > 0 for result in quiet)} of {len(quiet)}"
        print(f"| {HEADS[system]:10} | {said:>21} | {of:>28} |")


def quiet_of(results, options):
    """{system: (said, of, words)}: whole streams of ours, windows of the others."""
    said = {}
    for system in options.systems:
        runs = results.get((system, "none"), [])
        windows = sum(result.get("windows", 0) for result in runs)
        if windows:
            said[system] = (sum(result["alarms"] for result in runs), windows, f"windows of {options.window} rows")
        elif runs:
            said[system] = (sum(result["alarms"] > 0 for result in runs), len(runs), f"streams of {options.after:,} requests")
    return said


def goals_of(results, options):
    """[(words, limit, measured)]"""
    goals = []
    quiet = results.get(("leadsman", "none"), [])
    if quiet:
        goals.append(("streams with a false alarm", 0, sum(result["alarms"] > 0 for result in quiet)))
    for case in CHANGES:
        own = results.get(("leadsman", case), [])
        if own:
            missed = sum(result["found"] is None for result in own)
            goals.append((f"{drift_streams.WORDS[case]}: streams in which it is not found", 0, missed))
    return goals


def print_goals(goals):
    held = True
    print(f"\n| {'goal':60} | {'limit':>6} | {'measured':>8} | holds |")
    print(f"| {'-' * 60} | {'-' * 5}: | {'-' * 7}: | ----- |")
    for words, limit, value in goals:
        held = held and value <= limit
        print(f"| {words:60} | {limit:6} | {value:8} | {'yes' if value <= limit else 'NO':5} |")
    return held


def rows_of(results, options):
    rows = []
    for (system, case), runs in results.items():
        found = [result["found"] for result in runs]
        rows.append({"bench": "drift", "system": system, "case": case, "metric": "requests_until_found", "unit": "requests",
                     "value": median_found(runs, options.after), "runs": found})
        rows.append({"bench": "drift", "system": system, "case": case, "metric": "alarms", "unit": "1",
                     "value": sum(result["alarms"] for result in runs), "runs": [result["alarms"] for result in runs],
                     "windows": sum(result.get("windows", 0) for result in runs)})
    return rows


def run(options):
    options.work = options.work.resolve()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    train.train(options.work / "staging")
    repository = options.work / "repository"
    options.model = train.release(options.work / "staging", repository, 2) / "model.onnx"
    print(f"{measure.cpu_model()}, {os.cpu_count()} cores; {options.before:,} requests before the change, {options.after:,} after, "
          f"{options.rate:g} a second; windows of {options.window} rows", flush=True)
    failures = []
    results = run_streams(options, failures)
    print_results(results, options)
    held = print_goals(goals_of(results, options))
    if options.json:
        options.json.write_text(json.dumps(rows_of(results, options), indent=1) + "\n")
        print(f"rows written to {options.json}")
    if options.picture:
        medians = {key: median_found(runs, options.after) for key, runs in results.items()}
        drift_picture.write(options.picture, CHANGES, options.systems, medians, quiet_of(results, options), options.after)
        print(f"picture written to {options.picture}")
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures or not results else 0 if held else 3


def main():
    parser = argparse.ArgumentParser(prog="./dev bench drift", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all goals hold, 3 some do not, 1 something failed.")
    parser.add_argument("--systems", type=listed(["leadsman", *PEERS]), default=["leadsman", *PEERS], help="leadsman,evidently,whylogs")
    parser.add_argument("--streams", type=int, default=3, help="of each change")
    parser.add_argument("--quiet", type=int, default=10, help="streams in which nothing changes")
    parser.add_argument("--before", type=int, default=20_000, help="requests before the change")
    parser.add_argument("--after", type=int, default=10_000, help="requests after it")
    parser.add_argument("--rate", type=float, default=200, help="requests a second after it")
    parser.add_argument("--window", type=int, default=500, help="rows that Evidently and whylogs judge at a time")
    parser.add_argument("--parallel", type=int, default=4, help="streams at once")
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, runs} rows here")
    parser.add_argument("--picture", type=pathlib.Path, help="write the table as a picture here (.svg)")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the built programs")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(os.environ.get("LEADSMAN_CACHE", "~/.cache/leadsman")).expanduser(),
                        help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench-drift")
    options = parser.parse_args()

    return until_stopped(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
