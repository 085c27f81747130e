"""Small line and area charts as inline SVG: no library, no script, readable on screen and in print."""
import html
import math

INK, MUTED, GRID = "#1d2733", "#5d6b7a", "#e6eaee"
VERSION_COLORS = ["#2a6fdb", "#12906b", "#d9622b", "#7a4fc4", "#b0307a", "#6b7a12"]
GATE_COLORS = {"errors": "#7a4fc4", "latency": "#b07a00", "quality": "#c4314b"}


def version_color(version):
    return VERSION_COLORS[(int(version) - 1) % len(VERSION_COLORS)]


def nice_ticks(low, high, count=5):
    """Round numbers from low to high, about `count` of them."""
    span = max(high - low, 1e-9)
    step = 10 ** math.floor(math.log10(span / count))
    for factor in (1, 2, 5, 10):
        if span / (step * factor) <= count:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


class Chart:
    """One plot. Series are drawn in the order they are added; `x` is seconds since the start of the page's story."""

    def __init__(self, width, height, x_range, y_range, title, y_format=str, left=46, right=16, top=14):
        self.width, self.height, self.title = width, height, title
        self.left, self.right, self.top, self.bottom = left, right, top, 26
        self.x0, self.x1 = x_range
        if self.x1 <= self.x0:
            self.x1 = self.x0 + 1
        self.y0, self.y1 = y_range
        if self.y1 <= self.y0:
            self.y1 = self.y0 + 1
        self.y_format = y_format
        self.back, self.front = [], []

    def x(self, value):
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.width - self.left - self.right)

    def y(self, value):
        value = min(max(value, self.y0), self.y1)
        return self.height - self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.height - self.top - self.bottom)

    def line(self, points, color, dash="", width=2):
        points = [(a, b) for a, b in points if b is not None and math.isfinite(b)]
        if not points:
            return
        path = " ".join(f"{'M' if i == 0 else 'L'}{self.x(a):.1f},{self.y(b):.1f}" for i, (a, b) in enumerate(points))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.front.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{width}" '
                          f'stroke-linejoin="round" stroke-linecap="round"{dashed}/>')

    def steps(self, points, color, width=2):
        """A line that keeps its value until the next point."""
        stairs = []
        for i, (a, b) in enumerate(points):
            if i > 0:
                stairs.append((a, points[i - 1][1]))
            stairs.append((a, b))
        self.line(stairs, color, width=width)

    def area(self, points, color, opacity=1.0):
        """points: (x, low, high)."""
        if len(points) < 2:
            return
        upper = [f"{self.x(a):.1f},{self.y(high):.1f}" for a, _, high in points]
        lower = [f"{self.x(a):.1f},{self.y(low):.1f}" for a, low, _ in reversed(points)]
        self.back.append(f'<polygon points="{" ".join(upper + lower)}" fill="{color}" fill-opacity="{opacity}"/>')

    def bound(self, value, label, color=INK):
        """A horizontal line that something must reach."""
        if not self.y0 <= value <= self.y1:
            return
        at = self.y(value)
        self.front.append(f'<line x1="{self.left}" x2="{self.width - self.right}" y1="{at:.1f}" y2="{at:.1f}" '
                          f'stroke="{color}" stroke-width="1.2" stroke-dasharray="5 4"/>'
                          f'<text x="{self.left + 4}" y="{at - 5:.1f}" font-size="11" fill="{color}" '
                          f'paint-order="stroke" stroke="#fff" stroke-width="4">'
                          f'{html.escape(label)}</text>')

    def mark(self, x, label, color=INK, row=0, anchor="start"):
        """A vertical line with words at its top; with a high `top` they stand above the plot, in rows."""
        at, shift = self.x(x), 5 if anchor == "start" else -5
        self.front.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{3 + 16 * row}" '
                          f'y2="{self.height - self.bottom}" stroke="{color}" stroke-width="1.4"/>'
                          f'<text x="{at + shift:.1f}" y="{13 + 16 * row}" font-size="11.5" font-weight="600" '
                          f'fill="{color}" text-anchor="{anchor}" paint-order="stroke" stroke="#fff" stroke-width="4">'
                          f'{html.escape(label)}</text>')

    def dot(self, x, y, color, label=""):
        self.front.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4" fill="{color}" stroke="#fff" '
                          f'stroke-width="1.5"/>')
        if label:
            right = self.x(x) > self.width * 0.7
            self.front.append(f'<text x="{self.x(x) + (-8 if right else 8):.1f}" y="{self.y(y) - 8:.1f}" font-size="11.5" '
                              f'font-weight="600" fill="{color}" text-anchor="{"end" if right else "start"}" '
                              f'paint-order="stroke" stroke="#fff" stroke-width="4">{html.escape(label)}</text>')

    def label_area(self, x, y, text):
        self.front.append(f'<text x="{self.x(x):.1f}" y="{self.y(y) + 4:.1f}" font-size="13" font-weight="700" '
                          f'fill="#fff" text-anchor="middle">{html.escape(text)}</text>')

    def tooltips(self, points):
        """points: (x, text), ascending; the browser shows the text over each strip."""
        for i, (at, text) in enumerate(points):
            begin = self.x(at) if i == 0 else (self.x(points[i - 1][0]) + self.x(at)) / 2
            end = self.x(at) if i + 1 == len(points) else (self.x(points[i + 1][0]) + self.x(at)) / 2
            self.front.append(f'<rect x="{begin:.1f}" y="{self.top}" width="{max(end - begin, 2):.1f}" '
                              f'height="{self.height - self.top - self.bottom}" fill="transparent">'
                              f'<title>{html.escape(text)}</title></rect>')

    def svg(self):
        axis = []
        for value in nice_ticks(self.y0, self.y1, 4):
            at = self.y(value)
            axis.append(f'<line x1="{self.left}" x2="{self.width - self.right}" y1="{at:.1f}" y2="{at:.1f}" '
                        f'stroke="{GRID}"/><text x="{self.left - 7}" y="{at + 4:.1f}" font-size="11" fill="{MUTED}" '
                        f'text-anchor="end">{html.escape(self.y_format(value))}</text>')
        for value in nice_ticks(self.x0, self.x1, max(4, self.width // 110)):
            axis.append(f'<text x="{self.x(value):.1f}" y="{self.height - 8}" font-size="11" fill="{MUTED}" '
                        f'text-anchor="middle">{value:g} s</text>')
        base = self.height - self.bottom
        axis.append(f'<line x1="{self.left}" x2="{self.width - self.right}" y1="{base}" y2="{base}" stroke="#b9c2cc"/>')
        return (f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{html.escape(self.title)}">'
                f'{"".join(self.back)}{"".join(axis)}{"".join(self.front)}</svg>')
