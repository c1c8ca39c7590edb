"""Operators: what a body writes as ``a + b`` reaches an interpreter as the method ``add``.

So does ``torch.add(a, b)``: a function of torch that is a tensor method too is that method.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

FACTORS = {"add": "alpha", "sub": "alpha", "addcmul": "value", "addcdiv": "value"}
"""Methods that scale their first argument, and the keyword that says by how much."""


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
    def call(cls, function: Any, arguments: Any, keywords: Any) -> Any:
        """Call a function of torch, such as ``torch.where``, with values among its arguments."""
        return NotImplemented

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None
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

    def __neg__(self) -> Any:
        return self.apply("neg")

    def __abs__(self) -> Any:
        return self.apply("abs")

    def __add__(self, other: Any) -> Any:
        return self.apply("add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self.apply("sub", other)

    def __rsub__(self, other: Any) -> Any:
        return self.apply("neg").apply("add_", other)

    def __mul__(self, other: Any) -> Any:
        return self.apply("mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self.apply("div", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.apply("reciprocal").apply("mul_", other)

    def __pow__(self, other: Any) -> Any:
        return self.apply("pow", other)

    def __rpow__(self, other: Any) -> Any:
        return self.apply("__rpow__", other)

    def __floordiv__(self, other: Any) -> Any:
        return self.apply("floor_divide", other)

    def __mod__(self, other: Any) -> Any:
        return self.apply("remainder", other)

    def __iadd__(self, other: Any) -> Any:
        return self.apply("add_", other)

    def __isub__(self, other: Any) -> Any:
        return self.apply("sub_", other)

    def __imul__(self, other: Any) -> Any:
        return self.apply("mul_", other)

    def __itruediv__(self, other: Any) -> Any:
        return self.apply("div_", other)

    def __lt__(self, other: Any) -> Any:
        return self.apply("lt", other)

    def __le__(self, other: Any) -> Any:
        return self.apply("le", other)

    def __gt__(self, other: Any) -> Any:
        return self.apply("gt", other)

    def __ge__(self, other: Any) -> Any:
        return self.apply("ge", other)

    def __eq__(self, other: Any) -> Any:
        return self.apply("eq", other)

    def __ne__(self, other: Any) -> Any:
        return self.apply("ne", other)

    __hash__ = object.__hash__

    def __invert__(self) -> Any:
        return self.apply("bitwise_not")

    def __and__(self, other: Any) -> Any:
        return self.apply("bitwise_and", other)

    def __or__(self, other: Any) -> Any:
        return self.apply("bitwise_or", other)


def replaced(values: Any, unwrap: Callable[[Any], Any]) -> Any:
    """Return positional or keyword arguments with each one unwrapped."""
    if isinstance(values, dict):
        return {name: unwrap(value) for name, value in values.items()}
    return [unwrap(value) for value in values]


def is_in_place(method: str) -> bool:
    """Return whether a tensor method updates its tensor."""
    return method.endswith("_") and not method.endswith("__")


def _is_method(function: Any) -> bool:
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
