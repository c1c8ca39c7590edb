"""From the call of a tensor method to the operation that it is, and to an operation's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from optkit_core.errors import UnavailableError
from optkit_core.tracing.operations import OPERATIONS, Operation

LANGUAGES = {"cpp": "C++", "triton": "Triton"}


class UntraceableError(UnavailableError):
    """A body does something that no kernel can be written for; the text is the reason."""


def _by_method(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Return the operations that a method can be, the one with the fewest arguments first."""
    candidates: dict[str, list[Operation]] = {}
    for operation in sorted(operations, key=lambda operation: len(operation.arguments)):
        names = (operation.name,) if operation.methods is None else operation.methods
        for name in names:
            candidates.setdefault(name, []).append(operation)
    return candidates


METHODS = _by_method(OPERATIONS.values())
"""The operations that a call of each tensor method can be, depending on its arguments."""

POWERS = {o.exponent: o.name for o in OPERATIONS.values() if o.exponent is not None}
"""Exponents with an operation of their own."""

FACTORS = {
    method: operations[-1].arguments[-1]
    for method, operations in METHODS.items()
    if operations[-1].arguments[-1:] in (("alpha",), ("value",))
    # The value of masked_fill takes an element's place, and scales nothing.
    and "mask" not in operations[-1].arguments
}
"""The methods that scale one of their arguments, and the keyword that says by how much."""


def operation_of(
    method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[Operation, list[Any]]:
    """Return the operation that a call of a tensor method is, and its operands in order.

    Args:
        method: without a trailing underscore.
        arguments: the positional arguments of the call, without the tensor itself.
        keywords: its keyword arguments.

    Raises:
        UntraceableError: no operation is such a method, or takes such arguments.

    >>> operation, operands = operation_of("add", (3.0,), {"alpha": 2.0})
    >>> operation.name, operands
    ('add_alpha', [3.0, 2.0])
    """
    candidates = METHODS.get(method)
    if candidates is None:
        raise UntraceableError(f"the update body uses {method}(), which no fused kernel knows")
    parameters = candidates[-1].arguments
    if len(arguments) > len(parameters):
        raise UntraceableError(f"the update body gives {method}() {len(arguments)} arguments")
    named = {**dict(zip(parameters, arguments, strict=False)), **keywords}
    # None is as good as nothing, as in clamp(None, 1.0).
    given = {key for key, value in named.items() if value is not None or key not in parameters}
    for operation in candidates:
        if given == set(operation.arguments):
            return operation, [named[argument] for argument in operation.arguments]
    missing = [argument for argument in candidates[0].arguments if argument not in given]
    if missing:
        raise UntraceableError(f"the update body calls {method}() without {missing[0]}")
    unknown = next(key for key in keywords if key not in parameters)
    raise UntraceableError(f"the update body gives {method}() the argument {unknown!r}")


def expression(name: str, language: Literal["cpp", "triton"], operands: Sequence[str]) -> str:
    """Return an operation as an expression of a source language.

    Args:
        name: the operation's.
        language: the field of its record that has the form.
        operands: the expressions of the tensor and of the arguments, in order.

    Raises:
        UntraceableError: it has no form in that language; gives the reason of its record.

    >>> expression("sub", "cpp", ["v0", "v1"])
    'v0 - v1'
    """
    operation = OPERATIONS[name]
    form: str | None = getattr(operation, language)
    if form is None:
        raise UntraceableError(
            f"the update body uses {name}, which {LANGUAGES[language]} kernels lack: "
            f"{operation.lacking}"
        )
    return form.format(**dict(zip(("x", *operation.arguments), operands, strict=True)))
