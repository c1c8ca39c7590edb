"""Clocks: the device's own, and those of a CPU that stands in for one where there is none."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch

FIRST_SLEEP, LONGEST_SLEEP = 2_000_000, 2_000_000_000
"""Clock cycles, a millisecond and a second on a recent device."""

Call = Callable[[], Any]


class Times(NamedTuple):
    """Seconds of one call on a device that has nothing else to do.

    Args:
        step: until the device has done it.
        host: until the call returns.
    """

    step: float
    host: float


class Clock(Protocol):
    """What times a call on a device."""

    device: torch.device
    name: str

    def timed(self, call: Call) -> Times:
        """Return the times of one call, from a device that does nothing."""

    def busy(self, call: Call) -> float | None:
        """Return how long the device works, the host being ahead; None if it never is."""


class Gpu:
    """The current NVIDIA GPU, timed by events."""

    def __init__(self) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device())
        self.name = torch.cuda.get_device_name(self.device)

    def timed(self, call: Call) -> Times:
        start, end = _event(), _event()
        torch.cuda.synchronize()
        start.record()
        before = time.perf_counter()
        call()
        host = time.perf_counter() - before
        end.record()
        end.synchronize()
        return Times(start.elapsed_time(end) / 1e3, host)

    def busy(self, call: Call) -> float | None:
        """Let the device sleep until the host has handed over all of the call's work."""
        cycles = FIRST_SLEEP
        while cycles <= LONGEST_SLEEP:
            start, end = _event(), _event()
            torch.cuda.synchronize()
            torch.cuda._sleep(cycles)
            start.record()
            call()
            end.record()
            is_ahead = not start.query()
            end.synchronize()
            if is_ahead:
                return float(start.elapsed_time(end)) / 1e3
            cycles *= 4
        return None


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)


class StandIn:
    """The CPU, which shows that everything runs; its times say nothing."""

    device = torch.device("cpu")
    name = "no GPU; the CPU stands in for one"

    def timed(self, call: Call) -> Times:
        before = time.perf_counter()
        call()
        return Times(*[time.perf_counter() - before] * 2)

    def busy(self, call: Call) -> float | None:
        return self.timed(call).step


@contextmanager
def stand_in() -> Iterator[Clock]:
    """Have the CPU stand in for a GPU, its kernels in Triton's interpreter if that is on.

    The interpreter's repairs lie beside the tests, whose folder has to be on Python's path.
    """
    import interpreted
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        if not interpreted.IS_ON:
            yield StandIn()
            return
        with contextmanager(interpreted.standing_in)(patch):
            yield StandIn()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep Python's garbage collector from running in the middle of a call."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
