#!/usr/bin/env python3
"""./dev bench rollout: the same releases judged by Leadsman and by the rules of Flagger, Argo Rollouts and Kayenta.

Releases of a made-up service, with a candidate that is as good as the stable version or worse in a known way, are judged many
times each, from seeds. Leadsman's verdict is its engine's, by the plan that users get who write none; the others' rules are
those of their own examples (bench/rollout_judges/rules.h). "Tuned" rows are set by someone who knows what is wrong with these
releases.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

from command_line import at_least, listed, until_stopped  # noqa: E402
import rollout_picture  # noqa: E402

SYSTEMS = ["leadsman", "leadsman-tuned", "flagger", "flagger-tuned", "argo", "kayenta"]
ALPHA, BETA = 1.0, 5.0  # of the plan, in percent
# Worse than the margins and above the floors of the plan that everybody gets; what is not has no promise to keep.
PROMISED = {"leadsman": ["errors x2", "errors x5", "low traffic, errors x5"],
            "leadsman-tuned": ["errors x2", "errors x5", "latency +10 %", "accuracy -2 points", "low traffic, errors x5"]}
CHUNK = 50  # seeds that one process judges


def judge(program, system, release, first, seeds):
    """What bench/rollout_judges said; RuntimeError when it failed."""
    done = subprocess.run([str(program), system, release, str(first), str(seeds)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{system}, {release}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def together(parts):
    """The parts of one system and release, in the order of their seeds."""
    return {"worse": parts[0]["worse"], "verdicts": "".join(part["verdicts"] for part in parts),
            "exposed": [n for part in parts for n in part["exposed"]], "seconds": [s for part in parts for s in part["seconds"]]}


def run_all(options, releases):
    """{(system, release): result}"""
    chunks = [(system, release, first, min(CHUNK, options.seeds - first))
              for system in options.systems for release in releases for first in range(0, options.seeds, CHUNK)]
    parts = {}
    with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
        waiting = {pool.submit(judge, options.program, *chunk): chunk for chunk in chunks}
        try:
            for done in concurrent.futures.as_completed(waiting):
                system, release, first, _ = waiting[done]
                parts.setdefault((system, release), {})[first] = done.result()
                if len(parts[system, release]) * CHUNK >= options.seeds:
                    print(f"judged by {system}: {release}", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {(system, release): together([parts[system, release][first] for first in sorted(parts[system, release])])
            for system in options.systems for release in releases}


def percent(result, letters):
    return 100 * sum(result["verdicts"].count(letter) for letter in letters) / len(result["verdicts"])


def figures(result):
    """{metric: value}: of a worse release misses, of the others false rollbacks."""
    wrong = ("misses", "p") if result["worse"] else ("false_rollbacks", "r")
    return {wrong[0]: percent(result, wrong[1]), "no_verdict": percent(result, "n"),
            "exposed_requests": statistics.median(result["exposed"]), "seconds": statistics.median(result["seconds"])}


UNITS = {"misses": "%", "false_rollbacks": "%", "no_verdict": "%", "exposed_requests": "requests", "seconds": "s"}


def span(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_results(results, options, releases):
    print(f"\n{options.seeds:,} seeds each; medians of exposed requests and of the time until the verdict\n")
    print(f"| {'release':24} | {'system':14} | false rollbacks | misses  | no verdict | exposed requests | time     |")
    print(f"| {'-' * 24} | {'-' * 14} | --------------: | ------: | ---------: | ---------------: | -------: |")
    for release in releases:
        for system in options.systems:
            said = figures(results[system, release])
            rate = {name: f"{said[name]:.1f} %" if name in said else "" for name in ("false_rollbacks", "misses")}
            exposed = f"{said['exposed_requests']:,.0f}" if "misses" in said else ""
            print(f"| {release:24} | {system:14} | {rate['false_rollbacks']:>15} | {rate['misses']:>7} | "
                  f"{said['no_verdict']:>8.1f} % | {exposed:>16} | {span(said['seconds']):>8} |")


def goals_of(results):
    """[(words, limit in percent, measured)]"""
    goals = []
    for (system, release), result in results.items():
        if system not in PROMISED:
            continue
        said = figures(result)
        if "false_rollbacks" in said:
            goals.append((f"{release}: false rollbacks by {system}", ALPHA, said["false_rollbacks"]))
        elif release in PROMISED[system]:
            goals.append((f"{release}: misses by {system}", BETA, said["misses"]))
    return goals


def print_goals(goals):
    held = True
    print(f"\n| {'goal':58} | {'at most':>8} | {'measured':>8} | holds |")
    print(f"| {'-' * 58} | {'-' * 7}: | {'-' * 7}: | ----- |")
    for words, limit, value in goals:
        held = held and value <= limit
        print(f"| {words:58} | {limit:6.1f} % | {value:6.1f} % | {'yes' if value <= limit else 'NO':5} |")
    return held


def rows_of(results):
    return [{"bench": "rollout", "system": system, "case": release, "metric": metric, "unit": UNITS[metric], "value": value,
             "runs": len(result["verdicts"])}
            for (system, release), result in results.items() for metric, value in figures(result).items()]


def run(options):
    listed_by_program = subprocess.run([str(options.program), "--list"], capture_output=True, text=True, check=True)
    known = json.loads(listed_by_program.stdout)
    releases = [release["name"] for release in known["releases"]]
    for release in options.releases or []:
        if release not in releases:
            print(f"--releases: {release} is not among {'; '.join(releases)}", file=sys.stderr)
            return 2
    releases = options.releases or releases
    try:
        results = run_all(options, releases)
    except RuntimeError as error:
        print(f"failed: {error}")
        return 1
    print_results(results, options, releases)
    held = print_goals(goals_of(results))
    if options.json:
        options.json.write_text(json.dumps(rows_of(results), indent=1) + "\n")
        print(f"rows written to {options.json}")
    if options.picture:
        rollout_picture.write(options.picture, releases, options.systems,
                              {key: {"worse": result["worse"], **figures(result)} for key, result in results.items()})
        print(f"picture written to {options.picture}")
    return 0 if held else 3


def main(words=None):
    parser = argparse.ArgumentParser(prog="./dev bench rollout", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all goals hold, 3 some do not, 1 something failed.")
    parser.add_argument("--systems", type=listed(SYSTEMS), default=SYSTEMS, help=",".join(SYSTEMS))
    parser.add_argument("--releases", type=lambda text: text.split(";"), help="names, with ; between them")
    parser.add_argument("--seeds", type=at_least(1), default=1000, help="of each release and system")
    parser.add_argument("--parallel", type=at_least(1), default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, runs} rows here; runs is "
                        "how many seeds")
    parser.add_argument("--picture", type=pathlib.Path, help="write the table as a picture here (.svg)")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the built programs")
    options = parser.parse_args(words)
    options.program = options.bin / "rollout_judges"

    return until_stopped(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
