"""The norm of the gradients in a progress bar, for every optimizer that steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

import optkit_core


class Bar(Protocol):
    """A progress bar, one of tqdm's for example."""

    def set_postfix(self, *, grad_norm: str) -> Any:
        """Show something behind the bar."""


_bars: list[Bar] = []


@contextmanager
def shown_in(bar: Bar) -> Iterator[None]:
    """Show the norm of all gradients in a bar before each step in the block.

    Args:
        bar: what shows it.
    """
    _bars.append(bar)
    try:
        yield
    finally:
        _bars.remove(bar)


@optkit_core.hookimpl
def optkit_before_step(optimizer: torch.optim.Optimizer) -> None:
    """Compute the norm, where a bar is there to show it."""
    if not _bars:
        return
    params = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.get_total_norm([p.grad for p in params if p.grad is not None])
    for bar in _bars:
        bar.set_postfix(grad_norm=f"{float(norm):.3g}")
