"""The processes that tests start: they end in order, and whatever fails in one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import ranks
from processes import completed, on_ranks, python

pytestmark = pytest.mark.slow


def test_ranks_answer_in_their_order(tmp_path: Path) -> None:
    assert on_ranks(ranks.summed, 3, tmp_path, 10) == [(0, 33.0), (1, 33.0), (2, 33.0)]


def test_a_rank_that_fails_ends_all(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the last rank fails"):
        on_ranks(ranks.failing, 2, tmp_path)


def test_a_process_group_that_something_holds_is_noticed(tmp_path: Path) -> None:
    """Its threads would abort the process if one of them were at work while Python shuts down."""
    with pytest.raises(AssertionError, match="still holds the process group"):
        on_ranks(ranks.keeping, 1, tmp_path)


def test_a_program_that_fails_tells_why(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FOUND = 'found'")
    assert python("import beside; print(beside.FOUND)", tmp_path) == "found\n"
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        python("1 / 0")


def test_settings_may_be_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "here")
    code = "import os; print(os.environ.get('PLACE'))"
    settings: list[dict[str, str | None]] = [{}, {"PLACE": "there"}, {"PLACE": None}]
    found = [completed("-c", code, **given).stdout for given in settings]
    assert found == ["here\n", "there\n", "None\n"]
