"""Does what a worker should not; the input says what."""
import ctypes
import os
import signal
import subprocess
import sys
import time

import numpy as np

inputs = [("what", "STRING", [-1])]
outputs = [("said", "STRING", [-1])]
kept = []


def load(directory, options):
    if "exit_file" in options and os.path.exists(options["exit_file"]):
        os._exit(9)
    time.sleep(float(options.get("sleep", 0)))
    return options


def predict(state, inputs):
    what, *words = inputs["what"][0].split()
    return globals()["do_" + what](state, *words)


def do_echo(state, *words):
    return [" ".join(words)]


def do_pid(state):
    return [str(os.getpid())]


def do_option(state, name):
    return [state.get(name, "") or os.environ.get(name, "(not set)")]


def do_kill(state):
    os.kill(os.getpid(), signal.SIGKILL)


def do_segv(state):
    ctypes.string_at(0)


def do_exit(state):
    os._exit(3)


def do_sys_exit(state):
    sys.exit(4)


def do_hang(state):
    while True:
        time.sleep(1)


def do_slow(state, seconds):
    time.sleep(float(seconds))
    return ["slept"]


def do_meet(state, folder, count):
    """Answers once so many workers are here at once."""
    open(os.path.join(folder, str(os.getpid())), "w", encoding="utf-8").close()
    while len(os.listdir(folder)) < int(count):
        time.sleep(0.01)
    return [str(os.getpid())]


def do_raise(state):
    raise RuntimeError("it went wrong")


def do_connect(state):
    raise ConnectionResetError("a database of the model's own")


def do_refuse(state):
    raise ValueError("no such thing")


def do_recurse(state):
    return do_recurse(state)


def do_none(state):
    return None


def do_shape(state):
    return [["a", "b"]]


def do_numbers(state):
    return np.zeros(1)


def do_objects(state):
    return [{"a": 1}]


def do_other_name(state):
    return {"told": ["x"]}


def do_print(state):
    for i in range(500):
        print("a line", i)
    os.write(1, b"\xff\x00 no text\n" + b"x" * 100_000)
    os.write(2, b"without an end")
    return ["printed"]


def do_fork(state):
    os.fork()
    return [str(os.getpid())]


def do_daemon(state):
    """A grandchild in a session of its own, whose parent is gone."""
    return [subprocess.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE,
                           text=True, check=True).stdout.strip()]


def do_close(state):
    os.closerange(3, 256)
    return ["closed"]


def do_memory(state, mebibytes, seconds="0"):
    kept.append(np.ones(int(mebibytes) << 20, np.uint8))
    time.sleep(float(seconds))
    return [str(os.getpid())]


def do_long(state, size):
    return ["x" * int(size)]
