"""JSON: read by the standard library; lines are those that PyYAML finds, where it is there."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.config_file.syntax_errors import syntax_error
from optkit_core.errors import ConfigFileError


class _DuplicateKeyError(ValueError):
    """An object has one key twice."""


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
    except ValueError as error:  # a key that comes twice, or a number of too many digits
        raise syntax_error(name, None, f"isn't JSON that can be used: {error}.") from error
    return Document(data, name, partial(line_of, text))


def line_of(text: str, path: KeyPath) -> int | None:
    """Return the line on which a path stands; None without PyYAML, which knows lines.

    Args:
        text: JSON.
        path: keys and positions.
    """
    from optkit_core.config_file import yaml_document

    try:
        # A tab between the tokens of JSON is white space, and in YAML it isn't.
        return yaml_document.line_of(yaml_document.composed(text.replace("\t", " "), ""), path)
    except (ConfigFileError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object.

    Raises:
        _DuplicateKeyError: it has one key twice, of which json would take the last.
    """
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise _DuplicateKeyError(f"the key {key!r:.80} stands twice in one object")
        data[key] = value
    return data
