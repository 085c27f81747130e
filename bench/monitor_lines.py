"""The logs that ./dev bench monitor reads: made anew with the same seed, or lines of the real programs, again and again."""
import json
import random

#: Formats for Leadsman alone: files of src/intake/testdata, with what the command line has to say.
OTHERS = {
    "nginx_ingress": [], "apache_combined": [], "gunicorn_stdout": [], "uvicorn": [], "envoy_default": [], "envoy_istio": [],
    "envoy_json": [], "structlog_logfmt": [], "pandas_csv": [], "pandas_jsonl": [],
    "sagemaker_capture": ["--model", "iris"],
}

AGENTS = ["python-requests/2.34.2", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Go-http-client/1.1",
          "okhttp/4.12.0"]


def _requests(lines, seed):
    rng = random.Random(seed)
    for number in range(lines):
        status = 200 if rng.random() < 0.97 else rng.choice((400, 404, 500, 503))
        yield rng, number, status, rng.lognormvariate(2.5, 0.6)  # milliseconds


def write_nginx(path, lines):
    """nginx's combined format and $request_time behind it."""
    with open(path, "w") as out:
        for rng, number, status, latency in _requests(lines, 1):
            model = rng.choice(("digits", "iris", "credit"))
            at = f"28/Nov/2026:{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d} +0000"
            out.write(f'10.0.{rng.randrange(256)}.{rng.randrange(256)} - - [{at}] "POST /v1/models/{model}/versions/3:predict HTTP/1.1" '
                      f'{status} {rng.randrange(80, 4000)} "-" "{rng.choice(AGENTS)}" {latency / 1000:.3f}\n')


def write_json(path, lines):
    """A service's structured log; request ids as services write them."""
    with open(path, "w") as out:
        for rng, number, status, latency in _requests(lines, 2):
            model = rng.choice(("digits", "iris", "credit"))
            out.write(json.dumps({
                "timestamp": f"2026-11-28T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{rng.randrange(1000):03d}Z",
                "level": "info", "logger": "scoring.access", "message": "request served", "method": "POST",
                "path": f"/v1/models/{model}/versions/3:predict", "protocol": "HTTP/1.1", "status": status,
                "latency_ms": round(latency, 3), "request_bytes": rng.randrange(80, 4000), "response_bytes": rng.randrange(40, 400),
                "client": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}", "user_agent": rng.choice(AGENTS),
                "host": "scoring-7d9f8b6c5-x2x9k", "region": "eu-central-1", "thread": f"worker-{rng.randrange(16)}",
                "trace": f"{rng.getrandbits(128):032x}"}) + "\n")


def repeat(source, path, lines):
    """The lines of `source` one after the other until there are `lines`; a CSV's header once."""
    text = source.read_text(errors="surrogateescape")
    head = ""
    if "csv" in source.stem:
        head, text = text.split("\n", 1)
        head += "\n"
    times = max(1, lines // text.count("\n"))
    with open(path, "w", errors="surrogateescape") as out:
        out.write(head)
        for _ in range(times):
            out.write(text)


#: mtail's programs: the same lines counted by status, their latencies in a histogram.
MTAIL = {
    "nginx": r'''
counter requests by status
histogram latency_seconds buckets 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1
/^\S+ - \S+ \[[^\]]+\] "\S+ \S+ \S+" (?P<status>\d+) \d+ "[^"]*" "[^"]*" (?P<seconds>\d+\.\d+)$/ {
  requests[$status]++
  latency_seconds = $seconds
}
''',
    "json": r'''
counter requests by status
histogram latency_ms buckets 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000
/"status": (?P<status>\d+), "latency_ms": (?P<ms>\d+\.\d+)/ {
  requests[$status]++
  latency_ms = $ms
}
''',
}


def append_mixed(path, lines, seed):
    """A gateway's log: some dozens of models that are asked often, more and more that are asked seldom, scanners, and models that
    do not exist. Appends."""
    rng = random.Random(seed)
    often = [f"/v1/models/model-{rng.randrange(40)}/versions/{rng.randrange(1, 4)}:predict" for _ in range(60)]
    with open(path, "a") as out:
        for begin in range(0, lines, 10_000):
            texts = []
            for number in range(begin, min(begin + 10_000, lines)):
                kind, status = rng.random(), 200 if rng.random() < 0.97 else 500
                target = often[number % len(often)]
                if kind < 0.01:
                    target, status = f"/v1/models/{rng.getrandbits(48):x}:predict", 404
                elif kind < 0.02:
                    target, status = f"/{rng.getrandbits(64):x}.php", 404
                elif kind < 0.021:
                    target = f"/v1/models/seldom-{seed}-{rng.randrange(100)}:predict"
                texts.append(f'10.0.{number % 250}.{seed % 250} - - [28/Nov/2026:{seed % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d} +0000] '
                             f'"POST {target} HTTP/1.1" {status} {number % 4000} "-" "{AGENTS[number % 4]}" 0.{number % 997:03d}\n')
            out.write("".join(texts))
