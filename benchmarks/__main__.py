"""Run benchmarks: ``python -m benchmarks [SUITE ...] [--repeats N]``; all suites by default."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

import optkit
from benchmarks import compiled, construction, discovery, fused, groups, memory, state, steps
from benchmarks.cuda import suite as cuda
from benchmarks.family import suite as family
from benchmarks.sharded import model_costs
from benchmarks.sharded import suite as sharded

Rows = Iterator[dict[str, Any]]
RESULTS = Path("benchmarks/results")
SUITES: dict[str, Callable[[int], Rows]] = {
    "spine": lambda repeats: chain(
        construction.measure(), steps.measure(repeats), memory.measure()
    ),
    "state": state.measure,
    "discovery": discovery.measure,
    "fused": fused.measure,
    "family": family.measure,
    "groups": groups.measure,
    "compiled": compiled.measure,
    "compiled_family": compiled.family,
    "cuda": cuda.measure,
    "sharded": sharded.measure,
    "communication": model_costs.measure,
    "lbfgs": lambda repeats: lbfgs().counts(),
    "lbfgs_time": lambda repeats: lbfgs().times(repeats),
}


def main() -> None:
    """Measure each suite, print its table, write its JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=600.0, help="time for cuda (600)")
    parser.add_argument(
        "--dry-run", action="store_true", help="try cuda on the CPU; needs PYTHONPATH=tests"
    )
    given = parser.parse_args()
    unknown = set(given.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    timed = partial(cuda.measure, seconds=given.seconds, is_dry=given.dry_run)
    suites = {**SUITES, "cuda": timed}
    for name in given.suites or SUITES:
        run(name, suites[name](given.repeats))


def lbfgs() -> Any:
    """Return the suites of L-BFGS, which need scipy."""
    from benchmarks.lbfgs import suite

    return suite


def run(name: str, measured: Rows) -> None:
    """Print a suite's rows as they come, and write what there is after each of them."""
    rows: list[dict[str, Any]] = []
    for row in measured:
        rows.append(row)
        print(row.pop("printed", None) or line(row), flush=True)
        write(name, rows)
    if rows:
        print(f"written to {RESULTS / name}.json")


def write(name: str, rows: Sequence[dict[str, Any]]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(as_json(machine(), rows), "utf-8")


def as_json(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return the text of a file of results, with a line for each row."""
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f'{{\n "machine": {json.dumps(machine)},\n "rows": [\n{lines}\n ]\n}}\n'


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
