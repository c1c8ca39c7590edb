"""Memory growth: steps after the first few keep nothing that they make."""

from __future__ import annotations

import gc
from collections.abc import Sequence

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
    """What lives of tensors in this process.

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
    # All at once: to look at every object takes longer than all of these steps.
    growth = _growth(subject, subject.implementations)
    if growth.count <= 0 and growth.size <= 0:
        return
    for name in subject.implementations:
        own = _growth(subject, [name])
        assert own.count <= 0 and own.size <= 0, (
            f"{name}: {STEPS} steps leave {own.count} tensors of {own.size} bytes behind"
        )


def _growth(subject: Subject, names: Sequence[str]) -> LiveTensors:
    """Return by how much more lives after many steps than after a few."""
    optimizers = [subject.optimizer(small_parameters(subject), name) for name in names]
    for optimizer in optimizers:
        _step(subject, optimizer, WARM_UP)
    before = LiveTensors.now()
    for optimizer in optimizers:
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
