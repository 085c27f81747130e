#!/usr/bin/env python3
"""./dev lint: what can be checked without running anything. A file that passed is remembered by the hash of its own text,
of every header of ours that it reaches, of its compile command and of the tool's version, so the second run is quick.

    tools/lint.py [check...]     format layering headers tidy python shell; all by default
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman") / "lint"
DATABASE = ROOT / "build" / "lint"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
INCLUDE_ANY = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)
JOBS = os.cpu_count() or 2
CLANG_TIDY = os.environ.get("LEADSMAN_CLANG_TIDY") or str(CACHE.parent / "venv-lint" / "bin" / "clang-tidy")

sys.path.insert(0, str(ROOT / "tools"))
import unity_batches  # noqa: E402  (found by the line above)


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          **options)


def tracked(*patterns):
    """Files of the working tree that git knows or would add."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]).stdout
    return sorted(ROOT / name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


class Fingerprints:
    """Hash of a file and of all our headers that it includes, directly or not."""

    def __init__(self):
        self.known = {}

    def includes(self, path):
        if path not in self.known:
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                text = ""
            found = []
            for name in INCLUDE.findall(text):
                for base in (path.parent, ROOT / "src", ROOT / "plugins", ROOT):
                    if (base / name).is_file():
                        found.append((base / name).resolve())
                        break
            self.known[path] = (hashlib.sha256(text.encode()).hexdigest(), found)
        return self.known[path]

    def of(self, path, *more):
        seen, todo = {}, [path]
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen[current], found = self.includes(current)
            todo += found
        whole = "\n".join([*(f"{file} {digest}" for file, digest in sorted(seen.items())), *more])
        return hashlib.sha256(whole.encode()).hexdigest()


class Check:
    """Runs one command per file, in parallel, skipping what has passed before. Yields (file, output) of failures."""

    def __init__(self, name, fingerprints):
        self.name, self.fingerprints = name, fingerprints

    def run(self, jobs):
        """jobs: [(path, command)]; returns (failures, how many were remembered)."""
        CACHE.mkdir(parents=True, exist_ok=True)
        version = tool_version(jobs[0][1][0]) if jobs else ""
        todo, remembered = [], 0
        for path, command in jobs:
            stamp = CACHE / self.fingerprints.of(path, self.name, version, shlex.join(command), config_text(self.name))
            if stamp.exists():
                stamp.touch()
                remembered += 1
            else:
                todo.append((path, command, stamp))
        failures, done, shown = [], 0, time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            futures = {pool.submit(run, command): (path, stamp) for path, command, stamp in todo}
            for future in concurrent.futures.as_completed(futures):
                path, stamp = futures[future]
                result = future.result()
                done += 1
                if result.returncode == 0:
                    stamp.touch()
                else:
                    failures.append((path, result.stdout))
                if time.monotonic() - shown > 10:
                    shown = time.monotonic()
                    print(f"  {self.name}: {done} of {len(todo)} files", flush=True)
        return failures, remembered


def tool_version(tool):
    return run([tool, "--version"]).stdout


def config_text(check):
    return (ROOT / ".clang-tidy").read_text(encoding="utf-8") if check == "tidy" else ""


def make_generated_headers():
    """What protoc makes of the rooms' *.proto; without it their sources do not compile."""
    listed = run(["ninja", "-C", str(DATABASE), "-t", "targets", "all"]).stdout
    headers = re.findall(r"^(\S+\.pb\.h): ", listed, re.MULTILINE)
    # Their commands alone: as targets they would wait for the libraries of every room below.
    for header in headers:
        command = run(["ninja", "-C", str(DATABASE), "-t", "commands", "-s", header]).stdout
        line = next(line for line in command.splitlines() if "protoc" in line)
        result = subprocess.run(line, shell=True, cwd=DATABASE, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"protoc failed:\n{result.stdout}")


def batches_of_rooms():
    """What changes when sources may no longer be read as one, and the database has to be made anew."""
    rooms = {}
    for path in tracked("src/*.cc"):
        rooms.setdefault((path.relative_to(ROOT).parts[1], is_of_a_test(path)), []).append(unity_batches.Source(path))
    return repr([[[source.path for source in batch] for batch in unity_batches.batches(sources)]
                 for _, sources in sorted(rooms.items())])


def compile_commands():
    """What clang would be called with for each source; configured once and again when CMake files or sources change."""
    DATABASE.mkdir(parents=True, exist_ok=True)
    stamp = DATABASE / "configured-for"
    cmake_files = [ROOT / "CMakeLists.txt", *tracked("*/CMakeLists.txt", "cmake/*", "*.proto", "tools/unity_batches.py")]
    want = hashlib.sha256("\n".join([*(file.read_text() for file in cmake_files), *map(str, tracked("*.cc", "*.c")),
                                     batches_of_rooms()]).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != want:
        print("  configuring build/lint for clang", flush=True)
        runtimes = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache/leadsman") / "runtimes"
        result = run(["cmake", "-S", ".", "-B", str(DATABASE), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Dev", "-DCCACHE=OFF",
                      "-DCMAKE_CXX_COMPILER=clang++-16", "-DCMAKE_C_COMPILER=clang-16",
                      "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DLEADSMAN_UNITY=ON",
                      f"-DLEADSMAN_RUNTIMES={runtimes}"])
        if result.returncode != 0:
            raise RuntimeError(f"configuring build/lint failed:\n{result.stdout}")
        make_generated_headers()
        stamp.write_text(want)
    entries = json.loads((DATABASE / "compile_commands.json").read_text(encoding="utf-8"))
    return {pathlib.Path(entry["file"]): shlex.split(entry["command"]) for entry in entries}


def check_format(_):
    files = [str(file) for file in tracked("*.h", "*.cc", "*.c")]
    result = run(["clang-format-16", "--dry-run", "--Werror", *files])
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error: code should be", result.stdout, re.MULTILINE)))
    failures = [(pathlib.Path(name), "not formatted; run ./dev format") for name in bad]
    if result.returncode != 0 and not failures:
        failures = [(ROOT, result.stdout)]
    return failures, f"{len(files)} files"


def check_layering(_):
    import check_layering as layering
    found = layering.violations(ROOT / "src")
    return [(ROOT / "src", sentence) for sentence in found], f"{len(layering.parse_rooms((ROOT / 'src/CMakeLists.txt').read_text()))} rooms"


def is_first_of_its_source(header):
    """Whether a source of the same name includes it before anything else: then that source's own check is the proof."""
    source = header.with_suffix(".cc")
    if not source.is_file():
        return False
    first = INCLUDE_ANY.search(source.read_text(encoding="utf-8"))
    return first is not None and first[1] == str(header.relative_to(ROOT / "src"))


def check_headers(fingerprints):
    """Every header compiles alone, so that the order of includes never matters."""
    flags = ["-fsyntax-only", "-x", "c++", "-std=c++20", "-Isrc", "-Iplugins", "-Itests", "-Wall", "-Wextra",
             "-Wno-missing-field-initializers", "-Wno-pragma-once-outside-header", "-Wthread-safety", "-Werror"]
    headers = tracked("src/*.h")
    alone = [path for path in headers if not is_first_of_its_source(path)]
    jobs = [(path, ["clang++-16", *flags, str(path.relative_to(ROOT))]) for path in alone]
    failures, remembered = Check("headers", fingerprints).run(jobs)
    return failures, f"{len(headers)} headers, {len(headers) - len(alone)} by their sources, {remembered} unchanged"


def is_of_a_test(path):
    return (path.name.endswith(("_test.cc", "_fuzz.cc")) or any(part.endswith("_test") for part in path.parts) or
            "testing" in path.parts or "tests" in path.parts)


def check_tidy(fingerprints):
    """clang-tidy with thread-safety analysis for the product, by the batches of tools/unity_batches.py: most of its time goes
    into headers as well. Clang's warnings for benchmarks. The tests have these warnings as errors in the sanitizers' builds."""
    tidy, syntax, sources = [], [], 0
    for path, command in compile_commands().items():
        if is_of_a_test(path) or path.suffix != ".cc" or path.is_relative_to(DATABASE / "gen"):
            continue
        if path.name.endswith("_bench.cc"):
            at = command.index("-o")
            command = [word for word in command[:at] + command[at + 2:] if word != "-c"]
            syntax.append((path, [*command, "-fsyntax-only", "-Werror"]))
        else:
            is_unit = path.is_relative_to(DATABASE / "unity")
            sources += len(INCLUDE.findall(path.read_text(encoding="utf-8"))) if is_unit else 1
            tidy.append((path, [CLANG_TIDY, "-p", str(DATABASE), "--quiet", "--checks=-bugprone-suspicious-include",
                                str(path)]))
    failures, remembered = Check("tidy", fingerprints).run(tidy)
    more, more_remembered = Check("syntax", fingerprints).run(syntax)
    return failures + more, (f"{sources} sources in {len(tidy)} batches, {len(syntax)} benchmarks, "
                             f"{remembered + more_remembered} unchanged")


def check_python(_):
    failures, files = [], tracked("*.py")
    for path in files:
        try:
            compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)
        except (SyntaxError, UnicodeDecodeError) as error:
            failures.append((path, str(error)))
    return failures, f"{len(files)} files"


def check_shell(_):
    files = [path for path in [*tracked("*.sh"), ROOT / "dev", ROOT / ".ci" / "run"] if path.exists()]
    failures = []
    for path in files:
        result = run(["bash", "-n", str(path)])
        if result.returncode == 0 and shutil.which("shellcheck"):
            result = run(["shellcheck", "-x", "-S", "warning", str(path)])
        if result.returncode != 0:
            failures.append((path, result.stdout))
    note = "" if shutil.which("shellcheck") else ", syntax only: shellcheck is not installed"
    return failures, f"{len(files)} files{note}"


CHECKS = {
    "format": check_format,
    "layering": check_layering,
    "python": check_python,
    "shell": check_shell,
    "headers": check_headers,
    "tidy": check_tidy,
}


def main():
    wanted = sys.argv[1:] or list(CHECKS)
    unknown = [name for name in wanted if name not in CHECKS]
    if unknown:
        print(f"unknown check: {', '.join(unknown)}; there are: {', '.join(CHECKS)}")
        return 2
    fingerprints = Fingerprints()
    rows, cases = [], []
    for name in wanted:
        begin = time.monotonic()
        try:
            failures, note = CHECKS[name](fingerprints)
        except (OSError, RuntimeError) as error:
            failures, note = [(ROOT, str(error))], "could not run"
        for path, output in sorted(failures, key=lambda failure: str(failure[0])):
            shown = path.relative_to(ROOT) if path.is_absolute() and path.is_relative_to(ROOT) else path
            print(f"--- {name}: {shown}\n{output.rstrip()}")
        seconds = time.monotonic() - begin
        rows.append((name, "failed" if failures else "passed", f"{seconds:.1f} s", note))
        cases.append({"name": f"lint.{name}", "passed": not failures, "seconds": seconds})
        print(f"{name:10} {rows[-1][1]:7} {rows[-1][2]:>8}  {note}", flush=True)
    results = ROOT / "build" / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "lint.json").write_text(json.dumps({"stage": "lint", "cases": cases}))
    failed = sum(not case["passed"] for case in cases)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
