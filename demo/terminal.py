"""The demo's voice: headings, lines, and a block that redraws itself on a terminal and becomes plain lines elsewhere."""
import math
import os
import re
import shutil
import sys
import time


class Terminal:
    def __init__(self, out=sys.stdout):
        self.out = out
        self.live = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.colored = self.live and "NO_COLOR" not in os.environ
        self.drawn = 0
        self.printed = 0.0
        self.begin = time.monotonic()

    def style(self, text, code):
        return f"\033[{code}m{text}\033[0m" if self.colored else text

    def bold(self, text):
        return self.style(text, "1")

    def good(self, text):
        return self.style(text, "1;32")

    def bad(self, text):
        return self.style(text, "1;31")

    def dim(self, text):
        return self.style(text, "2")

    def heading(self, text):
        self.settle()
        self.write(f"\n{self.bold(text)}")

    def say(self, text=""):
        self.settle()
        self.write(text)

    def block(self, lines, plain, every=2.0):
        """On a terminal redraws `lines` in place; elsewhere prints `plain` at most each `every` seconds."""
        if self.live:
            if self.drawn:
                self.out.write(f"\033[{self.drawn}A\033[J")
            # A line that wraps would be two, and the block would creep down the screen.
            width = shutil.get_terminal_size().columns - 1
            self.out.write("".join(clip(line, width) + "\n" for line in lines))
            self.out.flush()
            self.drawn = len(lines)
        elif time.monotonic() - self.printed >= every:
            self.printed = time.monotonic()
            self.write(plain)

    def settle(self):
        """What is drawn stays; the next block starts below it."""
        self.drawn = 0
        self.printed = 0.0

    def write(self, text):
        self.out.write(text + "\n")
        self.out.flush()

    def meter(self, log_value, log_bound, width=12):
        """How far evidence has come to its bound, on the logarithmic scale on which it grows."""
        share = min(max(log_value / log_bound, 0.0), 1.0) if log_bound > 0 else 0.0
        full = int(round(share * width))
        return "█" * full + "·" * (width - full)


def clip(line, width):
    """The first `width` visible characters; colour codes take no place and are never cut."""
    shown, kept = 0, []
    for part in re.split(r"(\033\[[0-9;]*m)", line):
        if part.startswith("\033"):
            kept.append(part)
            continue
        room = width - shown
        kept.append(part if len(part) <= room else part[:max(room - 1, 0)] + "…" if room > 0 else "")
        shown += len(part)
    return "".join(kept)


def e_value(log_value):
    """Of its natural logarithm, which may be larger than a number can be: 3,441 or 2.3e35."""
    power = log_value / math.log(10)
    if not -2 <= power < 6:
        return f"{10 ** (power - math.floor(power)):.1f}e{math.floor(power)}" if math.isfinite(power) else "0"
    value = math.exp(log_value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def table(header, rows):
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [all(row[i][:1].isdigit() or row[i][:1] in "-–" for row in cells[1:]) for i in range(len(header))]
    lines = []
    for row in cells:
        lines.append("  " + "  ".join(cell.rjust(width) if right else cell.ljust(width)
                                      for cell, width, right in zip(row, widths, numeric)).rstrip())
    lines.insert(1, "  " + "  ".join("─" * width for width in widths))
    return "\n".join(lines)
