"""Optimizers of other libraries keep what the documentation says that they keep."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

import optkit
from optkit_core import testing
from optkit_core.testing.requirements import REQUIREMENTS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "other-optimizers.md"
ROW = re.compile(r"^\| ?(\S* ?\S*) \| `(\w+)` \| (\d+) \| (.*)\|$", re.MULTILINE)
MODULES = {"pytorch-optimizer": "pytorch_optimizer"}
"""The module of a distribution of another name."""

IDS = [requirement.id for requirement in REQUIREMENTS if requirement.for_any_optimizer]


def rows() -> list[tuple[str, str, int, list[str]]]:
    """Return the rows of the documentation's table: where from, class, what holds, what fails."""
    found, library = [], ""
    for named, cls, holding, failing in ROW.findall(PAGE.read_text(encoding="utf-8")):
        library = named.strip() or library
        found.append((library, cls, int(holding), sorted(re.findall("`(.*?)`", failing))))
    return found


def checked(algorithm: Any) -> tuple[int, list[str]]:
    """Return how many checks hold, and the ids of those that fail."""
    held, failed = 0, []
    for identity in IDS:
        try:
            held += len(testing.check(algorithm, only=[identity]).held)
        except AssertionError:
            failed.append(identity)
    return held, sorted(failed)


def test_the_table_is_read() -> None:
    assert len(rows()) >= 15
    assert len({library for library, *_ in rows()}) >= 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("library", "name", "holding", "failing"), rows(), ids=str)
def test_they_keep_what_the_documentation_says(
    library: str, name: str, holding: int, failing: list[str]
) -> None:
    distribution, _, stated = library.partition(" ")
    module = pytest.importorskip(MODULES.get(distribution, distribution))
    if version(distribution) != stated:
        pytest.skip(f"the documentation speaks of {library}, and here is {version(distribution)}")
    assert checked(getattr(module, name)) == (holding, failing)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("library", "name"), [row[:2] for row in rows()], ids=str)
def test_they_are_created_saved_and_loaded_by_name(library: str, name: str, tmp_path: Path) -> None:
    distribution = library.partition(" ")[0]
    module = import_module(MODULES.get(distribution, distribution))
    optkit.register(f"other_{name}", getattr(module, name))
    try:
        params = [torch.nn.Parameter(torch.ones(4, 3)) for _ in range(2)]
        first, second = (optkit.create(f"Other-{name}", [p], lr=1e-2) for p in params)
        getattr(first, "train", bool)()
        params[0].grad = torch.full((4, 3), 0.5)
        first.step()
        optkit.save(first, tmp_path / "state.safetensors")
        optkit.load(second, tmp_path / "state.safetensors")
        assert type(second) is getattr(module, name)
        assert second.state[params[1]].keys() == first.state[params[0]].keys() != set()
        assert any(h.name == "lr" for h in optkit.describe(f"other_{name}").hyperparameters)
    finally:
        optkit.unregister(f"other_{name}")
