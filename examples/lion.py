"""A third party's algorithm in full: Lion, registered at run time.

In a distribution of its own it needs one line of metadata instead of the decorator::

    [project.entry-points."optkit.algorithms"]
    lion = "your_package.lion:Lion"
"""

from typing import Any

import torch

import optkit
from optkit_core import Buffer, Elementwise, at_least, each, hyperparameter, testing, within


@optkit.register("lion")
class Lion(Elementwise):
    """Lion: the sign of an interpolated momentum, with decoupled weight decay."""

    paper = "Chen et al. 2023, https://arxiv.org/abs/2302.06675"

    lr: float = hyperparameter(default=1e-4, range=at_least(0.0), doc="learning rate")
    betas: tuple[float, float] = hyperparameter(
        default=(0.9, 0.99), range=each(within(0.0, 1.0)), doc="interpolation and decay"
    )
    weight_decay: float = hyperparameter(default=0.0, range=at_least(0.0), doc="decoupled decay")

    exp_avg = Buffer(doc="momentum")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            p.mul_(1 - h.lr * h.weight_decay)
        p.add_(s.exp_avg.lerp(g, 1 - h.betas[0]).sign_(), alpha=-h.lr)
        s.exp_avg.lerp_(g, 1 - h.betas[1])


def main() -> None:
    """Prove the implementations against each other, then take a step."""
    testing.check("lion", lr=0.01, weight_decay=0.1)
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = optkit.create("lion", [weight], lr=0.1, implementation="foreach")
    weight.grad = torch.full((3,), 2.0)
    optimizer.step()
    print(optkit.describe("lion"))
    print(weight.tolist())


if __name__ == "__main__":
    main()
