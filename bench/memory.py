"""Resident memory of a server with one model, the MLP, after 20,000 requests and more (--parts memory)."""
import shutil
import statistics

import cases
import measure
from hosts.triton import Triton
from systems import Leadsman

LIMIT_MB = 65  # Triton's with one model, on the machine where the goal was set
SECONDS = 4


def run(folder, work, options):
    """{system: [MB, one a round]}"""
    alone = work / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    shutil.copytree(folder / "triton" / "mlp", alone / "mlp")
    found = {}
    for number in range(options.rounds):
        for system in ("leadsman", "triton"):
            server = Triton(alone, work) if system == "triton" else Leadsman(
                folder, work, options.bin / "leadsman", models=("mlp",), name="alone")
            try:
                asked = sum(cases.send(server, kind, "mlp", folder, 8, SECONDS, options)["requests"] for kind in ("binary", "grpc"))
                found.setdefault(system, []).append(measure.rss_mb(server.pid))
            finally:
                server.stop()
            print(f"  memory, round {number + 1}: {system}: {found[system][-1]:.1f} MB after {asked:,.0f} requests", flush=True)
    return found


def rows(found):
    return [{"bench": "serving", "system": system, "case": "one model", "metric": "rss_mb", "unit": "MB",
             "value": round(statistics.median(values), 1), "runs": [round(value, 1) for value in values]} for system, values in found.items()]


def goals(found):
    if not found:
        return []
    return [("memory with one model, MB", LIMIT_MB, found["leadsman"]),
            ("memory with one model: leadsman / triton", 1.0, [a / b for a, b in zip(found["leadsman"], found["triton"])])]
