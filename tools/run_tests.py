#!/usr/bin/env python3
"""./dev test: builds and runs everything that tests, and says at the end how many cases passed and failed.

    asan         every room's test binary and the fuzz corpora, under AddressSanitizer + UndefinedBehaviorSanitizer
    tsan         under ThreadSanitizer, the tests of rooms in which threads meet
    integration  pytest over tests/: the real binary, real clients, a real Prometheus; before it, the tests of the backends,
                 of which the sanitizers allow some only, and the statistics that asan left out (SKIP_WHERE_SANITIZED)
    unit         the same as asan in the dev build; only when it is named: the others have run each of its cases

A case is one gtest test, one pytest test or one replayed fuzz corpus. It is counted once: passed means passed in every
build it ran in. A test binary that dies, times out or is not there is a failed case of its own name.
"""
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"
STAGES = {"asan": "asan", "tsan": "tsan", "integration": "dev", "unit": "dev"}
BY_DEFAULT = ["asan", "tsan", "integration"]
# Model runtimes that do not start in a sanitized process: src/backend/testing/test_plugins.h.
NOT_SANITIZED = ["backend"]
# Targets of a stage; all of them where it is not listed.
TARGETS = {"integration": ["leadsman", "leadsman_plugins", "leadsman_bench_programs", "leadsman_test_programs",
                           *(f"{room}_test" for room in NOT_SANITIZED)]}
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:check_initialization_order=1:strict_init_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1:halt_on_error=1:"
                    f"suppressions={ROOT}/tests/support/tsan_suppressions.txt",
}
SYMBOLIZER = "/usr/lib/llvm-16/bin"  # has llvm-symbolizer, without which reports of the sanitizers name no function
JOBS = os.cpu_count() or 2
REASON_LINES, REASON_WIDTH = 8, 300
REASONS = {}  # (stage, case) -> what it said when it failed


def build(preset, targets):
    """True when it compiled; the output goes to the terminal."""
    command = '. tools/dev_lib.sh && build_preset "$@"'
    return subprocess.run(["bash", "-euo", "pipefail", "-c", command, "build", preset, *targets], cwd=ROOT,
                          check=False).returncode == 0


def without_address_randomization():
    """ThreadSanitizer cannot start where the kernel randomizes mappings by more than 28 bits."""
    command = ["setarch", platform.machine(), "-R"]
    try:
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    except OSError:
        pass
    return []


def gtest_cases(path):
    """[(name, what failed or None, seconds)] of one gtest XML file; skipped tests are left out."""
    cases = []
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.get("result") == "skipped" or case.get("status") == "notrun" or case.find("skipped") is not None:
            continue
        failure = case.find("failure")
        cases.append((f"{case.get('classname')}.{case.get('name')}", None if failure is None else words_of(failure),
                      float(case.get("time", 0))))
    return cases


def words_of(failure):
    """What a failed case says of itself, as much as a summary has room for."""
    lines = [line for line in (failure.text or failure.get("message") or "").splitlines() if line.strip()]
    # gtest begins with what was expected; pytest ends with it.
    kept = lines[-REASON_LINES:] if any(line.startswith("E  ") for line in lines) else lines[:REASON_LINES]
    return "\n".join(line[:REASON_WIDTH] for line in kept)


def last_words_of(test):
    """Of a test binary that died, and so left no report: the case it was in, and what it printed last."""
    lines = [line for line in (test.findtext("system-out") or "").splitlines() if line.strip()]
    running = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].startswith("[ RUN ")), 0)
    kept = lines[running:running + 1 + REASON_LINES]
    return "\n".join(line[:REASON_WIDTH] for line in kept)


def left_to_dev():
    """{room: [case]} of what asan left out because it takes too long there."""
    left = {}
    for report in sorted((RESULTS / "asan").glob("*_test.xml")):
        for case in xml.parse(report).getroot().iter("testcase"):
            skipped = case.find("skipped")
            if skipped is not None and "runs without sanitizers" in skipped.get("message", ""):
                left.setdefault(report.name.removesuffix("_test.xml"), []).append(
                    f"{case.get('classname')}.{case.get('name')}")
    return left


def run_ctest(stage, preset, rooms=(), only=()):
    """Of these rooms, or of all; `only` names cases."""
    folder = RESULTS / (f"{stage}-some" if only else stage)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {**os.environ, **SANITIZER_OPTIONS, "GTEST_OUTPUT": f"xml:{folder}/", "GTEST_COLOR": "no"}
    if only:
        environment["GTEST_FILTER"] = ":".join(only)
    tools = [SYMBOLIZER]
    if os.environ.get("LEADSMAN_PROMETHEUS"):  # promtool lies beside it, which need not be in the PATH
        tools.append(str(pathlib.Path(os.environ["LEADSMAN_PROMETHEUS"]).parent))
    environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), *tools])
    prefix = without_address_randomization() if stage == "tsan" else []
    command = [*prefix, "ctest", "--test-dir", f"build/{preset}", "-j", str(min(JOBS, 8)), "--output-on-failure",
               "--output-junit", str(folder / "ctest-junit.xml"), "--no-tests=error"]
    if rooms:
        command += ["-R", f"^({'|'.join(rooms)})$"]
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    summary = folder / "ctest-junit.xml"
    if not summary.exists():
        return [(f"{stage}: ctest", False, 0.0)]
    cases = []
    for test in xml.parse(summary).getroot().iter("testcase"):
        name, passed, seconds = test.get("name"), test.get("status") == "run", float(test.get("time", 0))
        report = folder / f"{name}_test.xml"
        if not report.exists():
            cases.append((name, passed, seconds))
            if not passed:
                REASONS[stage, name] = last_words_of(test)
            continue
        inner = gtest_cases(report)
        for case, reason, spent in inner:
            cases.append((f"{name}/{case}", reason is None, spent))
            if reason:
                REASONS[stage, f"{name}/{case}"] = reason
        if not passed and all(reason is None for _, reason, _ in inner):
            # All cases were written as good, and the process failed nevertheless: a leak, a race at exit.
            cases.append((f"{name}: the test process", False, seconds))
    return cases


