"""Layer-wise algorithms: one update body, run by whichever implementation is chosen."""

from __future__ import annotations

from typing import Any, ClassVar

from optkit_core import implementations
from optkit_core.body_optimizer import BodyOptimizer
from optkit_core.declaration.fields import option
from optkit_core.declaration.ranges import boolean, one_of
from optkit_core.deprecation import warn_of_former_name
from optkit_core.selection.offer import Offer

BOOLEAN = boolean()
FLAG = one_of(None, True, False)


class Layerwise(BodyOptimizer):
    """Base of algorithms whose update of a parameter depends on that parameter alone.

    A subclass declares its hyperparameters and buffers and writes `update`, once, in
    plain tensor methods. for-loop and foreach are interpreters of that body. It may reduce
    over its parameter, by ``p.norm()`` or ``g.square().mean(dim=-1, keepdim=True)`` for
    example; where it doesn't, derive from `Elementwise`.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts.
        foreach: torch's flag; True means ``implementation="foreach"``, False ``"forloop"``.
        maximize: ascend instead of descend.
        differentiable: let autograd record the step; it runs the for-loop.
        capturable: keep step counters on the device, so that a graph can capture the step.
        fused: torch's flag; True means ``implementation="fused"``, False ``"forloop"``.
        implementation: see `Optimizer`.
    """

    offers: ClassVar[tuple[Offer, ...]] = implementations.ELEMENTWISE

    foreach: bool | None = option(
        default=None,
        range=FLAG,
        doc="torch's flag for foreach",
        kw_only=True,
        by_position=True,
        role="request",
    )
    maximize: bool = option(default=False, range=BOOLEAN, doc="ascend", kw_only=True, role="step")
    differentiable: bool = option(
        default=False,
        range=BOOLEAN,
        doc="record the step for autograd",
        kw_only=True,
        role="step",
    )
    capturable: bool = option(
        default=False, range=BOOLEAN, doc="can be captured in a graph", kw_only=True, role="step"
    )
    fused: bool | None = option(
        default=None, range=FLAG, doc="torch's flag for fused", kw_only=True, role="request"
    )

    @classmethod
    def steps_parts(cls) -> bool:
        """Return whether each rank can step what it holds of a DTensor."""
        return True

    @classmethod
    def completes_reductions(cls) -> bool:
        """Return whether what a part is reduced to has to be completed over the mesh."""
        # What a part contributes to a total is such a reduction.
        return not cls.is_elementwise or getattr(cls, "measuring", None) is not None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read the declarations, and take `unsupported_reason` under its name of before."""
        super().__init_subclass__(**keywords)
        if "refuse" in vars(cls):
            warn_of_former_name("Elementwise.refuse", f"{cls.__name__}.refuse")
            cls.unsupported_reason = vars(cls)["refuse"]  # type: ignore[method-assign]
