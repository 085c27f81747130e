"""Clients: one that predicts, keeps what it was told, and sends the true labels some time later; others that ask on and on."""
import collections
import contextlib
import http.client
import itertools
import json
import random
import threading
import time

import requests

ROWS = [[1.0 if i == j else 0.0 for j in range(10)] for i in range(10)]


class Traffic:
    """`threads` keep-alive connections; about `rate` requests a second together. Every failure is kept. `cases`: rows and their labels;
    without them the digits."""

    def __init__(self, server, model="digits", rate=400, threads=4, label_delay=0.3, labels=True, retry_connect=False,
                 cases=None, model_input="x"):
        self.host, port = server.url.removeprefix("http://").split(":")
        self.port = int(port)
        self.admin_host, admin_port = server.admin.removeprefix("http://").split(":")
        self.admin_port = int(admin_port)
        self.model, self.rate, self.count = model, rate, threads
        self.label_delay, self.labels, self.retry_connect = label_delay, labels, retry_connect
        self.cases, self.model_input = cases or list(zip(ROWS, range(10))), model_input
        self.answers = collections.Counter()
        self.failures = []
        self.sent = 0
        self._pending = collections.deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = []

    def __enter__(self):
        self._threads = [threading.Thread(target=self._predict, args=(i,)) for i in range(self.count)]
        if self.labels:
            self._threads.append(threading.Thread(target=self._label))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self._threads = []

    def _predict(self, index):
        rng = random.Random(index)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        pause = self.count / self.rate
        due = time.monotonic()
        for n in itertools.count():
            if self._stop.is_set():
                break
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))
            row, label = rng.choice(self.cases)
            request_id = f"{id(self):x}-{index}-{n}"
            headers = {"x-request-id": request_id, "Content-Type": "application/json"}
            if n % 2:
                path, body = f"/v1/models/{self.model}:predict", {"instances": [row]}
            else:
                path = f"/v2/models/{self.model}/infer"
                body = {"inputs": [{"name": self.model_input, "shape": [1, len(row)], "datatype": "FP32", "data": row}]}
            try:
                connection.request("POST", path, json.dumps(body), headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    self.failures.append((answer.status, text[:200]))
                    continue
                if answer.will_close:
                    connection.close()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if self.retry_connect or self._stop.is_set():
                    time.sleep(0.02)
                    continue
                self.failures.append((type(error).__name__, str(error)))
                continue
            with self._lock:
                self.sent += 1
                self._pending.append((time.monotonic() + self.label_delay, request_id, label))

    def _label(self):
        while not self._stop.is_set() or self._pending:
            batch = []
            with self._lock:
                while self._pending and (self._pending[0][0] <= time.monotonic() or self._stop.is_set()):
                    _, request_id, label = self._pending.popleft()
                    batch.append({"request_id": request_id, "label": label})
            if batch:
                try:
                    connection = http.client.HTTPConnection(self.admin_host, self.admin_port, timeout=10)
                    connection.request("POST", "/api/v1/labels", json.dumps({"labels": batch[:5000]}))
                    answer = connection.getresponse()
                    text = answer.read()
                    if answer.status != 200:
                        self.failures.append(("labels", answer.status, text[:200]))
                    connection.close()
                except OSError as error:
                    if not self.retry_connect:
                        self.failures.append(("labels", type(error).__name__, str(error)))
            self._stop.wait(0.1)
            if self._stop.is_set() and not batch:
                break


@contextlib.contextmanager
def asked_on_and_on(server, model, rows, predictions, clients=2):
    """Clients that ask on and on while the block runs; each answer must be right."""
    failures, stop = [], threading.Event()

    def client():
        session = requests.Session()
        while not stop.is_set():
            try:
                answer = session.post(server.url + f"/v1/models/{model}:predict", json={"instances": rows}, timeout=30)
            except requests.RequestException as error:
                failures.append(repr(error))
                return
            if answer.json().get("predictions") != predictions:
                failures.append(answer.text)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert failures == []


def resident(server):
    """kB"""
    return next(int(line.split()[1]) for line in open(f"/proc/{server.process.pid}/status", encoding="ascii")
                if line.startswith("VmRSS:"))


def memory_after(work, measure, rounds=3):
    """Memory before and after `work`, of the first round in which it grew by no more than 2 %. What is lost with each version is
    lost in each round; a pool, a cache or a thread's memory fills in one of them."""
    after = measure()
    for _ in range(rounds):
        before = after
        work()
        after = measure()
        if after <= before * 1.02:
            break
    return before, after
