"""The page for users, taken at its word: its file and its program, on a transformer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import optkit

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "config-file.md"
STEPS = 12


def block(language: str) -> str:
    """Return the first block of the page in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.norm(x))


class Transformer(nn.Module):
    def __init__(self, width: int = 8, depth: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for layer in self.blocks:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(16, (STEPS, 6, 5), generator=generator)
    return list(zip(tokens, tokens[..., 0] % 4, strict=True))


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the page's program beside the page's file, and return its names."""
    monkeypatch.chdir(tmp_path)
    Path("finetune.toml").write_text(block("toml"))
    model = Transformer()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    names = {"torch": torch, "optkit": optkit, "model": model, "batches": batches()}
    exec(block("python"), names)
    return {**names, "start": start}


def test_the_file_and_the_program_are_short() -> None:
    assert len(block("toml").splitlines()) <= 25
    assert len(block("python").splitlines()) <= 5


def test_each_parameter_is_treated_as_the_page_says(trained: dict[str, Any]) -> None:
    optimizer = trained["setup"].optimizer
    treated = {
        name: (group["algorithm"], group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for name in group["param_names"]
    }
    # Layers from the top: the head with the last norm, the blocks; the embedding is frozen.
    wanted = {
        "head.weight": ("adamw", 3e-4, 0.05),
        "head.bias": ("adamw", 3e-4, 0.0),
        "norm.weight": ("adamw", 3e-4, 0.0),
        "norm.bias": ("adamw", 3e-4, 0.0),
    }
    for index in range(3):
        factor = 0.75 ** (3 - index)
        for name in ("norm.weight", "norm.bias", "mlp.0.bias", "mlp.2.bias"):
            wanted[f"blocks.{index}.{name}"] = ("adamw", 3e-4 * factor, 0.0)
        for name in ("mlp.0.weight", "mlp.2.weight"):
            wanted[f"blocks.{index}.{name}"] = ("muon", 0.02 * factor, 0.1)
    assert {name: (t[0], pytest.approx(t[1]), t[2]) for name, t in wanted.items()} == treated


def test_the_embedding_stays_and_everything_else_moves(trained: dict[str, Any]) -> None:
    for name, p in trained["model"].named_parameters():
        assert torch.equal(p, trained["start"][name]) == (name == "embed.weight"), name
        assert p.requires_grad == (name != "embed.weight")


def test_the_rate_warms_up_and_the_average_follows(trained: dict[str, Any]) -> None:
    setup = trained["setup"]
    rates = [group["lr"] / group["initial_lr"] for group in setup.optimizer.param_groups]
    # The first step is taken at 1/101 of the rate, the 101st at all of it.
    assert rates == pytest.approx([(STEPS + 1) / 101] * len(rates))
    assert int(setup.averaging.n_averaged) == STEPS
    assert setup.averaging(trained["batches"][0][0]).shape == (6, 4)
    assert setup.clipping.norm == 1.0


MISTAKES = [
    ("weight_decay = 0.05", "weight_decay = '5e-2'"),
    ('"*.bias", weight_decay', '"*.bias", wight_decay'),
    ("T_max = 900\n", ""),
]


def test_mistakes_are_told_as_the_page_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = block("toml")
    for right, wrong in MISTAKES:
        assert right in text
        text = text.replace(right, wrong)
    monkeypatch.chdir(tmp_path)
    Path("finetune.toml").write_text(text)
    with pytest.raises(optkit.ConfigFileError) as raised:
        optkit.from_config("finetune.toml", Transformer())
    shown = block("text").splitlines()
    for line, told in zip(shown, str(raised.value).splitlines(), strict=True):
        assert told.startswith(line.partition("…")[0])
