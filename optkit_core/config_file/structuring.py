"""From plain values to typed sections, by cattrs; every mistake is told at once, by its path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import attrs
import cattrs
from cattrs.errors import BaseValidationError, ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath, parsed
from optkit_core.config_file.sections import SCHEMA, SECTIONS, TOP_KEYS, settings_of
from optkit_core.config_file.unknown_keys import unknown_key
from optkit_core.declaration.choice_ranges import Boolean
from optkit_core.declaration.ranges import Range, converter
from optkit_core.errors import ConfigFault
from optkit_core.param_groups.spelling import got, shown


class _RefusedError(ValueError):
    """A value isn't allowed: where below its setting, and why."""

    def __init__(self, below: KeyPath, words: str) -> None:
        super().__init__(words)
        self.below, self.words = below, words


def structured(document: Document) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Return the sections of a configuration that are right in themselves, and what is wrong.

    Args:
        document: what was read.
    """
    sections: dict[str, Any] = {}
    keys = [str(key) for key in document.data if key != SCHEMA]
    faults = list(_unknown_keys(document, keys, TOP_KEYS, ()))
    if "optimizer" not in document.data:
        faults.append(document.fault((), "has no section 'optimizer', which it needs."))
    for key, section in SECTIONS.items():
        if document.data.get(key) is None and key != "optimizer":
            continue
        try:
            if key in document.data:
                sections[key] = _converter().structure(document.data[key], section)
        except (BaseValidationError, _RefusedError) as error:
            faults += _faults(document, error, (key,))
    return sections, faults


def refusal(range: Range, name: str, value: Any) -> tuple[KeyPath, str] | None:
    """Return where below a key a value is wrong, and what follows the path in the message.

    Args:
        range: what is allowed.
        name: the key.
        value: what was given.

    >>> from optkit_core import each, within
    >>> refusal(each(within(0.0, 1.0)), "betas", (0.9, 1.0))
    ((1,), 'must be in [0, 1), got 1.0.')
    """
    if isinstance(range, Boolean) and not isinstance(value, bool):
        return (), f"must be true or false, {got(value)}"  # a file says which; 1 is a number
    complaint = range.complaint(name, value)
    if not complaint:
        return None
    # What torch.optim says of the same mistake is for code that matches it.
    own = complaint.rpartition(". [")[0] + "." if complaint.endswith("]") else complaint
    place, _, words = own.partition(" ")
    if place == name or place.startswith(f"{name}["):
        return parsed(place)[1:], words
    return (), f"is refused: {own}"


@functools.cache
def _converter() -> cattrs.Converter:
    """Return what structures sections; made once, and when a configuration is first read."""
    made = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    for section in SECTIONS.values():
        made.register_structure_hook(section, _section_hook(section, made))
    return made


def _section_hook(section: type[Any], made: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Return what structures one section."""
    settings = settings_of(section)
    hooks: dict[str, Any] = {
        name: override(struct_hook=_checked(name, field.metadata["range"]))
        for name, field in settings.items()
    }
    rest = next((name for name in attrs.fields_dict(section) if name not in settings), None)
    if rest is not None:
        hooks[rest] = override(struct_hook=lambda value, _: value)
    structure = make_dict_structure_fn(section, made, **hooks)

    def hook(value: Any, cls: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _RefusedError((), f"must be a table, got {shown(value)}.")
        return structure(value if rest is None else _with_rest(value, settings, rest), cls)

    return hook


def _with_rest(value: Mapping[Any, Any], settings: Collection[str], rest: str) -> dict[str, Any]:
    """Return a section with the keys that aren't settings in a table of their own."""
    own = {key: item for key, item in value.items() if key in settings}
    return {**own, rest: {key: item for key, item in value.items() if key not in own}}


def _checked(name: str, range: Range) -> Callable[[Any, Any], Any]:
    """Return what takes the value of one setting."""

    def check(value: Any, _: Any) -> Any:
        refused = refusal(range, name, value)
        if refused:
            raise _RefusedError(*refused)
        return converter(range)(value)

    return check


def _faults(document: Document, error: BaseException, path: KeyPath) -> Iterator[ConfigFault]:
    """Yield what cattrs found, each with its path."""
    if isinstance(error, ClassValidationError):
        for part, note in error.group_exceptions()[0]:
            yield from _faults(document, part, (*path, note.name))
        for other in error.group_exceptions()[1]:
            yield from _faults(document, other, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = list(attrs.fields_dict(error.cl))
        yield from _unknown_keys(document, sorted(map(str, error.extra_fields)), known, path)
    elif isinstance(error, KeyError):
        yield document.fault(path[:-1], f"has no {path[-1]!r}, which it needs.")
    elif isinstance(error, _RefusedError):
        yield document.fault((*path, *error.below), error.words)
    else:
        yield document.fault(path, f"is refused: {error}.")


def _unknown_keys(
    document: Document, keys: Iterable[str], known: Collection[str], path: KeyPath
) -> Iterator[ConfigFault]:
    """Yield the keys of a table that nobody knows."""
    for key in keys:
        if key not in known:
            yield unknown_key(document, (*path, key), known)
