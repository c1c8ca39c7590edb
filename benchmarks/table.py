"""Print a suite's results as a Markdown table: ``python -m benchmarks.table SUITE``."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.__main__ import RESULTS

HEADER = ("| what | torch | optkit | unit | ratio | at most |", "|---|--:|--:|---|--:|--:|")


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table as docs/benchmarks/results.md has it."""
    return [*HEADER, *map(_line, rows)]


def _line(row: dict[str, Any]) -> str:
    limit = "" if row["limit"] is None else f"{row['limit']:.2f}"
    figures = f"{_short(row['torch'])} | {_short(row['optkit'])} | {row['unit']}"
    return f"| {row['what']} | {figures} | {row['ratio']:.2f} | {limit} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print("\n".join(markdown(json.loads((RESULTS / f"{name}.json").read_text())["rows"])))
