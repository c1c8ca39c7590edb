"""The examples of clients, run as their users run them."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "clients"


@pytest.fixture
def run_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return what runs an example with some words, and returns what it printed."""

    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name: str, *words: object) -> str:
        monkeypatch.setattr(sys, "argv", [str(EXAMPLES / name), *map(str, words)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run
