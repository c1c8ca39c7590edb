"""Every example runs, and says what the documentation shows of it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import optkit

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] == ["signum.py"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        optkit.unregister("signum")
    printed = capsys.readouterr().out
    assert "implementations: forloop, foreach" in printed
    assert "0.8999999" in printed
