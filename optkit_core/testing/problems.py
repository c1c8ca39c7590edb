"""The problem: parameters of awkward sizes and layouts, and gradients that are laid out otherwise.

Nothing depends on what was drawn before, so that any step can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.testing.comparisons import is_same

# Every other column, and 33 elements from the sixth on: an address no vector load is aligned to.
VIEWS: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {
    (9, 20): lambda memory: memory[:, 1::2],
    (40,): lambda memory: memory[5:38],
}
"""Parameters that are a part of their memory, by the shape of the whole."""

LAID_OUT: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {
    (7, 9): lambda tensor: tensor.t(),
    (2, 3, 4, 5): lambda tensor: tensor.to(memory_format=torch.channels_last),
}
"""Parameters whose elements don't lie in the order of their indices, by shape."""

SPECIAL = (31,)
"""The shape of the parameter whose gradient begins with values that aren't finite."""

SHAPES: tuple[tuple[int, ...], ...] = (
    *((0,), (1,), SPECIAL, (33, 5), (63,), (64,), (65,)),
    *(*LAID_OUT, *VIEWS, (5, 6), (0, 4), (), (1, 1)),
    *((33, 5), (33, 5), (5, 6), (7, 9)),
)
"""Sizes around those of vector registers, what has no element or no dimension, and equal ones."""

GUARD = 77.0
"""What stands in memory around the parameters that are views."""


def random(shape: Sequence[int], dtype: torch.dtype, *seeds: int) -> Tensor:
    """Return normally distributed values that depend on the seeds alone.

    Args:
        shape: the sizes.
        dtype: real or complex; drawn in double precision and rounded.
        *seeds: whole numbers below 1009.
    """
    # A prime above every seed, so that different seeds add up to different numbers.
    seed = sum(seed * 1009**power for power, seed in enumerate(seeds, start=1))
    # On the CPU, so that every device is given the same problem.
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_complex:
        return torch.randn(shape, generator=generator, dtype=torch.complex128).to(dtype)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


class GuardedParameters:
    """Parameters of every layout, some of them views into memory that is to stay as it is.

    Args:
        dtype: of the parameters.
        device: of the parameters.
        shapes: those of them; some of `SHAPES`, in their order.
    """

    def __init__(
        self,
        dtype: torch.dtype,
        device: torch.device,
        shapes: Sequence[tuple[int, ...]] = SHAPES,
    ) -> None:
        """Draw the values."""
        self.params: list[Tensor] = []
        self._views: list[tuple[Tensor, Tensor]] = []
        for seed, shape in enumerate(shapes):
            self._add(random(shape, dtype, seed).to(device))
        self._before = [memory.clone() for memory, _ in self._views]

    def _add(self, drawn: Tensor) -> None:
        shape = tuple(drawn.shape)
        if shape not in VIEWS:
            self.params.append(LAID_OUT.get(shape, torch.Tensor.contiguous)(drawn))
            return
        memory = torch.full_like(drawn, GUARD)
        view = VIEWS[shape](memory).copy_(VIEWS[shape](drawn))
        self.params.append(view)
        self._views.append((memory, view))

    def assert_untouched_around(self) -> None:
        """Assert that nothing was written beside the views."""
        for (memory, view), before in zip(self._views, self._before, strict=True):
            geometry = view.shape, view.stride(), view.storage_offset()
            before.as_strided(*geometry).copy_(view)
            assert is_same(before, memory), "wrote outside its parameters' memory"


def is_missing(position: int, number: int) -> bool:
    """Return whether a parameter has no gradient in a step; in one step none has.

    Args:
        position: of the parameter.
        number: of the step, from 0.
    """
    # Step 3 is empty for all: it must neither count nor fail.
    return number == 3 or (number + position) % 5 == 4


def gradient(p: Tensor, position: int, number: int) -> Tensor:
    """Return a parameter's gradient in a step.

    In half precision none is near zero, where its square would be lost in the for-loop alone.

    Args:
        p: the parameter.
        position: which of the optimizer's it is.
        number: of the step, from 0.
    """
    g = random(p.shape, p.dtype, position, number, 1).to(p.device)
    # float16's smallest number is 6e-8, so squares of less than 2.5e-4 are lost.
    if p.dtype.itemsize == 2:
        g += g.sign() * 0.25
    if p.shape == SPECIAL and p.dtype in (torch.float32, torch.float64):
        tiny = torch.finfo(p.dtype).tiny
        # tiny / 2 is denormal; the square of 1e30 overflows float32.
        special = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, tiny / 2, 1e30, -1e30]
        g[: len(special)] = torch.tensor(special, dtype=p.dtype)
    layouts = LAYOUTS_COMPLEX if p.is_complex() else LAYOUTS
    return layouts[(position + number) % len(layouts)](g, p)


def _with_gaps(g: Tensor, p: Tensor) -> Tensor:
    # A kernel that ignores strides takes every other gradient from the guard, and is far off.
    wide = torch.full((*g.shape, 2), GUARD, dtype=g.dtype, device=g.device)
    return wide[..., 0].copy_(g)


def _transposed(g: Tensor, p: Tensor) -> Tensor:
    return g.movedim(0, -1).contiguous().movedim(-1, 0) if g.dim() else g


def _expanded(g: Tensor, p: Tensor) -> Tensor:
    """Return the first values of the last dimension, all over it, in the memory of one."""
    return g[..., -1:].expand_as(g) if g.numel() and g.dim() else g


LAYOUTS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda g, p: g,
    lambda g, p: torch.empty_like(p).copy_(g),
    _with_gaps,
    _transposed,
    _expanded,
)
LAYOUTS_COMPLEX: Any = (*LAYOUTS, lambda g, p: g.conj())
"""Ways in which a gradient lies that isn't laid out as its parameter is."""
