"""What can run L-BFGS: four ways of storing its vectors, offered to the selector."""

from __future__ import annotations

from typing import Any

import attrs
import torch

from optkit_core import BucketKey, Offer
from optkit_plugins.lbfgs.vectors.block import DIRECTION, START, Block
from optkit_plugins.lbfgs.vectors.compiled_block import (
    FusedBlock,
    impossible_reason,
    unsupported_reason,
)
from optkit_plugins.lbfgs.vectors.own_gradients import real


@attrs.define(eq=False)
class SingleBlock(Block):
    """A block of one parameter."""


@attrs.define(eq=False)
class ForeachBlock(Block):
    """A block whose parameters are moved by multi-tensor operations."""

    def move(self, length: float) -> None:
        r"""Put the parameters at :math:`x + t\,\sigma d`, with :math:`x` the start."""
        params = [real(p) for p in self.params]
        # The start was copied from the parameters, so this way back rounds nothing.
        torch._foreach_copy_(params, self.views(START))
        torch._foreach_add_(params, self.views(DIRECTION), alpha=length * self.scale)

    def save(self) -> None:
        """Copy the parameters into the start."""
        torch._foreach_copy_(self.views(START), [real(p) for p in self.params])

    def restore(self) -> None:
        """Put the parameters back to the start, bit for bit."""
        torch._foreach_copy_([real(p) for p in self.params], self.views(START))


def _any(algorithm: Any, key: BucketKey, h: Any) -> None:
    return None


def _native(algorithm: Any, key: BucketKey, h: Any) -> str | None:
    return None if key.native else "tensor subclasses are kept one by one"


OFFERS = (
    Offer(
        "fused",
        vector_class=FusedBlock,
        unsupported_reason=unsupported_reason,
        impossible_reason=impossible_reason,
    ),
    Offer(
        "flat",
        vector_class=Block,
        unsupported_reason=_native,
        ahead_of=frozenset({"forloop", "foreach"}),
    ),
    Offer("forloop", vector_class=SingleBlock, unsupported_reason=_any),
    Offer("foreach", vector_class=ForeachBlock, unsupported_reason=_native),
)
"""``flat``: one vector for all parameters of a device and group. ``fused``: the same, with the work
on it compiled to three passes. ``foreach``: the same as ``flat``, with the parameters moved by
multi-tensor operations. ``forloop``: a vector for each parameter."""
