"""Sparse gradients, wherever torch's class of the name takes them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
import torch
from problems import INFOS, copies
from runnable import create, implementations
from torch import Tensor
from torch_inputs import SPARSE, of_torch, options_of

from optkit_core.testing import assert_agree

STEPS = 25
SHAPES = ((19, 3), (50, 9), (7,))
CASES = [
    pytest.param(name, options, id=f"{name}-{position}")
    for name in SPARSE
    for position, options in enumerate(options_of(name, torch.float64))
]
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")


def sparse_gradient(p: Tensor, step: int) -> Tensor:
    """Return one that names some rows, one of them twice; in some steps none."""
    generator = torch.Generator().manual_seed(step)
    count = 0 if step % 7 == 4 else 6
    rows = torch.randint(0, p.shape[0], (1, count), generator=generator)
    if count:
        rows[0, 0] = rows[0, 1]
    values = torch.randn(count, *p.shape[1:], generator=generator, dtype=p.dtype)
    return torch.sparse_coo_tensor(rows, values, p.shape, check_invariants=True)


def run(optimizer: Any, params: list[Any], dense: Collection[int]) -> bool:
    """Step, with dense gradients at some positions; return whether the algorithm can."""
    try:
        for step in range(STEPS):
            for position, p in enumerate(params):
                g = sparse_gradient(p, step + position)
                p.grad = g.to_dense() if position in dense else g
            optimizer.step()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_sparse_gradients(name: str, options: Any, dtype: torch.dtype) -> None:
    """Torch's bits; what torch can't do is refused here too, or as with dense gradients."""
    mine = [torch.nn.Parameter(torch.randn(*shape, dtype=dtype)) for shape in SHAPES]
    other, again = copies(mine), copies(mine)
    dense = () if INFOS[name].only_supports_sparse_grads else (0,)
    is_able = run(create(name, mine, implementations(name)[0], **options), mine, dense)
    if not run(of_torch(name, other, **options), other, dense):
        other = again
        assert run(of_torch(name, other, **options), other, range(len(SHAPES)))
        if not is_able:
            return
    assert is_able
    if options.get("momentum"):  # torch keeps all summands of a sparse momentum, and rounds later
        assert_agree(mine, other)
    for p, q in zip(mine, other, strict=True):
        assert options.get("momentum") or torch.equal(p, q)


@pytest.mark.parametrize("name", SPARSE)
def test_only_the_elements_that_are_named_move(name: str) -> None:
    p = torch.nn.Parameter(torch.ones(50, 3))
    optimizer = create(name, [p], implementations(name)[0])
    p.grad = torch.sparse_coo_tensor([[7]], torch.ones(1, 3), p.shape, check_invariants=True)
    optimizer.step()
    assert (p != 1).any(1).nonzero().flatten().tolist() == [7]
