"""Memory growth: steps after the first few keep nothing that they make."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import torch
from torch import Tensor

from optkit_core.optimizer import Optimizer
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.stepping import closure_for
from optkit_core.testing.subject import Subject

WARM_UP, STEPS = 10, 50
"""Steps after which everything is allocated, and how many follow."""


@attrs.frozen
class LiveTensors:
    """What lives of tensors in this process, without what was frozen.

    Args:
        count: how many there are.
        size: of the memory behind them, in bytes.
    """

    count: int
    size: int

    @classmethod
    def now(cls) -> LiveTensors:
        """Return what lives after a collection of garbage."""
        gc.collect()
        # By type: isinstance() would ask objects of any library for their class.
        found = [item for item in gc.get_objects() if issubclass(type(item), Tensor)]
        plain = [t for t in found if type(t) is Tensor and t.layout == torch.strided]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in plain}
        return cls(len(found), sum(storages.values()))


def memory(subject: Subject) -> None:
    """Count the tensors that live after some steps, and again after many more."""
    for name in subject.implementations:
        with _only_what_is_new():
            own = _growth(subject, name)
        assert own.count <= 0 and own.size <= 0, (
            f"{name}: {STEPS} steps leave {own.count} tensors of {own.size} bytes behind"
        )


@contextmanager
def _only_what_is_new() -> Iterator[None]:
    """Let the garbage collector pass over all objects that there are already.

    To look at each of them takes longer than all of these steps.
    """
    was_frozen = gc.get_freeze_count() > 0
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()


def _growth(subject: Subject, name: str) -> LiveTensors:
    """Return by how much more lives after many steps than after a few."""
    optimizer = subject.optimizer(small_parameters(subject), name)
    _step(subject, optimizer, WARM_UP)
    before = LiveTensors.now()
    _step(subject, optimizer, STEPS)
    after = LiveTensors.now()
    return LiveTensors(after.count - before.count, after.size - before.size)


def _step(subject: Subject, optimizer: Optimizer, count: int) -> None:
    """Take steps along the gradients of one closure, which is let go."""
    closure = closure_for(subject, optimizer, 0)
    for _ in range(count):
        if subject.requires_closure:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    for p in closure.params:
        p.grad = None
