"""Arguments of `Buffer` that no kind of buffer takes: refused in the line that declares it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch

from optkit_core.errors import DeclarationError, did_you_mean

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The floating dtypes that torch promotes, and so computes in beside others."""


def require_known(given: Iterable[str], known: Collection[str]) -> None:
    """Raise for a keyword that isn't an argument.

    Args:
        given: the keywords.
        known: the arguments.

    Raises:
        DeclarationError: naming the keyword, the close matches and all arguments.
    """
    for name in given:
        if name not in known:
            raise DeclarationError(
                f"Buffer takes no {name!r}.{did_you_mean(name, known)} It takes {', '.join(known)}."
            )


def require_kind(kind: Any, known: Collection[str]) -> None:
    """Raise for a kind of buffer that doesn't exist.

    Args:
        kind: what was given.
        known: the names of all kinds.

    Raises:
        DeclarationError: naming it, the close matches and all kinds.
    """
    is_text = isinstance(kind, str)
    if not (is_text and kind in known):
        raise DeclarationError(
            f"wrong Buffer: kind must be one of {', '.join(map(repr, known))}, got {kind!r:.40}."
            f"{did_you_mean(kind, known) if is_text else ''}"
        )


def complaints(
    dtype: Any, since: Any, doc: Any, optional: Any, shape: Any, when: Any = None
) -> Iterator[str]:
    """Say which of these arguments are of a wrong type or value.

    Args:
        dtype: a floating dtype, a function of the parameter, or None.
        since: a version of the schema, from 1.
        doc: a phrase.
        optional: True or False.
        shape: a function of the parameter, or None.
        when: the name of a hyperparameter, a function, or None.
    """
    is_function = callable(dtype) and not isinstance(dtype, type)
    if not (dtype is None or is_function or dtype in DTYPES):
        yield f"dtype must be one of {', '.join(map(str, DTYPES))}, got {dtype!r:.40}."
    # Not isinstance, which lets True pass as version 1.
    if type(since) is not int or since < 1:
        yield f"since must be a version of the schema, from 1 on, got {since!r:.40}."
    if not isinstance(doc, str):
        yield f"doc must be a string, got {doc!r:.40}."
    if not isinstance(optional, bool):
        yield f"optional must be True or False, got {optional!r:.40}."
    if not (shape is None or callable(shape)):
        yield (
            "shape must be a function of the parameter, as lambda p: p.shape[:1] is, "
            f"got {shape!r:.40}."
        )
    if not (when is None or isinstance(when, str) or callable(when)):
        yield (
            "when must be the name of a hyperparameter or a function of the parameter and its "
            f"group, got {when!r:.40}."
        )
