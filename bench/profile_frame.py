"""Profiles a table of numbers with whylogs or Evidently, in their own Python environment; for ./dev bench monitor.

    profile_frame.py whylogs|evidently FILE WIDTH        rows of 32-bit numbers
    profile_frame.py whylogs|evidently FILE.csv 0        read by pandas, which counts as well

Prints one JSON object: the CPU time of the whole process, importing and reading the raw numbers left out.
"""
import json
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "True")
os.environ.setdefault("DO_NOT_TRACK", "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402


def whylogs(frame):
    import whylogs as why

    def run():
        return why.log(pandas=frame).view().to_pandas()["counts/n"].iloc[0]
    return run


def evidently(frame):
    from evidently import Dataset, Report
    from evidently.presets import DataSummaryPreset

    def run():
        snapshot = Report([DataSummaryPreset()]).run(Dataset.from_pandas(frame), None)
        return len(frame) if snapshot.dict()["metrics"] else 0
    return run


def main():
    system, path, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
    make = {"whylogs": whylogs, "evidently": evidently}[system]
    make(pd.DataFrame({"warm": [1.0, 2.0]}))()  # imports, and what is compiled at the first use
    frame = None
    if width:
        values = np.fromfile(path, np.float32).reshape(-1, width)
        frame = pd.DataFrame(values.astype(np.float64), columns=[f"x{i}" for i in range(width)])
    cpu, begin = time.process_time(), time.monotonic()
    if frame is None:
        frame = pd.read_csv(path)
    rows = make(frame)()
    print(json.dumps({"rows": int(rows), "cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - begin}))


if __name__ == "__main__":
    main()
