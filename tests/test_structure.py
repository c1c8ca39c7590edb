"""The structure of the packages: names that are there once, and imports that go one way."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("optkit", "optkit_core", "optkit_plugins")
FILES = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in FILES}


def repeated(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def test_no_module_name_is_there_twice() -> None:
    assert not repeated(file.stem for file in FILES if file.stem not in ("__init__", "__main__"))


def test_no_class_name_is_there_twice() -> None:
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    assert not repeated(node.name for node in nodes if isinstance(node, ast.ClassDef))


def imported(file: Path) -> Iterator[str]:
    """Yield the modules of these packages that a module imports when it is imported."""
    for node in TREES[file].body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & MODULES.keys() or {node.module}


def test_imports_have_no_cycle() -> None:
    graph = {name: set(imported(file)) - {name} for name, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
