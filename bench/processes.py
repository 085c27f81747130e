"""Runs of a benchmark, each in a process of its own, a few at once."""
import time


def in_parallel(waiting, parallel, start):
    """Starts `start(item)`, a HostProcess, for each of `waiting`, at most `parallel` at once, and yields (item, host) when it has ended. Whoever
    goes on no longer (a signal, an error) stops those that run."""
    waiting, running = list(waiting), {}
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                item = waiting.pop(0)
                running[item] = start(item)
            time.sleep(0.1)
            for item in [item for item, host in running.items() if not host.running()]:
                yield item, running.pop(item)
    finally:
        for host in running.values():
            host.stop()
