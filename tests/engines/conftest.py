"""What ranks found under torch's engines: one start of two, and one of four, for all tests."""

from __future__ import annotations

from functools import partial
from typing import Any

import engines
import pytest
from once import once
from processes import on_ranks

Found = list[dict[str, Any]]


@pytest.fixture(scope="session")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each of two ranks returned, by the functions' names."""
    return _found(2, tmp_path_factory)


@pytest.fixture(scope="session")
def on_four(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each of four ranks returned, by the functions' names."""
    return _found(4, tmp_path_factory)


def _found(count: int, folders: pytest.TempPathFactory) -> Found:
    """Return what ranks find."""
    folder = folders.mktemp("ranks")
    found = partial(on_ranks, engines.found, count, folder)
    return once(folders, f"engines{count}", found)
