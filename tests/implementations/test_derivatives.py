"""Derivatives of recorded steps go through everything that a step depends on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS
from torch import Tensor

import optkit
from optkit_core import Elementwise, GradientError
from optkit_core.selection.capabilities import capabilities

FROM_LR = [
    name
    for name, cls in ALGORITHMS.items()
    if any(buffer.init == "lr" for buffer in cls.buffers.values())
]
"""Those with a buffer that starts from the learning rate, ASGD's eta for example."""

FROM_PARAMETER = [
    name
    for name, cls in ALGORITHMS.items()
    if any(callable(buffer.init) for buffer in cls.buffers.values())
    and capabilities(cls).differentiable
]
"""Those with a buffer that starts from the parameter, as the iterates of schedule-free ones."""


def stepped(name: str, start: Tensor, **options: Any) -> Tensor:
    """Return where a parameter is after two recorded steps."""
    p = start.clone()
    optimizer = optkit.create(name, [p], differentiable=True, implementation="forloop", **options)
    for g in ([0.5, -2.0], [1.0, 3.0]):
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    return p


def test_there_are_such_algorithms() -> None:
    assert FROM_LR and FROM_PARAMETER


@pytest.mark.parametrize("name", FROM_LR)
def test_they_go_through_a_buffer_that_starts_from_the_learning_rate(name: str) -> None:
    start = torch.tensor([1.0, 2.0], dtype=torch.float64)
    lr = torch.tensor(0.125, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(stepped(name, start, lr=lr).sum(), lr)
    apart = 2.0**-10  # ASGD's rate is float32, in which smaller differences would be rounded
    far, near = (stepped(name, start, lr=lr.detach() + d).sum() for d in (apart, -apart))
    torch.testing.assert_close(found, (far - near) / (2 * apart), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FROM_PARAMETER)
def test_they_go_through_a_buffer_that_starts_from_the_parameter(name: str) -> None:
    start = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: stepped(name, p), [start])


def test_without_differentiable_nothing_is_recorded() -> None:
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = optkit.create("schedulefree_sgd", [p], lr=0.1)
    p.grad = torch.ones(2)
    optimizer.step()
    assert not optimizer.state[p]["z"].requires_grad


SPARSE = [
    name
    for name, cls in ALGORITHMS.items()
    if issubclass(cls, Elementwise) and cls.update_sparse is not None
]


@pytest.mark.parametrize("name", SPARSE)
def test_a_graph_records_no_sparse_gradient(name: str) -> None:
    """How many of its indices differ has to be known on the host."""
    p = torch.ones(3, 2, device="meta")
    optimizer = optkit.create(name, [p], capturable=True)
    indices = torch.zeros(1, 1, dtype=torch.int64, device="meta")
    values = torch.ones(1, 2, device="meta")
    p.grad = torch.sparse_coo_tensor(indices, values, p.shape, check_invariants=False)
    with pytest.raises(GradientError, match=r"does not support sparse .* with capturable=True"):
        optimizer.step()


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_a_capturable_step_reads_nothing(implementation: str) -> None:
    """On the meta device nothing has a value, so that a step which reads one fails there."""
    p = torch.ones(3, device="meta")
    optimizer = optkit.create("adam", [p], capturable=True, implementation=implementation)
    for _ in range(3):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert optimizer.state[p]["step"].is_meta
