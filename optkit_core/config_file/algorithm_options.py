"""Hyperparameters and options of an algorithm, checked before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

from optkit_core.api import get
from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.config_file.structuring import refusal
from optkit_core.config_file.unknown_keys import unknown_key
from optkit_core.declaration.fields import Declaration
from optkit_core.errors import ConfigFault, OptkitError
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups.builtin_values import plain
from optkit_core.selection.requests import require_consistent

NONE = "none"
"""What stands for None where a text couldn't be meant: TOML has no word for it."""


def options(algorithm: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """Return what a configuration may say about an algorithm.

    Args:
        algorithm: its class.

    Returns:
        Names, each with its declaration; for a class that isn't optkit's, with the argument of
        its constructor.
    """
    if issubclass(algorithm, Optimizer):
        declared = algorithm.declarations.items()
        return {name: item for name, item in declared if item.is_argument}
    arguments = list(inspect.signature(algorithm).parameters.values())[1:]
    return {a.name: a for a in arguments if a.kind not in (a.VAR_KEYWORD, a.VAR_POSITIONAL)}


def is_required(option: Any) -> bool:
    """Return whether a value has no default, which only classes that aren't optkit's have.

    Args:
        option: what `options` returns for it.
    """
    return isinstance(option, inspect.Parameter) and option.default is option.empty


def faults(
    document: Document,
    path: KeyPath,
    name: str,
    values: Mapping[str, Any],
    *,
    beside: Mapping[str, Any] = MappingProxyType({}),
    allowed: Collection[str] = (),
    also: Iterable[str] = (),
) -> Iterator[ConfigFault]:
    """Yield what is wrong with the values that a configuration gives an algorithm.

    Args:
        document: where they stand.
        path: of the table that they stand in.
        name: of the algorithm, which is known.
        values: by their keys.
        beside: values from elsewhere that hold where these don't say otherwise.
        allowed: keys that may stand there too, whatever their values.
        also: further keys of that table, which may have been meant.
    """
    algorithm = get(name)
    known = options(algorithm)
    own = {key: value for key, value in values.items() if key not in allowed or key in known}
    found = list(_each(document, path, name, known, own, also))
    for key in known:
        if is_required(known[key]) and key not in {**beside, **own}:
            found.append(document.fault(path, f"has no {key!r}, which {name} needs."))
    # How values go together can be told where each is right by itself.
    yield from found or _together(document, path, algorithm, taken(algorithm, {**beside, **own}))


def taken(algorithm: type[torch.optim.Optimizer], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as the algorithm's class takes them.

    Args:
        algorithm: the class.
        values: as a configuration has them.
    """
    known = options(algorithm)
    return {key: _taken(known[key], key, value) for key, value in values.items()}


def _taken(option: Any, key: str, value: Any) -> Any:
    """Return one value: None where its word can't be meant, a tuple where the class has one."""
    if isinstance(option, Declaration):
        other = _with_none(value)
        is_meant = option.range.complaint(key, value) and not option.range.complaint(key, other)
        return other if is_meant else value
    value = plain(value)
    if isinstance(option.default, tuple) and isinstance(value, list):
        return tuple(value)
    return None if value == NONE and not isinstance(option.default, str) else value


def _with_none(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_none(item) for item in value]
    return None if isinstance(value, str) and value == NONE else value


def _each(
    document: Document,
    path: KeyPath,
    name: str,
    known: Mapping[str, Any],
    values: Mapping[str, Any],
    also: Iterable[str],
) -> Iterator[ConfigFault]:
    """Yield what is wrong with each key and each value by itself."""
    for key, value in values.items():
        if key not in known:
            yield unknown_key(document, (*path, str(key)), known, owner=name, also=also)
        elif isinstance(known[key], Declaration):
            refused = refusal(known[key].range, key, _taken(known[key], key, value))
            if refused:
                yield document.fault((*path, key, *refused[0]), refused[1])


def _together(
    document: Document, path: KeyPath, algorithm: type[Any], values: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what is wrong with values that are right each by itself."""
    try:
        if issubclass(algorithm, Optimizer):
            require_consistent(values)
            complaint = algorithm.values_complaint({**algorithm.default_values, **values})
        else:
            complaint = _complaint_of_constructor(algorithm, values)
    except OptkitError as error:
        complaint = str(error)
    if complaint:
        yield document.fault(path, f"is refused: {complaint}")


def _complaint_of_constructor(algorithm: type[Any], values: Mapping[str, Any]) -> str:
    """Return what a class that declares nothing says of values, for a parameter of our own."""
    try:
        algorithm([torch.nn.Parameter(torch.zeros(1, 1))], **values)
    except Exception as error:  # whatever its author found right
        return f"{algorithm.__name__} says {type(error).__name__}: {error}"
    return ""
