#!/usr/bin/env python3
"""One stream of ./dev bench drift, in a process of its own: a server that is asked, or a library that judges windows.

    drift_one.py SYSTEM CASE SEED OPTIONS.json RESULT.json
"""
import argparse
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
for folder in ("tests", "bench", "demo"):
    sys.path.insert(0, str(ROOT / folder))

import drift_streams  # noqa: E402
import train  # noqa: E402
from hosts.process import HostError, HttpHost, free_port  # noqa: E402

ASKED_EVERY = 50  # requests between two looks at the drift page

CONFIG = """
server: {{address: 127.0.0.1, port: {port}, grpc_port: {grpc_port}}}
admin: {{address: 127.0.0.1, port: {admin_port}}}
data_dir: {data}
log: {{level: warn}}
alarms: {{evaluation_interval: 1s}}
models:
  - {{name: digits, path: {repository}/digits}}
"""


class Leadsman(HttpHost):
    """One server for each stream, so that one budget is that of one model. Everything but ports and paths is the default,
    and that alarms are decided each second instead of every ten."""

    def __init__(self, work, repository, binary):
        super().__init__()
        self.admin_port = free_port()
        work.mkdir(parents=True)
        config = work / "leadsman.yaml"
        config.write_text(CONFIG.format(port=self.port, grpc_port=free_port(), admin_port=self.admin_port, data=work / "data",
                                        repository=repository))
        self.start("leadsman", [binary, "serve", "--config", config], work / "leadsman.log", 60)

    @property
    def ready_url(self):
        return f"http://127.0.0.1:{self.admin_port}/readyz"

    def drift(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/api/v1/models/digits/drift", timeout=30) as answer:
            versions = json.load(answer)["versions"]
        return versions[0] if versions else {}


class Connection:
    """One kept connection, one request at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def ask(self, row):
        body = json.dumps({"instances": [[round(float(value), 4) for value in row]]}).encode()
        self.socket.sendall(b"POST /v1/models/digits:predict HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b"
                            % (len(body), body))
        while b"\r\n\r\n" not in self.rest:
            self._read()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(self.rest) < length:
            self._read()
        answer, self.rest = self.rest[:length], self.rest[length:]
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise HostError(f"a request was refused: {answer[:200].decode(errors='replace')}")

    def _read(self):
        part = self.socket.recv(65536)
        if not part:
            raise HostError("the server closed the connection")
        self.rest += part


def alarms_of(drift):
    return [f"{track} {stream['name']}" for track in ("inputs", "answers") for stream in drift.get(track, {}).get("streams", [])
            if stream["alarm"]]


def references_ready(drift):
    return all(drift.get(track, {}).get("reference", {}).get("state") == "ready" for track in ("inputs", "answers"))


def ask_leadsman(stream, work, repository, options):
    """{"found": requests after the change until an alarm (None: not found), "names": of what, "alarms": how many in all}"""
    with Leadsman(work, repository, options.bin / "leadsman") as server:
        connection = Connection(server.port)
        for row in stream.before:
            connection.ask(row)
        deadline = time.monotonic() + 30
        while not references_ready(server.drift()):
            if time.monotonic() > deadline:
                raise HostError(f"{len(stream.before)} requests made no reference: {json.dumps(server.drift())[:300]}")
            time.sleep(0.2)
        found, names, seen, due = None, [], set(), time.monotonic()
        for number, row in enumerate(stream.after, 1):
            due += 1 / options.rate
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            connection.ask(row)
            if number % ASKED_EVERY and number != len(stream.after):
                continue
            now = alarms_of(server.drift())
            seen.update(now)
            if now and found is None:
                found, names = number, now
                if stream.case != "none":
                    break
        return {"found": found, "names": names, "alarms": len(seen)}


def ask_peer(peer, path, options):
    """Verdicts of the windows; see drift_peers.py."""
    python = options.cache / f"venv-{peer}/bin/python"
    result = subprocess.run([python, ROOT / "bench/drift_peers.py", peer, path, str(options.window)], capture_output=True,
                            text=True, check=False)
    if result.returncode != 0:
        raise HostError(f"{peer} failed: {result.stderr[-800:]}")
    return json.loads(result.stdout.splitlines()[-1])


def peer_result(verdicts, window):
    first = next((at for at, verdict in enumerate(verdicts) if verdict["drift"]), None)
    return {"found": None if first is None else (first + 1) * window, "names": verdicts[first]["names"] if first is not None else [],
            "windows": len(verdicts), "alarms": sum(verdict["drift"] for verdict in verdicts)}


def main():
    system, case, seed, options_file, result_file = sys.argv[1:]
    said = json.loads(pathlib.Path(options_file).read_text())
    options = argparse.Namespace(**{name: pathlib.Path(value) if name in ("bin", "cache", "work", "model") else value
                                    for name, value in said.items()})
    _, _, images, labels = train.split()
    stream = drift_streams.Stream(case, int(seed), images, labels, options.before, options.after, options.model)
    folder = options.work / f"{system}-{case.replace(' ', '-')}-{seed}"
    folder.mkdir(parents=True)
    if system == "leadsman":
        result = ask_leadsman(stream, folder / "server", options.model.parent.parent.parent, options)
    else:
        stream.save(folder / "stream.npz")
        result = peer_result(ask_peer(system, folder / "stream.npz", options), options.window)
        (folder / "stream.npz").unlink()
    pathlib.Path(result_file).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
