"""Schedulers: what torch's write into a group takes effect in the next step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler

from optkit_core.optimizer import Optimizer
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.gradient_check import require_tensor_lr
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_step
from optkit_core.testing.subject import Subject, params_of

STEPS = 5


def schedulers(subject: Subject) -> None:
    """Compare scheduled steps with those of optimizers that are constructed with these values.

    Raises:
        NotApplicableError: it takes no lr.
    """
    if "lr" not in subject.algorithm.hyperparameter_names:
        raise NotApplicableError(f"{subject.algorithm.__name__} takes no 'lr'")
    for name in subject.implementations:
        for what, scheduler_of in SCHEDULERS.items():
            optimizer = subject.optimizer(small_parameters(subject), name)
            with prefix_failures(f"{name} under {what}"):
                _compare(subject, name, optimizer, scheduler_of(optimizer))


def tensor_lr_schedules(subject: Subject) -> None:
    """Do the same with a learning rate that is a tensor, which schedulers fill in place.

    Raises:
        NotApplicableError: it takes no tensor.
    """
    require_tensor_lr(subject)
    lr = torch.tensor(0.125)
    for name in subject.implementations:
        optimizer = subject.optimizer(small_parameters(subject), name, lr=lr.clone())
        with prefix_failures(f"{name} under LambdaLR with a tensor lr"):
            _compare(subject, name, optimizer, SCHEDULERS["LambdaLR"](optimizer))


SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    # Half from the beginning on: what is read at construction is twice as much.
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.5 if epoch < 2 else 0.125),
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.25),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
        o, max_lr=0.25, total_steps=STEPS + 1, cycle_momentum=_cycles(o)
    ),
}


def _cycles(optimizer: Optimizer) -> bool:
    """Return whether OneCycleLR finds a momentum that it can write: the first of two betas."""
    momentum, betas = optimizer.defaults.get("momentum"), optimizer.defaults.get("betas", ())
    return bool(momentum) or len(betas) == 2


def _compare(subject: Subject, name: str, optimizer: Optimizer, scheduler: Any) -> None:
    """Assert that each step is that of an optimizer constructed with the values of then."""
    for number in range(STEPS):
        twin = _constructed(subject, name, optimizer)
        for each in (optimizer, twin):
            take_step(subject, each, number)
        with prefix_failures(f"step {number + 1}, with lr={optimizer.param_groups[0]['lr']}"):
            # Of a search that has nearly converged, what is left is rounding.
            is_exact = not subject.requires_closure
            Snapshot.of(optimizer).assert_agrees(Snapshot.of(twin), subject, is_exact)
        scheduler.step()


def _constructed(subject: Subject, name: str, optimizer: Optimizer) -> Optimizer:
    """Return an optimizer in the same state, constructed with what the group now holds."""
    params = small_parameters(subject)
    for p, q in zip(params, params_of(optimizer), strict=True):
        p.copy_(q)
    (group,) = optimizer.param_groups
    values = {key: _own(group[key]) for key in subject.algorithm.hyperparameter_names}
    twin: Optimizer = subject.optimizer(params, name, **values)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return twin


def _own(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
