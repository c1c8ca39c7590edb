"""The compiled passes of L-BFGS beside the operations that they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from optkit_core import UnavailableError, compiled_library
from optkit_plugins.lbfgs import LBFGS
from optkit_plugins.lbfgs.hessian.compiled_history import empty_history
from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.vectors import passes
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.compiled_block import FusedBlock
from optkit_plugins.lbfgs.vectors.gradient_info import (
    HAS_CHANGED,
    HAS_MOVED,
    MAX_NORM,
    GradientInfo,
)
from optkit_plugins.lbfgs.vectors.passes import CHUNK
from optkit_plugins.lbfgs.vectors.space import Space

SIZES = ((1,), (CHUNK - 2,), (3, 5), (2 * CHUNK + 7,), (1, 1), (40, 60))
"""Parameters that begin and end everywhere in the parts that a pass works through."""

KNOWN = [0, 1, 2, MAX_NORM]


def filled(params: list[Tensor], dtype: torch.dtype, **given: Any) -> tuple[FusedBlock, Block]:
    """Return a fused block and a plain one that hold the same, over equal parameters."""
    torch.manual_seed(5)
    blocks = []
    for kind in (FusedBlock, Block):
        own = [p.detach().clone(memory_format=torch.preserve_format) for p in params]
        for copy, p in zip(own, params, strict=True):
            copy.grad = p.grad
        blocks.append(kind(own, dtype, dtype, 2, **given))
    fused, plain = blocks
    for ours, theirs in zip(fused.flat, plain.flat, strict=True):
        theirs.normal_()
        ours.copy_(theirs)
    assert isinstance(fused, FusedBlock)
    return fused, plain


def parameters(dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(6)
    params = [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in SIZES]
    for p in params:
        p.grad = torch.randn(p.shape, dtype=torch.float64).to(dtype)
    params[2].grad = None
    return params


def sparse(p: Tensor) -> None:
    assert p.grad is not None
    p.grad = p.grad.to_sparse()


def turned(p: Tensor) -> None:
    assert p.grad is not None
    p.grad = p.grad.t().contiguous().t()


def negated(p: Tensor) -> None:
    assert p.grad is not None
    p.grad = torch._neg_view(p.grad)


def missing(p: Tensor) -> None:
    p.grad = None


ODD: dict[str, Callable[[Tensor], None]] = {
    "plain": lambda p: None,
    "sparse": sparse,
    "turned": turned,
    "negated": negated,
    "missing": missing,
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("factor", [(1.0, 1), (0.3, -1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_gradients_arrive_as_by_copying(
    dtype: torch.dtype, factor: tuple[float, int], odd: str
) -> None:
    params = parameters(dtype)
    ODD[odd](params[-1])
    fused, plain = filled(params, dtype, scale=factor[0], sign=factor[1])
    fused.receive(1, 0)
    plain.receive(1, 0)
    assert torch.equal(fused.gradient(1), plain.gradient(1))
    assert torch.equal(fused.gradient(0), plain.gradient(0))
    rtol = 1e-3 if dtype == torch.float32 else 1e-9
    found, wanted = fused.numbers[KNOWN], plain.numbers[KNOWN].double()
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=100 * rtol)


def test_half_gradients_are_widened() -> None:
    fused, plain = filled(parameters(torch.bfloat16), torch.float32)
    fused.receive(0)
    plain.receive(0)
    assert torch.equal(fused.gradient(0), plain.gradient(0))


@pytest.mark.parametrize("layout", ["plain", "turned"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_parameters_move_from_where_they_were(dtype: torch.dtype, layout: str) -> None:
    params = parameters(dtype)
    if layout == "turned":
        params[-1] = params[-1].t().contiguous().t()
    vectors = torch.promote_types(dtype, torch.float32)
    fused, plain = filled(params, vectors, scale=0.5)
    for step in (0.25, 0.5):
        before = [p.clone() for p in fused.params]
        fused.save_lazily()
        plain.save_lazily()
        for trial in (step, step / 2):
            fused.move(trial)
            plain.move(trial)
            torch.testing.assert_close(fused.params, plain.params)
        assert torch.equal(fused.flat[0], plain.flat[0])
        for block in (fused, plain):
            block.restore()
            assert all(map(torch.equal, block.params, before))


def test_a_start_that_follows_is_where_the_parameters_are() -> None:
    fused, _ = filled(parameters(torch.float64), torch.float64)
    before = [p.clone() for p in fused.params]
    fused.save_lazily()
    fused.restore()
    assert all(map(torch.equal, fused.params, before))
    fused.move(1.0)
    assert not any(map(torch.equal, fused.params, before))
    fused.restore()
    assert all(map(torch.equal, fused.params, before))
    fused.save_lazily()
    fused.flush()
    fused.params[0].add_(1.0)
    fused.restore()
    assert all(map(torch.equal, fused.params, before))


@pytest.mark.parametrize("place", [0, 1, 3, -1])
@pytest.mark.parametrize("what", ["nothing", "a parameter", "the gradient"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_change_of_one_element_is_seen(dtype: torch.dtype, what: str, place: int) -> None:
    told = []
    for block in filled(parameters(dtype), dtype):
        block.save()
        block.gradient(1).copy_(block.gradient(2))
        if what == "a parameter":
            block.params[place].view(-1)[-1] += 1
        elif what == "the gradient":
            block.gradient(1)[place] = torch.nan
        block.compare(1, 0, 2)
        told.append(block.numbers[HAS_MOVED : HAS_CHANGED + 1].double())
        assert [*told[-1].bool()][::2] == [what == "a parameter", what == "the gradient"]
    rtol = 1e-3 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(told[0][1], told[1][1], rtol=rtol, atol=100 * rtol)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("count", [1, 2])
def test_parameters_may_be_put_on_the_line_while_it_is_made(count: int, scale: float) -> None:
    moved = []
    for step in (math.nan, 0.75):
        block, _ = filled(parameters(torch.float64), torch.float64, scale=scale)
        before = [p.clone() for p in block.params]
        history = empty_history(Space([block], [1.0]), 2)
        origin = Trial(0.0, 0.0, -1.0, GradientInfo(0.0, -1.0, 1.0, 1.0), 0)
        block.pairs.data.normal_()
        history.count, history.gamma = count, 0.7
        for matrix in (history.compact.inverse, history.compact.squares, history.products.all):
            matrix.fill_(0.1)
        block.save_lazily()
        version = block.params[0]._version
        direction = history.direction(origin, step)
        assert (block.params[0]._version == version) == math.isnan(step)
        assert all(map(torch.equal, block.params, before)) == math.isnan(step)
        block.move(0.75)
        moved.append([p.clone() for p in block.params])
        block.restore()
        assert all(map(torch.equal, block.params, before))
        assert direction.norm > 0
    assert all(map(torch.equal, *moved))


def test_a_pair_that_was_forgotten_before_it_was_made_is_never_made() -> None:
    """As an interruption between taking a pair in and making the direction leaves it."""
    block, _ = filled(parameters(torch.float64), torch.float64)
    history = empty_history(Space([block], [1.0]), 2)
    origin = Trial(0.0, 1.0, -1.0, GradientInfo(1.0, -1.0, 1.0, 1.0), 0)
    products = (0.5, 2.0, 0.0)
    here = Trial(1.0, 0.5, 1.0, GradientInfo(0.5, 1.0, 2.0, 1.0, products), 1)
    history.update(AcceptedStep(origin, 1.0, None), here)
    history.clear()
    block.pairs.s(0).fill_(1.0)
    block.pairs.y(0).fill_(2.0)
    history.count = 1
    history.direction(here)
    assert torch.equal(block.pairs.s(0), torch.ones_like(block.direction))
    assert torch.equal(block.pairs.y(0), torch.full_like(block.direction, 2.0))


@pytest.mark.parametrize("change", ["another size", "another dtype"])
def test_nothing_is_written_where_parameters_were_exchanged(change: str) -> None:
    fused, _ = filled(parameters(torch.float64), torch.float64)
    fused.save_lazily()
    fused.flush()
    odd, neighbor = fused.params[3], fused.params[4].clone()
    odd.data = odd.data[:3].clone() if change == "another size" else odd.data.float()
    if change == "another size":
        with pytest.raises(UserWarning, match="resized"):
            fused.move(1.0)
        assert torch.equal(fused.params[4], neighbor)
    else:
        fused.move(1.0)
        torch.testing.assert_close(odd, (fused.shaped[0][3] + fused.shaped[1][3]).float())


@pytest.mark.parametrize("storage", ["fused", "flat", "foreach", "forloop"])
def test_autograd_sees_that_parameters_have_moved(storage: str) -> None:
    x = torch.ones(3, requires_grad=True)
    optimizer = LBFGS([x], lr=0.1, max_iter=2, implementation=storage)
    version, kept = x._version, []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x**4).sum()
        loss.backward(retain_graph=True)
        kept.append(loss)
        return loss

    optimizer.step(closure)
    assert x._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept[0].backward()


@pytest.mark.parametrize("storage", ["fused", "flat", "foreach", "forloop"])
@pytest.mark.parametrize("search", [None, "strong_wolfe", "hager_zhang"])
def test_a_step_that_ends_at_a_flat_direction_leaves_the_parameters(
    search: str | None, storage: str
) -> None:
    x = torch.tensor([3.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS(
        [x], lr=0.1, line_search_fn=search, max_iter=3, tolerance_change=0.0,
        implementation=storage,
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (torch.tensor([1.0, 5.0], dtype=torch.float64) * x**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = x.detach().clone()
    optimizer.param_groups[0]["tolerance_change"] = 1e9
    optimizer.step(closure)
    assert optimizer.result.reason == "loss_change" and not optimizer.result.iterations
    assert torch.equal(x, before)


@pytest.mark.parametrize("storage", ["fused", "flat", "foreach", "forloop"])
def test_a_callback_that_raises_finds_the_parameters_restored(storage: str) -> None:
    x = torch.ones(5, dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], line_search_fn="hager_zhang", implementation=storage)
    accepted = []

    def callback(progress: Any) -> bool:
        accepted.append(x.detach().clone())
        if progress.iteration == 2:
            x.detach().fill_(77.0)
            raise ArithmeticError
        return False

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x.exp() - 3 * x).sum()
        loss.backward()
        return loss

    optimizer.callback = callback
    with pytest.raises(ArithmeticError):
        optimizer.step(closure)
    assert torch.equal(x, accepted[-1])


def test_a_structure_that_differs_is_noticed() -> None:
    source, title = passes.source(torch.float64)
    changed = source.replace("Index size, capacity, threads;", "Index capacity, size, threads;")
    assert changed != source
    with pytest.raises(UnavailableError, match="structure Workspace isn't laid out as expected"):
        compiled_library(changed, title, (passes.Workspace,))
