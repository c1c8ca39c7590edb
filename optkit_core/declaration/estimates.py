"""Estimates: what an algorithm finds out over all parameters as it goes, declared in its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from optkit_core.declaration.fields import Declaration
from optkit_core.declaration.roles import Role
from optkit_core.errors import DeclarationError
from optkit_core.param_groups.builtin_values import is_real, number
from optkit_core.param_groups.spelling import got


@attrs.frozen(eq=False, repr=False)
class Estimate(Declaration):
    """The declaration of an estimate; its default may name a hyperparameter."""

    def complaint(self, name: str) -> str:
        """Return what is wrong with the declaration itself, or an empty string."""
        return "" if isinstance(self.default, str) else super().complaint(name)


@attrs.frozen(eq=False, repr=False)
class AnyNumber:
    """All numbers, not-a-number among them: a gradient that isn't finite makes no group invalid."""

    def __str__(self) -> str:
        return "any number"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        is_one = isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()
        return "" if is_one or is_real(number(value)) else f"{name} must be a number, {got(value)}"

    def converted(self, value: Any) -> Any:
        """Return a value as a number of Python's."""
        return value.item() if isinstance(value, Tensor) else number(value)


def estimate(*, start: float | str = 0.0, doc: str = "") -> Any:
    """Declare an estimate: a number that `WithTotals.conclude` finds anew in each step.

    It stands in every group, the same in all, and in checkpoints; bodies read it as ``h.name``.

    Args:
        start: what it is before the first step: a number (default 0), or the name of the
            hyperparameter that says it.
        doc: one phrase.

    Returns:
        A declaration that the class consumes when it is created.

    >>> import torch, optkit
    >>> optimizer = optkit.create("prodigy", [torch.zeros(2)], d0=1e-3)
    >>> optimizer.param_groups[0]["d"]
    0.001
    """
    return Estimate(start, AnyNumber(), doc, Role.ESTIMATE, kw_only=True)


def starts(declared: Mapping[str, Declaration], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the estimates of a class start from.

    Args:
        declared: the declarations of the class by name.
        values: the hyperparameters by name.
    """
    own = {name: item.default for name, item in declared.items() if isinstance(item, Estimate)}
    return {name: values.get(x) if isinstance(x, str) else x for name, x in own.items()}


def require_starts(owner: str, declared: Mapping[str, Declaration]) -> None:
    """Raise where an estimate is to start from something that isn't a hyperparameter.

    Args:
        owner: the class, for the message.
        declared: its declarations by name.

    Raises:
        DeclarationError: naming the estimate.
    """
    known = [name for name, item in declared.items() if item.role is Role.HYPERPARAMETER]
    for name, item in declared.items():
        is_named = isinstance(item, Estimate) and isinstance(item.default, str)
        if is_named and item.default not in known:
            raise DeclarationError(
                f"{owner} can't declare {name}: start={item.default!r} isn't a hyperparameter."
            )
