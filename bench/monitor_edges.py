"""The part "edges" of ./dev bench monitor: many edges send their profiles to one `leadsman monitor`.

One real edge profiles real traffic (five models, thirty inputs each) and sends it to a recorder here. What was recorded is then sent to a
real monitor as if by a hundred edges, each under its own name and numbers, at the pace at which edges send. Measured is the monitor
alone: CPU time over the wall time, resident memory, and whether all was counted.
"""
import http.server
import json
import os
import random
import statistics
import struct
import threading
import time
import urllib.request
import zlib

import measure
from hosts.process import HostError, HostProcess, free_port

MODELS, WIDTH, REQUESTS, RECORDED = 5, 30, 500, 12
CORES, MEGABYTES = 1.0, 500  # goals: at most
UNITS = {"cores": "", "resident_mb": "MB", "cpu_ms_per_message": "ms", "message_kb": "KB", "requests_per_s": "1/s"}


class Recorder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # noqa: N802
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def skip_varint(bytes_, at):
    while bytes_[at] & 0x80:
        at += 1
    return at + 1


def profiles_of(message):
    """What stands behind the header: the count of profiles, and these."""
    at = 2 + 1 + message[2] + 8  # the name is short: its length is one byte
    at = skip_varint(message, skip_varint(message, at))
    return message[at + 1:-4]


def message_of(edge, process, sequence, profiles):
    name = edge.encode()
    head = b"P\x01" + varint(len(name)) + name + struct.pack("<Q", process) + varint(sequence) + varint(5000) + b"\x00"
    body = head + profiles
    return body + struct.pack("<I", zlib.crc32(body))


def post(url, body, kind="application/octet-stream"):
    request = urllib.request.Request(url, data=body, headers={"content-type": kind}, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"{}")


def ready(url):
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=2):
            return True
    except OSError:
        return False


def start(options, name, port, arguments, config):
    folder = options.work / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "leadsman.yaml"
    path.write_text(json.dumps({"data_dir": str(folder / f"data-{os.getpid()}"), "admin": {"port": port}, **config}))
    host = HostProcess(name, [options.bin / "leadsman", "monitor", *arguments, "--config", path], folder / "log")
    host.wait_until(lambda: ready(f"http://127.0.0.1:{port}"), 30)
    return host


def traffic(seed):
    rng = random.Random(seed)
    return [{"model": f"model-{m}", "version": 1, "status": 200 if rng.random() < 0.995 else 500,
             "latency_ms": rng.lognormvariate(1, 0.6), "prediction": rng.choice("abcdefgh"), "score": rng.random(),
             "features": [rng.gauss(i, 1 + i / 3) if i % 3 else rng.lognormvariate(0, 1) for i in range(WIDTH)]}
            for _ in range(REQUESTS) for m in range(MODELS)]


