"""What ranks found under torch's engines: one start of two, and one of four, for all tests."""

from __future__ import annotations

import fcntl
import os
import pickle
from typing import Any

import engines
import pytest
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
    """Return what ranks find; of the workers of pytest-xdist one starts them, for all."""
    root = folders.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / f"engines{count}"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            folder = folders.mktemp("ranks")
            shared.write_bytes(pickle.dumps(on_ranks(engines.found, count, folder, may_hold=True)))
    found: Found = pickle.loads(shared.read_bytes())
    return found
