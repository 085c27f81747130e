#!/usr/bin/env python3
"""./dev bench monitor: what watching costs. Lines of logs read by Leadsman and by mtail; rows profiled by Leadsman, whylogs and
Evidently, the same files for all; memory while millions of lines are followed.

The figure of the first three is CPU time of the whole process, so that threads are not free. Systems take turns, round by round; medians are reported.
What monitoring adds to a served request is in `./dev bench serving` (monitoring on / off).
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

import measure  # noqa: E402
import monitor_edges  # noqa: E402
import monitor_lines  # noqa: E402
from command_line import listed, until_stopped  # noqa: E402
from hosts.process import HostError, HostProcess, free_port  # noqa: E402

PARTS = ["lines", "formats", "rows", "memory"]
SYSTEMS = ["leadsman", "mtail", "whylogs", "evidently"]
WIDTH = 20
CACHE = pathlib.Path(os.environ.get("LEADSMAN_CACHE", pathlib.Path.home() / ".cache/leadsman"))


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = options.work.resolve()
        self.runs = {}  # (system, case) → [{metric: value}]
        self.resident = []  # MB after each million lines
        self.other = []  # CPU of other processes, as a share of a core
        self.failures = []

    def run(self, command):
        """(standard output, CPU seconds of the command and its children, seconds)"""
        busy, begin, used = measure.machine_busy_seconds(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=1800)
        now, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begin
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        self.other.append(max(0.0, measure.machine_busy_seconds() - busy - cpu) / seconds)
        if done.returncode != 0:
            raise HostError(f"{command[0]} failed: {done.stdout[-300:]}{done.stderr[-500:]}")
        return done.stdout, cpu, seconds

    def turns(self, case, systems):
        """Each system's function, round by round, another one first each time."""
        wanted = [(name, function) for name, function in systems if name in self.options.systems]
        for number in range(self.options.rounds):
            at = number % max(len(wanted), 1)
            for name, function in wanted[at:] + wanted[:at]:
                print(f"round {number + 1} of {self.options.rounds}: {case}, {name}", flush=True)
                try:
                    self.runs.setdefault((name, case), []).append(function())
                except (HostError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                    self.failures.append(f"{case}, {name}: {error}")
                    print(f"  failed: {error}", flush=True)

    # Lines of logs.

    def leadsman_once(self, path, arguments=()):
        lines, size = count_lines(path), path.stat().st_size

        def measured():
            out, cpu, _ = self.run([self.options.bin / "leadsman", "monitor", "--log", path, "--once", "--json", *arguments])
            source, = json.loads(out)["sources"]
            if source["lines"] != lines or not source["predictions"]:
                raise HostError(f"{source['lines']} of {lines} lines of {path.name} read, {source['predictions']} predictions")
            return per_line(lines, size, cpu)
        return measured

    def mtail_once(self, path, program):
        lines, size = count_lines(path), path.stat().st_size

        def measured():
            out, cpu, _ = self.run([shutil.which("mtail") or "mtail", "-one_shot", "-progs", program, "-logs", path])
            counted = sum(sample["Value"]["Value"] for metric in json.loads(out)["requests"] for sample in metric["LabelValues"])
            if counted != lines:
                raise HostError(f"mtail counted {counted} of {lines} lines")
            return per_line(lines, size, cpu)
        return measured

    def lines(self):
        for kind, write in (("nginx", monitor_lines.write_nginx), ("json", monitor_lines.write_json)):
            path = self.work / f"{kind}.log"
            if not path.exists() or count_lines(path) != self.options.lines:
                write(path, self.options.lines)
            program = self.work / f"{kind}.mtail"
            program.write_text(monitor_lines.MTAIL[kind])
            self.turns(f"{kind} lines", [("leadsman", self.leadsman_once(path)), ("mtail", self.mtail_once(path, program))])

    def formats(self):
        for name, arguments in monitor_lines.OTHERS.items():
            path = self.work / f"repeated-{name}.log"
            monitor_lines.repeat(ROOT / f"src/intake/testdata/{name}.log", path, min(self.options.lines, 200_000))
            self.turns(f"{name} lines", [("leadsman", self.leadsman_once(path, arguments))])

    # Rows of numbers.

    def rows_of(self, command, rows):
        def measured():
            out, _, _ = self.run(command)
            said = json.loads(out.strip().splitlines()[-1])
            if said["rows"] != rows:
                raise HostError(f"{said['rows']} of {rows} rows were profiled")
            return {"cpu_us_per_row": 1e6 * said["cpu_seconds"] / rows, "rows_per_cpu_s": rows / said["cpu_seconds"],
                    "rows_per_s": rows / said["seconds"]}
        return measured

    def leadsman_csv(self, path, rows):
        def measured():
            out, cpu, seconds = self.run([self.options.bin / "leadsman", "monitor", "--log", path, "--format", "csv", "--once", "--json"])
            source, = json.loads(out)["sources"]
            if source["predictions"] != rows or len(source["features"]) != WIDTH:
                raise HostError(f"{source['predictions']} of {rows} rows read, {len(source['features'])} features")
            return {"cpu_us_per_row": 1e6 * cpu / rows, "rows_per_cpu_s": rows / cpu, "rows_per_s": rows / seconds}
        return measured

    def rows(self):
        rows = self.options.rows
        raw, table = self.work / f"rows-{rows}.f32", self.work / f"rows-{rows}.csv"
        if not raw.exists() or not table.exists():
            write_rows(raw, table, rows)
        frame = ROOT / "bench/profile_frame.py"

        def python(system, path, width):
            return self.rows_of([CACHE / f"venv-{system}/bin/python", frame, system, path, width], rows)

        self.turns("rows in memory", [
            ("leadsman", self.rows_of([self.options.bin / "profile_rows", raw, WIDTH], rows)),
            *((system, python(system, raw, WIDTH)) for system in ("whylogs", "evidently"))])
        self.turns("rows of a CSV", [
            ("leadsman", self.leadsman_csv(table, rows)),
            *((system, python(system, table, 0)) for system in ("whylogs", "evidently"))])

    # Memory.

    def memory(self):
        """A log is followed that grows by a million lines, is rotated, and so on."""
        if "leadsman" not in self.options.systems:
            return
        path, data, port = self.work / "growing.log", self.work / "memory-data", free_port()
        shutil.rmtree(data, ignore_errors=True)
        path.write_text("")
        command = [self.options.bin / "leadsman", "monitor", "--log", path, "--from-beginning", "--data-dir", data, "--admin-port", port]
        try:
            with HostProcess("leadsman", command, self.work / "memory.log") as host:
                for million in range(1, self.options.millions + 1):
                    print(f"million {million} of {self.options.millions}", flush=True)
                    monitor_lines.append_mixed(path, 1_000_000, million)
                    host.wait_until(lambda: lines_read(port) == million * 1_000_000, 600, f"through with million {million}")
                    self.resident.append(measure.rss_mb(host.pid))
                    os.replace(path, path.with_suffix(".log.1"))
                    path.write_text("")
        except (HostError, OSError) as error:
            self.failures.append(f"memory: {error}")
            print(f"  failed: {error}", flush=True)
        finally:
            path.unlink(missing_ok=True)
            path.with_suffix(".log.1").unlink(missing_ok=True)


def lines_read(port):
    """By the source; nothing while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/logs", timeout=10) as answer:
            source, = json.load(answer)["sources"]
            return source["lines"]
    except OSError:
        return None


def count_lines(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def per_line(lines, size, cpu):
    return {"cpu_us_per_line": 1e6 * cpu / lines, "lines_per_cpu_s": lines / cpu, "bytes_per_cpu_s": size / cpu}


def write_rows(raw, table, rows):
    import numpy as np

    rng = np.random.default_rng(20261129)
    values = np.empty((rows, WIDTH), np.float32)
    for column in range(WIDTH):
        values[:, column] = (rng.normal(column, 1 + column, rows) if column % 3 == 0 else
                             rng.lognormal(2, 0.7, rows) if column % 3 == 1 else rng.integers(0, 50, rows))
    values.tofile(raw)
    with open(table, "w") as out:
        out.write(",".join(f"x{column}" for column in range(WIDTH)) + "\n")
        for begin in range(0, rows, 50_000):
            for row in values[begin:begin + 50_000].tolist():
                out.write(",".join(f"{value:.6g}" for value in row) + "\n")


UNITS = {"cpu_us_per_line": "us", "lines_per_cpu_s": "1/s", "bytes_per_cpu_s": "B/s", "cpu_us_per_row": "us", "rows_per_cpu_s": "1/s",
         "rows_per_s": "1/s"}


def json_rows(runs):
    return [{"bench": "monitor", "system": system, "case": case, "metric": metric, "unit": UNITS[metric],
             "value": round(statistics.median(result[metric] for result in results), 4),
             "runs": [round(result[metric], 4) for result in results]}
            for (system, case), results in runs.items() for metric in results[0]]


def print_runs(runs, options):
    print(f"\nMedians of {options.rounds} rounds; CPU of the whole process\n")
    for unit, rate, words in (("cpu_us_per_line", "lines_per_cpu_s", "line"), ("cpu_us_per_row", "rows_per_cpu_s", "row")):
        chosen = {key: results for key, results in runs.items() if unit in results[0]}
        if not chosen:
            continue
        print(f"| {'case':24} | {'system':9} | {'CPU µs/' + words:>12} | {words + 's/s per core':>16} | {'MB/s per core':>13} | of the rounds, µs |")
        print(f"| {'-' * 24} | {'-' * 9} | {'-' * 11}: | {'-' * 15}: | {'-' * 12}: | {'-' * 17} |")
        for (system, case), results in chosen.items():
            values = [result[unit] for result in results]
            size = f"{statistics.median(r['bytes_per_cpu_s'] for r in results) / 1e6:13,.0f}" if words == "line" else f"{'':13}"
            print(f"| {case:24} | {system:9} | {statistics.median(values):12.3f} | {statistics.median(r[rate] for r in results):16,.0f} | "
                  f"{size} | {min(values):.3f} to {max(values):.3f} |")
        print()


def print_resident(resident):
    if resident:
        print("\n| million lines followed | RSS, MB |\n| ---------------------: | ------: |")
        for million, megabytes in enumerate(resident, 1):
            print(f"| {million:22} | {megabytes:7.1f} |")
        print()


def ratios(runs, case, over, under, metric):
    return [a[metric] / b[metric] for a, b in zip(runs.get((over, case), []), runs.get((under, case), []))]


def goals_of(runs):
    """[(words, at least, values)]"""
    goals = []
    for case in ("nginx lines", "json lines"):
        goals.append((f"{case}: mtail / leadsman, CPU a line", 20, ratios(runs, case, "mtail", "leadsman", "cpu_us_per_line")))
    goals.append(("json lines: leadsman, GB/s per core", 1, [r["bytes_per_cpu_s"] / 1e9 for r in runs.get(("leadsman", "json lines"), [])]))
    for case in ("rows in memory", "rows of a CSV"):
        for peer in ("whylogs", "evidently"):
            goals.append((f"{case}: {peer} / leadsman, CPU a row", 20, ratios(runs, case, peer, "leadsman", "cpu_us_per_row")))
    return [goal for goal in goals if goal[2]]


def print_goals(goals):
    """True when all hold."""
    held = True
    if goals:
        print(f"| {'goal':52} | at least | measured | of the rounds  | holds |")
        print(f"| {'-' * 52} | {'-' * 7}: | {'-' * 7}: | {'-' * 14} | ----- |")
    for words, limit, values in goals:
        holds = statistics.median(values) >= limit
        held = held and holds
        print(f"| {words:52} | {limit:8.1f} | {statistics.median(values):8.2f} | {min(values):5.2f} to {max(values):5.2f} | {'yes' if holds else 'NO':5} |")
    return held


def run(options):
    bench = Bench(options)
    bench.work.mkdir(parents=True, exist_ok=True)
    print(f"{measure.cpu_model()}, {os.cpu_count()} cores; load average at the start {os.getloadavg()[0]:.2f}", flush=True)
    for part in PARTS:
        if part in options.parts:
            getattr(bench, part)()
    runs = {key: results for key, results in bench.runs.items() if results}
    if runs:
        print_runs(runs, options)
    print_resident(bench.resident)
    held = print_goals(goals_of(runs))
    if bench.other:
        measure.print_what_else_ran(bench.other)
    if options.json:
        memory = [{"bench": "monitor", "system": "leadsman", "case": f"{million} million lines followed", "metric": "rss_mb", "unit": "MB",
                   "value": round(value, 1), "runs": [round(value, 1)]} for million, value in enumerate(bench.resident, 1)]
        options.json.write_text(json.dumps(json_rows(runs) + memory, indent=1) + "\n")
        print(f"rows written to {options.json}")
    for failure in bench.failures:
        print(f"failed: {failure}")
    return 1 if bench.failures or not (runs or bench.resident) else 0 if held else 3


def run_parts(options):
    codes = [run(options)] if set(options.parts) != {"edges"} else []
    if "edges" in options.parts:
        codes.append(monitor_edges.run(options))
    return 1 if 1 in codes else max(codes)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench monitor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all goals hold, 3 some do not, 1 something failed.")
    parts = [*PARTS, "edges"]
    parser.add_argument("--parts", type=listed(parts), default=parts, help=",".join(parts))
    parser.add_argument("--edges", type=int, default=100, help="that send profiles to one monitor")
    parser.add_argument("--seconds", type=int, default=60, help="of each round with edges")
    parser.add_argument("--systems", type=listed(SYSTEMS), default=SYSTEMS, help=",".join(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the logs of nginx and JSON")
    parser.add_argument("--rows", type=int, default=1_000_000, help=f"of {WIDTH} numbers")
    parser.add_argument("--millions", type=int, default=10, help="of lines that are followed for the memory")
    parser.add_argument("--json", type=pathlib.Path, help="write {bench, system, case, metric, unit, value, runs} rows here")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the built programs")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench-monitor")
    options = parser.parse_args()

    return until_stopped(lambda: run_parts(options))


if __name__ == "__main__":
    sys.exit(main())
