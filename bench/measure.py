"""What the benchmarks measure with: CPU time and memory of a server's process tree, and the load generators."""
import json
import os
import pathlib
import re
import statistics
import subprocess

from hosts.process import HostError

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

WRK_SCRIPT = """
wrk.method = "POST"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %.1f %.1f\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout, e.status, latency:percentile(50), latency:percentile(99)))
end
"""


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


def cpu_model():
    match = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match.group(1) if match else "unknown CPU"


def print_what_else_ran(other):
    """`other`: of each run, the CPU of other processes as a share of a core."""
    print(f"\n{cpu_model()}, {os.cpu_count()} cores; load average at the end {os.getloadavg()[0]:.2f}; other processes "
          f"used {100 * statistics.median(other):.0f} % of a core (median), at most {100 * max(other):.0f} %")
    if max(other) > 0.3:
        print("The machine was not quiet: quote the ratios, not the microseconds, and run again alone.")


def _run(command):
    """(standard output, CPU seconds that the command took itself)"""
    begin = os.times()
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    end = os.times()
    if result.returncode != 0:
        raise HostError(f"{command[0]} failed: {result.stdout[-500:]}{result.stderr[-500:]}")
    return result.stdout, end.children_user + end.children_system - begin.children_user - begin.children_system


def http_load(url, body, headers, connections, seconds, script):
    """wrk's own sum-up; HostError when any request failed. `body` is a file; `script` is written."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    script.write_text(WRK_SCRIPT.format(body=body, headers=lines))
    out, own = _run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script, url])
    match = re.search(r"RESULT (.*)", out)
    if not match:
        raise HostError(f"wrk said nothing: {out[-500:]}")
    requests, duration, broken, non_2xx, p50, p99 = (float(word) for word in match.group(1).split())
    if broken or non_2xx:
        raise HostError(f"{broken:.0f} broken connections and {non_2xx:.0f} answers other than 2xx from {url}")
    return {"requests": requests, "seconds": duration / 1e6, "p50_us": p50, "p99_us": p99, "own_cpu": own}


def grpc_load(binary, target, method, model, width, connections, seconds):
    """The same from bench/grpc_load.cc; `method` is v2 or tfs."""
    out, own = _run([binary, "--target", target, "--method", method, "--model", model, "--input", "x", "--shape",
                     f"1,{width}", "--connections", connections, "--seconds", seconds, "--warmup", 0])
    said = json.loads(out)
    if said["errors"] or not said["requests"]:
        raise HostError(f"{said['errors']} of {said['requests']} gRPC calls to {target} failed")
    return {**said, "own_cpu": own}


def open_loop(binary, port, request, rate, connections, seconds):
    """What bench/open_loop.cc says of Poisson arrivals at `rate` a second."""
    out, _ = _run([binary, "--port", port, "--request", request, "--rate", rate, "--connections", connections,
                   "--seconds", seconds])
    return json.loads(out)
