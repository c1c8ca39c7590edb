"""What can run L-BFGS: four ways of storing its vectors, offered to the selector."""

from __future__ import annotations

from typing import Any

from optkit_core import Kind, Offer
from optkit_plugins.lbfgs.vectors.block import Block, ForeachBlock, SingleBlock
from optkit_plugins.lbfgs.vectors.compiled import FusedBlock, refuse


def _any(algorithm: Any, kind: Kind, h: Any) -> str:
    return ""


def _native(algorithm: Any, kind: Kind, h: Any) -> str:
    return "" if kind.native else "tensor subclasses are kept one by one"


OFFERS = (
    Offer("fused", FusedBlock, refuse),
    Offer("flat", Block, _native, ahead_of=frozenset({"forloop", "foreach"})),
    Offer("forloop", SingleBlock, _any),
    Offer("foreach", ForeachBlock, _native),
)
"""``flat``: one vector for all parameters of a device and group. ``fused``: the same, with the work
on it compiled to three passes. ``foreach``: the same as ``flat``, with the parameters moved by
multi-tensor operations. ``forloop``: a vector for each parameter."""
