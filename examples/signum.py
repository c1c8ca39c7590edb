"""A third party's algorithm in full: Signum, registered at run time.

In a distribution of its own it needs one line of metadata instead of the decorator::

    [project.entry-points."optkit.algorithms"]
    signum = "your_package.signum:Signum"
"""

from typing import Any

import torch

import optkit
from optkit_core import (
    Buffer,
    Elementwise,
    at_least,
    hyperparameter,
    loguniform,
    testing,
    uniform,
    within,
)


@optkit.register("signum")
class Signum(Elementwise):
    """Signum: the sign of a momentum, with decoupled weight decay."""

    paper = "Bernstein et al. 2018, algorithm 2, https://arxiv.org/abs/1802.04434"

    lr: float = hyperparameter(
        default=1e-4, range=at_least(0.0), search=loguniform(1e-5, 1e-2), doc="learning rate"
    )
    momentum: float = hyperparameter(
        default=0.9, range=within(0.0, 1.0), search=uniform(0.5, 0.99), doc="decay of the mean"
    )
    weight_decay: float = hyperparameter(default=0.0, range=at_least(0.0), doc="decoupled decay")

    exp_avg = Buffer(doc="mean of the gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            p.mul_(1 - h.lr * h.weight_decay)
        s.exp_avg.lerp_(g, 1 - h.momentum)
        p.add_(s.exp_avg.sign(), alpha=-h.lr)


def main() -> None:
    """Prove the implementations against each other, then take a step."""
    testing.check("signum", lr=0.01, weight_decay=0.1, only=["step", "agreement", "groups"])
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = optkit.create("signum", [weight], lr=0.1, implementation="foreach")
    weight.grad = torch.full((3,), 2.0)
    optimizer.step()
    print(optkit.describe("signum"))
    print(weight.tolist())


if __name__ == "__main__":
    main()
