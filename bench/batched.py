"""The highest rate that each server sustains with 99 % of the answers within 10 ms of the moment they were due, under
open-loop Poisson arrivals of one-row V2 binary requests to the `wide` model: what batching is for."""
import make_models
import measure
from cases import http_request
from hosts.process import HostError
from hosts.triton import Triton
from systems import Leadsman

GOAL_US = 10_000
CONNECTIONS = 256
MODEL = "wide"

# Triton's settings are static, so it is tried with several and its best is what counts.
TRITON_SETTINGS = {
    "no batching, 2 instances": (2, ""),
    "delay 0": (1, "dynamic_batching { }\n"),
    "delay 0, 2 instances": (2, "dynamic_batching { }\n"),
    "delay 500us": (1, "dynamic_batching { max_queue_delay_microseconds: 500 }\n"),
    "delay 2ms": (1, "dynamic_batching { max_queue_delay_microseconds: 2000 }\n"),
    "delay 2ms, 2 instances": (2, "dynamic_batching { max_queue_delay_microseconds: 2000 }\n"),
}
LEADSMAN_SETTINGS = {"max_delay 0": ", batching: {max_batch_size: 64, max_delay: 0ms}"}


def write_request(server, folder):
    url, body, headers = http_request(server, "binary", MODEL, folder)
    path = url[len(server.url):]
    data = body.read_bytes()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    file = folder / "open-loop-request"
    file.write_bytes(head.encode() + data)
    return file


def holds(server, request, rate, options):
    """Whether the goal holds at this rate, and what was seen. Nothing may fail or stay unanswered."""
    said = measure.open_loop(options.bin / "open_loop", server.port, request, rate, CONNECTIONS, options.seconds)
    good = said["p99_us"] <= GOAL_US and not said["refused"] and not said["broken"] and not said["unanswered"]
    return good, said


def highest_rate(server, folder, options):
    """Doubles until it no longer holds, then halves the gap four times: within 5 % of the true limit, noise aside."""
    request = write_request(server, folder)
    holds(server, request, 200, options)  # warm
    low, high = 0.0, 500.0
    while high < 200_000:
        good, _ = holds(server, request, high, options)
        if not good:
            break
        low, high = high, high * 2
    for _ in range(4):
        middle = (low + high) / 2
        good, _ = holds(server, request, middle, options)
        low, high = (middle, high) if good else (low, middle)
    return low


def run(folder, work, options):
    """{(system, setting): [requests per second, one a round]}; systems take turns."""
    found = {}
    for number in range(options.batched_rounds):
        for setting, (instances, more) in TRITON_SETTINGS.items():
            config = folder / "triton" / MODEL / "config.pbtxt"
            config.write_text(make_models.triton_config(MODEL, 784, 10, instances, more))
            with Triton(folder / "triton", work) as server:
                rate = highest_rate(server, folder, options)
            found.setdefault(("triton", setting), []).append(rate)
            print(f"  batched, round {number + 1}: triton, {setting}: {rate:,.0f}/s", flush=True)
        for setting, more in LEADSMAN_SETTINGS.items():
            server = Leadsman(folder, work, options.bin / "leadsman", models=(MODEL,), more=more)
            try:
                rate = highest_rate(server, folder, options)
            finally:
                server.stop()
            found.setdefault(("leadsman", setting), []).append(rate)
            print(f"  batched, round {number + 1}: leadsman, {setting}: {rate:,.0f}/s", flush=True)
    if not found:
        raise HostError("no round of the batched measurement was run")
    return found
