"""Elementwise algorithms: those whose update body looks at one element at a time."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakSet

from optkit_core.errors import DeclarationError, UnavailableError
from optkit_core.layerwise import Layerwise
from optkit_core.step.buckets import Bucket
from optkit_core.step.group_values import GroupValues
from optkit_core.step.step_plan import PlannedBucket
from optkit_core.tracing.trace import trace

_looked_at: WeakSet[type[Elementwise]] = WeakSet()
"""The classes whose bodies have been traced once, to see whether they reduce."""


class Elementwise(Layerwise):
    """Base of algorithms whose update of an element depends on that element alone.

    A subclass declares its hyperparameters and buffers and writes `update`, once, in
    plain tensor methods. for-loop and foreach are interpreters of that body. One that reduces,
    by ``p.norm()`` for example, is refused: derive from `Layerwise` for it.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts.
        foreach: torch's flag; True means ``implementation="foreach"``, False ``"forloop"``.
        maximize: ascend instead of descend.
        differentiable: let autograd record the step; it runs the for-loop.
        capturable: keep step counters on the device, so that a graph can capture the step.
        fused: torch's flag; True means ``implementation="fused"``, False ``"forloop"``.
        implementation: see `Optimizer`.
    """

    is_elementwise: ClassVar[bool] = True
    schema_name: ClassVar[str] = "elementwise"

    def plan_buckets(self, values: GroupValues, is_compiled: bool = False) -> list[PlannedBucket]:
        """Return the buckets of all groups, as `Layerwise` does.

        Args:
            values: the hyperparameters of the groups.
            is_compiled: whether compiled code calls the step.

        Raises:
            DeclarationError: the update body reduces.
        """
        planned = super().plan_buckets(values, is_compiled)
        if planned and type(self) not in _looked_at:
            _require_elementwise(type(self), planned[0].bucket)
            _looked_at.add(type(self))
        return planned


def _require_elementwise(algorithm: type[Elementwise], bucket: Bucket) -> None:
    h, key = bucket.hyperparameters[bucket.groups[0]], bucket.key
    try:
        program, _ = trace(
            algorithm, h, 1.0, buffers=bucket.names, is_new=bucket.is_new, dtype=key.dtype
        )
    except UnavailableError:  # what can't be traced has no kernel either that would rely on it
        return
    if program.reduces:
        raise DeclarationError(
            f"{algorithm.__name__} is Elementwise, and its update body computes one value of many "
            "elements, as norm() and mean() do; derive it from optkit_core.Layerwise."
        )
