"""Averages of weights by name, with every algorithm, beside torch's own on torch.optim."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

import distributions
import pytest
import torch
from algorithms import MATRIXWISE, NAMES, short
from distributions import World
from scheduled import WITH_COUNTERPART, reloaded
from torch.optim import swa_utils

import optkit
import optkit_core

world = pytest.fixture(distributions.world)

AVERAGINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "ema": (
        {"decay": 0.9},
        lambda model: swa_utils.AveragedModel(
            model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9)
        ),
    ),
    "ema of buffers": (
        {"decay": 0.5, "use_buffers": True},
        lambda model: swa_utils.AveragedModel(
            model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True
        ),
    ),
    "swa": ({}, swa_utils.AveragedModel),
}


def network() -> torch.nn.Module:
    torch.manual_seed(5)
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh(), torch.nn.Linear(4, 1)
    )


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(5, 3, generator=generator) for _ in range(6)]


def trained(name: str, model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the parameters that an algorithm takes; the others stay as they are."""
    return [p for p in model.parameters() if name not in MATRIXWISE or p.dim() == 2]


def train(model: Any, optimizer: Any, average: Any, schedule: Any, rows: Any) -> None:
    for inputs in rows:

        def closure(inputs: torch.Tensor = inputs) -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            if type(optimizer).__name__ == "SparseAdam":
                for p in model.parameters():
                    p.grad = p.grad.to_sparse(1)
            return loss

        optimizer.step(closure)
        schedule.step()
        average.update_parameters(model)


def ours(name: str, kind: str, model: Any) -> tuple[Any, Any, Any]:
    optimizer = optkit.create(
        name, trained(name, model), lr=0.02, implementation="forloop", **short(name)
    )
    average = optkit.create_averaging(kind.split()[0], model, **AVERAGINGS[kind][0])
    schedule = optkit.create_schedule("swa", optimizer, swa_lr=0.005, anneal_epochs=3)
    return optimizer, average, schedule


def torchs(name: str, kind: str, model: Any) -> tuple[Any, Any, Any]:
    cls = WITH_COUNTERPART[name]
    flag = {"foreach": False} if "foreach" in inspect.signature(cls).parameters else {}
    optimizer = cls(trained(name, model), lr=0.02, **flag, **short(name))
    average = AVERAGINGS[kind][1](model)
    return optimizer, average, swa_utils.SWALR(optimizer, swa_lr=0.005, anneal_epochs=3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", AVERAGINGS)
@pytest.mark.parametrize("name", WITH_COUNTERPART)
def test_lock_step_with_torch_and_a_resumed_run(name: str, kind: str) -> None:
    rows = batches()
    straight, theirs, resumed = network(), network(), network()
    parts = ours(name, kind, straight)
    train(straight, *parts, rows)
    of_torch = torchs(name, kind, theirs)
    train(theirs, *of_torch, rows)

    first = ours(name, kind, resumed)
    train(resumed, *first, rows[:3])
    saved = reloaded([resumed.state_dict(), *(part.state_dict() for part in first)])
    resumed = network()
    again = ours(name, kind, resumed)
    for part, state in zip((resumed, *again), saved, strict=True):
        part.load_state_dict(state)
    train(resumed, *again, rows[3:])

    averages = [parts[1], of_torch[1], again[1]]
    for average in averages:
        optkit.update_bn(rows, average)
    # L-BFGS sums in another order than torch does.
    within = {"rtol": 1e-4, "atol": 1e-5} if name == "lbfgs" else {"rtol": 0.0, "atol": 0.0}
    for key, value in averages[0].state_dict().items():
        torch.testing.assert_close(value, averages[1].state_dict()[key], **within)
        assert torch.equal(value, averages[2].state_dict()[key])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_COUNTERPART])
def test_algorithms_without_a_counterpart(name: str) -> None:
    """The average is what its formula says of the weights that there were."""
    model = network()
    optimizer = optkit.create(name, model.parameters())
    average = optkit.create_averaging("ema", model, decay=0.75)
    mean = optkit.create_averaging("swa", model)
    expected, weights = None, []
    for inputs in batches():
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        average.update_parameters(model)
        mean.update_parameters(model)
        weights.append(model[0].weight.detach().double())
        expected = weights[0] if expected is None else 0.75 * expected + 0.25 * weights[-1]
    torch.testing.assert_close(average.module[0].weight.double(), expected)
    torch.testing.assert_close(mean.module[0].weight.double(), sum(weights) / len(weights))


def test_update_bn_is_torchs() -> None:
    assert optkit.update_bn is swa_utils.update_bn


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("ema", {"decay": 1.5}, "decay must be in [0, 1], got 1.5."),
        ("ema", {"decay": "0.9"}, "write 0.9 without quotes"),
        ("ema", {"decay": True}, "decay must be a number"),
        ("ema", {"decai": 0.9}, "Did you mean 'decay'?"),
        ("EMA", {"use_buffers": 2}, "use_buffers must be True or False"),
        ("swa", {"decay": 0.9}, "averaging 'swa' takes no 'decay'"),
        ("swa", {"avg_fn": 3}, "avg_fn must be a function or None, got 3"),
        ("swa", {"avg_fn": max, "multi_avg_fn": max}, "AssertionError: Only one of avg_fn"),
        ("swa", {"device": "nowhere"}, "can't be made: RuntimeError"),
    ],
)
def test_a_refusal_says_why(name: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(optkit.ArgumentError) as raised:
        optkit.create_averaging(name, network(), **arguments)
    assert words in str(raised.value) and f"averaging {name!r}" in str(raised.value)


def test_names_that_are_found_and_one_that_isnt() -> None:
    for spelled in ("ema", "EMA", "exponential-moving-average", "AveragedModel", "optkit:swa"):
        assert isinstance(
            optkit.create_averaging(spelled, torch.nn.Linear(1, 1)), swa_utils.AveragedModel
        )
    with pytest.raises(optkit.UnknownAveragingError, match="Did you mean 'ema'"):
        optkit.create_averaging("emma", network())
    with pytest.raises(optkit.ArgumentError, match=r"needs a torch.nn.Module, got \[\]"):
        optkit.create_averaging("ema", [])
    make = functools.partial(optkit.create_averaging, name="ema", decay=0.5)
    assert make(network()).n_averaged == 0


def test_the_model_stays_as_it_is() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    average = optkit.create_averaging("ema", model, device="cpu")
    average.update_parameters(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_plugin_brings_an_averaging(world: World) -> None:
    source = """
from torch.optim.swa_utils import AveragedModel
def last(model, scale: float = 1.0):
    "last: the weights of now"
    return AveragedModel(model, avg_fn=lambda average, now, count: now * scale)
def broken(model):
    return model
"""
    names = {"last": "lasting:last", "broken": "lasting:broken"}
    world.install("dist", averagings=names, modules={"lasting": source})
    assert optkit.available("*a*", kind="averaging") == ["last", "swa"]
    model = torch.nn.Linear(1, 1)
    average = optkit.create_averaging("last", model, scale=2)
    for _ in range(2):
        average.update_parameters(model)
    assert torch.equal(average.module.weight, 2 * model.weight)
    assert optkit.describe("last", kind="averaging").summary == "the weights of now"
    with pytest.raises(optkit_core.PluginError, match=r"no update_parameters\(\)"):
        optkit.create_averaging("broken", model)
