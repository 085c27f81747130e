"""The table of ./dev bench drift as a picture: how many requests until a change was found, and what was said of none."""
import html

import drift_streams

INK, MUTED, GRID = "#1d2733", "#5d6b7a", "#e6eaee"
COLORS = {"leadsman": "#2a6fdb", "evidently": "#d9622b", "whylogs": "#7a4fc4"}
HEADS = {"leadsman": "leadsman", "evidently": "Evidently", "whylogs": "whylogs"}
LEFT, WIDTH, BAR, GAP = 190, 820, 13, 16


def _text(x, y, words, size=12, color=INK, anchor="start", weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def write(path, cases, systems, medians, quiet, after):
    """`medians`: {(system, case): requests or None}; `quiet`: {system: (said, of, words)} while nothing changes."""
    parts, y = [], 52
    scale = (WIDTH - LEFT - 90) / after
    parts.append(_text(16, 26, "Requests after a change until it was found", 16, weight="bold"))
    for case in cases:
        top = y
        parts.append(_text(16, y + BAR * len(systems) / 2 + 4, drift_streams.WORDS[case]))
        for system in systems:
            if (system, case) in medians:
                value = medians[system, case]
                width = (after if value is None else value) * scale
                fill = f'fill="{COLORS[system]}"' if value is not None else f'fill="none" stroke="{COLORS[system]}" stroke-dasharray="3 3"'
                parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR - 2}" {fill}/>')
                parts.append(_text(LEFT + max(width, 1) + 5, y + BAR - 3, "not found" if value is None else f"{value:,.0f}", 11, MUTED))
            y += BAR
        y += GAP
        parts.append(f'<line x1="16" x2="{WIDTH - 16}" y1="{top - GAP / 2:.0f}" y2="{top - GAP / 2:.0f}" stroke="{GRID}"/>')
    parts.append(f'<line x1="16" x2="{WIDTH - 16}" y1="{y - GAP / 2:.0f}" y2="{y - GAP / 2:.0f}" stroke="{GRID}"/>')
    y += 14
    parts.append(_text(16, y, "False alarms while nothing changes", 16, weight="bold"))
    y += 14
    for system in systems:
        if system not in quiet:
            continue
        said, of, words = quiet[system]
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(1, (WIDTH - LEFT - 250) * said / max(of, 1)):.1f}" height="{BAR - 2}" '
                     f'fill="{COLORS[system]}"/>')
        parts.append(_text(16, y + BAR - 3, HEADS[system], color=COLORS[system], weight="bold"))
        parts.append(_text(LEFT + max(1, (WIDTH - LEFT - 250) * said / max(of, 1)) + 5, y + BAR - 3, f"{said} of {of} {words}", 11, MUTED))
        y += BAR + 6
    height = y + 10
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" '
                    'font-family="Helvetica, Arial, sans-serif">\n'
                    f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")
