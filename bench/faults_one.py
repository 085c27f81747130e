#!/usr/bin/env python3
"""One rollout of ./dev bench faults, in a process of its own: a gateway in front of four gunicorns, clients, and what goes wrong.

    faults_one.py SEED OPTIONS.json RESULT.json

Two versions of a service have two endpoints each, one of them behind a proxy that spoils answers. Clients ask without a pause worth
the name, and never ask twice. A request has failed when it is not answered, or answered by the gateway's own error; it is held against the
gateway unless the gateway itself was killed or not there then, or its answer was cut off, after it had begun, while a proxy cut one off or an
endpoint was killed.
"""
import asyncio
import json
import os
import pathlib
import random
import signal
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import aiohttp  # noqa: E402
from hosts.fault_proxy import FaultProxy  # noqa: E402
from hosts.process import HostError, HostProcess, answers, free_port  # noqa: E402

SERVICE = ROOT / "tests/integration"  # of gateway_upstream.py
ENDED = ("promoted", "rolled_back", "aborted")
PLAN = {"steps": [{"weight": "20%", "duration": "3s"}, {"weight": "50%", "duration": "3s"}],
        "gates": [{"kind": "errors", "margin": 2, "floor": "10%"}], "interval": "200ms", "max_duration": "10m"}
CLIENTS = 4
PAUSE = 0.02
PER_TRY = 1  # seconds; whoever is stopped for longer is given up


class Endpoint:
    """gunicorn with four threads: somebody's model service."""

    def __init__(self, folder, python, version, errors):
        self.port, self.folder, self.python, self.version, self.errors = free_port(), folder, python, version, errors
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        self.host = HostProcess(f"gunicorn {self.port}", [
            self.python, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4", "--bind", f"127.0.0.1:{self.port}", "--chdir", SERVICE,
            "--log-level", "warning", "--graceful-timeout", "5", "gateway_upstream:app"], self.folder / f"{self.port}-{self.starts}.log",
            env={"UPSTREAM_VERSION": str(self.version), "UPSTREAM_ERRORS": str(self.errors), "PYTHONDONTWRITEBYTECODE": "1"})

    def ready(self):
        return answers(f"http://127.0.0.1:{self.port}/healthz")

    def kill(self):
        os.killpg(self.host.pid, signal.SIGKILL)
        self.host.process.wait()

    def signal(self, number):
        os.killpg(self.host.pid, number)

    def stop(self):
        self.signal(signal.SIGCONT)
        self.host.stop(grace=0)


class Gateway:
    def __init__(self, folder, binary, versions):
        self.folder, self.binary, self.port, self.admin = folder, binary, free_port(), free_port()
        self.config = folder / "gateway.yaml"
        self.config.write_text(json.dumps({
            "data_dir": str(folder / "data"), "admin": {"address": "127.0.0.1", "port": self.admin}, "log": {"format": "json"},
            "models": [{"name": "digits", "rollout": PLAN}],
            "gateway": {"listeners": [{"address": "127.0.0.1", "port": self.port}], "services": [{
                "name": "digits", "versions": versions, "health": {"path": "/healthz", "interval": "200ms"}, "outliers": {"ejection": "1s"},
                "timeouts": {"per_try": f"{PER_TRY}s"}, "retries": {"posts": True, "max": 3, "budget": "100%"}}]}}))
        self.starts = 0
        self.away = []  # [from, to]: killed, or nobody listens
        self.start()

    def start(self):
        self.starts += 1
        self.host = HostProcess("the gateway", [self.binary, "gateway", "--config", self.config], self.folder / f"gateway-{self.starts}.log")

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return json.load(answer)

    def ready(self):
        return answers(f"http://127.0.0.1:{self.admin}/readyz")

    def newest(self):
        """None also while nobody answers."""
        try:
            return next(iter(self.get("/api/v1/rollouts")["rollouts"]), None)
        except (OSError, ValueError):
            return None

    def versions(self):
        return self.get("/api/v1/gateway")["services"][0]["versions"]

    def all_well(self):
        try:
            return all(endpoint["state"] == "healthy" for version in self.versions() for endpoint in version["endpoints"])
        except (OSError, ValueError):
            return False

    def shares(self):
        return {version["version"]: version["share"] for version in self.versions()}


