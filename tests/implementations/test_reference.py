"""Against an independent NumPy reference in float64: self-agreement proves no formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import optkit

STEPS = 40


def adagrad(
    theta: Any, grads: Any, *, lr: float, lr_decay: float, decay: float, start: float
) -> Any:
    """Adagrad as Duchi et al. write it, with torch's epsilon outside the root."""
    total = np.full_like(theta, start)
    for t, g in enumerate(grads, start=1):
        g = g + decay * theta
        total = total + g**2
        theta = theta - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + 1e-10)
    return theta


def adamax(theta: Any, grads: Any, *, lr: float, betas: tuple[float, float], decay: float) -> Any:
    """Adamax as Kingma and Ba write it, with torch's epsilon beside the magnitude."""
    m, u = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(grads, start=1):
        g = g + decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + 1e-8)
        theta = theta - lr / (1 - betas[0] ** t) * m / u
    return theta


def trajectory(name: str, theta: Any, grads: Any, implementation: str, options: Any) -> Any:
    p = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    optimizer = optkit.create(name, [p], implementation=implementation, **options)
    for g in grads:
        p.grad = torch.from_numpy(g.copy())
        optimizer.step()
    return p.detach().numpy()


@pytest.fixture
def data() -> tuple[Any, Any]:
    random = np.random.default_rng(7)
    return random.normal(size=(19, 7)), random.normal(size=(STEPS, 19, 7)) * 3.0


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_adamax(data: Any, implementation: str, maximize: bool, decay: float) -> None:
    theta, grads = data
    betas = (0.8, 0.95)
    signed = -grads if maximize else grads
    wanted = adamax(theta, signed, lr=0.05, betas=betas, decay=decay)
    options = {"lr": 0.05, "betas": betas, "weight_decay": decay, "maximize": maximize}
    found = trajectory("adamax", theta, grads, implementation, options)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("lr_decay", [0.0, 0.3])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_adagrad(data: Any, implementation: str, lr_decay: float, start: float) -> None:
    theta, grads = data
    wanted = adagrad(theta, grads, lr=0.3, lr_decay=lr_decay, decay=0.1, start=start)
    options = {
        "lr": 0.3,
        "lr_decay": lr_decay,
        "weight_decay": 0.1,
        "initial_accumulator_value": start,
    }
    found = trajectory("adagrad", theta, grads, implementation, options)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)
