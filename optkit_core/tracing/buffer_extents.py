"""Which buffers vary over which dims of their parameter, from the shapes that they declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch

from optkit_core.declaration.buffers import Buffer
from optkit_core.tracing.extent import EXTENTS, Extent, extents_of_shape
from optkit_core.tracing.operations.lookup import UntraceableError

PROBES = ((3, 5, 7), (5, 7), (7,))
"""Shapes of parameters whose buffers are looked at: every size is another one."""


def shaped_inputs(buffers: Mapping[str, Buffer]) -> tuple[tuple[int, Extent], ...]:
    """Return the extents of the buffers that aren't of their parameter's shape.

    Args:
        buffers: the declared ones, in the order of a program's inputs behind ``p`` and ``g``.
    """
    each = {i: buffer_extent(buffer) for i, buffer in enumerate(buffers.values(), start=2)}
    # Of what no kernel is written for, nobody asks over which dims it varies.
    return tuple((i, e) for i, e in each.items() if e is not None and e != Extent.ELEMENT)


def require_extents(buffers: Mapping[str, Buffer]) -> None:
    """Raise where kernels can't walk a buffer.

    Args:
        buffers: the declared ones.

    Raises:
        UntraceableError: one isn't the parameter's shape with ones in place of some dims.
    """
    for name, buffer in buffers.items():
        if buffer_extent(buffer) is None:
            what = "of another shape" if buffer.shape else buffer.kind
            raise UntraceableError(
                "a kernel walks buffers of the parameter's shape, or of that with ones in place "
                f"of some dims, and {name!r} is {what}"
            )


@lru_cache(maxsize=1024)
def buffer_extent(buffer: Buffer) -> Extent | None:
    """Return over which dims of its parameter a buffer varies, None where a kernel can't know."""
    if buffer.rules.is_per_element:
        return Extent.ELEMENT
    possible = set(EXTENTS if buffer.shape else ())
    for whole in PROBES:
        shape = _shape_of(buffer, whole)
        if shape is not None:
            possible &= extents_of_shape(shape, whole)
    return max(possible, default=None)


def _shape_of(buffer: Buffer, whole: Sequence[int]) -> Sequence[int] | None:
    """Return a buffer's shape, None where it can't be that of a parameter with so many dims."""
    try:
        return tuple(buffer.shape_for(torch.empty(whole, device="meta")))
    # The function is a plugin's own, and may ask for dims that this shape hasn't.
    except Exception:
        return None