def record(options, probe):
    """Profiles of whole intervals, as an edge has sent them."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.bodies, server.daemon_threads = [], True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    sending = {"url": f"http://127.0.0.1:{server.server_port}", "every": "1s", "edge": "recorded"}
    edge = start(options, "edge", port, [], {"monitor": {"send_profiles": sending, "cloudevents": {"port": 0}}})
    whole = []
    try:
        for seed in range(10 * RECORDED):
            time.sleep(1.1)
            server.bodies.clear()
            post(f"http://127.0.0.1:{port}/api/v1/events", json.dumps({"events": traffic(seed)}).encode(), "application/json")
            time.sleep(1.4)
            for body in list(server.bodies):
                profiles = profiles_of(body)
                # One that was cut in two by the end of an interval is none of those that are wanted.
                if probe(message_of("probe", random.getrandbits(60), 1, profiles)) == MODELS * REQUESTS:
                    whole.append(profiles)
            print(f"recorded {len(whole)} of {RECORDED} messages", flush=True)
            if len(whole) >= RECORDED:
                return whole
        raise HostError(f"only {len(whole)} whole messages were recorded")
    finally:
        edge.stop()
        server.shutdown()


def counted(url):
    with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("leadsman_monitor_requests_total{"))


def send(url, profiles, edges, seconds, every):
    """By processes that no monitor has heard of. Sends at an edge's pace, all edges spread over an interval; how many messages that were, and of how many requests."""
    begin, sent, requests, late = time.monotonic(), 0, 0, 0.0
    total, first = round(edges * seconds / every), random.getrandbits(60)
    lock = threading.Lock()

    def work(worker):
        nonlocal sent, requests, late
        for n in range(worker, total, 4):
            due = begin + n * every / edges
            time.sleep(max(0.0, due - time.monotonic()))
            message = message_of(f"edge-{n % edges}", first + n % edges, n // edges + 1, profiles[n % len(profiles)])
            answer = post(url + "/api/v1/profiles", message)
            with lock:
                sent += 1
                requests += answer["requests"]
                late = max(late, time.monotonic() - due)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sent, requests, late


def one_round(options, profiles):
    edges, every = options.edges, 5.0
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # A hundred are the goal; the limit must not be what is measured.
    watch = start(options, "monitor", port, [], {"monitor": {"edges": {"max": max(1000, edges)}}})
    try:
        begin, used = time.monotonic(), measure.cpu_seconds(watch.pid)
        sent, requests, late = send(url, profiles, edges, options.seconds, every)
        wall = time.monotonic() - begin
        cpu = measure.cpu_seconds(watch.pid) - used
        time.sleep(0.5)
        got = counted(url)
        if sent != round(edges * options.seconds / every):
            raise HostError(f"only {sent} messages were taken of {edges * options.seconds / every:.0f}")
        if got != requests or requests != sent * MODELS * REQUESTS:
            raise HostError(f"{got:.0f} of {sent * MODELS * REQUESTS} requests were counted")
        if late > every:
            print(f"  a message came {late:.1f} s late: the pace was not kept", flush=True)
        return {"cores": cpu / wall, "resident_mb": measure.rss_mb(watch.pid), "cpu_ms_per_message": 1e3 * cpu / sent,
                "message_kb": statistics.mean(map(len, profiles)) / 1e3, "requests_per_s": requests / wall}
    finally:
        watch.stop()


def report(options, runs):
    """True when the goals hold."""
    median = {metric: statistics.median(run[metric] for run in runs) for metric in UNITS}
    print(f"\n{options.edges} edges, a message each 5 s, {MODELS} models of {WIDTH} inputs; {median['requests_per_s']:,.0f} requests a second "
          f"in messages of {median['message_kb']:.1f} KB; medians of {len(runs)} rounds of {options.seconds} s\n")
    print(f"| {'one monitor':28} | goal: at most | measured | of the rounds    | holds |")
    print(f"| {'-' * 28} | {'-' * 12}: | {'-' * 7}: | {'-' * 16} | ----- |")
    held = True
    for words, metric, limit in (("CPU, cores", "cores", CORES), ("resident memory, MB", "resident_mb", MEGABYTES),
                                 ("CPU a message, ms", "cpu_ms_per_message", None)):
        values = [run[metric] for run in runs]
        holds = limit is None or median[metric] <= limit
        held = held and holds
        goal = "" if limit is None else f"{limit:g}"
        print(f"| {words:28} | {goal:>13} | {median[metric]:8.3f} | {min(values):7.3f} to {max(values):.3f} | "
              f"{'' if limit is None else 'yes' if holds else 'NO':5} |")
    return held


def run(options):
    """0: the goals hold, 3: they do not, 1: it failed. Rows go behind those that the other parts have written."""
    options.work = options.work.resolve()
    try:
        port = free_port()
        probe = start(options, "probe", port, ["--edges"], {})
        try:
            profiles = record(options, lambda body: post(f"http://127.0.0.1:{port}/api/v1/profiles", body)["requests"])
        finally:
            probe.stop()
        runs = []
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}: {options.edges} edges for {options.seconds} s", flush=True)
            runs.append(one_round(options, profiles))
    except (HostError, OSError, KeyError, ValueError) as error:
        print(f"failed: edges: {error}")
        return 1
    held = report(options, runs)
    if options.json:
        rows = json.loads(options.json.read_text()) if options.json.exists() else []
        case = f"{options.edges} edges"
        rows = [row for row in rows if row.get("case") != case]
        rows += [{"bench": "monitor", "system": "leadsman", "case": case, "metric": metric, "unit": unit,
                  "value": round(statistics.median(one[metric] for one in runs), 4),
                  "runs": [round(one[metric], 4) for one in runs]} for metric, unit in UNITS.items()]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if held else 3
