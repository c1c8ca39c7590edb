"""Checkpoints of torch's distributed layer that another number of processes goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest
from algorithms import ALGORITHMS, FEW, MATRIXWISE
from processes import on_ranks
from resharded import BY_POSITION, SEVERAL, go_on, go_on_each

NAMES = [*ALGORITHMS, SEVERAL, BY_POSITION]
SOME = [*FEW, *MATRIXWISE, SEVERAL, BY_POSITION]
"""One of each combination of mechanisms, for the ways back."""


def differing(root: Path) -> dict[str, list[str]]:
    """Return what differs from runs that nobody interrupted, by the way that was gone."""
    saved = {way: root / way.replace(" ", "_") for way in ("1", "1 2", "1 2 4", "1 4")}
    found: dict[str, list[str]] = {"1": go_on(NAMES, None, False, saved["1"], True)}

    def on(count: int, ways: dict[str, tuple[list[str], Path, bool, Path | None]]) -> None:
        folder = root / f"ranks{len(found)}"
        folder.mkdir()
        for of_rank in on_ranks(go_on_each, count, folder, list(ways.values())):
            for way, own in zip(ways, of_rank, strict=True):
                found.setdefault(way, []).extend(own)

    on(2, {"1 2": (NAMES, saved["1"], False, saved["1 2"])})
    on(
        4,
        {
            "1 2 4": (SOME, saved["1 2"], True, saved["1 2 4"]),
            "1 4": (SOME, saved["1"], True, saved["1 4"]),
        },
    )
    on(2, {"1 2 4 2": (SOME, saved["1 2 4"], False, None)})
    for way, is_flat in (("1 2", True), ("1 4", False), ("1 2 4", True), ("1", True)):
        found[f"{way} 1"] = go_on(SOME, saved[way], is_flat, None, True)
    return found


@pytest.mark.slow
def test_runs_go_on_with_another_number_of_processes(tmp_path: Path) -> None:
    # One test for all ways, each of which begins where another one has ended.
    found = differing(tmp_path)
    assert len(found) == 9
    assert {way: differences for way, differences in found.items() if differences} == {}
