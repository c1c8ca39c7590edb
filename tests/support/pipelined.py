"""What ranks do with stages of a pipeline, each with an optimizer of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from algorithms import NAMES, TORCH
from engines import RATE, STEPS, apart, model, ours, theirs
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

import optkit

SCHEDULES = (ScheduleGPipe, Schedule1F1B)


def _rows(step: int) -> Tensor:
    return torch.randn(8, 9, generator=torch.Generator().manual_seed(step))


def _loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean()


def _stages(split: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    layers = list(model())
    return torch.nn.Sequential(*layers[:split]), torch.nn.Sequential(*layers[split:])


def _trained(stage_module: torch.nn.Module, kind: Any, optimizer: Any) -> dict[str, Tensor]:
    """Train this rank's stage; return its parameters by name."""
    rank, count = dist.get_rank(), dist.get_world_size()
    stage = PipelineStage(stage_module, rank, count, torch.device("cpu"))
    schedule = kind(stage, 4, loss_fn=_loss)
    for step in range(STEPS):
        optimizer.zero_grad()
        given = (_rows(step),) if rank == 0 else ()
        asked = {"target": torch.zeros(8, 5)} if rank == count - 1 else {}
        schedule.step(*given, **asked)
        optimizer.step()
    return {name: p.detach().clone() for name, p in stage_module.named_parameters()}


def stages_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train a stage on each rank by every schedule."""
    found = []
    for kind in SCHEDULES:
        for name in TORCH if kind is ScheduleGPipe else ("adam",):
            ended = []
            for make in (ours, theirs):
                stage = _stages(1)[dist.get_rank()]
                ended.append(_trained(stage, kind, make(name, stage.parameters())))
            found += apart(f"{name}, {kind.__name__}", *ended)
    return found


def stage_without_parameters(mesh: DeviceMesh) -> list[tuple[str, bool, int]]:
    """Train with a last stage of no parameter; return what has moved, and how many states are."""
    found = []
    for name in NAMES:
        if optkit.get(name).requires_closure:
            continue
        layers = torch.nn.Linear(9, 5), torch.nn.Tanh()
        stage = torch.nn.Sequential(layers[dist.get_rank()])
        before = [p.detach().clone() for p in stage.parameters()]
        # A list without any parameter is refused, as torch refuses it; a group without is not.
        optimizer = optkit.create(name, [{"params": list(stage.parameters())}], lr=RATE)
        after = _trained(stage, ScheduleGPipe, optimizer)
        optimizer.load_state_dict(optimizer.state_dict())
        moved = [not torch.equal(p, q) for p, q in zip(after.values(), before, strict=True)]
        found.append((name, any(moved), len(moved)))
    return found


CASES = [stages_in_lock_step, stage_without_parameters]
