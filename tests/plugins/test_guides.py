"""The guide for authors, from nothing to a plugin: each command works where it stands."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from guide import Block, Reader, blocks
from plugin_environment import plugin_environment
from processes import PATIENCE

pytest.importorskip("typer")
pytest.importorskip("hatchling")

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "publish-a-plugin.md").read_text()
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.mark.slow
def test_a_plugin_is_published_by_its_guide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(blocks(PAGE))
    assert sum(block.kind == "sh" for block in found) >= 9
    repository = empty_repository(tmp_path, monkeypatch)
    reader = Reader(plugin_environment(tmp_path / "environment"), tmp_path)
    for block in found:
        reader.follow(block)
    (wheel,) = reader.folder.glob("dist/*.whl")
    assert wheel.name == "optkit_ada_belief-0.1.0-py3-none-any.whl"
    assert git(repository, "tag") == "v0.1.0\n"
    pushed = git(repository, "show", "v0.1.0:.github/workflows/release.yml")
    assert_released(yaml.safe_load(pushed), "v0.1.0", [block.text for block in found])
    assert "dist" not in git(repository, "ls-tree", "--name-only", "main")


def empty_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the repository that its reader has made, where the guide says that one is."""
    repository = tmp_path / "hosted" / "optkit-ada-belief"
    git(tmp_path, "init", "--quiet", "--bare", str(repository))
    settings = {
        f"url.{repository.parent.as_uri()}/.insteadOf": "https://github.com/ada-lovelace/",
        "user.name": "Ada Lovelace",
        "user.email": "ada@example.org",
    }
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for number, (key, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    return repository


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout


def assert_released(workflow: Any, tag: str, executed: list[str]) -> None:
    """Assert that a workflow answers a tag by commands of the guide, and then uploads."""
    (pattern,) = workflow[True]["push"]["tags"]  # YAML 1.1 reads `on` as true
    assert fnmatchcase(tag, pattern)
    (job,) = workflow["jobs"].values()
    assert job["permissions"]["id-token"] == "write"
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert len(runs) == 4 and all(any(run in text for text in executed) for run in runs)
    assert "publish" in job["steps"][-1]["uses"]


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

```{code-block} python
:caption: a/b.py

x = 1
```
"""


def test_the_blocks_of_a_page() -> None:
    assert list(blocks(SHORT)) == [
        Block("sh", "cd there\n"),
        Block("text", "...\n"),
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
    reader.follow(Block("python", "x = 1\n", "module.py"))
    reader.follow(Block("python", "import module\nprint(module.x)\n"))
    reader.follow(Block("text", "1\n"))
    (reader.folder / "pyproject.toml").write_text('[project]\nname = "x"\n')
    reader.follow(Block("toml", '[project]\nlicense = "MIT"\n'))
    assert (reader.folder / "pyproject.toml").read_text().endswith('license = "MIT"\nname = "x"\n')
    with pytest.raises(AssertionError):
        reader.follow(Block("toml", "[other]\nx = 1\n"))
