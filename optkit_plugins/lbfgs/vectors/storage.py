"""What can run L-BFGS: four ways of storing its vectors, offered to the selector."""

from __future__ import annotations

from typing import Any

from optkit_core import BucketKey, Offer
from optkit_plugins.lbfgs.vectors.block import Block, ForeachBlock, SingleBlock
from optkit_plugins.lbfgs.vectors.compiled import FusedBlock, unsupported_reason


def _any(algorithm: Any, key: BucketKey, h: Any) -> None:
    return None


def _native(algorithm: Any, key: BucketKey, h: Any) -> str | None:
    return None if key.native else "tensor subclasses are kept one by one"


OFFERS = (
    Offer("fused", vector_class=FusedBlock, unsupported_reason=unsupported_reason),
    Offer("flat", vector_class=Block, unsupported_reason=_native),
    Offer("forloop", vector_class=SingleBlock, unsupported_reason=_any),
    Offer("foreach", vector_class=ForeachBlock, unsupported_reason=_native),
)
"""``flat``: one vector for all parameters of a device and group. ``fused``: the same, with the work
on it compiled to three passes. ``foreach``: the same as ``flat``, with the parameters moved by
multi-tensor operations. ``forloop``: a vector for each parameter."""
