"""Elementwise algorithms: those whose update body looks at one element at a time."""

from __future__ import annotations

from typing import ClassVar

from optkit_core.layerwise import Layerwise


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
