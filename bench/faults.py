#!/usr/bin/env python3
"""./dev bench faults: rollouts at a gateway while things go wrong under load, and what became of them.

Of each rollout the new version is as good as the old one (1 % errors) or worse (12 %), by chance. Meanwhile endpoints and the gateway
are killed, stopped for a while and started again, and answers are cut off, late, or never come: faults_one.py. Every rollout has to end
in the right state, which has to outlive one more SIGKILL, and no request may fail for which the gateway is to blame.
"""
import argparse
import collections
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

from command_line import at_least, until_stopped  # noqa: E402
from hosts.process import HostProcess  # noqa: E402
from processes import in_parallel  # noqa: E402


def play_all(options):
    """([result], [what did not run])"""
    settings = options.work / "options.json"
    settings.write_text(json.dumps({"python": str(options.cache / "venv-models/bin/python"), "binary": str(options.bin / "leadsman"),
                                    "timeout": options.timeout}))
    results, broken = [], []

    def start(seed):
        return HostProcess("a rollout", [sys.executable, ROOT / "bench/faults_one.py", seed, settings, options.work / f"{seed}.json"],
                           options.work / f"{seed}.log")

    seeds = range(options.seed, options.seed + options.rollouts)
    with contextlib.closing(in_parallel(seeds, options.parallel, start)) as ended:
        for seed, host in ended:
            if host.process.returncode != 0:
                broken.append(f"seed {seed}: {host.log_tail(4)}")
                print(f"seed {seed}: did not run: {host.log_tail(1)}", flush=True)
                continue
            result = {"seed": seed, **json.loads((options.work / f"{seed}.json").read_text())}
            results.append(result)
            words = "" if result["right"] else f", WRONG: {result['phase']}, shares {result['shares']}"
            words += f", {result['failures']} failed: {result['failed'][0]}" if result["failures"] else ""
            print(f"{len(results):4} of {options.rollouts}  seed {seed}: {result['wanted']}, {len(result['faults'])} faults in "
                  f"{result['seconds']:.0f} s, {result['answered']:,} answers{words}", flush=True)
            if result["right"] and not result["failures"]:
                shutil.rmtree(options.work / str(seed), ignore_errors=True)
    return results, broken


def print_results(results):
    kinds = collections.Counter(fault for result in results for fault in result["faults"])
    print("\n| what went wrong | times |\n| --- | ---: |")
    for kind, times in kinds.most_common():
        print(f"| {kind} | {times:,} |")
    print("\n| a new version that is | rollouts | in the right state | seconds, median |\n| --- | ---: | ---: | ---: |")
    for wanted, words in (("promoted", "as good as the old one"), ("rolled_back", "worse")):
        those = [result for result in results if result["wanted"] == wanted]
        if those:
            print(f"| {words} | {len(those)} | {sum(result['right'] for result in those)} | "
                  f"{statistics.median(result['seconds'] for result in those):.0f} |")
    print(f"\n{sum(result['answered'] for result in results):,} requests answered; {sum(result['not_there'] for result in results):,} found no gateway, "
          f"or one that was killed; {sum(result['cut'] for result in results):,} answers were cut off before the gateway; failed by the gateway: "
          f"{sum(result['failures'] for result in results):,}.")


def rows_of(results):
    return [{"bench": "faults", "system": "leadsman", "case": result["wanted"], "metric": metric, "unit": "1", "value": int(result[key]),
             "seed": result["seed"]} for result in results for metric, key in (("right_state", "right"), ("failed_requests", "failures"))]


def run(options):
    options.work = options.work.resolve()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    results, broken = play_all(options)
    print_results(results)
    if options.json:
        options.json.write_text(json.dumps(rows_of(results), indent=1) + "\n")
        print(f"rows written to {options.json}")
    for words in broken:
        print(f"did not run: {words}")
    if broken or not results:
        return 1
    return 0 if all(result["right"] and not result["failures"] for result in results) else 3


def main():
    parser = argparse.ArgumentParser(prog="./dev bench faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all is right, 3 something is not, 1 something did not run.")
    parser.add_argument("--rollouts", type=at_least(1), default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow")
    parser.add_argument("--parallel", type=at_least(1), default=3, help="rollouts at once")
    parser.add_argument("--timeout", type=float, default=300, help="seconds until a rollout has to end")
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, seed} rows here")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the built program")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(os.environ.get("LEADSMAN_CACHE", "~/.cache/leadsman")).expanduser(),
                        help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench-faults")
    options = parser.parse_args()
    return until_stopped(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
