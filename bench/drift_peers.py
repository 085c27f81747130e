#!/usr/bin/env python3
"""What Evidently or whylogs says of a stream, window by window, with the tests that are their default.

    drift_peers.py evidently|whylogs STREAM.npz WINDOW_ROWS

Runs in the Python environment of that library. Prints a JSON list: {"drift": the verdict on the data set, "columns": how
many columns are said to have drifted, "names": some of them} of each window.
"""
import json
import sys
import warnings

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")


def table(rows, answers):
    frame = pd.DataFrame(rows.astype(float), columns=[f"f{i}" for i in range(rows.shape[1])])
    frame["prediction"] = [f"digit {answer}" for answer in answers]
    return frame


def evidently(reference):
    """DataDriftPreset: of numbers Wasserstein's distance (above 1,000 rows), of the answer Jensen-Shannon's; the data have
    drifted when half of the columns have."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    def judge(window):
        metrics = Report([DataDriftPreset()]).run(window, reference).dict()["metrics"]
        names = []
        for metric in metrics:
            config = metric["config"]
            if "ValueDrift" in metric["metric_name"]:
                method, threshold, value = config["method"], config["threshold"], float(metric["value"])
                if value < threshold if "p_value" in method else value >= threshold:
                    names.append(config["column"])
        count = next(metric["value"] for metric in metrics if "DriftedColumnsCount" in metric["metric_name"])
        if int(count["count"]) != len(names):
            raise SystemExit(f"evidently counts {count['count']} columns, its tests say {len(names)}")
        return count["share"] >= 0.5, names
    return judge


def whylogs(reference):
    """calculate_drift_scores: Kolmogorov-Smirnov of numbers, chi-square of the answer; DRIFT is a p-value of at most 0.05.
    It gives no verdict on the data set: any column counts."""
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    before = why.log(reference).profile().view()

    def judge(window):
        scores = calculate_drift_scores(target_view=why.log(window).profile().view(), reference_view=before,
                                        with_thresholds=True)
        names = [name for name, score in scores.items() if score and score["drift_category"] == "DRIFT"]
        return bool(names), names
    return judge


def main():
    which, path, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    stream = np.load(path)
    judge = {"evidently": evidently, "whylogs": whylogs}[which](table(stream["before"], stream["before_answers"]))
    verdicts = []
    for at in range(0, len(stream["after"]) - rows + 1, rows):
        drift, names = judge(table(stream["after"][at:at + rows], stream["after_answers"][at:at + rows]))
        verdicts.append({"drift": bool(drift), "columns": len(names), "names": names[:5]})
    print(json.dumps(verdicts))


if __name__ == "__main__":
    main()
