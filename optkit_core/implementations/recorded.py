"""Recorded tensors: the update body under autograd, for ``differentiable=True``.

An in-place method on an intermediate result could overwrite what autograd saved for the
way back (``x.sqrt().add_(eps)`` does). Such a result is nobody else's, so the method
without the underscore has the same effect. Parameters and buffers stay in place.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core.implementations.operators import Operators


class Recorded(Operators):
    """A tensor inside a differentiable step."""

    def __init__(self, tensor: Tensor, intermediate: bool = False) -> None:
        """Wrap a tensor; `intermediate` says that the body itself has made it."""
        self.tensor = tensor
        self.intermediate = intermediate

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply a tensor method, out of place on an intermediate result."""
        plain = [_unwrap(argument) for argument in arguments]
        named = {key: _unwrap(value) for key, value in keywords.items()}
        in_place = method.endswith("_")
        if not (in_place and self.intermediate):
            result = getattr(self.tensor, method)(*plain, **named)
            return self if in_place else Recorded(result, intermediate=True)
        self.tensor = getattr(self.tensor, method[:-1])(*plain, **named)
        return self


def _unwrap(value: Any) -> Any:
    return value.tensor if isinstance(value, Recorded) else value
