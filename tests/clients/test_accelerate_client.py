"""Accelerate: wrapped optimizers and schedules, and their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import NAMES
from client_files import assert_same_files

import optkit

accelerate = pytest.importorskip("accelerate", reason="Accelerate isn't installed")


@pytest.fixture(autouse=True)
def own_state() -> Iterator[None]:
    """Accelerate keeps what it is for the whole process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def test_a_resumed_run_of_the_example_ends_where_an_uninterrupted_one_does(
    run_client: Callable[..., str], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    printed = run_client("accelerate_train.py", whole, "--epochs", 5)
    first = run_client("accelerate_train.py", parts, "--epochs", 2)
    assert first + run_client("accelerate_train.py", parts, "--epochs", 5, "--resume") == printed
    names = sorted(path.name for path in whole.iterdir())
    assert {"model.safetensors", "optimizer.bin", "scheduler.bin"} < {*names}
    for name in names:
        assert_same_files(whole / name, parts / name)


class Job:
    """A model, prepared with its optimizer and a schedule."""

    def __init__(self, name: str, **options: Any) -> None:
        self.accelerator = accelerate.Accelerator(cpu=True, **options)
        torch.manual_seed(0)
        self.model = torch.nn.Linear(4, 3)
        self.own = optkit.create(name, self.model.named_parameters(), lr=0.01)
        schedule = optkit.create_schedule("exponential", self.own, gamma=0.5)
        self.prepared, self.optimizer, self.schedule = self.accelerator.prepare(
            self.model, self.own, schedule
        )
        self.inputs = torch.randn(8, 4)

    def steps(self, count: int) -> torch.Tensor:
        """Take some steps; return the weights."""
        for _ in range(count):

            def closure() -> torch.Tensor:
                self.optimizer.zero_grad()
                loss = self.prepared(self.inputs).square().mean()
                self.accelerator.backward(loss)
                return loss

            self.optimizer.step(closure)
            self.schedule.step()
        return torch.cat([p.detach().flatten().clone() for p in self.model.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_state_is_saved_and_loaded_through_the_wrapper(name: str, tmp_path: Path) -> None:
    job = Job(name)
    job.steps(2)
    job.accelerator.save_state(str(tmp_path))
    wanted = job.steps(2)
    job.steps(1)
    job.accelerator.load_state(str(tmp_path))
    assert torch.equal(job.steps(2), wanted)


def test_an_accumulated_step_is_one_step() -> None:
    job = Job("adamw", gradient_accumulation_steps=2)
    for _ in range(4):
        with job.accelerator.accumulate(job.prepared):
            job.accelerator.backward(job.prepared(job.inputs).square().mean())
            job.optimizer.step()
            job.schedule.step()
            job.optimizer.zero_grad()
    assert job.own.state[job.model.weight]["step"] == 2
    assert job.own.param_groups[0]["lr"] == 0.01 / 4


def test_modes_reach_the_optimizer_inside() -> None:
    job = Job("schedulefree_adamw")
    trained = job.steps(3)
    job.optimizer.eval()
    assert not torch.equal(job.model.weight.flatten(), trained[:12])
    job.optimizer.train()
    torch.testing.assert_close(job.model.weight.detach().flatten(), trained[:12])


def test_a_file_of_optkit_holds_what_is_inside(tmp_path: Path) -> None:
    job = Job("adamw")
    job.steps(2)
    optkit.save(job.optimizer, tmp_path / "optimizer.safetensors")
    again = optkit.create("adamw", job.model.named_parameters())
    optkit.load(again, tmp_path / "optimizer.safetensors")
    assert again.state[job.model.weight]["step"] == 2
