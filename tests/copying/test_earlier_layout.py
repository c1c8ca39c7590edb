"""What was written before modules moved into packages: pickles, states and files still load."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import optkit

WRITTEN = Path(__file__).parents[1] / "data" / "before_wings"
NAMES = sorted(path.stem for path in WRITTEN.glob("*.pickle"))


def train(model: torch.nn.Module, optimizer: Any, steps: int = 3) -> list[torch.Tensor]:
    inputs = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(8, 3)
    targets = inputs.sin().sum(1, keepdim=True)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = ((model(inputs) - targets) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return [p.detach().clone() for p in model.parameters()]


def unpickled(name: str) -> tuple[torch.nn.Module, Any]:
    model, optimizer = pickle.loads((WRITTEN / f"{name}.pickle").read_bytes())
    return model, optimizer


def resumed(name: str) -> tuple[torch.nn.Module, Any]:
    """Return the model of the pickle with an optimizer that has no state yet."""
    model, optimizer = unpickled(name)
    for p in model.parameters():
        p.grad = None
    options = {key: value for key, value in optimizer.defaults.items() if value is not None}
    named = list(model.named_parameters())
    halves = [{"params": named[:2]}, {"params": named[2:]}]
    return model, optkit.create(name, named if name == "lbfgs" else halves, **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_a_state_and_a_file_continue_alike(name: str) -> None:
    model, optimizer = unpickled(name)
    assert optimizer.state
    continued = train(model, optimizer)
    from_state, from_file = resumed(name), resumed(name)
    state = torch.load(WRITTEN / f"{name}.state.pt", weights_only=True)
    from_state[1].load_state_dict(state)
    optkit.load(from_file[1], WRITTEN / f"{name}.optkit")
    for found in (train(*from_state), train(*from_file)):
        torch.testing.assert_close(found, continued, rtol=0, atol=0)
