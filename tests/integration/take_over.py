"""A new process of `leadsman gateway --hot-restart` that stops somewhere on its way: takes over as far as it is told to, says so, and hangs
until it is killed. Speaks protocol 1 of src/app/hot_restart.h.

    python take_over.py SOCKET hello|listeners|release|lock|ready [PORT…]

`lock`: has the data_dir, too.
"""
import fcntl
import json
import os
import signal
import socket
import sys


def talk(path, until, ports):
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(60)
    channel.connect(path)
    held = []

    def say(word, **more):
        channel.send(json.dumps({"say": word, **more}).encode())

    def hear():
        text, ancillary, _, _ = channel.recvmsg(1 << 16, socket.CMSG_SPACE(253 * 4))
        held.append(ancillary)
        said = json.loads(text)
        if said["say"] == "refused":
            print(said["reason"], flush=True)
            sys.exit(3)
        return said

    say("hello", protocol=1, program="test")
    hear()
    if until != "hello":
        say("listeners", wanted=[{"address": "127.0.0.1", "port": int(port)} for port in ports])
        while hear()["say"] != "sent":
            pass
    if until in ("release", "lock", "ready"):
        say("release")
        hear()
    if until == "ready":
        say("ready")
        hear()
    if until == "lock":
        held.append(open(os.path.join(os.path.dirname(path), "lock")))  # noqa: SIM115  until the end
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("there", flush=True)
    return channel, held


if __name__ == "__main__":
    kept = talk(sys.argv[1], sys.argv[2], sys.argv[3:])
    signal.pause()
