"""Run every benchmark: ``python -m benchmarks [--json FILE] [--repeats N]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

import optkit
from benchmarks import construction, memory, steps

COLUMNS = ("what", "threads", "torch", "optkit", "unit", "ratio", "limit")


def main() -> None:
    """Measure, print one table, write one JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/spine.json"))
    parser.add_argument("--repeats", type=int, default=40)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for measured in (construction.measure(), steps.measure(given.repeats), memory.measure()):
        for row in measured:
            rows.append(row)
            print(line(row), flush=True)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
    print(f"written to {given.json}")


def line(row: dict[str, Any]) -> str:
    verdict = "ok" if row["ratio"] <= row["limit"] else "OVER"
    return (
        f"{row['what']:<44} {row['threads']} thr  torch {row['torch']:>9.2f}  "
        f"optkit {row['optkit']:>9.2f} {row['unit']:<3} "
        f"ratio {row['ratio']:>5.2f} (limit {row['limit']:.2f}) {verdict}"
    )


def machine() -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "optkit": optkit.__version__,
    }


if __name__ == "__main__":
    main()
