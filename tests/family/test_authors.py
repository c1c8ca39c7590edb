"""The references are right about the packages of authors, and of others who know them well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import prodigyopt
import pytest
import pytorch_optimizer
import schedulefree
import torch
from references import REFERENCES
from references.cases import cases
from references.comparison import Trajectory
from references.trajectory import hyperparameters

Options = dict[str, Any]


def as_adan(no_prox: bool, **options: Any) -> Options:
    return {"weight_decouple": no_prox, **options}


def as_ademamix(beta3_warmup: None, alpha_warmup: None, **options: Any) -> Options:
    return {"weight_decouple": True, **options}


def as_soap(max_precond_dim: int, shampoo_beta: float, **options: Any) -> Options:
    beta = shampoo_beta if shampoo_beta >= 0 else None
    return {"max_precondition_dim": max_precond_dim, "shampoo_beta": beta, **options}


PACKAGES: dict[str, tuple[Any, Callable[..., Options]]] = {
    "adan": (pytorch_optimizer.Adan, as_adan),
    "ademamix": (pytorch_optimizer.AdEMAMix, as_ademamix),
    "lion": (pytorch_optimizer.Lion, dict),
    "prodigy": (prodigyopt.Prodigy, dict),
    "schedulefree_adamw": (schedulefree.AdamWScheduleFree, dict),
    "schedulefree_sgd": (schedulefree.SGDScheduleFree, dict),
    "soap": (pytorch_optimizer.SOAP, as_soap),
}
SHAPES = {"soap": [(8, 8), (6, 6), (9,), (4,), (5,)]}
"""Where eigenvectors aren't determined, it is anybody's choice which are taken."""
TOLERANCES = {"soap": 1e-3}
"""That package decomposes matrices in float32."""
UNKNOWN = {"maximize", "beta3_warmup", "alpha_warmup", "precondition_1d"}
"""Options that some package lacks, or means otherwise."""


class AuthorsTrajectory(Trajectory):
    def look_at(self, *_: Any) -> None:
        """Let them do with gradients what they like."""


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(name, options, id=f"{name}-{position}")
        for name in PACKAGES
        for position, options in enumerate(cases(name))
        if not options.keys() & UNKNOWN
    ],
)
def test_a_package_goes_the_same_way(name: str, options: Options) -> None:
    cls, translated = PACKAGES[name]
    given = translated(**hyperparameters(REFERENCES[name]) | options)

    def create(params: Any) -> torch.optim.Optimizer:
        optimizer: Any = cls(params, **given)
        if hasattr(optimizer, "train"):
            optimizer.train()
        return optimizer

    trajectory = AuthorsTrajectory(name, options, has_gaps=False, shapes=SHAPES.get(name, ()))
    trajectory.tolerance = TOLERANCES.get(name, trajectory.tolerance)
    trajectory.compare(create)
