"""Reading a configuration: a mapping as it is, a file by its suffix, each mistake one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optkit_core.config_file import json_document, toml_document, yaml_document
from optkit_core.config_file.documents import Document
from optkit_core.config_file.syntax_errors import syntax_error
from optkit_core.errors import ConfigFileError, did_you_mean
from optkit_core.param_groups.builtin_values import plain
from optkit_core.param_groups.spelling import shown

Source = Mapping[str, Any] | str | os.PathLike[str]

FORMATS: dict[str, Callable[[str, str], Document]] = {
    ".toml": toml_document.parse,
    ".yaml": yaml_document.parse,
    ".yml": yaml_document.parse,
    ".json": json_document.parse,
}
"""What parses a text by the suffix of its file."""

LARGEST = 2**20
"""Bytes of a file; one with more is something else."""

OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",  # before the shorter mark that it begins with
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x00\x00\xfe\xff": "UTF-32",
}
"""The marks at the start of texts that aren't UTF-8."""


def read(source: Source) -> Document:
    """Return a configuration from a mapping or from the path of a file.

    Args:
        source: a mapping, or the path of a ``.toml``, ``.yaml``, ``.yml`` or ``.json`` file.

    Raises:
        ConfigFileError: it is neither, or can't be read or parsed.
    """
    if isinstance(source, Mapping):
        return _of_mapping(source)
    if not isinstance(source, str | os.PathLike):
        raise ConfigFileError(
            "a configuration must be a mapping or the path of a file, "
            f"got {type(source).__name__}: {source!r:.80}."
        )
    return read_file(source)


def read_file(path: str | os.PathLike[str], suffix: str = "") -> Document:
    """Return the configuration in a file.

    Args:
        path: of the file.
        suffix: the one by whose format it is read; ``""`` (default): its own.

    Raises:
        ConfigFileError: it can't be read or parsed.
    """
    name = os.fspath(path)
    suffix = suffix or Path(name).suffix.lower()
    if suffix not in FORMATS:
        raise ConfigFileError(_unknown_suffix(name, suffix))
    text = _text(name)
    try:
        document = FORMATS[suffix](text, name)
    except RecursionError:
        raise ConfigFileError(f"{name}: tables and lists are nested too deeply.") from None
    if not isinstance(document.data, Mapping):
        what = "is empty" if not text.strip() else "must be a table at its top"
        got = "" if document.data is None else f", got {shown(document.data)}"
        raise document.error([document.fault((), f"{what}{got}. It needs optimizer.name.")])
    return document


def _unknown_suffix(name: str, suffix: str) -> str:
    if "\n" in name:
        return (
            f"a configuration must be a mapping or the path of a file, got text: {name!r:.80}. "
            "Parse it first, by tomllib.loads for example."
        )
    hint = did_you_mean(suffix, FORMATS)
    known = ", ".join(FORMATS)
    shown = name or "''"
    return f"{shown}: a configuration is read by its suffix, {known}, got {suffix!r}.{hint}"


def _of_mapping(source: Mapping[str, Any]) -> Document:
    try:
        return Document(plain(source))
    except RecursionError:
        raise ConfigFileError("the configuration holds itself, or is nested too deeply.") from None
    except Exception as error:  # of a mapping that resolves what it holds, OmegaConf's for one
        words = " ".join(str(error).split())
        raise ConfigFileError(
            f"the configuration can't be read: {type(error).__name__}: {words}."
        ) from error


def _text(name: str) -> str:
    """Return the text of a file.

    Raises:
        ConfigFileError: it can't be read, or isn't text.
    """
    content = _content(name)
    other = next((OTHER_ENCODINGS[m] for m in OTHER_ENCODINGS if content.startswith(m)), "")
    if other:
        raise syntax_error(name, 1, f"is written in {other}. Save it as UTF-8.")
    try:
        # With a mark at its start, which some editors write, UTF-8 is UTF-8.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = f"byte {content[error.start]:#04x} can't be there. Save it as UTF-8."
        raise syntax_error(name, line, f"isn't text in UTF-8: {wrong}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise syntax_error(name, line, "isn't text: it has zero bytes.")
    return text


def _content(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigFileError(f"{name} can't be read: {reason}.") from error
    except ValueError as error:  # a zero byte in the path
        raise ConfigFileError(f"{name!r} can't be read: {error}.") from error
    if len(content) > LARGEST:
        raise ConfigFileError(f"{name} is larger than 1 MiB, and so no configuration.")
    return content
