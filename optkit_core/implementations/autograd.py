"""Recorded tensors: the update body under autograd, for ``differentiable=True``.

An in-place method could overwrite what autograd saved for the backward pass: that of
``x.sqrt().add_(eps)`` does, and so does a buffer's update in the next step. On a value
that may be replaced, the method without the underscore has the same effect. Only the
parameter itself has to stay the same tensor.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core.implementations.operators import Operators, is_in_place, replaced
from optkit_core.tracing.operations.lookup import FACTORS


class Recorded(Operators):
    """A tensor inside a differentiable step."""

    def __init__(self, tensor: Tensor, replaceable: bool = False) -> None:
        """Wrap a tensor; `replaceable` says that another may take its place."""
        self.tensor = tensor
        self.replaceable = replaceable

    @property
    def dtype(self) -> torch.dtype:
        """The tensor's."""
        return self.tensor.dtype

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply a tensor method, out of place where the tensor may be replaced."""
        plain, named = replaced(arguments, _unwrap), replaced(keywords, _unwrap)
        plain, named = _with_factor(method, plain, named)
        in_place = is_in_place(method)
        if not (in_place and self.replaceable):
            result = getattr(self.tensor, method)(*plain, **named)
            if in_place:
                return self
            # A size is a number.
            is_tensor = isinstance(result, Tensor)
            return Recorded(result, replaceable=True) if is_tensor else result
        if hasattr(Tensor, method[:-1]):
            self.tensor = getattr(self.tensor, method[:-1])(*plain, **named)
        else:
            # `copy_` and `fill_`, for example, exist in place only.
            self.tensor = getattr(self.tensor.clone(), method)(*plain, **named)
        return self

    @classmethod
    def call(cls, function: Any, arguments: Any, keywords: Any) -> Any:
        """Call a function of torch with the tensors.

        Args:
            function: of torch.
            arguments: by position, recorded tensors among them.
            keywords: by name.
        """
        result = function(*replaced(arguments, _unwrap), **replaced(keywords, _unwrap))
        return Recorded(result, replaceable=True)


def shown_to_autograd(number: Tensor) -> Any:
    """Return a number as it is, or as what a gradient goes through where it has one.

    Args:
        number: a tensor of one element.
    """
    return Recorded(number, replaceable=True) if number.requires_grad else number.item()


def as_tensor(number: Any, like: Tensor) -> Tensor:
    """Return what `shown_to_autograd` has made of a number, or a body of that, as a tensor.

    Args:
        number: a float or a recorded tensor.
        like: what has its dtype and device.
    """
    return number.tensor if isinstance(number, Recorded) else torch.full_like(like, number)


def _with_factor(method: str, plain: Any, named: Any) -> tuple[Any, Any]:
    """Multiply a factor that has a gradient into an argument: a number passes none on."""
    keyword = FACTORS.get(method.removesuffix("_"), "")
    factor = named.get(keyword)
    if not (isinstance(factor, Tensor) and factor.requires_grad):
        return plain, named
    return [plain[0] * factor, *plain[1:]], {k: v for k, v in named.items() if k != keyword}


def _unwrap(value: Any) -> Any:
    return value.tensor if isinstance(value, Recorded) else value
