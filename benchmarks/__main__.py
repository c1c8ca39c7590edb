"""Run benchmarks: ``python -m benchmarks [SUITE ...] [--repeats N]``; all suites by default."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import torch

import optkit
from benchmarks import compiled, construction, cuda, fused, groups, memory, state, steps
from benchmarks.lbfgs import suite as lbfgs

Rows = Iterator[dict[str, Any]]
RESULTS = Path("benchmarks/results")
SUITES: dict[str, Callable[[int], Rows]] = {
    "spine": lambda repeats: chain(
        construction.measure(), steps.measure(repeats), memory.measure()
    ),
    "state": state.measure,
    "fused": fused.measure,
    "groups": groups.measure,
    "compiled": compiled.measure,
    "cuda": cuda.measure,
    "lbfgs": lambda repeats: lbfgs.counts(),
    "lbfgs_time": lbfgs.times,
}


def main() -> None:
    """Measure each suite, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--repeats", type=int, default=40)
    given = parser.parse_args()
    unknown = set(given.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    for name in given.suites or SUITES:
        run(name, given.repeats)


def run(name: str, repeats: int) -> None:
    """Measure one suite; its rows are printed as they come, and written at the end if any."""
    rows: list[dict[str, Any]] = []
    for row in SUITES[name](repeats):
        rows.append(row)
        print(row.pop("printed", None) or line(row), flush=True)
    if not rows:
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
    print(f"written to {path}")


def line(row: dict[str, Any]) -> str:
    limit, verdict = row["limit"], ""
    if limit is not None:
        verdict = f"(limit {limit:.2f}) {'ok' if row['ratio'] <= limit else 'OVER'}"
    return (
        f"{row['what']:<44} {row['threads']} thr  torch {row['torch']:>9.2f}  "
        f"optkit {row['optkit']:>9.2f} {row['unit']:<3} "
        f"ratio {row['ratio']:>5.2f} {verdict}"
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
