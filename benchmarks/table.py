"""Write the results of suites into the documentation: ``python -m benchmarks.table SUITE ...``.

A table stands in docs/benchmarks/results.md between ``<!-- table: SUITE -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results")
PAGE = Path("docs/benchmarks/results.md")
HEADER = ("| what | torch | optkit | unit | ratio | at most |", "|---|--:|--:|---|--:|--:|")


def main(names: list[str]) -> None:
    """Write the tables of some suites, for which the page has a place."""
    text = PAGE.read_text("utf-8")
    for name in names:
        rows = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]
        text = placed(text, name, markdown(rows))
    PAGE.write_text(text, "utf-8")


def placed(text: str, name: str, lines: list[str]) -> str:
    """Return a page with the table of a suite in its place."""
    begin, end = f"<!-- table: {name} -->", "<!-- end -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not place.search(text):
        raise SystemExit(f"{PAGE} has no place for {name}: {begin} {end}")
    table = "\n".join([begin, *lines, end])
    return place.sub(lambda _: table, text)


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table."""
    return [*HEADER, *map(_line, rows)]


def _line(row: dict[str, Any]) -> str:
    limit = "" if row["limit"] is None else f"{row['limit']:.2f}"
    figures = f"{_short(row['torch'])} | {_short(row['optkit'])} | {row['unit']}"
    return f"| {row['what']} | {figures} | {row['ratio']:.2f} | {limit} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
