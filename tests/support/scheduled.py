"""Schedules for tests: arguments for each that ships, and runs that note the rates."""

from __future__ import annotations

import copy
import inspect
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from algorithms import ALGORITHMS, SPARSE_ONLY, TORCH_OPTIM, short
from torch.optim import lr_scheduler, swa_utils

import optkit

WITH_COUNTERPART = {name: TORCH_OPTIM[name] for name in ALGORITHMS if name in TORCH_OPTIM}
"""The class of torch.optim that has an algorithm's name, for all that have one."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "chained": {
        "schedules": [
            {"name": "constant", "factor": 0.5, "total_iters": 4},
            {"name": "exponential", "gamma": 0.9},
        ]
    },
    "constant": {"factor": 0.5, "total_iters": 6},
    "cosine_annealing": {"T_max": 7, "eta_min": 0.001},
    "cosine_annealing_warm_restarts": {"T_0": 3, "T_mult": 2},
    "cyclic": {"base_lr": 0.01, "max_lr": 0.05, "step_size_up": 3, "mode": "triangular2"},
    "exponential": {"gamma": 0.9},
    "lambda": {"lr_lambda": lambda step: 1 / (1 + step)},
    "linear": {"start_factor": 0.1, "total_iters": 8},
    "multi_step": {"milestones": [3, 3, 11], "gamma": 0.5},
    "multiplicative": {"lr_lambda": lambda step: 0.9},
    "one_cycle": {"max_lr": 0.05, "total_steps": 25},
    "polynomial": {"total_iters": 15, "power": 2.0},
    "reduce_on_plateau": {"factor": 0.5, "patience": 2},
    "sequential": {
        "schedules": [
            {"name": "linear", "start_factor": 0.2, "total_iters": 5},
            {"name": "cosine_annealing", "T_max": 6},
            {"name": "step", "step_size": 2, "gamma": 0.5},
        ],
        "milestones": [5, 12],
    },
    "step": {"step_size": 4, "gamma": 0.5},
    "swa": {"swa_lr": [0.03, 0.002], "anneal_epochs": 6},
}
"""Arguments of each schedule, for an optimizer of two groups and about twenty steps."""


def composed(name: str, optimizer: Any, arguments: dict[str, Any]) -> Any:
    """Return the same schedule, made of torch's classes by hand."""
    if name == "sequential":
        parts = [
            lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=5),
            lr_scheduler.CosineAnnealingLR(optimizer, T_max=6),
            lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5),
        ]
        return lr_scheduler.SequentialLR(optimizer, parts, [5, 12])
    if name == "chained":
        constant = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=4)
        return lr_scheduler.ChainedScheduler(
            [constant, lr_scheduler.ExponentialLR(optimizer, gamma=0.9)]
        )
    return TORCH_SCHEDULES[name](optimizer, **arguments)


TORCH_SCHEDULES: dict[str, Any] = {
    "constant": lr_scheduler.ConstantLR,
    "cosine_annealing": lr_scheduler.CosineAnnealingLR,
    "cosine_annealing_warm_restarts": lr_scheduler.CosineAnnealingWarmRestarts,
    "cyclic": lr_scheduler.CyclicLR,
    "exponential": lr_scheduler.ExponentialLR,
    "lambda": lr_scheduler.LambdaLR,
    "linear": lr_scheduler.LinearLR,
    "multi_step": lr_scheduler.MultiStepLR,
    "multiplicative": lr_scheduler.MultiplicativeLR,
    "one_cycle": lr_scheduler.OneCycleLR,
    "polynomial": lr_scheduler.PolynomialLR,
    "reduce_on_plateau": lr_scheduler.ReduceLROnPlateau,
    "step": lr_scheduler.StepLR,
    "swa": swa_utils.SWALR,
}
"""The class of torch that each schedule is, but for those that are made of others."""


def parameters() -> list[torch.nn.Parameter]:
    """Return two matrices, the same at every call."""
    generator = torch.Generator().manual_seed(7)
    return [torch.nn.Parameter(torch.randn(3, 4, generator=generator)) for _ in range(2)]


def groups(name: str, params: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    """Return a group of each parameter, with a rate of its own; torch's L-BFGS takes one."""
    if name == "lbfgs":
        return [{"params": params, "lr": 0.02}]
    return [{"params": [p], "lr": lr} for p, lr in zip(params, (0.02, 0.01), strict=True)]


def arguments_for(schedule: str, optimizer: Any) -> dict[str, Any]:
    """Return a schedule's arguments for an optimizer: not all have a momentum to be cycled."""
    arguments = ARGUMENTS[schedule]
    if schedule == "swa":
        return {**arguments, "swa_lr": arguments["swa_lr"][: len(optimizer.param_groups)]}
    if schedule in ("cyclic", "one_cycle") and not {"momentum", "betas"} & {*optimizer.defaults}:
        return {**arguments, "cycle_momentum": False}
    return arguments


def plain_rates(optimizer: Any) -> list[Any]:
    """Return learning rate and momentum of each group, as they are."""
    keys = ("lr", "momentum", "betas")
    return [{key: group[key] for key in keys if key in group} for group in optimizer.param_groups]


WEIGHTS = torch.arange(1.0, 13.0).view(3, 4)


def closure_of(optimizer: Any, name: str) -> Callable[[], torch.Tensor]:
    """Return a loss with gradients that change as the parameters do; by hand, which is quicker."""
    params = [p for group in optimizer.param_groups for p in group["params"]]

    def closure() -> torch.Tensor:
        for p in params:
            apart = p.detach() - 0.5
            p.grad = apart.to_sparse(1) if name in SPARSE_ONLY else apart * WEIGHTS
        return sum(((p.detach() - 0.5).square() * WEIGHTS).sum() / 2 for p in params)

    return closure


def advance(optimizer: Any, schedule: Any, name: str, steps: int) -> list[Any]:
    """Make steps of both, and return what the groups held in each."""
    noted = []
    closure = closure_of(optimizer, name)
    for _ in range(steps):
        noted.append(copy.deepcopy(plain_rates(optimizer)))
        optimizer.step(closure)
        follows = isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
        schedule.step(*[1.0] if follows else [])
    return noted


def reloaded(state: Any) -> Any:
    """Return a state as a file gives it back, read by ``weights_only``."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def made(name: str, params: list[torch.nn.Parameter], schedule: str) -> tuple[Any, Any]:
    """Return an optimizer of optkit that runs its for-loop, and a schedule of it by name."""
    optimizer = optkit.create(name, groups(name, params), implementation="forloop", **short(name))
    arguments = arguments_for(schedule, optimizer)
    return optimizer, optkit.create_schedule(schedule, optimizer, **arguments)


def made_by_torch(name: str, params: list[torch.nn.Parameter], schedule: str) -> tuple[Any, Any]:
    """Return the same of torch.optim."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, about its defaults
        cls = WITH_COUNTERPART[name]
        takes_flag = "foreach" in inspect.signature(cls).parameters
        optimizer = cls(
            groups(name, params), **short(name), **({"foreach": False} if takes_flag else {})
        )
    return optimizer, composed(schedule, optimizer, arguments_for(schedule, optimizer))


def made_by_hand(optimizer: Any, warmup: int) -> Any:
    """Return the schedule ``"sequential"`` with a warm-up, of torch's classes."""
    parts = [
        lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup),
        lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=5),
        lr_scheduler.CosineAnnealingLR(optimizer, T_max=6),
        lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [warmup, warmup + 5, warmup + 12])
