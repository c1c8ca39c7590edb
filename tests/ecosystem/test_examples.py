"""Every example runs, and says what the documentation shows of it."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import completed

import optkit

EXAMPLES = Path(__file__).parents[2] / "examples"

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs an example with some words, and returns what it printed."""

    def run_with(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run_with


def test_each_example_has_a_test_here() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == ["search.py", "signum.py"]


def test_a_third_partys_algorithm(run: Run) -> None:
    try:
        printed = run("signum.py")
    finally:
        optkit.unregister("signum")
    assert "implementations: forloop, foreach" in printed
    assert "0.8999999" in printed


@pytest.mark.slow
def test_a_search_by_what_each_algorithm_declares(run: Run) -> None:
    pytest.importorskip("optuna", reason="the search by Optuna isn't installed")
    printed = run("search.py", "adagr*", "adamax", "--trials", "6")
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert set(lines) == {"adagrad", "adamax"}
    assert "lr=" in lines["adagrad"] and "betas[1]=" in lines["adamax"]


def test_a_search_without_optuna_says_what_to_install() -> None:
    code = (
        "import runpy, sys; sys.modules['optuna'] = None\n"
        f"runpy.run_path({os.fspath(EXAMPLES / 'search.py')!r}, run_name='__main__')"
    )
    done = completed("-c", code)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "examples/search.py needs optuna: pip install optuna\n"
