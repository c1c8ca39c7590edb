"""Bundles: lists of tensors that answer tensor methods with ``torch._foreach_*``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core.implementations.operators import Operators, is_in_place, replaced
from optkit_core.tracing.operations.lookup import FACTORS

REDUCTIONS = {"norm": "norm", "max": "max", "amax": "max"}
"""The whole-tensor reductions that torch has for many tensors, by the method without arguments.

The method of the same name that is given another tensor is another one: ``x.max(y)``.
"""

WITH_TENSOR = frozenset({"add", "mul", "div"})
"""Methods of which torch's multi-tensor operation takes a single tensor as an argument."""

WITH_NUMBERS = frozenset({"add", "sub", "mul", "div", "pow", "clamp_min", "clamp_max"})
"""Methods of which torch's multi-tensor operation takes a number for each tensor."""

REFLECTED = {"add": "__radd__", "sub": "__rsub__", "mul": "__rmul__", "div": "__rtruediv__"}
"""What a tensor's methods are, seen from the argument."""


class Bundle(Operators):
    """Tensors of one device and dtype that one call updates together.

    A method for which torch has no multi-tensor operation is applied tensor by tensor.
    A factor that is itself a tensor (``value=`` and ``alpha=`` take numbers only) is
    multiplied into an argument first, so that nothing waits for the device.

    Args:
        tensors: the list; in-place methods update these very tensors.

    >>> import torch
    >>> pair = Bundle([torch.ones(2), torch.zeros(1)])
    >>> pair.add_(Bundle([torch.ones(2), torch.ones(1)]), alpha=3).tensors
    [tensor([4., 4.]), tensor([3.])]
    """

    takes_over: ClassVar[bool] = False
    """Whether what is computed of it and of other bundles is of its class."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """Wrap a list of tensors."""
        self.tensors = list(tensors)

    def like(self, tensors: Sequence[Tensor]) -> Bundle:
        """Return tensors that have been computed of these."""
        return Bundle(tensors)

    def beside(self, other: Bundle) -> Bundle:
        """Return another bundle as one of this class."""
        return other

    @property
    def dtype(self) -> torch.dtype:
        """What all of the tensors have."""
        return self.tensors[0].dtype

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply a tensor method to every tensor of the bundle."""
        for argument in arguments if not self.takes_over else ():
            if isinstance(argument, Bundle) and argument.takes_over:
                return argument.beside(self).apply(method, *arguments, **keywords)
        if method in ("numel", "size"):
            return self._sizes(method, arguments, keywords)
        keyword = FACTORS.get(method.removesuffix("_"), "")
        if keyword in keywords:
            arguments, keywords = _with_factor(keyword, keywords[keyword], arguments)
        elif method in ("add", "add_") and isinstance(arguments[0], Tensor):
            keywords = {"alpha": 1}  # without it torch takes the tensor's number, and waits
        operation = (
            None
            if self._is_rounded_early(method, arguments)
            else (self.multi_tensor_operation(method, arguments))
        )
        # Other arguments aren't always called there as they are in the tensor method.
        if operation is None or keywords.keys() - {keyword} or _differ(keywords):
            results = self._one_by_one(method, arguments, keywords)
        else:
            results = operation(self.tensors, *map(_unwrap, arguments), **keywords)
        return self if is_in_place(method) else self.like(results)

    @classmethod
    def call(
        cls, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function of torch with the tensors at each index.

        Args:
            function: ``torch.where``, for example.
            arguments: its positional arguments.
            keywords: its keyword arguments.
        """
        reflected = REFLECTED.get(function.__name__)
        if reflected and len(arguments) == 2 and not keywords:
            return getattr(arguments[1], reflected)(arguments[0])
        given = (*arguments, *keywords.values())
        count = next(len(value.tensors) for value in given if isinstance(value, Bundle))
        return Bundle(
            [function(*_at(arguments, i), **_at(keywords, i)) for i in range(count)],
        )

    def __rpow__(self, base: Any) -> Any:
        if isinstance(base, Tensor):
            return self.apply("__rpow__", base)
        # As a base torch takes a number only; above it goes tensor by tensor.
        return self.like(torch._foreach_pow(base, self.tensors))

    def multi_tensor_operation(
        self, method: str, arguments: Sequence[Any]
    ) -> Callable[..., Any] | None:
        """Return torch's multi-tensor operation for a method with these arguments, if it has one.

        Args:
            method: of a tensor.
            arguments: by position.
        """
        if method in REDUCTIONS:
            return None if arguments else getattr(torch, f"_foreach_{REDUCTIONS[method]}")
        has_tensor = any(isinstance(argument, Tensor) for argument in arguments)
        if has_tensor and method.removesuffix("_") not in WITH_TENSOR:
            return None
        has_sizes = any(isinstance(argument, Sizes) for argument in arguments)
        if has_sizes and method.removesuffix("_") not in WITH_NUMBERS:
            return None
        return getattr(torch, f"_foreach_{method}", None)

    def _is_rounded_early(self, method: str, arguments: Sequence[Any]) -> bool:
        """Return whether torch's multi-tensor operation rounds a factor that its method doesn't.

        In float16 on CPU that of 0.999 is off by 3e-5.
        """
        is_scaled = method in ("mul", "mul_") and isinstance(arguments[0], (int, float))
        return is_scaled and self.tensors[0].dtype == torch.float16 and self.tensors[0].is_cpu

    def _sizes(self, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Sizes:
        """Return sizes, which are numbers of the host: no device is asked."""
        sizes = self._one_by_one(method, arguments, keywords)
        return Sizes(torch.tensor(sizes, dtype=torch.float64, device="cpu").unbind())

    def _one_by_one(
        self, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> list[Tensor]:
        return [
            getattr(tensor, method)(*_at(arguments, i), **_at(keywords, i))
            for i, tensor in enumerate(self.tensors)
        ]


class Sizes(Bundle):
    """Numbers, one for each tensor of a bundle, and what is computed of them and of others.

    Beside a tensor they are what Python's numbers are: they don't widen its dtype.
    """

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply a tensor method to the numbers."""
        result = super().apply(method, *arguments, **keywords)
        is_alone = all(isinstance(a, Sizes) for a in arguments if isinstance(a, Bundle))
        return Sizes(result.tensors) if is_alone else result

    @property
    def numbers(self) -> list[float]:
        """The numbers, as Python's."""
        return [tensor.item() for tensor in self.tensors]


def _with_factor(
    keyword: str, factor: Any, arguments: tuple[Any, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # On the host nothing is waited for, and a multiplication of every tensor is saved.
    if isinstance(factor, Tensor) and factor.is_cpu:
        return arguments, {keyword: factor.item()}
    if isinstance(factor, Bundle) and all(value.is_cpu for value in factor.tensors):
        return arguments, {keyword: factor}
    if isinstance(factor, (Tensor, Bundle)):
        return (arguments[0] * factor, *arguments[1:]), {}
    return arguments, {keyword: factor}


def _differ(keywords: Mapping[str, Any]) -> bool:
    """Return whether each tensor has a factor of its own."""
    return any(isinstance(value, Bundle) for value in keywords.values())


def _unwrap(value: Any) -> Any:
    if isinstance(value, Sizes):
        return value.numbers
    return value.tensors if isinstance(value, Bundle) else value


def _at(values: Any, index: int) -> Any:
    """Return positional or keyword arguments with each bundle's tensor at an index."""
    return replaced(values, lambda v: _element(v, index) if isinstance(v, Bundle) else v)


def _element(value: Bundle, index: int) -> Any:
    tensor = value.tensors[index]
    return tensor.item() if isinstance(value, Sizes) else tensor