async def until(ready, words, timeout=60):
    deadline = time.monotonic() + timeout
    while not (said := await asyncio.to_thread(ready)):
        if time.monotonic() > deadline:
            raise HostError(f"not within {timeout} s: {words}")
        await asyncio.sleep(0.05)
    return said


class Clients:
    """Ask until they are stopped, and keep what did not go well: [(from, to, words)]."""

    def __init__(self, url):
        self.url, self.answered, self.failures, self.stopped = url, 0, [], False

    async def one(self, session):
        begin = time.monotonic()
        try:
            async with session.post(self.url, data=b"x" * 100) as answer:
                text = await answer.text()
            self.answered += 1
            if answer.status not in (200, 500):
                self.failures.append((begin, time.monotonic(), f"{answer.status} {text[:200]}"))
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            self.failures.append((begin, time.monotonic(), repr(error)))
            await asyncio.sleep(0.05)

    async def run(self):
        async def ask():
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
                while not self.stopped:
                    await self.one(session)
                    await asyncio.sleep(PAUSE)
        await asyncio.gather(*(ask() for _ in range(CLIENTS)))


async def kill_endpoint(world, endpoint):
    begin = time.monotonic()
    await asyncio.to_thread(endpoint.kill)
    world.cut_off.append((begin, time.monotonic()))
    await asyncio.sleep(world.rng.uniform(0.1, 1.5))
    endpoint.start()
    await until(endpoint.ready, "gunicorn is back")


async def stop_endpoint(world, endpoint):
    endpoint.signal(signal.SIGSTOP)
    await asyncio.sleep(world.rng.uniform(0.1, 3))
    endpoint.signal(signal.SIGCONT)


async def spoil(world, version):
    """An answer that is cut off is an error of its version, as it has to be: two each, so that they say nothing of a new version."""
    kind = world.rng.choice(("cut", "hang", "delay"))
    if kind == "cut" and world.cuts[version] >= 2:
        kind = "delay"
    how = {"cut": {"after": 3, "then": lambda: world.cut_off.append((time.monotonic(), time.monotonic()))}, "hang": {}, "delay": {"seconds": world.rng.uniform(0.1, 2.5)}}[kind]
    times = 1 if kind == "cut" else world.rng.randint(1, 3)
    world.cuts[version] += kind == "cut"
    world.proxies[version].fault(kind, path="/predict", times=times, **how)


async def kill_gateway(world):
    gateway = world.gateway
    begin = time.monotonic()
    gateway.host.process.kill()
    gateway.host.process.wait()
    await asyncio.sleep(world.rng.uniform(0, 1))
    gateway.start()
    await until(gateway.ready, "the gateway is back")
    gateway.away.append((begin, time.monotonic()))


async def restart_gateway(world):
    """By SIGTERM: who has been heard is answered. Until the next one is ready others cannot connect."""
    gateway = world.gateway
    begin = time.monotonic()
    gateway.host.process.terminate()
    code = await asyncio.to_thread(gateway.host.process.wait, 60)
    if code != 0:
        raise HostError(f"the gateway ended with {code} after SIGTERM")
    gateway.start()
    await until(gateway.ready, "the gateway is back")
    world.drains.append((begin, time.monotonic()))


async def stop_gateway(world):
    gateway = world.gateway
    gateway.host.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(world.rng.uniform(0.05, 0.7))
    gateway.host.process.send_signal(signal.SIGCONT)


