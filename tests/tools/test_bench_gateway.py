"""The parts of ./dev bench gateway that decide which figures are told: runs that are refused, ratios, rows, goals."""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import socket
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests")]
import gateway  # noqa: E402
import gateway_idle  # noqa: E402
import measure  # noqa: E402
import proxies  # noqa: E402
from hosts.process import HostError, free_port  # noqa: E402


class Answering:
    """Answers every request with these bytes, and closes a connection after `most` of them."""

    def __init__(self, answer, most=1_000_000):
        self.answer, self.most, self.pid, self.clients = answer, most, os.getpid(), []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        for _ in range(self.most):
            try:
                if not client.recv(65536):
                    return
                client.sendall(self.answer)
            except OSError:
                return
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for client in self.clients:
            client.close()


def answer(status="200 OK", body=proxies.ANSWER):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_reads_the_counters_of_nginx():
    assert proxies.status_of("Active connections: 2 \nserver accepts handled requests\n 31 31 452 \nReading: 0 Writing: 1 Waiting: 1 \n") == (31, 452)
    with pytest.raises(HostError, match="not understood"):
        proxies.status_of("404 Not Found")


@pytest.mark.parametrize("name", gateway.BODIES)
def test_bodies_are_json_of_the_size_that_they_are_named_by(tmp_path, name):
    body = gateway.write_body(tmp_path, name).read_bytes()
    assert len(body) == gateway.BODIES[name]
    assert json.loads(body)["instances"]


def test_counts_that_fit_are_taken():
    gateway.check_counts(10_000, 8, (5, 100), (5 + 1 + 8, 100 + 1 + 10_003), "service")


def test_refuses_answers_that_are_not_the_services():
    with pytest.raises(HostError, match="only 5000 of 10000 requests came to the service"):
        gateway.check_counts(10_000, 8, (5, 100), (6, 100 + 1 + 5_000), "service")


def test_refuses_connections_that_are_not_kept():
    with pytest.raises(HostError, match="10000 connections were made to the service .*not kept"):
        gateway.check_counts(10_000, 8, (5, 100), (5 + 1 + 10_000, 100 + 1 + 10_000), "service")


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk comes with ./dev install bench-gateway")
@pytest.mark.parametrize("words, most, refused", [("500 Internal Server Error", 1_000_000, "answers other than 2xx"),
                                                  ("200 OK", 1, "broken connections")])
def test_refuses_a_run_with_failed_answers(tmp_path, words, most, refused):
    body = gateway.write_body(tmp_path, "90B")
    # The second one says a length and ends before it.
    text = answer(words) if most > 1 else answer(words).replace(b"Content-Length: ", b"Content-Length: 9")
    with Answering(text, most) as server, pytest.raises(HostError, match=refused):
        measure.http_load(f"http://127.0.0.1:{server.port}/", body, {}, 2, 1, tmp_path / "load.lua")


def test_ratios_are_those_of_one_round():
    runs = {("leadsman", "90B", 8): [{"round": 0, "cpu_us_per_request": 10}, {"round": 2, "cpu_us_per_request": 30}],
            ("envoy", "90B", 8): [{"round": 0, "cpu_us_per_request": 40}, {"round": 1, "cpu_us_per_request": 50},
                                  {"round": 2, "cpu_us_per_request": 60}]}
    assert gateway.ratios(runs, ("leadsman", "90B", 8), ("envoy", "90B", 8)) == [0.25, 0.5]
    options = argparse.Namespace(bodies=["90B"], connections=[8])
    assert gateway.request_goals(runs, options) == [("90B c=8: leadsman / envoy", 0.55, [0.25, 0.5])]


def test_goals_hold_by_their_median(capsys):
    assert gateway.print_goals([("a", 0.55, [0.9, 0.5, 0.5]), ("told only", None, [7.0])])
    assert not gateway.print_goals([("a", 0.55, [0.9, 0.5, 0.6])])
    assert "NO" in capsys.readouterr().out


def test_rows_name_system_case_and_every_run():
    one = {"cpu_us_per_request": 14.0, "requests_per_s": 3e4, "p50_us": 100, "p99_us": 900, "rss_mb": 20}
    runs = {("nginx", "90B", 8): [one, {**one, "cpu_us_per_request": 16.0}]}
    idle = {"nginx": [{"rss_before_mb": 10, "rss_after_mb": 15, "mb_per_10000": 5}]}
    rows = gateway.rows_of(runs, idle, argparse.Namespace(idle_connections=10_000))
    assert rows[0] == {"bench": "gateway", "system": "nginx", "case": "90B c=8", "metric": "cpu_us_per_request", "unit": "us",
                       "value": 15.0, "runs": [14.0, 16.0]}
    assert [row["case"] for row in rows[-3:]] == ["10000 idle connections"] * 3
    assert len(rows) == len(gateway.METRICS) + len(gateway_idle.UNITS)


def test_says_what_to_do_where_too_few_files_may_be_open():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        pytest.skip("any number may be open here")
    with pytest.raises(HostError, match=f"{hard} are allowed here .*ulimit -Hn.*--idle-connections"):
        gateway_idle.raise_open_files(hard)


def test_idle_connections_are_counted_and_still_answered():
    with Answering(answer()) as server:
        found = gateway_idle.measure_one(server, 100, 0.1)
    assert set(found) == set(gateway_idle.UNITS)
    assert found["rss_after_mb"] > 0


def test_refuses_idle_connections_that_are_closed():
    with Answering(answer(), most=1) as server, pytest.raises(HostError, match="100 of 100 idle connections were closed"):
        gateway_idle.measure_one(server, 100, 0.1)


def test_refuses_idle_connections_that_are_answered_wrongly():
    with Answering(answer("503 Service Unavailable")) as server, pytest.raises(HostError, match="connection 1 of 32: .*answered wrongly"):
        gateway_idle.measure_one(server, 100, 0.1)


def test_says_where_nobody_listens():
    with pytest.raises(HostError, match="connection 1 of 3"):
        gateway_idle.open_clients(free_port(), 3)
