"""Constructors: each class has one whose signature follows from its declarations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter as Argument
from types import FunctionType
from typing import Any

from torch.optim.optimizer import ParamsT

from optkit_core.declaration import arguments, fields


def constructor(common: Any, cls: Any) -> FunctionType:
    """Return the constructor of a class: the common one, with the signature that follows.

    It takes its arguments as they come, so that a subclass's constructor may hand over what
    only the subclass declares, and that every wrong call is told in words of optkit's. What
    asks for the signature or the types of its arguments, to make a command line for example,
    sees those that are declared.

    Args:
        common: the constructor that all classes share.
        cls: the class, whose declarations have been read.
    """
    # A function for each class: one that is shared has one `__signature__` only.
    own = FunctionType(
        common.__code__, common.__globals__, common.__name__, None, common.__closure__
    )
    own.__doc__, own.__module__ = common.__doc__, cls.__module__
    own.__qualname__ = f"{cls.__qualname__}.{common.__name__}"
    shown = signature(cls.declarations)
    own.__signature__ = shown  # type: ignore[attr-defined]
    types = {name: argument.annotation for name, argument in shown.parameters.items()}
    own.__annotations__ = {**types, "self": Any, "return": None}
    return own


def signature(declared: Mapping[str, fields.Declaration]) -> inspect.Signature:
    """Return the constructor's signature: self, params, hyperparameters, options."""
    positional = Argument.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [Argument("self", positional), Argument("params", positional, annotation=ParamsT)]
        + [
            Argument(
                name,
                Argument.KEYWORD_ONLY if item.kw_only else positional,
                default=item.default,
                annotation=item.annotation,
            )
            for name, item in arguments.in_order(declared)
            if item.is_argument
        ],
        return_annotation=None,
    )
