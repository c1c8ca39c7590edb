"""Saves states one after the other until it is killed, by somebody else or at a call of its own.

State n is full of n.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import optkit

SIZE = 40_000


def numbered(number: int) -> Any:
    """Return an optimizer whose state and groups all say `number`."""
    params = [torch.nn.Parameter(torch.zeros(SIZE)), torch.nn.Parameter(torch.zeros(3))]
    optimizer = torch.optim.SGD(params, lr=float(number), momentum=0.9)
    for p in params:
        optimizer.state[p]["momentum_buffer"] = torch.full_like(p, float(number))
    return optimizer


def save_for_ever(path: Path, first: int, killed_at: int | None, say: Callable[[int], Any]) -> None:
    """Save state after state, and say so once each is there.

    Args:
        path: the file.
        first: the number of the first state.
        killed_at: after the first state, the call of a function of C's at which to be killed.
        say: told the number of each.
    """
    optkit.save(numbered(first), path)
    say(first)
    with counted(lambda call: call == killed_at and os.kill(os.getpid(), signal.SIGKILL)):
        for number in itertools.count(first + 1):
            optkit.save(numbered(number), path)
            say(number)


def calls_to_save(path: Path) -> int:
    """Return how many calls of C's functions a save takes."""
    calls = [0]
    with counted(lambda call: calls.append(call)):
        optkit.save(numbered(0), path)
    return calls[-1]


@contextmanager
def counted(at: Callable[[int], Any]) -> Iterator[None]:
    """Call `at` with the number of each call of a function that isn't Python's."""
    count = itertools.count()

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "c_call":
            at(next(count))

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