class World:
    def __init__(self, seed, options, folder):
        self.rng = random.Random(seed)
        self.cuts, self.drains, self.done, self.over = {1: 0, 2: 0}, [], [], False
        self.cut_off = []  # (from, to) when answers were cut off before the gateway: by a proxy, or with the end of their endpoint
        self.worse = self.rng.random() < 0.5
        self.endpoints, self.proxies = {}, {}
        self.gateway = None
        try:
            for version, errors in ((1, 0.01), (2, 0.12 if self.worse else 0.01)):
                self.endpoints[version] = [Endpoint(folder, options["python"], version, errors) for _ in range(2)]
                self.proxies[version] = FaultProxy(self.endpoints[version][1].port)
            for endpoint in (*self.endpoints[1], *self.endpoints[2]):
                endpoint.host.wait_until(endpoint.ready, 60)
            versions = [{"version": version, "endpoints": [f"127.0.0.1:{ends[0].port}", f"127.0.0.1:{self.proxies[version].port}"]}
                        for version, ends in self.endpoints.items()]
            self.gateway = Gateway(folder, options["binary"], versions)
            self.gateway.host.wait_until(self.gateway.ready, 60)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for proxy in self.proxies.values():
            proxy.clear()
        if self.gateway:
            self.gateway.host.process.send_signal(signal.SIGCONT)
            self.gateway.host.stop()
        for ends in self.endpoints.values():
            for endpoint in ends:
                endpoint.stop()
        for proxy in self.proxies.values():
            proxy.stop()

    async def go_wrong(self):
        """One thing after the other, so that an endpoint of each version is there: what a gateway can hide."""
        rng = self.rng
        while not self.over:
            await asyncio.sleep(rng.expovariate(3))
            await until(self.gateway.all_well, "the gateway sees that all is well again")
            version = rng.choice((1, 2))
            what = rng.choice(("kill an endpoint", "stop an endpoint", "spoil", "spoil", "kill the gateway", "restart the gateway", "stop the gateway"))
            self.done.append(what.replace("spoil", "spoil an answer"))
            if what == "kill an endpoint":
                await kill_endpoint(self, rng.choice(self.endpoints[version]))
            elif what == "stop an endpoint":
                await stop_endpoint(self, rng.choice(self.endpoints[version]))
            elif what == "spoil":
                await spoil(self, version)
            else:
                await {"kill the gateway": kill_gateway, "restart the gateway": restart_gateway, "stop the gateway": stop_gateway}[what](self)

    def held_against(self, clients):
        """(failures of the gateway's own, answers that were cut off before it)"""
        own, cut = [], 0
        for begin, end, words in clients.failures:
            if any(begin <= to and end >= since for since, to in self.gateway.away):
                continue
            refused = "ConnectionRefusedError" in words and any(begin <= to and end >= since for since, to in self.drains)
            if refused:
                continue
            if "ClientPayloadError" in words and any(begin <= to and end >= since for since, to in self.cut_off):
                cut += 1
                continue
            own.append(words)
        return own, cut


async def play(world, timeout):
    clients = Clients(f"http://127.0.0.1:{world.gateway.port}/predict")
    load = asyncio.create_task(clients.run())
    faults = asyncio.create_task(world.go_wrong())
    begin, ended = time.monotonic(), None
    try:
        while ended is None and time.monotonic() < begin + timeout:
            await asyncio.sleep(0.2)
            if faults.done():
                faults.result()
            newest = await asyncio.to_thread(world.gateway.newest)
            if newest and newest["phase"] in ENDED:
                ended = newest
        # What has begun to go wrong is made good; then the verdict must outlive one more end of the process.
        world.over = True
        await faults
        await kill_gateway(world)
        await asyncio.sleep(0.5)
    finally:
        clients.stopped = True
        faults.cancel()
        await load
    own, cut = world.held_against(clients)
    last, shares = world.gateway.newest(), world.gateway.shares()
    wanted = "rolled_back" if world.worse else "promoted"
    right = (ended is not None and last["id"] == ended["id"] and last["phase"] == wanted
             and shares == ({1: 1, 2: 0} if world.worse else {1: 0, 2: 1}))
    return {"wanted": wanted, "phase": last and last["phase"], "reason": last and last.get("reason"), "shares": shares, "right": right, "answered": clients.answered,
            "seconds": time.monotonic() - begin, "faults": world.done, "cut": cut, "failed": own[:20], "failures": len(own),
            "not_there": len(clients.failures) - len(own) - cut}


def run(seed, options, folder):
    """The result of one rollout; what it leaves in `folder` are its logs."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World(seed, options, folder)
    try:
        return asyncio.run(play(world, options["timeout"]))
    finally:
        world.stop()


def main():
    seed, options_file, result_file = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    result = run(seed, json.loads(options_file.read_text()), result_file.with_suffix(""))
    result_file.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
