"""Descent: losses fall on standard problems, by the best of three learning rates."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.search_spaces import SearchSpace
from optkit_core.modes import WithModes
from optkit_core.testing.failures import NotApplicableError
from optkit_core.testing.foreign_subject import ForeignSubject
from optkit_core.testing.standard_problems import STANDARD_PROBLEMS, StandardProblem
from optkit_core.testing.subject import Subject

STEPS = 150


def descent(subject: Subject) -> None:
    """Minimize each problem for some steps by each learning rate; the best one counts.

    Raises:
        NotApplicableError: parameters are complex, or half as precise as such losses need.
    """
    if subject.dtype not in (torch.float32, torch.float64):
        raise NotApplicableError("the problems are of real numbers in float32 or float64")
    for problem in STANDARD_PROBLEMS:
        reached = {}
        for options in rates(subject):
            reached[str(options or "its defaults")] = _part(subject, problem, options)
            if reached[str(options or "its defaults")] <= problem.target:
                break
        else:
            best = min(reached, key=lambda key: reached[key])
            raise AssertionError(
                f"after {STEPS} steps on {problem.name} the loss is {reached[best]:.3g} of what it "
                f"was with {best}, the best of {list(reached)}; at most {problem.target} is asked"
            )


def rates(subject: Subject) -> list[dict[str, Any]]:
    """Return three learning rates: the default, and two of where rates are searched.

    Without a search there are ten times the default, and a tenth of it; for a class that isn't
    optkit's some more.

    Args:
        subject: what is checked.
    """
    if isinstance(subject, ForeignSubject) and "lr" not in subject.options:
        return [{"lr": rate} for rate in subject.learning_rates] or [{}]
    declared = getattr(subject.algorithm, "declarations", {}).get("lr")
    if declared is None or "lr" in subject.options:
        return [{}]
    default = subject.algorithm.default_values["lr"]
    if isinstance(declared.search, SearchSpace):
        rates = [declared.search.ppf(0.9), default, declared.search.ppf(0.0)]
    else:
        rates = [default, default * 10, default / 10]
    return [{"lr": rate} for rate in rates]


def _part(subject: Subject, problem: StandardProblem, options: dict[str, Any]) -> float:
    """Return what is left of the loss after all steps, as a part of the first one."""
    params = problem.parameters(subject.dtype, subject.device)
    name = subject.implementations[0]
    optimizer = subject.optimizer(params, name, **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = problem.loss(params)
        loss.backward()
        if not subject.takes_dense:
            for p in params:
                p.grad = None if p.grad is None else p.grad.to_sparse()
        return loss

    start = problem.loss(params).item()
    for _ in range(STEPS // 10 if subject.requires_closure else STEPS):
        optimizer.step(closure)
    end = _evaluated(optimizer, problem, params)
    return end / start if math.isfinite(end) else math.inf


def _evaluated(
    optimizer: torch.optim.Optimizer, problem: StandardProblem, params: list[Tensor]
) -> float:
    if isinstance(optimizer, WithModes):
        optimizer.eval()
    return problem.loss(params).item()