def run_pytest():
    binary = ROOT / "build" / STAGES["integration"] / "bin" / "leadsman"
    python = os.environ.get("LEADSMAN_PYTHON", sys.executable)
    cases = []
    if not binary.exists():
        cases.append((f"integration: {binary.relative_to(ROOT)} was not built", False, 0.0))
    folders = [folder for folder in ("tests/tools", "tests/integration") if list((ROOT / folder).glob("**/test_*.py"))]
    if "tests/integration" not in folders:
        cases.append(("integration: tests/integration holds no test_*.py", False, 0.0))
    report = RESULTS / "pytest.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    environment = {**os.environ, "LEADSMAN_BINARY": str(binary), "PYTHONDONTWRITEBYTECODE": "1",
                   "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "demo"), str(ROOT)])}
    subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=auto", "-rfE", "--durations=5",
                    f"--junitxml={report}", *folders], cwd=ROOT, env=environment, check=False)
    if not report.exists():
        return [*cases, ("integration: pytest", False, 0.0)]
    for case in xml.parse(report).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        name = f"{case.get('classname')}.{case.get('name')}"
        failures = [found for found in (case.find("failure"), case.find("error")) if found is not None]
        if failures:
            REASONS["integration", name] = words_of(failures[0])
        cases.append((name, not failures, float(case.get("time", 0))))
    return cases


class Beside:
    """A command that runs while something else goes on."""

    def __init__(self, what, command):
        self.what, self.process = what, subprocess.Popen(command, cwd=ROOT)

    def wait(self):
        if self.process.poll() is None:
            print(f"waiting for {self.what}", flush=True)
        if self.process.wait() != 0:
            print(f"{self.what}: not here; the tests that need it fail", flush=True)


def run_stage(stage, beside=None):
    preset = STAGES[stage]
    begin = time.monotonic()
    print(f"\n=== {stage}", flush=True)
    left = left_to_dev() if stage == "integration" else {}
    if stage == "integration" and not (RESULTS / "asan").exists():
        print("statistics that asan leaves out are run after it alone, or by: ./dev test unit", flush=True)
    if not build(preset, [*TARGETS.get(stage, []), *(f"{room}_test" for room in left)]):
        return [(f"{stage}: the {preset} build", False, 0.0)], time.monotonic() - begin, 0.0
    built = time.monotonic()
    cases = run_ctest(stage, preset, NOT_SANITIZED if stage == "integration" else ())
    if left:
        some = run_ctest(stage, preset, left, [name for names in left.values() for name in names])
        known = {name for name, _, _ in some}
        cases += some + [(f"{room}/{name}", False, 0.0) for room, names in left.items() for name in names
                         if f"{room}/{name}" not in known]
    if stage == "integration":
        if beside:
            beside.wait()
        cases += run_pytest()
    return cases, built - begin, time.monotonic() - built


def main():
    wanted = sys.argv[1:] or BY_DEFAULT
    unknown = [stage for stage in wanted if stage not in STAGES]
    if unknown:
        print(f"unknown part: {', '.join(unknown)}; there are: {', '.join(STAGES)}")
        return 2
    verdicts, rows = {}, []
    beside = Beside("the parts of Kubernetes", ["tools/fetch_kubernetes.sh"]) if "integration" in wanted else None
    for stage in wanted:
        cases, build_seconds, run_seconds = run_stage(stage, beside)
        for name, passed, _ in cases:
            verdicts[name] = verdicts.get(name, True) and passed
        failed = [name for name, passed, _ in cases if not passed]
        rows.append((stage, len(cases) - len(failed), failed, build_seconds, run_seconds))
    if beside:
        beside.wait()  # where the build failed nobody has
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "test.json").write_text(json.dumps({
        "stage": "test", "cases": [{"name": name, "passed": passed} for name, passed in sorted(verdicts.items())]}))

    print(f"\n{'part':12} {'passed':>7} {'failed':>7} {'build':>8} {'run':>8}")
    for stage, passed, failed, build_seconds, run_seconds in rows:
        print(f"{stage:12} {passed:7} {len(failed):7} {build_seconds:6.0f} s {run_seconds:6.0f} s")
    for stage, _, failed, _, _ in rows:
        for name in failed:
            print(f"failed in {stage}: {name}")
            for line in REASONS.get((stage, name), "").splitlines():
                print(f"    {line}")
    failures = sum(not passed for passed in verdicts.values())
    print(f"{len(verdicts) - failures} passed, {failures} failed")
    return 1 if failures or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
