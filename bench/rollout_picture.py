"""The table of ./dev bench rollout as a picture: how often each judge was wrong, and how many requests a worse version got."""
import html

INK, MUTED, GRID = "#1d2733", "#5d6b7a", "#e6eaee"
COLORS = {"leadsman": "#2a6fdb", "leadsman-tuned": "#8db4f0", "flagger": "#d9622b", "flagger-tuned": "#efae8d",
          "argo": "#7a4fc4", "kayenta": "#2f9e77"}
HEADS = {"leadsman": "Leadsman", "leadsman-tuned": "Leadsman, tuned", "flagger": "Flagger", "flagger-tuned": "Flagger, tuned",
         "argo": "Argo Rollouts", "kayenta": "Kayenta"}
LEFT, WIDTH, BAR, GAP = 200, 860, 12, 14
WRONG, EXPOSED = 270, 230  # widths of the two columns of bars
NEVER = "no verdict"


def _text(x, y, words, size=12, color=INK, anchor="start", weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def _bar(x, y, width, color):
    return f'<rect x="{x}" y="{y}" width="{max(width, 1):.1f}" height="{BAR - 2}" fill="{color}"/>'


def _legend(systems, y):
    parts, x = [], 16
    for system in systems:
        parts += [_bar(x, y - 9, 12, COLORS[system]), _text(x + 17, y, HEADS[system])]
        x += 40 + 6.6 * len(HEADS[system])
    return parts


def write(path, releases, systems, figures):
    """`figures`: {(system, release): {"worse", "misses" or "false_rollbacks", "no_verdict", "exposed_requests", "seconds"}}"""
    right = LEFT + WRONG + 70
    most = max([of["exposed_requests"] for of in figures.values() if of["worse"]], default=1)
    parts = [_text(16, 26, "Releases judged: how often wrongly, and what it cost", 16, weight="bold"), *_legend(systems, 50),
             _text(LEFT, 78, "false rollbacks or misses", weight="bold"), _text(right, 78, "requests to a worse version", weight="bold")]
    y = 92
    for release in releases:
        parts.append(f'<line x1="16" x2="{WIDTH - 16}" y1="{y - GAP / 2:.0f}" y2="{y - GAP / 2:.0f}" stroke="{GRID}"/>')
        parts.append(_text(16, y + BAR, release))
        worse = figures[systems[0], release]["worse"]
        parts.append(_text(16, y + 2 * BAR + 4, "worse: misses" if worse else "not worse: false rollbacks", 11, MUTED))
        for system in systems:
            of = figures[system, release]
            wrong = of["misses"] if worse else of["false_rollbacks"]
            words = f"{wrong:.1f} %" + (f", {of['no_verdict']:.0f} % {NEVER}" if of["no_verdict"] >= 0.5 else "")
            parts += [_bar(LEFT, y, WRONG * 0.6 * wrong / 100, COLORS[system]),
                      _text(LEFT + max(WRONG * 0.6 * wrong / 100, 1) + 5, y + BAR - 3, words, 10, MUTED)]
            if worse:
                width = EXPOSED * of["exposed_requests"] / most
                parts += [_bar(right, y, width, COLORS[system]),
                          _text(right + max(width, 1) + 5, y + BAR - 3, f"{of['exposed_requests']:,.0f}", 10, MUTED)]
            y += BAR
        y += GAP
    height = y + 6
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" '
                    'font-family="Helvetica, Arial, sans-serif">\n'
                    f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")
