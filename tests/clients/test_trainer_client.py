"""Transformers' Trainer: optimizers that are handed over, and classes that it makes them of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from client_files import assert_same_files

import optkit

transformers = pytest.importorskip("transformers", reason="Transformers isn't installed")
pytest.importorskip("accelerate", reason="Accelerate, which Trainer needs, isn't installed")


class Layers(torch.nn.Module):
    """A network as Trainer wants it: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = torch.nn.Linear(4, 8), torch.nn.LayerNorm(8)
        self.outer = torch.nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.outer(torch.tanh(self.norm(self.inner(x)))).squeeze(-1)
        return {"loss": (scores - labels).square().mean(), "logits": scores}


def rows() -> list[dict[str, Any]]:
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    return [{"x": x, "labels": x.sum()} for x in inputs]


def model() -> Layers:
    torch.manual_seed(0)
    return Layers()


def trainer(
    network: torch.nn.Module, folder: Path, *, steps: int = 4, given: Any = None, **options: Any
) -> Any:
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=steps,
        per_device_train_batch_size=8,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        **({"save_strategy": "no"} | (given or {})),
    )
    return transformers.Trainer(
        network, arguments, train_dataset=rows(), eval_dataset=rows(), **options
    )


def test_a_resumed_run_of_the_example_ends_where_an_uninterrupted_one_does(
    run_client: Callable[..., str], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    printed = run_client("trainer.py", whole, "--steps", 40)
    run_client("trainer.py", parts, "--steps", 20)
    again = run_client("trainer.py", parts, "--steps", 40, "--resume")
    losses = [line for line in printed.splitlines() if line.startswith("step ")]
    assert losses[-4:] == again.splitlines()[-4:]
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        assert_same_files(*(folder / "checkpoint-40" / name for folder in (whole, parts)))


def test_a_class_gets_trainers_two_groups(tmp_path: Path) -> None:
    kwargs = {"lr": 0.01, "betas": (0.8, 0.99)}
    job = trainer(
        model(),
        tmp_path,
        given={"weight_decay": 0.1},
        optimizer_cls_and_kwargs=(optkit.Adamax, kwargs),
    )
    job.train()
    own = job.optimizer.optimizer
    assert isinstance(own, optkit.Adamax)
    found = [(len(g["params"]), g["weight_decay"], g["betas"]) for g in own.param_groups]
    # Names with "bias" or "norm" in them aren't decayed.
    assert found == [(2, 0.1, (0.8, 0.99)), (4, 0.0, (0.8, 0.99))]


def test_a_class_takes_groups_by_rule_in_place_of_trainers(tmp_path: Path) -> None:
    network = model()
    rules = [
        {"module": "norm", "weight_decay": 0.0},
        {"match": "outer.*", "lr_scale": 0.5},
    ]
    by_rule = optkit.groups(network, rules, default={"lr": 0.01})
    given = (optkit.AdamW, {"params": by_rule})
    job = trainer(network, tmp_path, optimizer_cls_and_kwargs=given)
    job.train()
    groups = job.optimizer.optimizer.param_groups
    assert [group["param_names"][0] for group in groups] == [
        "inner.weight",
        "norm.weight",
        "outer.weight",
    ]
    assert [group["initial_lr"] for group in groups] == [0.01, 0.01, 0.005]


def test_a_factory_is_called_with_the_model(tmp_path: Path) -> None:
    config = {"optimizer": {"name": "lion", "lr": 1e-4}}
    job = trainer(
        model(),
        tmp_path,
        optimizer_cls_and_kwargs=(configured, {"config": config}),
    )
    job.train()
    assert isinstance(job.optimizer.optimizer, optkit.Lion)
    assert job.optimizer.param_groups[0]["param_names"][0] == "inner.weight"


def configured() -> Callable[..., torch.optim.Optimizer]:
    """Return what makes the optimizer of a configuration, as Trainer calls it."""
    return lambda network, config: optkit.from_config(config, network).optimizer


def test_what_is_handed_over_stands_above_optim_and_learning_rate(tmp_path: Path) -> None:
    network = model()
    optimizer = optkit.create("adamax", network.named_parameters(), lr=0.25)
    schedule = optkit.create_schedule("constant", optimizer, factor=0.5, total_iters=2)
    job = trainer(
        network,
        tmp_path,
        given={"optim": "adafactor", "learning_rate": 3.0, "weight_decay": 0.7},
        optimizers=(optimizer, schedule),
    )
    job.train()
    assert job.optimizer.optimizer is optimizer
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["weight_decay"] == 0.0


def test_without_a_schedule_trainer_makes_its_own(tmp_path: Path) -> None:
    network = model()
    optimizer = optkit.create("adamax", network.named_parameters(), lr=0.25)
    trainer(network, tmp_path, optimizers=(optimizer, None)).train()
    assert optimizer.param_groups[0]["lr"] == 0.0  # linear, down to nothing


@pytest.mark.parametrize("evaluated", [False, True])
def test_modes_are_switched_and_resumed(tmp_path: Path, evaluated: bool) -> None:
    """Weights of a checkpoint are those of its mode; the state says which that is."""
    given = {"save_strategy": "steps", "save_steps": 2}
    given |= {"eval_strategy": "steps", "eval_steps": 2} if evaluated else {}

    def job(folder: Path, steps: int) -> Any:
        network = model()
        optimizer = optkit.create("schedulefree_adamw", network.named_parameters(), lr=0.05)
        schedule = optkit.create_schedule("constant", optimizer)
        options = {"given": given, "optimizers": (optimizer, schedule)}
        return trainer(network, folder, steps=steps, **options)

    job(tmp_path / "whole", 4).train()
    job(tmp_path / "parts", 2).train()
    job(tmp_path / "parts", 4).train(resume_from_checkpoint=True)
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"):
        assert_same_files(*(tmp_path / part / "checkpoint-4" / name for part in ("whole", "parts")))


def test_a_run_with_other_groups_is_refused_when_it_is_resumed(tmp_path: Path) -> None:
    given = {"save_strategy": "steps", "save_steps": 2}
    network = model()
    optimizer = optkit.create("adamw", network.named_parameters())
    trainer(network, tmp_path, steps=2, given=given, optimizers=(optimizer, None)).train()
    job = trainer(model(), tmp_path, given=given, optimizer_cls_and_kwargs=(optkit.AdamW, {}))
    with pytest.raises(optkit.CheckpointError, match="group"):
        job.train(resume_from_checkpoint=True)
