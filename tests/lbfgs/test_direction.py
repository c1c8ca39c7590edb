"""The history of L-BFGS and the direction that follows from it, beside dense matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from optkit_plugins.lbfgs import LBFGS
from optkit_plugins.lbfgs.hessian.compact import Compact, Products
from optkit_plugins.lbfgs.vectors.block import DIRECTION, Block
from optkit_plugins.lbfgs.vectors.compiled_block import FusedBlock
from optkit_plugins.lbfgs.vectors.gradient_info import HAS_MOVED, MAX_NORM
from optkit_plugins.lbfgs.vectors.pair_matrix import CACHE_LINE, aligned_matrix
from optkit_plugins.lbfgs.vectors.space import Space
from optkit_plugins.lbfgs.vectors.storage import ForeachBlock

SIZES = (1, 7, 8, 9, 64, 257)


def dense_direction(pairs: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Any:
    r"""Return :math:`-H g` by the BFGS update of a whole matrix, in NumPy."""
    s, y = (vector.numpy() for vector in pairs[-1])
    eye = np.eye(len(s))
    inverse = s @ y / (y @ y) * eye
    for s, y in ((a.numpy(), b.numpy()) for a, b in pairs):
        turn = eye - np.outer(s, y) / (y @ s)
        inverse = turn @ inverse @ turn.T + np.outer(s, s) / (y @ s)
    return -inverse @ gradient.numpy()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9, 14])
@pytest.mark.parametrize("size", SIZES)
def test_the_direction_is_that_of_the_dense_matrix(size: int, count: int) -> None:
    generator = torch.Generator().manual_seed(size + count)
    capacity, hessian = 4, torch.linspace(1, 30, size, dtype=torch.float64)
    compact, pairs = Compact.empty(capacity), []
    rows = torch.zeros(2 * capacity, size, dtype=torch.float64)
    for age in range(count):
        s = torch.randn(size, generator=generator, dtype=torch.float64)
        y, slot = hessian * s, age % capacity
        rows[slot], rows[capacity + slot] = s, y
        compact.push_pair(slot, Products(rows @ y), float(s @ y))
        pairs.append((s, y))
    gamma = float(pairs[-1][0] @ pairs[-1][1] / pairs[-1][1].square().sum())
    g = torch.randn(size, generator=generator, dtype=torch.float64)
    found = rows.T @ compact.coefficients(Products(rows @ g), gamma) - gamma * g
    wanted = dense_direction(pairs[-capacity:], g)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6, atol=1e-8 * abs(wanted).max())


@pytest.mark.parametrize("count", [1, 3, 5])
def test_small_matrices_follow_from_the_rows_alone(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    rows = torch.zeros(10, 40, dtype=torch.float64)
    grown = Compact.empty(5)
    for slot in range(count):
        s = torch.randn(40, generator=generator, dtype=torch.float64)
        rows[slot], rows[5 + slot] = s, s * torch.linspace(1, 9, 40, dtype=torch.float64)
        grown.push_pair(slot, Products(rows @ rows[5 + slot]), float(s @ rows[5 + slot]))
    made = Compact.empty(5)
    made.load_gram(rows @ rows.T, count)
    for name in ("inverse", "squares", "curvatures"):
        torch.testing.assert_close(getattr(made, name), getattr(grown, name), rtol=1e-9, atol=1e-12)


def filled(dtype: torch.dtype, history: torch.dtype, capacity: int, size: int, used: int) -> Block:
    params = [torch.zeros(size, dtype=dtype)]
    block = Block(params, dtype, history, capacity)
    block.pairs.data.copy_(torch.randn(2 * capacity, size, dtype=torch.float64))
    block.pairs.data[used:capacity] = torch.nan
    block.pairs.data[capacity + used :] = torch.nan
    block.flat[DIRECTION + 1].copy_(torch.randn(size, dtype=torch.float64))
    return block


@pytest.mark.parametrize("used", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 63, 70_001])
@pytest.mark.parametrize("history", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_products_and_combinations_of_rows_read_those_in_use(
    history: torch.dtype, size: int, used: int
) -> None:
    block = filled(torch.float64, history, 5, size, used)
    if used < 5 and history != torch.float64:
        block.pairs.data.nan_to_num_(0.0)
    rows = block.pairs.data.double().nan_to_num()
    found = torch.zeros(10, dtype=torch.float64)
    block.project(used, 0, found)
    torch.testing.assert_close(found, rows @ block.gradient(0), rtol=1e-9, atol=1e-9)
    coefficients = torch.randn(10, dtype=torch.float64)
    block.combine(used, coefficients, 0, 0.5)
    wanted = rows.T @ coefficients - 0.5 * block.gradient(0)
    torch.testing.assert_close(block.direction, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [*SIZES, 1 << 12, 1 << 16])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_rows_begin_at_cache_lines_and_not_at_powers_of_two(size: int, dtype: torch.dtype) -> None:
    rows = aligned_matrix(3, size, dtype, torch.device("cpu"))
    assert rows.shape == (3, size) and rows.stride(1) == 1
    bytes_between = rows.stride(0) * dtype.itemsize
    assert bytes_between % CACHE_LINE == 0 and bytes_between // CACHE_LINE % 2 == 1


def curve(history: str | None, capacity: int = 6) -> Any:
    x = torch.full((40,), 3.0, dtype=torch.float64, requires_grad=True)
    scales = torch.logspace(0, 2, 40, dtype=torch.float64)
    options: dict[str, Any] = {"line_search_fn": "hager_zhang", "tolerance_change": 0.0}
    optimizer = LBFGS(
        [x], history_size=capacity, history_dtype=history, max_iter=300, max_eval=900, **options
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (scales * (x - 1) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer.result


@pytest.mark.parametrize("history", [torch.float32, "bfloat16", "float16", torch.float64])
def test_the_history_may_be_kept_in_another_dtype(history: Any) -> None:
    exact, result = curve(None), curve(history)
    assert result.success
    assert result.evaluations <= 2 * exact.evaluations


def test_a_pair_without_positive_curvature_is_left_out() -> None:
    x = torch.tensor([2.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], lr=1e-3, max_iter=6)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -(x**2).sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    state = optimizer.state[x]
    assert state["n_iter"] == 6 and state["old_dirs"] == []


@pytest.mark.parametrize("size", [2, 30])
def test_history_size_may_change_between_steps(size: int) -> None:
    x = torch.full((20,), -1.2, dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], history_size=6, max_eval=999, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (1 - x[:-1]).square().sum() + 100 * (x[1:] - x[:-1] ** 2).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = [row.clone() for row in optimizer.state[x]["old_stps"]]
    optimizer.param_groups[0].update(history_size=size, max_iter=0)
    optimizer.step(closure)
    kept = optimizer.state[x]["old_stps"]
    assert len(kept) == min(size, 6)
    assert all(map(torch.equal, kept, before[-len(kept) :]))
    optimizer.param_groups[0].update(max_iter=200)
    optimizer.step(closure)
    assert 1 < len(optimizer.state[x]["old_dirs"]) <= size
    assert optimizer.result.gradient < 1e-3


def test_multi_tensor_moves_are_the_same_bit_for_bit() -> None:
    shapes = [(3, 5), (), (17,), (2, 2)]
    blocks = []
    for kind in (Block, ForeachBlock):
        torch.manual_seed(3)
        params = [torch.randn(s, dtype=torch.float64) for s in shapes]
        params.append(torch.randn(4, dtype=torch.complex128))
        params.append(torch.randn(6, 2, dtype=torch.float32).t())
        block = kind(params, torch.float64, torch.float64, 1)
        block.save()
        block.direction.copy_(torch.randn(block.direction.shape, dtype=torch.float64))
        before = [p.clone() for p in params]
        block.move(0.3)
        assert not any(map(torch.equal, params, before))
        blocks.append(([p.clone() for p in params], block, before))
    assert all(map(torch.equal, blocks[0][0], blocks[1][0]))
    for _, block, before in blocks:
        block.compare(0, 0, 0)
        assert block.numbers[HAS_MOVED]
        block.restore()
        block.compare(0, 0, 0)
        assert all(map(torch.equal, block.params, before)) and not block.numbers[HAS_MOVED]


def test_a_move_lands_on_every_element_in_logical_order() -> None:
    params = [torch.zeros(2, 2).t(), torch.zeros(1, dtype=torch.complex64), torch.zeros(())]
    block = Block(params, torch.float32, torch.float32, 1)
    block.direction.copy_(torch.arange(7.0))
    block.move(2.0)
    assert params[0].tolist() == [[0.0, 2.0], [4.0, 6.0]]
    assert params[1].tolist() == [8 + 10j]
    assert params[2].item() == 12.0


def test_a_lazily_conjugated_gradient_is_read_as_conjugated() -> None:
    weight = torch.zeros(2, dtype=torch.complex128, requires_grad=True)
    weight.grad = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex128).conj()
    block = Block([weight], torch.float64, torch.float64, 1)
    block.gather(0)
    assert block.gradient(0).tolist() == [1.0, -2.0, 3.0, 4.0]


@pytest.mark.parametrize("storage", ["fused", "flat"])
def test_products_of_changes_far_shorter_than_the_gradient_keep_their_digits(storage: str) -> None:
    scales = torch.linspace(1, 3, 20, dtype=torch.float64)
    x = torch.zeros(20, dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], lr=1e-6, max_iter=5, implementation=storage)

    def closure() -> float:
        with torch.no_grad():
            x.grad = 1e6 + scales * x
            return float((1e6 * x + scales * x**2 / 2).sum())

    optimizer.step(closure)
    state = optimizer.state[x]
    steps, changes = (torch.stack(state[key]) for key in ("old_stps", "old_dirs"))
    assert len(steps) == 4
    close = {"rtol": 1e-9, "atol": 0.0}
    torch.testing.assert_close(state["squares"], changes @ changes.T, **close)
    torch.testing.assert_close(state["curvatures"], (steps * changes).sum(1), **close)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("size", [1, 31, 32, 33, 5000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_compiled_measure_is_torchs(dtype: torch.dtype, size: int, bad: float) -> None:
    block = FusedBlock([torch.zeros(size, dtype=dtype)], dtype, dtype, 2)
    plain = Block([torch.zeros(size, dtype=dtype)], dtype, dtype, 2)
    for ours, theirs in zip(block.flat, plain.flat, strict=True):
        theirs.copy_(torch.randn(size, dtype=torch.float64))
        ours.copy_(theirs)
    block.measure(1, 0)
    plain.measure(1, 0)
    rtol = 1e-4 if dtype == torch.float32 else 1e-9
    known = [0, 1, 2, MAX_NORM]
    torch.testing.assert_close(
        block.numbers[known], plain.numbers[known].double(), rtol=rtol, atol=100 * rtol
    )
    block.gradient(1)[size // 2] = bad
    block.measure(1, 0)
    assert not block.numbers[MAX_NORM].isfinite()


def test_the_coarsest_block_decides_what_is_rounding() -> None:
    blocks = [
        Block([torch.ones(2, dtype=dtype)], dtype, dtype, 1)
        for dtype in (torch.float64, torch.float32)
    ]
    assert Space(blocks, [1.0, 1.0]).precision == torch.finfo(torch.float32).eps
