"""What a fused step of Adamax in float32 has to reach on a GPU, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.cuda.table import Row, share, side


class Target(NamedTuple):
    """A figure of one set's row, and the most that it may be."""

    what: str
    set: str
    figure: Callable[[Row], float | None]
    limit: float


def _of(rival: str) -> Callable[[Row], float | None]:
    def ratio(row: Row) -> float | None:
        ours, theirs = (side(row, name).get("step") for name in ("fused", rival))
        return ours / theirs if ours and theirs else None

    return ratio


def _over_a_copy(row: Row) -> float | None:
    reached = share(row)
    return 1 / reached if reached else None


def _host(row: Row) -> float | None:
    seconds = side(row, "fused").get("host")
    return seconds * 1e6 if seconds else None


TARGETS = (
    Target("step, of torch's foreach", "400 small", _of("torch's foreach"), 0.5),
    Target("step, of torch's fused Adam", "400 small", _of("torch's fused"), 1.0),
    Target("microseconds of the host", "400 small", _host, 200.0),
    Target("kernel, of a copy of as many bytes", "64M elements", _over_a_copy, 1.18),
)


def judged(rows: Iterable[Row]) -> list[str]:
    """Return a line for each target: the figure, what it may be, and whether that is kept."""
    found = {row["set"]: row for row in rows if _is_meant(row)}
    return [_line(target, found.get(target.set)) for target in TARGETS]


def _is_meant(row: Row) -> bool:
    return (row["algorithm"], row["dtype"]) == ("adamax", "float32")


def _line(target: Target, row: Row | None) -> str:
    figure = None if row is None else target.figure(row)
    what = f"{target.set}, {target.what}"
    if figure is None:
        return f"{what}: not measured, at most {target.limit:.3g}"
    kept = "met" if figure <= target.limit else "MISSED"
    return f"{what}: {figure:.3g}, at most {target.limit:.3g}: {kept}"
