"""The guide for authors, from nothing to a plugin: each command works where it stands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from guide import Block, Reader, blocks
from plugin_environment import plugin_environment

pytest.importorskip("typer")
pytest.importorskip("hatchling")

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "publish-a-plugin.md").read_text()
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.mark.slow
def test_a_plugin_is_published_by_its_guide(tmp_path: Path) -> None:
    found = list(blocks(PAGE))
    assert sum(block.kind == "sh" for block in found) >= 9
    reader = Reader(plugin_environment(tmp_path / "environment"), tmp_path)
    for block in found:
        reader.follow(block)
    (wheel,) = reader.folder.glob("dist/*.whl")
    assert wheel.name == "optkit_ada_belief-0.1.0-py3-none-any.whl"


def test_what_is_not_executed_says_why() -> None:
    (left_out,) = [block for block in blocks(PAGE) if not block.is_executed]
    assert "twine upload" in left_out.text


def code_lines(source: str) -> int:
    """Return how many lines have code, and not only a docstring, a comment, or nothing."""
    documented = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED)]
    docstrings = [node.body[0] for node in documented if ast.get_docstring(node)]
    without = {n for text in docstrings for n in range(text.lineno, (text.end_lineno or 0) + 1)}
    lines = enumerate(map(str.strip, source.splitlines()), start=1)
    return sum(bool(line) and line[0] != "#" and n not in without for n, line in lines)


def test_the_algorithm_of_the_guide_has_as_many_lines_as_it_says() -> None:
    (said,) = re.findall(r"in (\d+) lines of code", PAGE)
    (source,) = [block.text for block in blocks(PAGE) if "src/" in (block.caption or "")]
    assert code_lines(source) == int(said) <= 30


SHORT = """
Text with ```fences``` in it.

```sh
cd there
```
```text
...
```

<!-- not executed: no reason -->
```sh
rm -rf everything
```

```{code-block} python
:caption: a/b.py

x = 1
```
"""


def test_the_blocks_of_a_page() -> None:
    assert list(blocks(SHORT)) == [
        Block("sh", "cd there\n"),
        Block("text", "...\n"),
        Block("sh", "rm -rf everything\n", is_executed=False),
        Block("python", "x = 1\n", "a/b.py"),
    ]


def test_a_reader_notices_what_goes_wrong(tmp_path: Path) -> None:
    environment = plugin_environment(tmp_path / "environment")
    reader = Reader(environment, tmp_path)
    (tmp_path / "there").mkdir()
    reader.follow(Block("sh", "cd there\necho one  two\n"))
    assert reader.folder == (tmp_path / "there").resolve()
    reader.follow(Block("text", "one two\n"))
    for wrong in (
        Block("text", "one three\n"),
        Block("sh", "false\ntrue\n"),
        Block("python", "raise SystemExit(1)\n"),
        Block("yaml", "a: 1\n"),
    ):
        with pytest.raises(AssertionError):
            reader.follow(wrong)
    reader.follow(Block("sh", "false\n", is_executed=False))
    reader.follow(Block("python", "x = 1\n", "module.py"))
    reader.follow(Block("python", "import module\nprint(module.x)\n"))
    reader.follow(Block("text", "1\n"))
    (reader.folder / "pyproject.toml").write_text('[project]\nname = "x"\n')
    reader.follow(Block("toml", '[project]\nlicense = "MIT"\n'))
    assert (reader.folder / "pyproject.toml").read_text().endswith('license = "MIT"\nname = "x"\n')
    with pytest.raises(AssertionError):
        reader.follow(Block("toml", "[other]\nx = 1\n"))
