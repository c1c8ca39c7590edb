"""Operators: what a body writes as ``a + b`` reaches an interpreter as the method ``add``."""

from __future__ import annotations

from typing import Any


class Operators:
    """Base of the interpreters' values: every operator is a call of `apply`.

    A subclass defines ``apply(method, *arguments, **keywords)``; reflected operators
    with a number on the left come in a form that tensor methods have.
    """

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply the tensor method of that name to this value."""
        raise AttributeError(method)

    def __getattr__(self, method: str) -> Any:
        """Return the tensor method of that name, bound to this value."""
        if method.startswith("__"):
            raise AttributeError(method)
        return lambda *arguments, **keywords: self.apply(method, *arguments, **keywords)

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
