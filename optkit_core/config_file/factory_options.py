"""Arguments of schedules and averagings, checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optkit_core.averaging import check_averaging
from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import parsed
from optkit_core.config_file.sections import SECTIONS, settings_of
from optkit_core.config_file.structuring import refusal
from optkit_core.config_file.unknown_keys import unknown_key
from optkit_core.errors import ArgumentError, ConfigFault, OptkitError
from optkit_core.factories.factory_arguments import Arguments
from optkit_core.factories.factory_description import arguments_taken
from optkit_core.plugins import entry_points
from optkit_core.schedules.schedule_request import requested

SCHEDULE, AVERAGING = "schedule", "averaging"

CHECKS = {SCHEDULE: requested, AVERAGING: check_averaging}
"""What checks all arguments of a kind, and how they go together."""


def faults(
    document: Document, kind: str, name: str, given: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what is wrong with a section for a schedule or an averaging.

    Args:
        document: where it stands.
        kind: what it is for, which is the section's key too.
        name: of the schedule or averaging.
        given: its arguments.
    """
    try:
        arguments = arguments_taken(kind, entry_points.load(name, kind))
    except OptkitError as error:
        yield document.fault((kind, "name"), f"is refused: {error}")
        return
    found = list(_each(document, kind, name, arguments, given))
    yield from found or _together(document, kind, name, given)


def _each(
    document: Document, kind: str, name: str, arguments: Arguments, given: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what is wrong with each argument by itself."""
    known = arguments.by_name
    for key, value in given.items():
        if key not in known and not arguments.is_open:
            yield unknown_key(
                document, (kind, str(key)), known, owner=name, also=settings_of(SECTIONS[kind])
            )
        range = known[key].range if key in known else None
        refused = None if range is None else refusal(range, key, value)
        if refused:
            yield document.fault((kind, key, *refused[0]), refused[1])
    for argument in known.values():
        if argument.is_required and argument.name not in given:
            words = f"has no {argument.name!r}, which {name} needs: {argument.doc}."
            yield document.fault((kind,), words.replace(": .", "."))


def _together(
    document: Document, kind: str, name: str, given: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what is wrong with arguments that are right each by itself."""
    try:
        CHECKS[kind](name, dict(given))
    except ArgumentError as error:
        yield document.fault((kind, *parsed(error.argument)), f"is refused: {error}")
    except OptkitError as error:
        yield document.fault((kind,), f"is refused: {error}")
