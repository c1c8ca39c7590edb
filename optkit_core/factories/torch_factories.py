"""What torch's schedulers and averages do and allow: torch itself says little of it at run time.

Where a value would be taken and fail, or do nothing, many steps later, it isn't allowed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from torch.optim import lr_scheduler, swa_utils

from optkit_core.declaration.collection_ranges import function, per_group, rising
from optkit_core.declaration.ranges import Range, at_least, boolean, one_of, whole, within

Declared = Mapping[str, tuple[Range | None, str]]

RATE = at_least(0.0, torch_words=None)
FACTOR = within(0.0, 1.0, closed=True, torch_words=None)
FACTOR_ABOVE_0 = within(0.0, 1.0, closed=True, above=True, torch_words=None)
MOMENTUM = within(0.0, 1.0, torch_words=None)
MORE_THAN_0 = within(0.0, float("inf"), above=True, torch_words=None)

LAST_EPOCH: Declared = {
    "last_epoch": (whole(-1), "the last step made; -1 starts anew and every other needs initial_lr")
}
GAMMA: Declared = {"gamma": (RATE, "what the rate is multiplied by")}
MOMENTA: Declared = {
    "cycle_momentum": (
        boolean(),
        "whether momentum, or the first of betas, moves against the rate",
    ),
    "base_momentum": (per_group(MOMENTUM), "the lowest momentum, at the highest rate"),
    "max_momentum": (per_group(MOMENTUM), "the highest momentum, at the lowest rate"),
}


@attrs.frozen(eq=False)
class TorchFactory:
    """One class of torch.

    Args:
        summary: what it does, in a line.
        arguments: what each argument allows, and what it means.
    """

    summary: str
    arguments: Declared


TORCH: dict[type[Any], TorchFactory] = {
    lr_scheduler.LambdaLR: TorchFactory(
        "the initial rate times a function of the step",
        {
            "lr_lambda": (per_group(function()), "takes the step, returns the factor"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.MultiplicativeLR: TorchFactory(
        "the rate of the step before times a function of the step",
        {
            "lr_lambda": (per_group(function()), "takes the step, returns the factor"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.StepLR: TorchFactory(
        "multiplies the rate every few steps",
        {"step_size": (whole(1), "steps between two changes"), **GAMMA, **LAST_EPOCH},
    ),
    lr_scheduler.MultiStepLR: TorchFactory(
        "multiplies the rate at given steps",
        {"milestones": (rising(whole(0)), "the steps"), **GAMMA, **LAST_EPOCH},
    ),
    lr_scheduler.ConstantLR: TorchFactory(
        "a part of the rate for some steps, then all of it",
        {
            "factor": (FACTOR_ABOVE_0, "which part"),
            "total_iters": (whole(1), "for how many steps"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.LinearLR: TorchFactory(
        "a straight line from one part of the rate to another",
        {
            "start_factor": (FACTOR_ABOVE_0, "the part at the first step"),
            "end_factor": (FACTOR, "the part at the end"),
            "total_iters": (whole(1), "the step at which the end is reached"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.ExponentialLR: TorchFactory(
        "multiplies the rate at every step", {**GAMMA, **LAST_EPOCH}
    ),
    lr_scheduler.PolynomialLR: TorchFactory(
        "falls to zero as a power of the steps that are left",
        {
            "total_iters": (whole(1), "the step at which the rate is zero"),
            "power": (RATE, "which power; 1 is a straight line"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.CosineAnnealingLR: TorchFactory(
        "falls along half a cosine, and rises again where more steps are made",
        {
            "T_max": (whole(1), "the step at which the rate is lowest"),
            "eta_min": (RATE, "the lowest rate"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.CosineAnnealingWarmRestarts: TorchFactory(
        "falls along half a cosine again and again, each time from the full rate",
        {
            "T_0": (whole(1), "steps until the first restart"),
            "T_mult": (whole(1), "how many times longer each round is than the one before"),
            "eta_min": (RATE, "the lowest rate"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.CyclicLR: TorchFactory(
        "rises and falls between two rates in straight lines",
        {
            "base_lr": (per_group(RATE), "the lowest rate, in place of the optimizer's"),
            "max_lr": (per_group(RATE), "the highest rate"),
            "step_size_up": (MORE_THAN_0, "steps of each rise"),
            "step_size_down": (
                within(0.0, float("inf"), above=True, optional=True, torch_words=None),
                "steps of each fall; None: as many",
            ),
            "mode": (
                one_of("triangular", "triangular2", "exp_range"),
                "whether cycles stay as high, halve, or shrink by gamma at each step",
            ),
            "gamma": (RATE, "the base of exp_range"),
            "scale_fn": (function(optional=True), "scales the height, in place of mode"),
            "scale_mode": (one_of("cycle", "iterations"), "what scale_fn takes"),
            **MOMENTA,
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.OneCycleLR: TorchFactory(
        "rises to the highest rate once, and falls far below the first one",
        {
            "max_lr": (per_group(RATE), "the highest rate, in place of the optimizer's"),
            "total_steps": (whole(1, optional=True), "steps of the whole run"),
            "epochs": (whole(1, optional=True), "epochs, in place of total_steps"),
            "steps_per_epoch": (whole(1, optional=True), "steps of an epoch, with epochs"),
            "pct_start": (FACTOR, "which part of the steps rises"),
            "anneal_strategy": (one_of("cos", "linear"), "a cosine or straight lines"),
            **MOMENTA,
            "div_factor": (MORE_THAN_0, "the first rate is max_lr divided by this"),
            "final_div_factor": (MORE_THAN_0, "the last rate is the first divided by this"),
            "three_phase": (boolean(), "whether the fall stops at the first rate on its way"),
            **LAST_EPOCH,
        },
    ),
    lr_scheduler.ReduceLROnPlateau: TorchFactory(
        "multiplies the rate when a metric, which step() takes, gets no better",
        {
            "mode": (one_of("min", "max"), "whether less or more is better"),
            "factor": (within(0.0, 1.0, torch_words=None), "what the rate is multiplied by"),
            "patience": (whole(0), "how many steps without a better metric are let pass"),
            "threshold": (RATE, "by how much it has to be better"),
            "threshold_mode": (one_of("rel", "abs"), "whether that is a part of the metric"),
            "cooldown": (whole(0), "how many steps to wait after a change"),
            "min_lr": (per_group(RATE), "the lowest rate"),
            "eps": (RATE, "changes of the rate that are smaller are left out"),
        },
    ),
    swa_utils.SWALR: TorchFactory(
        "moves the rate to that of an average of weights, and keeps it there",
        {
            "swa_lr": (per_group(RATE), "that rate"),
            "anneal_epochs": (whole(0), "steps until it is reached"),
            "anneal_strategy": (one_of("cos", "linear"), "a cosine or a straight line"),
            **LAST_EPOCH,
        },
    ),
    swa_utils.AveragedModel: TorchFactory(
        "the mean of all weights since the first update, each with equal weight",
        {
            "device": (None, "where the average is kept; None: where the model is"),
            "avg_fn": (function(optional=True), "averages one tensor in another way"),
            "multi_avg_fn": (function(optional=True), "averages lists of tensors in another way"),
            "use_buffers": (boolean(), "whether buffers are averaged too, and not copied"),
        },
    ),
}
"""Each class that has an entry point, with what it allows."""

PAGES = "https://docs.pytorch.org/docs/stable/generated"
"""Where torch documents its classes."""


def page_of(factory: Any) -> str:
    """Return the address of torch's page about one of its classes, ``""`` for another one.

    >>> page_of(lr_scheduler.StepLR)[-46:]
    'generated/torch.optim.lr_scheduler.StepLR.html'
    """
    if not isinstance(factory, type) or factory not in TORCH:
        return ""
    return f"{PAGES}/{factory.__module__}.{factory.__qualname__}.html"
