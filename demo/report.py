#!/usr/bin/env python3
"""Makes one self-contained HTML page of what a server's rollouts of a model did, from the admin API and its journal.

    report.py --server http://127.0.0.1:8502 --model digits --out report.html     of a running server
    report.py --data data.json --out report.html                                  of what the demo has saved
"""
import argparse
import datetime
import html
import json
import math
import pathlib
import sys
import urllib.parse
import urllib.request

from charts import Chart, GATE_COLORS, INK, version_color
from terminal import e_value

PHASES = {"promoted": ("promoted", "#12906b"), "rolled_back": ("rolled back", "#c4314b"), "aborted": ("aborted", "#5d6b7a"),
          "held": ("held", "#b07a00"), "probation": ("in probation", "#12906b"), "progressing": ("in progress", "#2a6fdb")}
GATE_WORDS = {"errors": "failed requests", "latency": "slow answers", "quality": "wrong answers", "answers": "other answers to copies"}

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: #1d2733; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 34px 26px 60px; }
h1 { font-size: 29px; margin: 0 0 6px; letter-spacing: -0.3px; }
h2 { font-size: 20px; margin: 0; }
h3 { font-size: 14px; margin: 0 0 2px; }
p { margin: 6px 0; }
.lead { font-size: 17px; color: #3d4a57; max-width: 900px; }
.muted, .note { color: #5d6b7a; }
.note { font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 14px; margin: 22px 0; }
.tile, section { background: #fff; border: 1px solid #e1e6eb; border-radius: 10px; }
.tile { padding: 14px 18px; }
.tile b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
section { padding: 20px 22px; margin: 16px 0; }
.head { display: flex; align-items: baseline; gap: 12px; flex-wrap: wrap; }
.badge { color: #fff; border-radius: 99px; padding: 2px 12px; font-size: 13px; font-weight: 600; }
.reason { border-left: 4px solid; padding: 4px 0 4px 14px; margin: 12px 0 18px; font-size: 16px; }
.charts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 18px; }
.charts > div { min-width: 0; }
svg { width: 100%; height: auto; display: block; font-family: inherit; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: 12.5px; color: #3d4a57; min-height: 20px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; vertical-align: middle; margin-right: 5px; }
table { border-collapse: collapse; width: 100%; margin-top: 10px; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: #5d6b7a; font-size: 12.5px; }
th, td { padding: 6px 10px 6px 0; border-bottom: 1px solid #edf0f3; vertical-align: top; }
.num { text-align: right; padding-right: 18px; }
code { font: 12.5px ui-monospace, "DejaVu Sans Mono", monospace; background: #f0f3f6; border-radius: 4px; padding: 1px 5px; }
@media (max-width: 800px) { .charts, .tiles { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


def collect(server, model, since="2h"):
    """What the report needs, from the admin API. `rollouts` come oldest first, each with its whole history."""
    def get(path):
        with urllib.request.urlopen(server.rstrip("/") + path, timeout=10) as answer:
            return json.load(answer)

    name = urllib.parse.quote(model)
    rollouts = sorted(get(f"/api/v1/rollouts?model={name}")["rollouts"], key=lambda rollout: rollout["id"])
    for rollout in rollouts:
        rollout["ticks"], offset = [], 0
        while offset is not None:
            page = get(f"/api/v1/rollouts/{rollout['id']}/history?offset={offset}&limit=5000")
            rollout["ticks"] += page["ticks"]
            offset = page.get("next_offset")
    return {"model": get(f"/api/v1/models/{name}"), "rollouts": rollouts,
            "windows": get(f"/api/v1/models/{name}/windows?since={since}")["versions"],
            "status": get("/api/v1/status")}


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def percent(share, digits=1):
    return f"{100 * share:.{digits}f} %"


def escaped(text):
    return html.escape(str(text))


def legend(entries):
    return '<div class="legend">' + "".join(
        f'<span><i style="background:{color}"></i>{escaped(text)}</span>' for text, color in entries) + "</div>"


def verdict_words(rollout):
    return PHASES.get(rollout["phase"], (rollout["phase"], INK))


def reason_words(rollout):
    """The server's reason without the verdict's name, which stands beside it."""
    prefix = verdict_words(rollout)[0] + ": "
    reason = rollout["reason"].replace(">=", "≥")
    return reason[len(prefix):] if reason.startswith(prefix) else reason


def story_range(data):
    """When the page's story begins and ends, as epoch seconds."""
    times = [seconds(window["start"]) for windows in data["windows"].values() for window in windows]
    ends = [seconds(window["start"]) + window["seconds"] for windows in data["windows"].values() for window in windows]
    times += [seconds(rollout["started"]) for rollout in data["rollouts"]]
    ends += [seconds(rollout["ended"]) for rollout in data["rollouts"] if rollout.get("ended")]
    return (min(times), max(ends)) if times and ends else (0.0, 1.0)


def traffic_chart(data, begin, end):
    """Who answered: each version's share of the requests, stacked."""
    by_start = {}
    for version, windows in data["windows"].items():
        for window in windows:
            by_start.setdefault(seconds(window["start"]), {})[int(version)] = window
    versions = sorted(int(version) for version in data["windows"])
    chart = Chart(1120, 280, (0, end - begin), (0, 1), "share of requests by version", lambda v: f"{100 * v:.0f} %",
                  top=56)
    stacks, tips = {version: [] for version in versions}, []
    for start in sorted(by_start):
        windows = by_start[start]
        total = sum(window["requests"] for window in windows.values())
        if not total:
            continue
        length = next(iter(windows.values()))["seconds"] or 1
        low, words = 0.0, []
        for version in versions:
            share = windows.get(version, {"requests": 0})["requests"] / total
            # Flat within a window: that is how it was counted.
            for at in (start - begin, min(start + length, end) - begin):
                stacks[version].append((max(at, 0), low, low + share))
            low += share
            if share:
                words.append(f"v{version} {percent(share)}")
        tips.append((start - begin + length / 2, f"{start - begin:.0f} s: " + ", ".join(words) + f"; {total / length:.0f} requests/s"))
    for version in versions:
        chart.area(stacks[version], version_color(version), 0.88)
        thick = max(stacks[version], key=lambda point: point[2] - point[1], default=None)
        if thick and thick[2] - thick[1] > 0.4:
            wide = [point for point in stacks[version] if point[2] - point[1] > 0.98 * (thick[2] - thick[1])]
            middle = wide[len(wide) // 2]
            chart.label_area(min(max(middle[0], (end - begin) * 0.04), (end - begin) * 0.96), (middle[1] + middle[2]) / 2, f"v{version}")
    for number, rollout in enumerate(data["rollouts"]):
        word, color = verdict_words(rollout)
        chart.mark(seconds(rollout["started"]) - begin, f"v{rollout['candidate']}: canary begins", INK, row=0)
        if rollout.get("ended"):
            at = seconds(rollout["ended"]) - begin
            # Verdicts may be close to each other: neighbours have rows of their own.
            chart.mark(at, f"v{rollout['candidate']} {word}", color, row=1 + number % 2,
                       anchor="end" if at > 0.85 * (end - begin) else "start")
    chart.tooltips(tips)
    return legend([(f"version {version}", version_color(version)) for version in versions]) + chart.svg()


def accuracy_chart(rollout, width=360, height=230):
    """Accuracy so far in the rollout, both arms, from the labels that have come; the number is what the arm had seen."""
    began = seconds(rollout["started"])
    arms = {"stable": [], "candidate": []}
    sums = {arm: [0, 0] for arm in arms}
    tips = []
    for tick in rollout["ticks"]:
        at, words = seconds(tick["time"]) - began, []
        for arm in arms:
            sums[arm][0] += tick[arm]["labelled"]
            sums[arm][1] += tick[arm]["wrong"]
            labelled, wrong = sums[arm]
            if labelled >= 20:
                arms[arm].append((at, 1 - wrong / labelled, labelled))
                words.append(f"v{rollout[arm]} {percent(1 - wrong / labelled)} of {labelled:,} labels")
        if words:
            tips.append((at, f"{at:.0f} s: " + ", ".join(words)))
    values = [point[1] for points in arms.values() for point in points]
    if not values:
        return '<p class="note">No labels came during this rollout.</p>'
    low = min(0.98, math.floor(min(values) * 50 - 0.5) / 50)
    chart = Chart(width, height, (0, max(point[0] for points in arms.values() for point in points)), (max(low, 0), 1.0),
                  "accuracy so far", lambda v: f"{100 * v:.0f} %")
    for arm, points in arms.items():
        color = version_color(rollout[arm])
        band = []
        for at, value, count in points:
            # Wilson interval, for the eye only; the verdict is the e-values' business.
            z, n = 1.96, count
            middle = (value + z * z / (2 * n)) / (1 + z * z / n)
            half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
            band.append((at, middle - half, middle + half))
        chart.area(band, color, 0.13)
        chart.line([(at, value) for at, value, _ in points], color)
        if points:
            at, value, count = points[-1]
            chart.dot(at, value, color, percent(value))
    chart.tooltips(tips)
    entries = [(f"v{rollout[arm]} ({arm}), {sums[arm][0]:,} labels", version_color(rollout[arm])) for arm in arms]
    return legend(entries) + chart.svg()


def evidence_chart(rollout, side, width=360, height=230):
    """log10 of each gate's e-value for one side ("harm" or "safe") against its bound."""
    began, log10 = seconds(rollout["started"]), math.log(10)
    gates, bounds, tips = {}, {}, []
    for tick in rollout["ticks"]:
        at, words = seconds(tick["time"]) - began, []
        for gate in tick["gates"]:
            if gate.get("outside"):
                continue  # somebody else's answers, no evidence
            value = gate[f"{side}_log_e"] / log10
            gates.setdefault(gate["gate"], []).append((at, value))
            bounds[gate["gate"]] = gate[f"{side}_log_bound"] / log10
            words.append(f"{gate['gate']} {10 ** min(value, 12):,.3g}")
        if words:
            tips.append((at, f"{at:.0f} s, e-values: " + ", ".join(words)))
    if not gates:
        return '<p class="note">No evidence was journaled.</p>'
    top = max([point[1] for points in gates.values() for point in points] + list(bounds.values()))
    lowest = min(point[1] for points in gates.values() for point in points)
    low, high = max(min(lowest, 0) - 0.2, -4.0), min(top * 1.15 + 0.3, 9.0)

    def power(value):
        return "1" if value == 0 else f"10{superscript(value)}" if value == int(value) else ""

    chart = Chart(width, height, (0, max(point[0] for points in gates.values() for point in points)), (low, high),
                  f"evidence ({side})", power, left=40)
    same = len({round(bound, 3) for bound in bounds.values()}) == 1
    action = "roll back from here" if side == "harm" else "safe from here"
    for gate, points in gates.items():
        color = GATE_COLORS.get(gate, INK)
        # Gates that saw the same counts lie on each other; dashes let both be seen.
        chart.line(points, color, dash="7 6" if gate == "latency" else "")
        chart.dot(points[-1][0], points[-1][1], color)
        if not same:
            chart.bound(bounds[gate], f"{action} ({gate}, {10 ** bounds[gate]:,.0f})", color)
    if same:
        bound = next(iter(bounds.values()))
        chart.bound(bound, f"{action} (e ≥ {10 ** bound:,.0f})")
    chart.tooltips(tips)
    return legend([(GATE_WORDS.get(gate, gate), GATE_COLORS.get(gate, INK)) for gate in gates]) + chart.svg()


def superscript(value):
    return str(int(value)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def gate_rows(rollout):
    rows = []
    for gate in rollout["gates"]:
        if asked := gate.get("outside"):
            answers = asked["answers"]
            rows.append(f"<tr><td>{escaped(gate['gate'])} ({escaped(asked['kind'])})</td><td></td><td>{escaped(asked['said'] or 'no answer yet')}</td>"
                        f"<td colspan=4>{answers['passed']:,} passing, {answers['failed']:,} failing, {answers['open']:,} other answers</td></tr>")
            continue

        def rate(arm):
            exposure, events = gate[arm]["exposure"], gate[arm]["events"]
            if loss := gate.get("loss"):
                mean = loss[f"{arm}_mean"]
                return "none yet" if mean is None else f"{mean:.4g} on average of {exposure:,}"
            return f"{events:,} of {exposure:,}" + (f" ({percent(events / exposure, 2)})" if exposure else "")
        harm, harm_bound, safe, safe_bound = (
            e_value(gate[key]) for key in ("harm_log_e", "harm_log_bound", "safe_log_e", "safe_log_bound"))
        rows.append(f"<tr><td>{escaped(GATE_WORDS.get(gate['gate'], gate['gate']))}</td><td>{rate('stable')}</td>"
                    f"<td>{rate('candidate')}</td><td class=num>{harm}</td><td class=num>{harm_bound}</td>"
                    f"<td class=num>{safe}</td><td class=num>{safe_bound}</td></tr>")
    return "".join(rows)


def rollout_section(rollout):
    word, color = verdict_words(rollout)
    took = seconds(rollout["ended"]) - seconds(rollout["started"]) if rollout.get("ended") else None
    requests = rollout["arms"]["candidate"]["requests"]
    notes = "".join(f"<li>{escaped(note)}</li>" for note in rollout.get("plan_notes") or [])
    return f"""
<section>
  <div class="head"><h2>Rollout {rollout['id']}: v{rollout['stable']} → v{rollout['candidate']}</h2>
    <span class="badge" style="background:{color}">{word}{f" after {took:.0f} s" if took is not None else ""}</span>
    <span class="muted">{requests:,} requests were answered by the candidate; the step reached was
      {min(rollout['step'] + 1, rollout['step_count'])} of {rollout['step_count']}</span></div>
  <p class="reason" style="border-color:{color}">{";<br>".join(escaped(part) for part in reason_words(rollout).split("; "))}</p>
  <div class="charts">
    <div><h3>Accuracy so far</h3>{accuracy_chart(rollout)}</div>
    <div><h3>Evidence of harm (e-values)</h3>{evidence_chart(rollout, 'harm')}</div>
    <div><h3>Evidence of safety (e-values)</h3>{evidence_chart(rollout, 'safe')}</div>
  </div>
  <table><tr><th>gate watches</th><th>v{rollout['stable']} (stable)</th><th>v{rollout['candidate']} (candidate)</th>
    <th class=num>harm</th><th class=num>roll back at</th><th class=num>safe</th><th class=num>safe at</th></tr>
    {gate_rows(rollout)}</table>
  {f'<details><summary class="note">What the plan said at the start</summary><ul class="note">{notes}</ul></details>' if notes else ''}
</section>"""


def tiles(data):
    client = data.get("client") or {}
    entries = []
    totals = [version.get("totals") or {} for version in data["model"]["versions"]]
    sent = client.get("requests")
    entries.append((f"{sent:,}" if sent is not None else f"{sum(total.get('requests', 0) for total in totals):,}",
                    "requests sent by the client" if sent is not None else "requests served by versions still loaded"))
    failed = client.get("failed", sum(total.get("errors", 0) for total in totals))
    entries.append((f"{failed:,}", "requests failed"))
    for rollout in data["rollouts"][-2:]:
        word, _ = verdict_words(rollout)
        took = seconds(rollout["ended"]) - seconds(rollout["started"]) if rollout.get("ended") else 0
        entries.append((f"{took:.0f} s", f"until v{rollout['candidate']} was {word}, after "
                                         f"{rollout['arms']['candidate']['requests']:,} requests to it"))
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><b>{escaped(value)}</b><span class="muted">{escaped(words)}</span></div>'
        for value, words in entries) + "</div>"


def optional_sections(data):
    parts = []
    if data.get("training"):
        rows = "".join(f"<tr><td><b style='color:{version_color(row['version'])}'>v{row['version']}</b></td>"
                       f"<td>{escaped(row['description'])}</td><td class=num>{row['rows']:,}</td>"
                       f"<td class=num>{row['errors']} of {row['held_out']} ({percent(row['errors'] / row['held_out'])})</td></tr>"
                       for row in data["training"])
        parts.append(f"<section><h2>The versions</h2><table><tr><th>version</th><th>what it is</th><th class=num>rows trained on</th>"
                     f"<th class=num>wrong on the held-out images</th></tr>{rows}</table></section>")
    if data.get("promql"):
        rows = "".join(f"<tr><td>{escaped(entry['question'])}</td><td><code>{escaped(entry['query'])}</code></td>"
                       f"<td>{'<br>'.join(escaped(line) for line in entry['answer'])}</td></tr>" for entry in data["promql"])
        parts.append(f"<section><h2>What Prometheus saw</h2><p class=note>Asked of the Prometheus that scraped the server meanwhile.</p>"
                     f"<table><tr><th>question</th><th>query</th><th>answer</th></tr>{rows}</table></section>")
    return "".join(parts)


def render(data):
    begin, end = story_range(data)
    name = data["model"]["name"]
    outcome = ", ".join(f"version {rollout['candidate']} {'is' if rollout['phase'] in ('progressing', 'held') else 'was'} "
                        f"{verdict_words(rollout)[0]}" for rollout in data["rollouts"])
    alpha, beta = next(((r["alpha"], r["beta"]) for r in data["rollouts"]), (None, None))
    risk = (f"The chance of taking back a version that is as good as the stable one is at most {percent(alpha, 0)} over a whole "
            f"rollout; of promoting one that is worse than the margin, at most {percent(beta, 0)} a gate.") if alpha else ""
    made = datetime.datetime.fromtimestamp(end, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Leadsman: rollouts of {escaped(name)}</title><style>{STYLE}</style></head><body><main>
<h1>Rollouts of “{escaped(name)}”</h1>
<p class="lead">{escaped(outcome[:1].upper() + outcome[1:])}{"." if outcome else "No rollout yet."} {risk}</p>
{tiles(data)}
<section><h2>Who answered</h2><p class="note">Share of the requests by version, from the server's own windows.</p>
{traffic_chart(data, begin, end)}</section>
{"".join(rollout_section(rollout) for rollout in data["rollouts"])}
{optional_sections(data)}
<section><h2>How to read this</h2>
<p class="note"><b>Evidence.</b> Each gate plays two games of chance against the candidate, with bets that pay off on average only if
the claim is true. An e-value is the money won so far, starting at 1: if the candidate is in truth no worse, an e-value of harm reaches
100 at <i>any</i> time with a chance of at most 1 in 100. So one may look after every request and stop at once when a bound is crossed.</p>
<p class="note"><b>Accuracy.</b> Only requests whose true label has come are counted, so the curves lag behind the traffic. The bands are
95 % intervals for the eye; the verdict does not use them.</p>
<p class="note">Made from the server's admin API and rollout journal, {made}.</p></section>
</main></body></html>
"""


def write(data, path):
    path.write_text(render(data), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--server", help="admin address of a running server")
    source.add_argument("--data", type=pathlib.Path, help="JSON saved by the demo")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("report.html"))
    arguments = parser.parse_args()
    data = json.loads(arguments.data.read_text()) if arguments.data else collect(arguments.server, arguments.model)
    write(data, arguments.out)
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
