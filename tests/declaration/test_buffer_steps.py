"""Buffers that aren't of their parameter's shape: the same numbers wherever they can be stepped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kinds import KINDS, Columns, Factored, Half, Product
from torch import Tensor

import optkit
import optkit_core
from optkit_core import Elementwise
from optkit_core.implementations import FUSED, step_counters
from optkit_core.step.bucket_key import BucketKey
from optkit_core.testing import assert_agree

SHAPES = [(3, 1), (2, 3), (5, 2, 2), (7, 4), (0, 3), (2, 65)]


def parameters(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
    return [*(t.to(dtype) for t in tensors[:-1]), tensors[-1].to(dtype).t()]


def run(cls: type[Elementwise], dtype: torch.dtype, compiled: Any = None, **options: Any) -> Any:
    """Take steps in which some gradients are missing; return parameters and their states."""
    generator = torch.Generator().manual_seed(1)
    params = parameters(dtype)
    optimizer = cls(params, **options)
    step = torch.compile(optimizer.step, backend=compiled) if compiled else optimizer.step
    for number in range(6):
        for position, p in enumerate(params):
            g = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            g = torch.complex(g, g.flip(0)) if dtype.is_complex else g
            p.grad = None if (number + position) % 4 == 3 else g.to(dtype)
        step()
    return params, [optimizer.state[p] for p in params], optimizer


def assert_same_numbers(found: Any, wanted: Any, dtype: torch.dtype) -> None:
    assert_agree(found[0], wanted[0])
    for mine, other in zip(found[1], wanted[1], strict=True):
        assert mine.keys() == other.keys()
        assert_agree(list(mine.values()), list(other.values()), dtype)


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.complex64]
WAYS: dict[str, Any] = {
    "foreach": {"implementation": "foreach"},
    "auto": {"implementation": "auto"},
    "differentiable": {"differentiable": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cls", [*KINDS.values(), Half], ids=lambda c: c.__name__)
def test_every_way_has_the_forloops_numbers(cls: Any, dtype: torch.dtype, way: str) -> None:
    reference = run(cls, dtype, implementation="forloop")
    found = run(cls, dtype, **WAYS[way])
    assert_same_numbers(found, reference, dtype)
    allowed = {"forloop", "foreach", *(["fused"] if issubclass(cls, Product) else [])}
    assert {choice.name for choice in found[2].plan} <= allowed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch's own code
@pytest.mark.parametrize(
    ("cls", "dtype", "implementation"),
    [
        (Product, torch.complex64, "foreach"),
        (Half, torch.bfloat16, "forloop"),
        (Columns, torch.float64, "foreach"),
        (Factored, torch.float32, "forloop"),
    ],
    ids=str,
)
def test_a_compiled_step_has_the_same_numbers(cls: Any, dtype: Any, implementation: str) -> None:
    torch._dynamo.reset()
    reference = run(cls, dtype, implementation=implementation)
    found = run(cls, dtype, implementation=implementation, compiled="eager")
    assert_same_numbers(found, reference, dtype)
    torch._dynamo.reset()


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("cls", KINDS.values(), ids=KINDS)
def test_counters_on_the_device_change_no_number(
    cls: Any, implementation: str, maximize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a captured graph has it, with the CPU standing in for a device."""
    monkeypatch.setattr(step_counters, "CAPTURABLE_DEVICES", frozenset({"cpu"}))
    options = {"implementation": implementation, "maximize": maximize}
    reference = run(cls, torch.float64, **options)
    assert_same_numbers(
        run(cls, torch.float64, capturable=True, **options), reference, torch.float64
    )


def test_the_product_is_what_it_says() -> None:
    """The numbers of one parameter, computed by hand."""
    p = torch.full((2,), 0.5, dtype=torch.float64)
    optimizer = Product([p], lr=0.1, decay=0.5)
    product, mean, value = 1.0, 0.0, 0.5
    for t in (1, 2):
        p.grad = torch.full((2,), 2.0, dtype=torch.float64)
        optimizer.step()
        product *= 0.5 + 0.01 / t
        mean += 0.5 * (2.0 - mean)
        value = value * (1 - 0.1 * product * 0.1) - 0.1 * product
        value -= 0.1 * 2 * product / (1 + product)
        value -= product * 0.1 * mean
        value += product * 0.1 * 2 * torch.tensor(mean, dtype=torch.float64).tanh().item()
        value -= 0.1 * mean / (2 - product)
    assert torch.allclose(p, torch.full_like(p, value), rtol=1e-14)
    assert optimizer.state[p]["product"].item() == pytest.approx(product, rel=1e-14)


REASONS = {
    Columns: "'column' is of another shape",
    Factored: "'row' is of another shape",
}


@pytest.mark.parametrize("cls", REASONS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_kernel_is_offered_for_them(cls: Any, device: str) -> None:
    kind = BucketKey(torch.device(device), torch.float32)
    assert REASONS[cls] in FUSED.unsupported_reason(
        cls, kind, cls([torch.zeros(1)]).values(cls.default_values)
    )


@pytest.mark.parametrize("cls", REASONS)
def test_fused_is_refused_by_name_and_auto_goes_on(cls: Any) -> None:
    params = [torch.nn.Parameter(torch.ones(4, 3)) for _ in range(10)]
    with pytest.raises(optkit.ImplementationError, match=REASONS[cls]):
        cls(params, implementation="fused")
    optimizer = cls(params)
    for p in params:
        p.grad = torch.ones(4, 3)
    optimizer.step()
    assert all(not p.eq(1).any() for p in params)
    assert [state["step"].item() for state in optimizer.state.values()] == [1] * 10
    (bucket,) = optimizer.explain().buckets
    assert bucket.implementation in ("forloop", "foreach")
    assert REASONS[cls] in bucket.rejected["fused"]


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("cls", [Columns, Factored, Product], ids=lambda c: c.__name__)
def test_a_parameter_of_another_shape_is_refused_before_anything_changes(
    cls: Any, implementation: str
) -> None:
    params = [torch.nn.Parameter(torch.ones(4, 3)) for _ in range(3)]
    optimizer = cls(params, implementation=implementation)
    for p in params:
        p.grad = torch.ones(4, 3)
    optimizer.step()
    params[1].data = torch.ones(5, 2)
    params[1].grad = torch.ones(5, 2)
    before = [p.detach().clone() for p in params]
    with pytest.raises(optkit_core.ShapeError, match=r"parameter 1 .* has shape \(5, 2\), its buf"):
        optimizer.step()
    assert all(map(torch.equal, params, before))
    assert all(state["step"] == 1 for state in optimizer.state.values())
    del optimizer.state[params[1]]
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in params] == [2, 1, 2]


class Scheduled(Product):
    """Its learning rate is learned, through a scalar that is given as a factor."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.product *= h.lr
        s.mean.copy_(g)
        p.add_(g, alpha=s.product)
        p.addcmul_(g, g, value=-h.lr)


def test_autograd_goes_through_factors() -> None:
    """Twice p + lr g - lr g g, then p + lr lr g - lr g g, with g = 2."""
    lr = torch.tensor(0.5, requires_grad=True)
    p = torch.ones(3, requires_grad=True).clone()
    optimizer = Scheduled([p], lr=lr, differentiable=True)
    for _ in range(2):
        p.grad = torch.full((3,), 2.0)
        optimizer.step()
    assert p.tolist() == [1 + 0.5 * 2 + 0.25 * 2 - 2 * 0.5 * 4] * 3
    (slope,) = torch.autograd.grad(p[0], [lr])
    assert slope.item() == 2 + 2 * 0.5 * 2 - 2 * 4
