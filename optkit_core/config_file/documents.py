"""Documents: what a file says as plain values, and on which line it says what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from optkit_core.config_file.key_paths import KeyPath, spelled
from optkit_core.errors import ConfigFault, ConfigFileError
from optkit_core.param_groups.spelling import without_yaml


def no_line(path: KeyPath) -> int | None:
    """Return the line of a path where there are no lines."""
    return None


@attrs.frozen(eq=False)
class Document:
    """A configuration as it was read.

    Args:
        data: tables, lists and values.
        name: of the file, ``""`` for a mapping.
        line_of: returns the line on which a path stands, from 1, None where it isn't known.
        is_yaml: whether the format is YAML, which reads some numbers as text.
    """

    data: Any
    name: str = ""
    line_of: Callable[[KeyPath], int | None] = no_line
    is_yaml: bool = False

    def fault(self, path: KeyPath, words: str) -> ConfigFault:
        """Return what is wrong at a path.

        Args:
            path: of the key; where there is no such key, of the table that lacks it.
            words: what follows the path in the message: ``"must be ..., got ..."``.
        """
        if self.name and not self.is_yaml:
            words = without_yaml(words)
        return ConfigFault(spelled(path), self.line_of(path), f"{_subject(path)} {words}")

    def error(self, faults: Iterable[ConfigFault]) -> ConfigFileError:
        """Return the error that tells of some faults, in the order of their lines."""
        ordered = tuple(sorted(faults, key=lambda fault: fault.line or 0))
        return ConfigFileError("\n".join(map(self._line, ordered)), ordered)

    def raise_for(self, faults: Iterable[ConfigFault]) -> None:
        """Raise if there are faults.

        Raises:
            ConfigFileError: naming each.
        """
        found = list(faults)
        if found:
            raise self.error(found)

    def _line(self, fault: ConfigFault) -> str:
        place = f"{self.name}:{fault.line}" if self.name and fault.line else self.name
        return f"{place}: {fault.message}" if place else fault.message


def _subject(path: KeyPath) -> str:
    return spelled(path) or "the configuration"
