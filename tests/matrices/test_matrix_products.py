"""Products of matrices and of batches of them, of which large symmetric ones are half computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from optkit_core import addmm, symmetric_matmul
from optkit_core.matrix_products import STRIP

BATCHES: list[tuple[int, ...]] = [(), (1,), (3,)]


def random(*shape: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Multiplications(TorchDispatchMode):
    """Counts multiplications of numbers in products of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm"):
            self.count += result.numel() * args[-1].shape[-2]
        return result


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_addmm_of_one_and_of_many(batch: tuple[int, ...]) -> None:
    added, left, right = random(*batch, 3, 5), random(*batch, 3, 4), random(*batch, 4, 5)
    wanted = 0.5 * added - 2.0 * (left @ right)
    torch.testing.assert_close(addmm(added, left, right, beta=0.5, alpha=-2.0), wanted)


@pytest.mark.parametrize("rows", [3, 2 * STRIP - 1, 2 * STRIP, 2 * STRIP + 7])
@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_a_symmetric_product_is_the_product(batch: tuple[int, ...], rows: int) -> None:
    x = random(*batch, rows, 9)
    product = symmetric_matmul(x, x.mT)
    torch.testing.assert_close(product, x @ x.mT)
    other = symmetric_matmul(product, product, added=product, beta=-1.5, alpha=0.01)
    torch.testing.assert_close(other, -1.5 * product + 0.01 * (product @ product))


@pytest.mark.parametrize(("batch", "share"), [((), 1.0), ((1,), 0.625), ((2,), 0.625)])
def test_of_a_batch_of_large_ones_half_is_computed(batch: tuple[int, ...], share: float) -> None:
    x = torch.zeros(*batch, 4 * STRIP, 3)
    with Multiplications() as counted:
        symmetric_matmul(x, x.mT)
    assert counted.count == share * x.numel() * 4 * STRIP
