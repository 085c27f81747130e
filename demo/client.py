#!/usr/bin/env python3
"""The demo's client: replays held-out images as requests, half through the TensorFlow Serving REST API, half through the
Open Inference Protocol (V2), and sends each image's true label some seconds after its prediction.

Nothing is retried: a request that is not answered with 200 and one well-formed prediction is counted as failed. Prints
one JSON line a second: {"requests", "failed", "labels", "p50_ms", "p99_ms", "first_failure", "by_protocol"}.
"""
import argparse
import collections
import http.client
import json
import signal
import socket
import sys
import threading
import time
import urllib.parse

from train import MODEL, split


class Stats:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.failed = self.labels = 0
        self.first_failure = ""
        self.by_protocol = collections.Counter()
        self.recent = []

    def answered(self, protocol, seconds):
        with self.lock:
            self.requests += 1
            self.by_protocol[protocol] += 1
            self.recent.append(seconds)

    def fail(self, protocol, why):
        with self.lock:
            self.requests += 1
            self.failed += 1
            self.by_protocol[protocol] += 1
            self.first_failure = self.first_failure or f"{protocol}: {why}"

    def labelled(self, count):
        with self.lock:
            self.labels += count

    def line(self):
        with self.lock:
            recent, self.recent = sorted(self.recent), []
            return json.dumps({
                "requests": self.requests, "failed": self.failed, "labels": self.labels,
                "p50_ms": round(1000 * recent[len(recent) // 2], 3) if recent else None,
                "p99_ms": round(1000 * recent[int(len(recent) * 0.99)], 3) if recent else None,
                "first_failure": self.first_failure, "by_protocol": dict(self.by_protocol)})


def connect(url):
    """A kept connection without Nagle's delay: a request's head and body leave as two writes."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def tfserving_request(image, _):
    return f"/v1/models/{MODEL}:predict", json.dumps({"instances": [image]})


def v2_request(image, request_id):
    return f"/v2/models/{MODEL}/infer", json.dumps({
        "id": request_id, "inputs": [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": image}]})


def tfserving_prediction(answer):
    return int(answer["predictions"][0]["label"])


def v2_prediction(answer):
    return int({output["name"]: output for output in answer["outputs"]}["label"]["data"][0])


PROTOCOLS = {
    "TensorFlow Serving REST": (tfserving_request, tfserving_prediction),
    "V2": (v2_request, v2_prediction),
}


def send_requests(worker, options, images, labels, stats, outbox, stopping):
    """One connection, a request each `interval`: the pace does not slow down with the server."""
    protocol = list(PROTOCOLS)[worker % len(PROTOCOLS)]
    make, read = PROTOCOLS[protocol]
    interval = options.workers / options.rate
    due = time.monotonic() + interval * worker / options.workers
    connection, number = None, 0
    while not stopping.is_set():
        wait = due - time.monotonic()
        if wait > 0 and stopping.wait(wait):
            break
        due = max(due + interval, time.monotonic() - 1)
        index = (number * options.workers + worker) % len(images)
        request_id = f"{options.run}-{worker}-{number}"
        number += 1
        path, body = make(images[index], request_id)
        begin = time.monotonic()
        try:
            if connection is None:
                connection = connect(options.server)
            connection.request("POST", path, body, {"Content-Type": "application/json", "x-request-id": request_id})
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}: {answer[:200].decode(errors='replace')}")
            read(json.loads(answer))
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            stats.fail(protocol, f"{type(error).__name__}: {error}")
            if connection is not None:
                connection.close()
            connection = None
            continue
        stats.answered(protocol, time.monotonic() - begin)
        outbox.append((time.monotonic() + options.label_delay, request_id, int(labels[index])))
    if connection is not None:
        connection.close()


def send_labels(options, stats, outbox, stopping):
    """Truth comes late and in batches. The labels API may refuse when it is busy; sending again is harmless."""
    connection, batch = None, []
    while not stopping.wait(0.25):
        while outbox and outbox[0][0] <= time.monotonic() and len(batch) < 5000:
            _, request_id, label = outbox.popleft()
            batch.append({"request_id": request_id, "label": label})
        if not batch:
            continue
        try:
            if connection is None:
                connection = connect(options.admin)
            connection.request("POST", "/api/v1/labels", json.dumps({"labels": batch}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status == 200:
                stats.labelled(len(batch))
                batch = []
            elif response.status != 429:
                print(json.dumps({"label_error": f"HTTP {response.status}: {answer[:200].decode(errors='replace')}"}), flush=True)
                batch = []
        except (OSError, http.client.HTTPException):
            if connection is not None:
                connection.close()
            connection = None
    if connection is not None:
        connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--admin", required=True)
    parser.add_argument("--rate", type=float, default=400, help="requests per second, all workers together")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--label-delay", type=float, default=2.0, help="seconds")
    parser.add_argument("--run", default="demo", help="prefix of the request ids")
    options = parser.parse_args()

    _, _, images, labels = split()
    images = [[int(value) for value in image] for image in images]
    stopping, stats, outbox = threading.Event(), Stats(), collections.deque()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threads = [threading.Thread(target=send_requests, args=(worker, options, images, labels, stats, outbox, stopping))
               for worker in range(options.workers)]
    threads.append(threading.Thread(target=send_labels, args=(options, stats, outbox, stopping)))
    for thread in threads:
        thread.start()
    while not stopping.wait(1):
        print(stats.line(), flush=True)
    for thread in threads:
        thread.join()
    print(stats.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
