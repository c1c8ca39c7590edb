"""L-BFGS over complex tensors does what it does over their parts, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import torch
from minimization import ALL_SEARCHES, STORAGE
from torch import Tensor

from optkit_plugins.lbfgs import LBFGS

SHAPES: dict[str, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]] = {
    "one": ([(5,)], []),
    "several": ([(3, 4), (), (0,), (7,)], []),
    "mixed with real": ([(3, 4), (17,)], [(6,), (2, 3)]),
    "long": ([(5000,)], [(33,)]),
}
each_kind = pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
each_storage = pytest.mark.parametrize("storage", STORAGE)


def real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


@attrs.define
class Twin:
    """An optimizer, and a closure whose loss and gradient are reckoned in real numbers."""

    params: list[Tensor]
    answer: Callable[[list[Tensor]], tuple[Any, Sequence[Tensor]]]
    options: dict[str, Any]
    path: list[Tensor] = attrs.Factory(list)

    def run(self, steps: int = 3) -> Twin:
        optimizer = LBFGS(self.params, **self.options)
        for _ in range(steps):
            optimizer.step(self.closure)
        return self

    def closure(self) -> Any:
        point = [real(p.detach()).clone() for p in self.params]
        self.path += point
        loss, gradients = self.answer(point)
        for p, g in zip(self.params, gradients, strict=True):
            p.grad = torch.view_as_complex(g.clone()) if p.is_complex() else g.clone()
        return loss


def smooth(point: list[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
    """Return a loss with a narrow curved valley, and its gradient."""
    with torch.enable_grad():
        x = [p.requires_grad_() for p in point]
        flat = torch.cat([p.reshape(-1) for p in x])
        loss = (1 - flat[:-1]).square().sum() + 9 * (flat[1:] - flat[:-1] ** 2).square().sum()
        return loss.detach(), torch.autograd.grad(loss, x)


def random() -> Callable[[list[Tensor]], tuple[Any, Sequence[Tensor]]]:
    """Return what answers with random losses and gradients, the same ones again each time."""
    generator = torch.Generator().manual_seed(1)

    def answer(point: list[Tensor]) -> tuple[Any, Sequence[Tensor]]:
        loss = torch.rand((), generator=generator).item()
        return loss, [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in point]

    return answer


def twins(dtype: torch.dtype, lists: str, loss: str, options: dict[str, Any]) -> list[Twin]:
    generator = torch.Generator().manual_seed(0)
    kinds = zip(SHAPES[lists], (dtype, dtype.to_real()), strict=True)
    start = [
        torch.randn(shape, generator=generator, dtype=kind)
        for shapes, kind in kinds
        for shape in shapes
    ]
    return [
        Twin(
            [view(p).clone().requires_grad_() for p in start],
            smooth if loss == "smooth" else random(),
            options,
        ).run()
        for view in (torch.clone, real)
    ]


def assert_same_bits(one: Twin, other: Twin) -> None:
    assert len(one.path) == len(other.path) > 3 * len(one.params)
    assert all(map(torch.equal, one.path, other.path))
    ends = ([real(p.detach()) for p in twin.params] for twin in (one, other))
    assert all(map(torch.equal, *ends))


@pytest.mark.slow
@each_kind
@each_storage
@pytest.mark.parametrize("lists", SHAPES)
@pytest.mark.parametrize("loss", ["smooth", "random"])
@pytest.mark.parametrize("search", ALL_SEARCHES)
def test_equal_bits(
    search: str | None, loss: str, lists: str, storage: str, dtype: torch.dtype
) -> None:
    options = {"line_search_fn": search, "implementation": storage}
    assert_same_bits(*twins(dtype, lists, loss, {**options, "lr": 1.0 if search else 0.1}))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.float32], ids=str)
@each_storage
@pytest.mark.parametrize("search", ALL_SEARCHES)
def test_equal_bits_where_the_memory_is_laid_out_otherwise(
    search: str | None, storage: str, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, 9, generator=generator, dtype=dtype)
    options = {"line_search_fn": search, "implementation": storage, "lr": 1.0 if search else 0.1}
    spread = torch.zeros(9, 12, dtype=dtype).t()[::2]
    lazily = torch.zeros(9, 6, dtype=dtype).t()
    params = [p.copy_(start).requires_grad_() for p in (start.clone(), spread, lazily)]
    contiguous, *others = (Twin([p], smooth, options).run() for p in params)
    for other in others:
        assert_same_bits(contiguous, other)


@each_storage
def test_equal_bits_with_a_lazily_conjugated_gradient(storage: str) -> None:
    ends = []
    for conjugate in (torch.clone, lambda g: g.conj().resolve_conj().conj()):
        (twin, _) = twins(torch.complex64, "one", "smooth", {"implementation": storage, "lr": 0.1})
        plain = Twin([p.detach().requires_grad_() for p in twin.params], smooth, twin.options)

        def closure(plain: Twin = plain, conjugate: Any = conjugate) -> Any:
            loss = plain.closure()
            for p in plain.params:
                assert p.grad is not None
                p.grad = conjugate(p.grad)
            return loss

        optimizer = LBFGS(plain.params, **plain.options)
        for _ in range(3):
            optimizer.step(closure)
        ends.append(plain)
    assert_same_bits(*ends)
