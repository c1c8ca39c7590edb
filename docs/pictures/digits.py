"""Digits: the training curves of algorithms on handwritten digits, by ``optkit compare``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from docs.pictures.effort import FULL, Effort


@attrs.frozen
class Curve:
    """How far an algorithm came: losses over passes, the accuracy in the end, and its rate."""

    name: str
    passes: tuple[float, ...]
    losses: tuple[float, ...]
    accuracy: float | None
    rate: float | None


@cache
def curves(names: tuple[str, ...], effort: Effort = FULL) -> tuple[Curve, ...]:
    """Train the same network with each algorithm, by the learning rate that is found for it."""
    return tuple(_curve(outcome) for outcome in _compare(names, effort)["outcomes"])


def _compare(names: Sequence[str], effort: Effort) -> dict[str, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "curves.json"
        picture = Path(folder) / "curves.png"
        command = [sys.executable, "-m", "optkit", "compare", *names, *effort.options]
        options = ["--json", str(file), "--picture", str(picture)]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        found: dict[str, list[dict[str, Any]]] = json.loads(file.read_text())
        return found


def _curve(outcome: dict[str, Any]) -> Curve:
    rate = outcome["rate"]
    shown = [point for point in outcome["curve"] if point["loss"] and point["loss"] > 0]
    return Curve(
        outcome["name"],
        tuple(point["passes"] for point in shown),
        tuple(point["loss"] for point in shown),
        outcome["test_accuracy"],
        rate["lr"] if rate["source"] == "searched" else None,
    )
