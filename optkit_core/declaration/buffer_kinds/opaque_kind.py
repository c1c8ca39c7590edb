"""Buffers that only the algorithm knows: numbers, and lists and dicts of numbers and tensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core.declaration.buffer_kinds.kind import BufferKind

PLAIN = (bool, int, float, complex, type(None), Tensor)


class OpaqueKind(BufferKind):
    """A number, or a list or dict of numbers and tensors, of which nothing is known."""

    name = "opaque"
    shape_rule = "its own"
    dtype_rule = "its own"
    has_own_dtype = True

    def init_complaint(self, init: Any) -> str | None:
        """Return why a buffer can't start from a value, None where it can."""
        if isinstance(init, str) or _is_plain(init):
            return None
        return f"init must be numbers, None, tensors, lists or dicts of such, got {init!r:.40}."


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)
