"""Sparse gradients: beside torch's classes that take them, through files, and into views."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, SPARSE_ONLY, TORCH_OPTIM
from problems import copies

import optkit
from optkit_core import testing
from optkit_core.testing import assert_agree

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")

TAKES_SPARSE = [k for k, cls in ALGORITHMS.items() if getattr(cls, "update_sparse", None)]
CASES = [
    (name, options)
    for name in TAKES_SPARSE
    for options in ({}, {"maximize": True}, {"lr": 0.3}, {"lr": torch.tensor(0.03)})
]
STEPS = 12


def parameters(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(50, 9, generator=generator, dtype=dtype)) for _ in "abc"]


def gradients(params: list[torch.nn.Parameter], steps: Any) -> Iterator[list[torch.Tensor]]:
    """Yield gradients of rows, some named twice."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        at = [torch.randint(0, 50, (1, 12), generator=generator) for _ in params]
        values = [torch.randn(12, 9, generator=generator, dtype=p.dtype) for p in params]
        yield [
            torch.sparse_coo_tensor(i, v, p.shape)
            for i, v, p in zip(at, values, params, strict=True)
        ]


def step(optimizer: Any, params: list[torch.nn.Parameter], grads: list[torch.Tensor]) -> None:
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    optimizer.step()


def pair(name: str, dtype: torch.dtype, implementation: str, **options: Any) -> list[Any]:
    mine = parameters(dtype)
    other = copies(mine)
    ours = optkit.create(name, mine, implementation=implementation, **options)
    return [(ours, mine), (TORCH_OPTIM[name](other, **options), other)]


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_bits_are_torchs(
    name: str, options: dict[str, Any], dtype: torch.dtype, implementation: str
) -> None:
    both = pair(name, dtype, implementation, **options)
    for grads in gradients(both[0][1], range(STEPS)):
        for optimizer, params in both:
            step(optimizer, params, grads)
        for p, q in zip(both[0][1], both[1][1], strict=True):
            assert torch.equal(p, q)


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"weight_decay": 0.1}], ids=str)
def test_sgd_takes_them_as_dense_where_every_element_moves(options: dict[str, Any]) -> None:
    sparse, dense = parameters(), parameters()
    optimizers = [optkit.create("sgd", params, lr=0.1, **options) for params in (sparse, dense)]
    for grads in gradients(sparse, range(STEPS)):
        step(optimizers[0], sparse, grads)
        step(optimizers[1], dense, [g.to_dense() for g in grads])
    assert_agree(sparse, dense)


@pytest.mark.parametrize("direction", ["torch to optkit", "optkit to torch", "optkit to optkit"])
@pytest.mark.parametrize("name", SPARSE_ONLY)
def test_checkpoints_continue(name: str, direction: str) -> None:
    (ours, mine), (theirs, other) = pair(name, torch.float64, "auto", lr=0.1)
    first, last = gradients(mine, range(5)), gradients(mine, range(5, 9))
    for grads in first:
        step(ours, mine, grads)
        step(theirs, other, grads)
    torch.save(
        (theirs if direction.startswith("torch") else ours).state_dict(), file := io.BytesIO()
    )
    file.seek(0)
    state = torch.load(file, weights_only=True)
    if direction.endswith("torch"):
        theirs = TORCH_OPTIM[name](other)
        theirs.load_state_dict(state)
    else:
        ours = optkit.create(name, mine)
        ours.load_state_dict(state)
    for grads in last:
        step(ours, mine, grads)
        step(theirs, other, grads)
    assert_agree(mine, other)


@pytest.mark.parametrize("name", TAKES_SPARSE)
def test_a_parameter_further_on_in_its_memory(name: str) -> None:
    """torch adds a sparse tensor to such a one past its end, without an error."""
    memory = torch.full((60,), 7.0)
    view, alone = memory[20:30], torch.full((10,), 7.0)
    for p in (view, alone):
        optimizer = optkit.create(name, [p], lr=0.5)
        for _ in range(3):
            p.grad = torch.tensor([0.0, 2.0, 0.0, -1.0, *[0.0] * 6]).to_sparse()
            optimizer.step()
    assert torch.equal(view, alone)
    assert view[1] != 7
    assert (memory[:20] == 7).all() and (memory[30:] == 7).all()


@pytest.mark.parametrize("name", TAKES_SPARSE)
def test_a_gradient_without_elements_moves_nothing(name: str) -> None:
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = optkit.create(name, [p])
    p.grad = torch.zeros(4).to_sparse()
    optimizer.step()
    assert torch.equal(p, torch.ones(4))


@pytest.mark.parametrize("name", SPARSE_ONLY)
def test_the_conformance_check_gives_sparse_gradients_only(name: str) -> None:
    report = testing.check(name, lr=0.1, only=("step", "agreement", "sparse"))
    assert report.implementations == ("forloop", "foreach")
    assert "none is written for dense gradients" in report.refused["fused"]


@pytest.mark.parametrize("name", SPARSE_ONLY)
def test_what_cannot_be_used_is_refused_before_anything_moves(name: str) -> None:
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = optkit.create(name, [p])
    p.grad = torch.ones(4)
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
        optimizer.step()
    assert torch.equal(p, torch.ones(4))
    for wrong in (torch.zeros(3, layout=torch.sparse_coo), torch.zeros(3, dtype=torch.complex64)):
        with pytest.raises(ValueError, match=r"of group 1 .*SparseAdam"):
            optimizer.add_param_group({"params": [wrong]})
    assert len(optimizer.param_groups) == 1
