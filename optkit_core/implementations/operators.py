"""Operators: what a body writes as ``a + b`` reaches an interpreter as the method ``add``.

So does ``torch.add(a, b)``: a function of torch that is a tensor method too is that method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor

METHODS_OF_OPERATORS = {
    "__neg__": "neg",
    "__abs__": "abs",
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add_",
    "__sub__": "sub",
    "__isub__": "sub_",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__imul__": "mul_",
    "__truediv__": "div",
    "__itruediv__": "div_",
    "__floordiv__": "floor_divide",
    "__mod__": "remainder",
    "__pow__": "pow",
    "__rpow__": "__rpow__",
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
    "__eq__": "eq",
    "__ne__": "ne",
    "__invert__": "bitwise_not",
    "__and__": "bitwise_and",
    "__or__": "bitwise_or",
}
"""The tensor method that each of Python's operators is."""


class Operators:
    """Base of the interpreters' values: every operator is a call of `apply`.

    A subclass defines ``apply(method, *arguments, **keywords)``, and `call` for functions
    of torch that aren't methods of their first argument; reflected operators with a number
    on the left come in a form that tensor methods have.
    """

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply the tensor method of that name to this value."""
        raise AttributeError(method)

    @classmethod
    def call(
        cls, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function of torch with values among its arguments.

        Args:
            function: ``torch.where``, for example.
            arguments: its positional arguments.
            keywords: its keyword arguments.
        """
        return NotImplemented

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Iterable[type],
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Answer torch, which found one of these values among a function's arguments."""
        if arguments and isinstance(arguments[0], cls) and _is_method(function):
            return arguments[0].apply(function.__name__, *arguments[1:], **(keywords or {}))
        return cls.call(function, arguments, keywords or {})

    def __getattr__(self, method: str) -> Any:
        """Return a tensor method that has been added since this module was imported."""
        if method.startswith("__") or not callable(getattr(Tensor, method, None)):
            raise AttributeError(
                f"an update body can use tensor methods, and {method!r} isn't one; a value "
                "here may stand for many tensors, so it has no shape, dtype or device."
            )
        return partial(self.apply, method)

    def __bool__(self) -> bool:
        raise TypeError(
            "an update body can't branch on tensors, since one call may update many of them; "
            "branch on h and t, or use where(), maximum() and the like."
        )

    def __rsub__(self, other: Any) -> Any:
        # In place, since the first method has made a value of its own.
        return self.apply("neg").apply("add_", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.apply("reciprocal").apply("mul_", other)

    __hash__ = object.__hash__


@overload
def replaced(values: Mapping[str, Any], unwrap: Callable[[Any], Any]) -> dict[str, Any]: ...


@overload
def replaced(values: Sequence[Any], unwrap: Callable[[Any], Any]) -> list[Any]: ...


def replaced(values: Any, unwrap: Callable[[Any], Any]) -> Any:
    """Return positional or keyword arguments with each one unwrapped.

    Args:
        values: a sequence of arguments, or a dict of keyword arguments.
        unwrap: what is done to each argument.
    """
    if isinstance(values, Mapping):
        return {name: unwrap(value) for name, value in values.items()}
    return [unwrap(value) for value in values]


def is_in_place(method: str) -> bool:
    """Return whether a tensor method updates its tensor."""
    return method.endswith("_") and not method.endswith("__")


def _is_method(function: Callable[..., Any]) -> bool:
    """Return whether a function of torch is a method of its first argument too.

    ``torch.where`` isn't: its first argument is the condition, that of the method a value.
    """
    name = function.__name__
    method = getattr(Tensor, name, None)
    same = function in (method, getattr(torch, name, None))
    return same and method is not None and function is not torch.where


def _tensor_method(name: str) -> Callable[..., Any]:
    def method(value: Operators, /, *arguments: Any, **keywords: Any) -> Any:
        return value.apply(name, *arguments, **keywords)

    return method


# All at once, and not each when it is first used: a compiler may be tracing that use, and not
# every release of torch lets it change a class.
for _name in dir(Tensor):
    if not _name.startswith("__") and callable(getattr(Tensor, _name)):
        setattr(Operators, _name, _tensor_method(_name))
for _operator, _name in METHODS_OF_OPERATORS.items():
    setattr(Operators, _operator, _tensor_method(_name))
