"""Which pairs L-BFGS remembers, where a line search looks at the steps and where none does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from minimization import ALL_SEARCHES, STORAGE, Problem, quadratic, rosenbrock10, run
from torch import Tensor, nn

from optkit_plugins.lbfgs import LBFGS

Make = Callable[[], nn.Module]
NETWORKS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "tanh": (lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)), (64, 4)),
    "deep": (
        lambda: nn.Sequential(
            nn.Linear(6, 12), nn.SiLU(), nn.Linear(12, 12), nn.SiLU(), nn.Linear(12, 2)
        ),
        (48, 6),
    ),
    "convolution": (
        lambda: nn.Sequential(nn.Conv1d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(32, 2)),
        (32, 1, 10),
    ),
}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


def losses(cls: type[Any], name: str, dtype: torch.dtype, clip: float, **given: Any) -> list[float]:
    """Return the loss of every evaluation in six steps over a network with clipped gradients."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().to(dtype)
    inputs = torch.randn(shape, dtype=torch.float64).to(dtype)
    targets = inputs.flatten(1).cumsum(1).sin()[:, : network[-1].out_features]
    optimizer = cls(network.parameters(), **given)
    seen: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (network(inputs) - targets).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), clip)
        seen.append(loss.item())
        return loss

    for _ in range(6):
        optimizer.step(closure)
    return seen


@pytest.mark.slow
@each_network
@each_dtype
@pytest.mark.parametrize(("lr", "clip"), [(1e-3, 0.1), (1e-3, 1e-3), (1e-2, 1e-3), (0.1, 1e-3)])
def test_with_clipped_gradients_the_loss_falls_slowly_as_torchs(
    lr: float, clip: float, dtype: torch.dtype, name: str
) -> None:
    ours = losses(LBFGS, name, dtype, clip, lr=lr)
    assert ours == sorted(ours, reverse=True)
    if dtype == torch.float64:
        torch.testing.assert_close(ours, losses(torch.optim.LBFGS, name, dtype, clip, lr=lr))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deep", "convolution"])
@each_dtype
@pytest.mark.parametrize("storage", STORAGE)
def test_no_pair_makes_the_loss_jump_where_torchs_does(
    storage: str, dtype: torch.dtype, name: str
) -> None:
    theirs = losses(torch.optim.LBFGS, name, dtype, 0.1, lr=1e-2)
    ours = losses(LBFGS, name, dtype, 0.1, lr=1e-2, implementation=storage)
    assert max(theirs) > 100 * theirs[0]
    assert ours == sorted(ours, reverse=True)


@each_network
@each_dtype
@pytest.mark.parametrize("search", ALL_SEARCHES[1:])
def test_a_line_search_keeps_clipped_gradients_from_a_jump(
    search: str, dtype: torch.dtype, name: str
) -> None:
    ours = losses(LBFGS, name, dtype, 0.1, line_search_fn=search)
    assert all(math.isfinite(loss) for loss in ours)
    assert ours[-1] < ours[0]


@attrs.define
class Scripted:
    """Pairs whose curvature is a given part of the one that was expected.

    Args:
        part: that of the last pair.
        scale: the unit of the gradients.
        earlier: how many pairs come before it, of a parabola.
        start: how far from its minimum the first one begins.
    """

    part: float
    scale: float
    earlier: int
    start: float = 1.0

    def count(self, next_lr: float = 0.5, next_search: Any = None, **given: Any) -> int:
        """Return how many pairs are remembered when the next step begins."""
        x = torch.tensor([self.start, 0.0], dtype=torch.float64, requires_grad=True)
        last = self.earlier + 1
        optimizer = LBFGS([x], lr=0.5, max_iter=last, max_eval=99, **given)
        before, points = torch.zeros(2, dtype=torch.float64), []

        def closure() -> float:
            nonlocal before
            points.append(x.detach().clone())
            gradient = self.scale * x.detach()
            if len(points) == last + 1:
                gradient = before + self.change(points[-1] - points[-2])
            x.grad = before = gradient
            return -float(len(points))

        optimizer.step(closure)
        optimizer.param_groups[0].update(max_iter=1, lr=next_lr, line_search_fn=next_search)
        optimizer.step(closure)
        return len(optimizer.state_dict()["state"][0]["old_dirs"])

    def change(self, step: Tensor) -> Tensor:
        """Return a change of the gradient: along the step, and across it where it is the first."""
        if self.earlier:
            return self.part * self.scale * step
        across = torch.stack((-step[1], step[0])) * math.sqrt(1 - self.part)
        return self.scale * (math.sqrt(self.part) * step + across)


FOREVER = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
PAIRS = {
    "a clear one": (Scripted(0.5, 1.0, 0), True),
    "one in small units": (Scripted(0.5, 1e-12, 0), True),
    "one that is a small part": (Scripted(2e-3, 1e-8, 0), True),
    "one in doubt that torch takes": (Scripted(1e-4, 1.0, 0), True),
    "one in doubt that torch leaves": (Scripted(1e-4, 1.0, 0, 1e-5), False),
    "one in doubt in small units": (Scripted(1e-4, 1e-8, 0), False),
    "one that makes a long step": (Scripted(1e-7, 1.0, 0), False),
    "one that makes a long step in large units": (Scripted(1e-7, 1e9, 0), False),
    "a later one": (Scripted(0.5, 1.0, 2), True),
    "a later one in small units": (Scripted(0.5, 1e-12, 2), True),
    "a later one that is a small part": (Scripted(2e-3, 1e-8, 2), True),
    "a later one that makes a long step": (Scripted(5e-4, 1.0, 2), False),
    "a later one that makes a long step in large units": (Scripted(5e-4, 1e9, 2), False),
    "a negative one": (Scripted(-0.5, 1.0, 2), False),
}


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize(("script", "is_taken"), PAIRS.values(), ids=PAIRS)
def test_a_pair_is_taken_where_its_curvature_is_credible(
    script: Scripted, is_taken: bool, storage: str
) -> None:
    assert script.count(implementation=storage, **FOREVER) == script.earlier + is_taken


def test_a_shorter_rate_makes_a_pair_tolerable() -> None:
    script = Scripted(1e-7, 1.0, 0)
    assert script.count(**FOREVER) == 0
    assert script.count(next_lr=0.1, **FOREVER) == 1


def test_the_next_search_decides_about_the_pair_of_a_step_without_one() -> None:
    script = Scripted(1e-7, 1.0, 0)
    assert script.count(next_search=lambda line, step: line.try_step(step), **FOREVER) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("factor", [1e-20, 1e-10, 1.0])
def test_without_a_search_small_units_are_no_obstacle(factor: float, dtype: torch.dtype) -> None:
    problem = quadratic(dtype)
    scaled = Problem(problem.start, lambda ps: factor * problem.loss(ps))
    given: dict[str, Any] = {"max_iter": 200, "max_eval": 300, "tolerance_change": 0.0}
    ours = run(LBFGS, scaled, tolerance_grad=1e-3 * factor, initial_step="unit", **given).step()
    assert ours.optimizer.result.success
    assert ours.calls < 60


def test_near_a_minimum_pairs_are_taken_still() -> None:
    given: dict[str, Any] = {"max_iter": 400, "tolerance_grad": 1e-11, "tolerance_change": 0.0}
    ours = run(LBFGS, rosenbrock10(torch.float64), lr=0.5, **given).step()
    theirs = run(torch.optim.LBFGS, rosenbrock10(torch.float64), lr=0.5, **given).step()
    assert ours.optimizer.result.success
    assert ours.calls < theirs.calls
