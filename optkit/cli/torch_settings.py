"""What a command changes of torch while it runs, and gives back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_random_state() -> Iterator[None]:
    """Let the caller's generator of the CPU be as it was, should a command run in a notebook."""
    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads.

    Args:
        count: how many.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
