"""Write the results of suites into the documentation: ``python -m benchmarks.table SUITE ...``.

A table stands between ``<!-- table: SUITE -->`` and ``<!-- end -->``: those of shards in
docs/explanation/scale-out.md, all others in docs/benchmarks/results.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.sharded import model_costs

RESULTS = Path("benchmarks/results")
PAGE = Path("docs/benchmarks/results.md")
SCALE_OUT = Path("docs/explanation/scale-out.md")
HEADER = ("| what | torch | optkit | unit | ratio | at most |", "|---|--:|--:|---|--:|--:|")


def main(names: list[str]) -> None:
    """Write the tables of some suites, for which their pages have a place."""
    for name in names:
        rows = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]
        page, lines_of = ELSEWHERE.get(name, (PAGE, markdown))
        page.write_text(placed(page.read_text("utf-8"), name, lines_of(rows)), "utf-8")


def placed(text: str, name: str, lines: list[str]) -> str:
    """Return a page's text with the table of a suite in its place."""
    begin, end = f"<!-- table: {name} -->", "<!-- end -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not place.search(text):
        raise SystemExit(f"the page has no place for {name}: {begin} {end}")
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


Lines = Callable[[list[dict[str, Any]]], list[str]]
ELSEWHERE: dict[str, tuple[Path, Lines]] = {
    "communication": (SCALE_OUT, model_costs.markdown),
    "sharded": (SCALE_OUT, markdown),
}
"""Suites with another page, and how the lines of their tables are made."""


if __name__ == "__main__":
    main(sys.argv[1:])
