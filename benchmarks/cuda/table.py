"""The rows as text: a line while they are measured, and Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.cuda.cases import OURS

Row = dict[str, Any]

THEIRS = ("torch's default", "torch's foreach", "torch's fused")
SCALES = {"ms": 1e3, "µs": 1e6, "MiB": 2**-20}


def side(row: Row, name: str) -> dict[str, Any]:
    """Return what is known of a side; ``torch's fused`` stands for whichever there is."""
    found = (value for key, value in row["sides"].items() if key.startswith(name))
    return next(found, {})


def share(row: Row) -> float | None:
    """Return which part of a copy's bandwidth the fused kernel reaches."""
    if not row["kernel"] or not row["copy"]:
        return None
    return float(row["copy"] / row["kernel"])


def printed(row: Row) -> str:
    """Return one line with the steps' medians in milliseconds."""
    steps = (f"{name} {_number(each.get('step'), 'ms')}" for name, each in row["sides"].items())
    what = f"{row['algorithm']} {row['set']} {row['dtype']}"
    return f"{what:<34} {', '.join(steps)}; {_ratio(share(row))} of a copy's bandwidth"


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables of steps, of the host, and of kernels beside copies."""
    return "\n\n".join([_steps(rows), _host(rows), _kernels(rows), *_refused(rows)])


def _steps(rows: Sequence[Row]) -> str:
    names = [*OURS, *THEIRS]
    lines = []
    for row in rows:
        steps = [side(row, name).get("step") for name in names]
        best = min((step for step in steps[len(OURS) :] if step), default=None)
        ratio = steps[0] / best if steps[0] and best else None
        lines.append([*_what(row), *(_number(step, "ms") for step in steps), _ratio(ratio)])
    head = ["step in ms", "dtype", *_quoted(OURS), *THEIRS, "`fused` : best of torch's"]
    return _table(head, lines)


def _host(rows: Sequence[Row]) -> str:
    names = [*OURS, *THEIRS]
    lines = [
        [*_what(row), *(_host_of(side(row, name)) for name in names), str(row["rounds"])]
        for row in rows
    ]
    head = ["host time in µs (operations)", "dtype", *_quoted(OURS), *THEIRS, "rounds"]
    return _table(head, lines)


def _host_of(found: dict[str, Any]) -> str:
    if "host" not in found:
        return "–"
    return f"{_number(found['host'], 'µs')} ({found['operations']:,})"


def _kernels(rows: Sequence[Row]) -> str:
    lines = [
        [
            *_what(row),
            _number(row["moved"], "MiB"),
            *(_number(row[name], "µs") for name in ("kernel", "copy")),
            _ratio(share(row)),
        ]
        for row in rows
    ]
    head = ["device time", "dtype", "MiB moved", "`fused` in µs", "a copy in µs", "copy : `fused`"]
    return _table(head, lines)


def _refused(rows: Iterable[Row]) -> list[str]:
    """Return a list of the sides that couldn't take a step, and why."""
    reasons = {
        f"- {name} ({row['algorithm']}): {found['refused']}"
        for row in rows
        for name, found in row["sides"].items()
        if "refused" in found
    }
    return ["\n".join(sorted(reasons))] if reasons else []


def _what(row: Row) -> list[str]:
    return [f"{row['algorithm']} {row['set']}", str(row["dtype"])]


def _quoted(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    scaled = value * SCALES[unit]
    return f"{scaled:,.0f}" if scaled >= 100 else f"{scaled:.3g}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    ruler = ["---", "---", *["--:"] * (len(head) - 2)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ruler, *lines])
