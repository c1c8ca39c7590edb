"""Arguments of `Buffer`: what can't be is refused in the line that declares it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optkit_core.declaration.buffer_kinds import JOINT, KINDS, OPAQUE, SHAPED
from optkit_core.errors import DeclarationError, did_you_mean

if TYPE_CHECKING:
    from optkit_core.declaration.buffers import Buffer

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The floating dtypes that torch promotes, and so computes in beside others."""

PLAIN = (bool, int, float, complex, type(None), Tensor)


def refuse_unknown(given: Iterable[str], known: Sequence[str]) -> None:
    """Raise for a keyword that isn't an argument.

    Raises:
        DeclarationError: naming it, the close matches and all arguments.
    """
    for name in given:
        if name not in known:
            raise DeclarationError(
                f"Buffer takes no {name!r}.{did_you_mean(name, known)} It takes {', '.join(known)}."
            )


def check(buffer: Buffer) -> None:
    """Raise for an argument that can't be, or that contradicts another.

    Raises:
        DeclarationError: naming it, its value and what was expected.
    """
    complaint = next(_complaints(buffer), None)
    if complaint:
        raise DeclarationError(f"wrong Buffer: {complaint}")


def is_number(value: Any) -> bool:
    """Whether a buffer can start from a value: from any real number, infinite or not."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(value == value)


def _complaints(buffer: Buffer) -> Iterator[str]:
    yield from _of_kind(buffer.kind)
    yield from _of_init(buffer)
    yield from _of_types(buffer)
    yield from _of_pairs(buffer)


def _of_kind(kind: Any) -> Iterator[str]:
    if not isinstance(kind, str):
        yield f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r:.40}."
    elif kind not in KINDS:
        known = ", ".join(map(repr, KINDS))
        yield f"kind must be one of {known}, got {kind!r:.40}.{did_you_mean(kind, KINDS)}"


def _of_init(buffer: Buffer) -> Iterator[str]:
    init = buffer.init
    if buffer.kind == OPAQUE and not (isinstance(init, str) or _is_plain(init)):
        yield f"init must be numbers, None, tensors, lists or dicts of such, got {init!r:.40}."
    elif buffer.kind != OPAQUE and not (isinstance(init, str) or is_number(init)):
        yield f"init must be a number or the name of a hyperparameter, got {init!r:.40}."


def _of_types(buffer: Buffer) -> Iterator[str]:
    if not (buffer.dtype is None or buffer.dtype in DTYPES):
        yield f"dtype must be one of {', '.join(map(str, DTYPES))}, got {buffer.dtype!r:.40}."
    if type(buffer.since) is not int or buffer.since < 1:
        yield f"since must be a version of the schema, from 1 on, got {buffer.since!r:.40}."
    if not isinstance(buffer.doc, str):
        yield f"doc must be a string, got {buffer.doc!r:.40}."
    if not isinstance(buffer.optional, bool):
        yield f"optional must be True or False, got {buffer.optional!r:.40}."
    if not (buffer.shape is None or callable(buffer.shape)):
        yield (
            "shape must be a function of the parameter, as lambda p: p.shape[:1] is, "
            f"got {buffer.shape!r:.40}."
        )


def _of_pairs(buffer: Buffer) -> Iterator[str]:
    """Say which arguments contradict each other."""
    kind = buffer.kind
    if kind == SHAPED and buffer.shape is None:
        yield "kind 'shaped' needs shape=, a function of the parameter."
    if kind != SHAPED and buffer.shape is not None:
        yield f"shape= makes a buffer of kind 'shaped', not {kind!r}: leave one of them out."
    if kind in (JOINT, OPAQUE) and buffer.dtype is not None:
        yield f"a buffer of kind {kind!r} has a dtype of its own: leave out dtype={buffer.dtype}."
    if kind == JOINT and not buffer.optional:
        yield "the algorithm writes what is of kind 'joint', so it needs optional=True."
    if buffer.optional and buffer.init != 0:
        yield f"what is optional starts from nothing: leave out init={buffer.init!r:.40}."


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)
