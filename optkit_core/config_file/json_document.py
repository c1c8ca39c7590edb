"""JSON: read by the standard library; lines are those that PyYAML finds, where it is there."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from optkit_core.config_file import yaml_document
from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.config_file.syntax_errors import line_of_long_number, repetition, syntax_error
from optkit_core.errors import ConfigFileError


class _RepetitionError(ValueError):
    """An object has a key twice."""


def parse(text: str, name: str) -> Document:
    """Return what a JSON text says.

    Args:
        text: the text.
        name: of the file, for messages.

    Raises:
        ConfigFileError: it isn't JSON, or an object in it has a key twice.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique) if text.strip() else None
    except json.JSONDecodeError as error:
        words = f"isn't JSON: {error.msg} (column {error.colno})."
        raise syntax_error(name, error.lineno, words) from error
    except _RepetitionError as error:
        raise repetition(name, _line_of_repetition(text), str(error)) from None
    except ValueError as error:  # a number of too many digits
        line_of_number = line_of_long_number(text)
        raise syntax_error(
            name, line_of_number, f"isn't JSON that can be used: {error}."
        ) from error
    return Document(data, name, partial(line_of, text))


def line_of(text: str, path: KeyPath) -> int | None:
    """Return the line on which a path stands; None without PyYAML, which knows lines.

    Args:
        text: JSON.
        path: keys and positions.
    """
    root = _composed(text)
    return None if root is None else yaml_document.line_of(root, path)


def _line_of_repetition(text: str) -> int | None:
    root = _composed(text)
    key = None if root is None else yaml_document.repeated_key(root)
    return None if key is None else key.start_mark.line + 1


def _composed(text: str) -> Any:
    """Return the root of a text's nodes, None where PyYAML can't tell."""
    try:
        # A tab between the tokens of JSON is white space, and in YAML it isn't.
        return yaml_document.composed(text.replace("\t", " "), "")
    except (ConfigFileError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object.

    Raises:
        _RepetitionError: it has a key twice, of which json would take the last.
    """
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise _RepetitionError(key)
        data[key] = value
    return data
