"""YAML: read by PyYAML's safe loader, which knows the line of each key."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.config_file.syntax_errors import repetition, syntax_error
from optkit_core.errors import ConfigFileError

LARGEST = 10**5
"""Values of a document, those that aliases repeat counted each time."""


def parse(text: str, name: str) -> Document:
    """Return what a YAML text says.

    Args:
        text: the text.
        name: of the file, for messages.

    Raises:
        ConfigFileError: it isn't YAML, has a key twice, or PyYAML isn't installed.
    """
    root = composed(text, name)
    if root is None:
        return Document(None, name)
    _require_finite(root, name)
    repeated = repeated_key(root)
    if repeated is not None:
        raise repetition(name, repeated.start_mark.line + 1, repeated.value)
    return Document(_constructed(root, name), name, partial(line_of, root), is_yaml=True)


def composed(text: str, name: str) -> Any:
    """Return the root of a text's nodes, each with its place; None of an empty text.

    Raises:
        ConfigFileError: it isn't YAML, or PyYAML isn't installed.
    """
    yaml = _yaml(name)
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        words = f"isn't YAML: it can't have the character {error.character:#04x}."
        raise syntax_error(name, line, words) from error
    except yaml.YAMLError as error:
        raise _error(error, name) from error


def line_of(root: Any, path: KeyPath) -> int | None:
    """Return the line on which a path stands, or the part of it that is there.

    Args:
        root: the root of the nodes.
        path: keys and positions.
    """
    line, node = None, root
    for key in path:
        if node.id == "sequence" and isinstance(key, int) and key < len(node.value):
            place = node = node.value[key]
        else:
            place, node = _entry(node, key)
        if node is None:
            return line
        line = place.start_mark.line + 1
    return line


def _entry(node: Any, key: str | int) -> tuple[Any, Any]:
    """Return the nodes of a key and of its value; those merged from elsewhere come last."""
    pairs = node.value if node.id == "mapping" else []
    found = [(name, value) for name, value in pairs if name.id == "scalar" and name.value == key]
    return found[0] if found else (None, None)


def _constructed(root: Any, name: str) -> Any:
    yaml = _yaml(name)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise _error(error, name) from error
    except (ValueError, OverflowError, TypeError) as error:  # a date that doesn't exist
        line = _line_of_unusable(root, yaml.SafeLoader(""))
        raise syntax_error(name, line, f"isn't YAML that can be used: {error}.") from error
    finally:
        loader.dispose()


def _line_of_unusable(root: Any, loader: Any) -> int | None:
    """Return the line of a value that can't be made, each tried by itself with a new loader."""
    for node in _nodes(root):
        try:
            if node.id == "scalar":
                loader.construct_object(node)
        except (ValueError, OverflowError, TypeError):
            return int(node.start_mark.line) + 1
    return None


def _require_finite(root: Any, name: str) -> None:
    """Refuse a document that holds itself, or that aliases blow up."""
    sizes: dict[int, int | None] = {}

    def size(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None  # not finished: a node that holds itself comes here again
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
        known = sizes[id(node)]
        if known is None or known > LARGEST:
            what = "holds itself" if known is None else "is too large with all that it repeats"
            raise syntax_error(name, node.start_mark.line + 1, f"this part of the text {what}.")
        return known

    size(root)


def repeated_key(root: Any) -> Any:
    """Return the node of a key that stands twice in one mapping, of which PyYAML takes the last.

    Args:
        root: the root of a text's nodes.

    Returns:
        The second of the two; None where no key does.
    """
    for node in _nodes(root):
        own: set[tuple[str, str]] = set()
        for key, _ in node.value if node.id == "mapping" else []:
            mark = (key.tag, str(key.value))
            if key.id == "scalar" and mark in own:
                return key
            own.add(mark)
    return None


def _nodes(root: Any) -> Iterator[Any]:
    """Yield all nodes, those that aliases repeat once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            waiting += _children(node)
            yield node


def _children(node: Any) -> list[Any]:
    if node.id == "mapping":
        return [part for pair in node.value for part in pair]
    return list(node.value) if node.id == "sequence" else []


def _yaml(name: str) -> Any:
    try:
        import yaml  # an extra, and needed only where there is a file
    except ImportError as error:
        raise ConfigFileError(
            f"{name}: YAML is read by PyYAML, which isn't installed: pip install 'optkit[config]'. "
            "TOML and JSON need nothing else."
        ) from error
    return yaml


def _error(error: Any, name: str) -> ConfigFileError:
    """Return optkit's error for one of PyYAML's."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    # PyYAML's sentence about a second document begins in its context.
    words = f"{error.context}, {problem}" if problem.startswith("but ") else problem
    return syntax_error(name, mark.line + 1 if mark else None, f"isn't YAML: {words}.")
