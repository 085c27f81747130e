"""What the command lines of the benchmarks have in common."""
import argparse
import signal


class Stopped(BaseException):
    """By a signal, whose number it has."""


def stop_by_signals():
    def stop(number, _):
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def until_stopped(work):
    """The exit code of `work`, or that of the signal that has stopped it."""
    stop_by_signals()
    try:
        return work()
    except Stopped as stopped:
        print("\nstopped")
        return 128 + stopped.args[0]


def listed(allowed, kind=str):
    def parse(text):
        values = [kind(word) for word in text.split(",")]
        for value in values:
            if value not in allowed:
                raise argparse.ArgumentTypeError(f"{value} is not among {', '.join(map(str, allowed))}")
        return values
    return parse


def at_least(least):
    def parse(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)
    return parse
