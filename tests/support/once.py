"""What is computed once in a test run, by whichever worker of pytest-xdist needs it first."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from typing import TypeVar

import pytest

Value = TypeVar("Value")


def once(folders: pytest.TempPathFactory, name: str, compute: Callable[[], Value]) -> Value:
    """Return what a function has returned to the first worker that called it.

    Args:
        folders: pytest's.
        name: of what is computed, that of a test file for example.
        compute: returns something that can be pickled; not called again where it has returned.
    """
    root = folders.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / f"once-{name}"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            shared.write_bytes(pickle.dumps(compute()))
    value: Value = pickle.loads(shared.read_bytes())
    return value
