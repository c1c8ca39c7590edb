"""Python's garbage collector, kept from looking for garbage where there can be none."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector from running; for a while in which many objects come and none goes.

    It runs whenever enough new objects have come into being, and looks through all objects of
    the process: for the state of 16,000 parameters beside 500,000 objects it took as long as
    the copying itself. If the collector is off already, it stays off.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
