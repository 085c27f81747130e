"""The part "idle" of ./dev bench gateway: what connections cost that are open and ask nothing.

Each has asked once before, as a client with a pool has. Measured is resident memory of the proxy's process tree; what the kernel
keeps for sockets is not in it, and is the same for all.
"""
import resource
import socket
import time

import measure
import proxies
from hosts.process import HostError

SETTLE_S = 2.0
LIMIT_MB = 100  # for 10,000
UNITS = {"rss_before_mb": "MB", "rss_after_mb": "MB", "mb_per_10000": "MB"}
REQUEST = b"GET /v1/models/iris HTTP/1.1\r\nHost: model\r\n\r\n"


def files_needed(connections):
    """Of the process with the most: nginx and HAProxy want to be sure of some beside the clients'."""
    return connections + 512


def raise_open_files(connections):
    """For this process and those that it starts; HostError where the machine does not allow it."""
    need = files_needed(connections)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= need:
        return
    if hard != resource.RLIM_INFINITY and hard < need:
        raise HostError(f"{connections} connections need {need} open files; {hard} are allowed here (ulimit -Hn). Raise the limit, or take "
                        f"fewer: --idle-connections {max(0, hard - 512)}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def answer_of(client):
    """Reads one whole answer; HostError when it is not the right one."""
    got = b""
    while not got.endswith(proxies.ANSWER.encode()):
        piece = client.recv(65536)
        if not piece or len(got) > 65536:
            raise HostError(f"a request was answered wrongly: {got[:200]!r}")
        got += piece
    if not got.startswith(b"HTTP/1.1 200"):
        raise HostError(f"a request was answered wrongly: {got[:200]!r}")


def open_clients(port, connections):
    """Open sockets, each of which has been answered once."""
    clients = []
    try:
        for number in range(connections):
            try:
                clients.append(socket.create_connection(("127.0.0.1", port), timeout=10))
                clients[-1].sendall(REQUEST)
                answer_of(clients[-1])
            except (OSError, HostError) as error:
                raise HostError(f"connection {number + 1} of {connections}: {error}") from error
        return clients
    except BaseException:
        close_clients(clients)
        raise


def close_clients(clients):
    for client in clients:
        client.close()


def still_open(client):
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        client.settimeout(10)


def measure_one(proxy, connections, settle=SETTLE_S):
    # Its first requests load what it needs for any.
    close_clients(open_clients(proxy.port, 32))
    time.sleep(settle)
    before = measure.rss_mb(proxy.pid)
    clients = open_clients(proxy.port, connections)
    try:
        time.sleep(settle)
        after = measure.rss_mb(proxy.pid)
        gone = sum(not still_open(client) for client in clients)
        if gone:
            raise HostError(f"{gone} of {connections} idle connections were closed")
        for client in clients[::max(1, connections // 100)]:
            client.sendall(REQUEST)
            answer_of(client)
    finally:
        close_clients(clients)
    return {"rss_before_mb": before, "rss_after_mb": after, "mb_per_10000": (after - before) * 10_000 / connections}
