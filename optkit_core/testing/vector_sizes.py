"""Sizes around those of vector registers, and layouts: nobody misses a tail or a stride."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.problems import random
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.subject import Subject

SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33)
"""One less and one more than whole registers of four to sixteen numbers."""

STEPS = 3

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t,
    "with gaps": lambda t: t.repeat_interleave(2, -1)[..., ::2],
    "transposed": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
    "off its memory's start": lambda t: t.new_zeros(t.numel() + 3)[3:].view_as(t).copy_(t),
}
"""Ways in which parameters and gradients lie in memory."""


def vector_sizes(subject: Subject) -> None:
    """Compare implementations over all sizes and layouts, of parameters and of gradients.

    Raises:
        NotApplicableError: there is one implementation, or one that asks for a loss.
    """
    require_drawn_gradients(subject)
    first, *others = subject.implementations
    for layout in LAYOUTS:
        reference = _trajectory(subject, first, layout)
        for name in others:
            with prefix_failures(f"{name} differs from {first} on parameters {layout}"):
                _trajectory(subject, name, layout).assert_agrees(reference, subject)


def require_drawn_gradients(subject: Subject) -> None:
    """Raise unless implementations can be compared on gradients that are drawn.

    Raises:
        NotApplicableError: there is one implementation, or one that asks for a loss.
    """
    if len(subject.implementations) < 2:
        raise NotApplicableError(f"only {subject.implementations[0]} runs here")
    if subject.requires_closure:
        raise NotApplicableError("its steps follow a loss, not gradients that are drawn")


def _trajectory(subject: Subject, name: str, layout: str) -> Snapshot:
    params = [LAYOUTS[layout](p) for p in _parameters(subject)]
    optimizer = subject.optimizer(params, name)
    kinds = list(LAYOUTS.values())
    for number in range(STEPS):
        for position, p in enumerate(params):
            g = random(p.shape, p.dtype, position, number, 7).to(p.device)
            if p.dtype.itemsize == 2:
                g += g.sign() * 0.25  # as in `problems.gradient`: squares aren't to be lost
            g = kinds[(position + number) % len(kinds)](g)
            p.grad = g if subject.takes_dense else g.to_sparse()
        optimizer.step()
    return Snapshot.of(optimizer)


def _parameters(subject: Subject) -> list[Tensor]:
    """Return a parameter of each size, in as few dimensions as the algorithm allows."""
    dims = subject.algorithm.parameter_dims
    fewest = max(1, subject.min_dim)
    dim = fewest if dims is None else min(d for d in dims if d >= fewest)
    return [
        random((size, *[3] * (dim - 1)), subject.dtype, size).to(subject.device) for size in SIZES
    ]
