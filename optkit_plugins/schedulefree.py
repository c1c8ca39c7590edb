"""What schedule-free algorithms share: the average that takes a schedule's place, and its modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from optkit_core import (
    Buffer,
    Elementwise,
    WithModes,
    at_least,
    hyperparameter,
    importer,
    scalar_math,
    whole,
)

WARMUP_STEPS = hyperparameter(
    default=0, range=whole(0), doc="steps in which the learning rate rises"
)
R = hyperparameter(default=0.0, range=at_least(0.0), doc="power of t in the weight of an iterate")
WEIGHT_LR_POWER = hyperparameter(
    default=2.0, range=at_least(0.0), doc="power of the learning rate in that weight"
)


class ScheduleFree(WithModes, Elementwise):
    """Base of schedule-free algorithms: parameters are :math:`y`, and :math:`x` in eval mode."""

    paper = "Defazio et al. 2024, https://arxiv.org/abs/2405.15682"

    z = Buffer(init=lambda p: p, doc="the iterates that are averaged")
    # float64, as the numbers of Python that the authors' package keeps in a group.
    weight_sum = Buffer(kind="scalar", dtype=torch.float64, doc="sum of the weights so far")
    lr_max = Buffer(
        init=-1.0, kind="scalar", dtype=torch.float64, doc="largest learning rate so far"
    )

    @staticmethod
    def to_eval(p: Any, s: Any, h: Any) -> None:
        """Turn the point of the gradient into the average."""
        p.lerp_(s.z, 1 - 1 / beta_of(vars(h)))

    @staticmethod
    def to_train(p: Any, s: Any, h: Any) -> None:
        """Turn the average into the point of the gradient."""
        p.lerp_(s.z, 1 - beta_of(vars(h)))

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        """Return why values don't go together: of :math:`y = z` no way leads to the average."""
        if beta_of(values):
            return ""
        return f"{'betas[0]' if 'betas' in values else 'momentum'} must be above 0, got 0."


def beta_of(values: Mapping[str, Any]) -> Any:
    r"""Return :math:`\beta`, how much of the average is in the point of the gradient.

    Args:
        values: the hyperparameters, with ``betas`` or with ``momentum``.
    """
    return values["betas"][0] if "betas" in values else values["momentum"]


def averaged_step(p: Any, direction: Any, s: Any, h: Any, t: Any, beta: Any) -> None:
    """Step along a direction, and average.

    Args:
        p: the parameter.
        direction: what is descended along.
        s: its buffers.
        h: the hyperparameters.
        t: the number of the step.
        beta: as in `beta_of`.
    """
    lr = h.lr * scalar_math.minimum(t / h.warmup_steps, 1.0) if h.warmup_steps else h.lr
    s.lr_max = scalar_math.maximum(lr, s.lr_max)
    weight = t**h.r * s.lr_max**h.weight_lr_power
    s.weight_sum += weight
    # While all learning rates are zero, so is every weight.
    share = scalar_math.cond(s.weight_sum > 0, lambda: weight / s.weight_sum, lambda: 0.0)
    p.lerp_(s.z, share).add_(direction, alpha=lr * (beta * (1 - share) - 1))
    s.z.sub_(direction, alpha=lr)


@importer("schedulefreeadamw", "schedulefree")
@importer("schedulefreesgd", "schedulefree")
def from_authors(state_dict: dict[str, Any]) -> dict[str, Any] | None:
    """Return state of the package schedulefree with its groups' numbers in each state.

    Args:
        state_dict: what may be such state.
    """
    for group in state_dict["param_groups"]:
        if not {"k", "weight_sum", "lr_max", "scheduled_lr"} <= group.keys():
            return None
        numbers = {name: group.pop(name) for name in ("k", "weight_sum", "lr_max", "scheduled_lr")}
        for key in group["params"]:
            state = state_dict["state"].get(key)
            if state:
                state |= {name: numbers[name] for name in ("weight_sum", "lr_max")}
                state["step"] = float(numbers["k"])
    return state_dict
