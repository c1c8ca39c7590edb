"""Every operation of a body on every interpreter: what torch's own tensor method computes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from bodies import CALLS
from torch import Tensor

from optkit_core import Buffer, Elementwise, ImplementationError
from optkit_core.implementations.bundle import Bundle
from optkit_core.tracing.operations import OPERATIONS, Operation, Rounding
from optkit_core.tracing.trace import trace

Call = Callable[[Any, Any, Any], Any]

LIBRARY = [name for name, o in OPERATIONS.items() if o.rounding is Rounding.LIBRARY]
"""Operations that torch takes from one mathematical library and a kernel from another."""

ULPS = {"sqrt": 1, **dict.fromkeys(LIBRARY, 2)}
"""How many units in the last place an operation may differ by; none where it isn't named.

torch's sqrt isn't correctly rounded on CPU where it comes from MKL; the kernel's is.
"""

SIGNLESS = ("clamp_min",)
"""Where torch's vector code and its code for the rest disagree about the sign of a zero."""

LEFT = torch.tensor(0.3)
"""A number in a tensor, as a learning rate can be."""

FUNCTIONS: dict[str, Call] = {
    "sqrt": lambda x, y, z: torch.sqrt(x.abs()),
    "sign": lambda x, y, z: torch.sign(x),
    "maximum": lambda x, y, z: torch.maximum(x, y),
    "clamp": lambda x, y, z: torch.clamp(x, min=-0.5, max=0.25),
    "clip": lambda x, y, z: x.clip(-0.5),
    "add": lambda x, y, z: torch.add(x, y, alpha=0.3),
    "lerp": lambda x, y, z: torch.lerp(x, y, 0.3),
    "addcmul": lambda x, y, z: torch.addcmul(x, y, z, value=0.3),
    "where": lambda x, y, z: torch.where(x > y, y, z),
    "where_number": lambda x, y, z: torch.where(x > y, 0.1, z),
    "where_other_number": lambda x, y, z: torch.where(x > y, y, 0.1),
    "in_place": lambda x, y, z: torch.sqrt_(x.abs()),
    "operators": lambda x, y, z: 2 - x * 3 + (y - 1) / 7 - 1 / (abs(z) + 1),
    "in_place_operators": lambda x, y, z: _in_place(x.clone(), y),
    "power": lambda x, y, z: 2**x + x**2,
    "comparisons": lambda x, y, z: z.where((x == y) | (x != z) & ~(x <= y), x),
    "mask": lambda x, y, z: (x > y).type_as(x) * 0.1 + (x * y > 0).type_as(x),
    "tensor_times": lambda x, y, z: LEFT * x,
    "tensor_plus": lambda x, y, z: LEFT + x - LEFT,
    "tensor_minus": lambda x, y, z: LEFT - x,
    "minus_tensor": lambda x, y, z: (x - LEFT).maximum(LEFT) - x.clamp_min(LEFT),
    "tensor_less": lambda x, y, z: z.where(x > LEFT, y),
    "tensor_factor": lambda x, y, z: x.add(y, alpha=LEFT).addcmul(y, z, value=LEFT),
    "detach": lambda x, y, z: x.clone().detach().mul_(0.3),
}
"""Ways of writing operations that a body may use beside methods."""


def _in_place(x: Any, y: Any) -> Any:
    x += y
    x *= 0.3
    x -= 1
    x /= 7
    return x


def computing(calls: Mapping[str, Call]) -> type[Elementwise]:
    """Return an algorithm with a buffer for the result of each call."""

    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        for name, call in calls.items():
            getattr(s, f"to_{name}").copy_(call(p, g, s.other))

    buffers = {f"to_{name}": Buffer() for name in calls}
    body = {"update": staticmethod(update), "other": Buffer(), **buffers}
    return type("Computing", (Elementwise,), body)


def special(dtype: torch.dtype) -> list[float]:
    """Return what breaks arithmetic: zeros, denormals, huge and missing numbers, ties."""
    facts = torch.finfo(dtype)
    positive = [0.0, facts.tiny, facts.tiny / 4, facts.tiny * facts.eps, facts.max, math.inf]
    positive += [0.5, 1.0, 1.5, 2.0, 2.5, 1 + facts.eps, facts.eps]
    return [*positive, *(-value for value in positive), math.nan]


@cache
def operands(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return three tensors: special values in every combination, and random ones, odd in size."""
    values = torch.tensor(special(dtype), dtype=dtype)
    grid = torch.cartesian_prod(values, values, values[::3])
    generator = torch.Generator().manual_seed(0)
    normal, scale = torch.randn(2, 4100, 3, generator=generator, dtype=torch.float64)
    x, y, z = torch.cat([grid, (normal * (3 * scale).exp()).to(dtype)]).unbind(1)
    return x.contiguous(), y.contiguous(), z.contiguous()


def computed(
    calls: Mapping[str, Call], dtype: torch.dtype, implementation: str, **options: Any
) -> dict[str, Tensor]:
    """Return the results of calls on `operands`, and of the second half in a tensor of its own."""
    x, y, z = operands(dtype)
    half = len(x) // 2 - 3
    parts = [(x[:half], y[:half], z[:half]), (x[half:], y[half:], z[half:])]
    params = [torch.nn.Parameter(x.clone()) for x, _, _ in parts]
    optimizer = computing(calls)(params, implementation=implementation, **options)
    optimizer.eager_state = True
    for p, (_, y, z) in zip(params, parts, strict=True):
        optimizer.state[p].update(optimizer.allocate(p, optimizer.param_groups[0]))
        optimizer.state[p]["other"].copy_(z)
        p.grad = y.clone()
    optimizer.step()
    assert [choice.name for choice in optimizer.plan] == [implementation]
    states = [optimizer.state[p] for p in params]
    return {name: torch.cat([state[f"to_{name}"] for state in states]) for name in calls}


def assert_close(found: Tensor, wanted: Tensor, ulps: int, signless: bool, name: str) -> None:
    """Assert equal bits, or a distance in units in the last place; any NaN is as good."""
    facts = torch.finfo(wanted.dtype)
    equal = (found == wanted) | (found.isnan() & wanted.isnan())
    signs = (found.signbit() == wanted.signbit()) | wanted.isnan() | (ulps > 0) | signless
    near = (found - wanted).abs() <= ulps * facts.eps * wanted.abs().clamp_min(facts.tiny)
    bad = ~((equal & signs) | near)
    assert not bad.any(), f"{name}: {found[bad][:3]} instead of {wanted[bad][:3]}"


def expected(calls: Mapping[str, Call], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what torch's own methods compute."""
    results = {name: call(*operands(dtype)) for name, call in calls.items()}
    return {name: result.to(dtype) for name, result in results.items()}


def test_every_operation_is_among_the_calls() -> None:
    program, _ = trace(computing(CALLS), None, 1.0)
    assert {each.operation for each in program.instructions} == set(OPERATIONS) == set(CALLS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("part", ["simple", "library"])
@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused"])
def test_operations_are_torchs(implementation: str, part: str, dtype: torch.dtype) -> None:
    """In two parts: one call into a library, and the compiler makes no vector code of the loop."""
    calls = {n: call for n, call in CALLS.items() if (n in LIBRARY) == (part == "library")}
    wanted = expected(calls, dtype)
    for name, found in computed(calls, dtype, implementation).items():
        assert_close(found, wanted[name], ULPS.get(name, 0), name in SIGNLESS, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused", "differentiable"])
def test_other_ways_of_writing(implementation: str, dtype: torch.dtype) -> None:
    if implementation == "differentiable":
        results = computed(FUNCTIONS, dtype, "forloop", differentiable=True)
    else:
        results = computed(FUNCTIONS, dtype, implementation)
    for name, wanted in expected(FUNCTIONS, dtype).items():
        ulps = 2 if name in ("sqrt", "in_place", "power", "operators") else 0
        assert_close(results[name], wanted, ulps, False, name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("part", ["simple", "library"])
def test_half_types_are_computed_in_float32_and_rounded_once(part: str, dtype: torch.dtype) -> None:
    calls = {n: call for n, call in CALLS.items() if (n in LIBRARY) == (part == "library")}
    wide = [operand.float() for operand in operands(dtype)]
    for name, found in computed(calls, dtype, "fused").items():
        wanted = calls[name](*wide).to(dtype)
        assert_close(found, wanted, int(name in ULPS), name in SIGNLESS, name)


class Converting(Elementwise):
    """Widens its parameter, and narrows what stands in a buffer."""

    wide = Buffer(dtype=torch.float32)
    source = Buffer(dtype=torch.float32)
    widest = Buffer(dtype=torch.float64)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.wide.copy_(p)
        s.widest.copy_(p)
        p.copy_(s.source)


class ConvertingInFloat32(Converting):
    """The same, computed in float32."""

    widest = Buffer()


def to_be_rounded(patterns: Tensor) -> Tensor:
    """Return float32 numbers on, halfway between and next to all of a half type's, as many."""
    wide = patterns.float().view(torch.int32)
    step = 1 << (16 if patterns.dtype == torch.bfloat16 else 13)
    offsets = torch.tensor([0, step // 2, step // 2 - 1, step // 2 + 1, 1, step - 1])
    near = wide + offsets[torch.arange(len(wide)) % len(offsets)].to(torch.int32)
    bits = torch.arange(len(wide), dtype=torch.int64) * 65521 % 2**32
    anything = torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32)
    return torch.cat([near, near.roll(1), anything]).view(torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("flush", [False, True], ids=["denormals", "flushed"])
@pytest.mark.parametrize("algorithm", [Converting, ConvertingInFloat32], ids=lambda c: c.__name__)
def test_conversions_of_all_patterns(
    algorithm: type[Elementwise], dtype: torch.dtype, flush: bool
) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    source = to_be_rounded(every)
    patterns = every.repeat(len(source) // len(every))
    wanted, narrow = patterns.float(), source.to(dtype)
    p = torch.nn.Parameter(patterns.clone())
    optimizer = algorithm([p], implementation="fused")
    p.grad = torch.zeros_like(p)
    optimizer.step()
    with torch.no_grad():
        p.copy_(patterns)
    optimizer.state[p]["source"].copy_(source)
    try:
        torch.set_flush_denormal(flush)
        optimizer.step()
    finally:
        torch.set_flush_denormal(False)
    small = (source.abs() < 2.0**-126) & flush
    found, wide = p.detach(), optimizer.state[p]["wide"]
    assert_close(wide, wanted, 0, False, "widened")
    assert_close(found[~small], narrow[~small], 0, False, "narrowed")


UNTRACEABLE: dict[str, tuple[Call, str]] = {
    "unknown method": (lambda x, y, z: x.digamma(), r"digamma\(\)"),
    "unknown function": (lambda x, y, z: torch.zeros_like(x), r"zeros_like\(\)"),
    "attribute": (lambda x, y, z: x.to(y.dtype), "dtype"),
    "number of a tensor": (lambda x, y, z: x * float(x.numel()), "can't be traced: float"),
    "remainder": (lambda x, y, z: x % 2, r"remainder\(\)"),
    "index": (lambda x, y, z: x[:], "can't be traced"),
    "tensor of a shape": (lambda x, y, z: x + torch.ones(2), "in a tensor operation"),
    "argument": (lambda x, y, z: x.div(y, rounding_mode="floor"), "'rounding_mode'"),
    "too many": (lambda x, y, z: x.lerp(y, z, y), "3 arguments"),
    "too few": (lambda x, y, z: x.lerp(y), "without weight"),
    "masks": (lambda x, y, z: (x > y) * 0.1, "type_as"),
    "numbers": (lambda x, y, z: torch.where(x > y, 0.1, 0.2), "type_as"),
    "gradient": (lambda x, y, z: y.mul_(2), "its gradient in place"),
    "branch": (lambda x, y, z: x if (x > 0) else y, "branches on the values"),
}


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_is_a_reason(name: str) -> None:
    call, reason = UNTRACEABLE[name]
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(8)]
    with pytest.raises(ImplementationError, match=reason):
        computing({"it": call})(params, implementation="fused")


def test_auto_goes_on_without_what_cannot_be_traced() -> None:
    params = [torch.nn.Parameter(torch.full((100,), 2.5)) for _ in range(8)]
    optimizer = computing({"it": lambda x, y, z: x % 2})(params)
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    (choice,) = optimizer.plan
    assert choice.name == "forloop"
    assert "remainder()" in dict(choice.rejected)["fused"]
    assert optimizer.state[params[0]]["to_it"].eq(0.5).all()


@pytest.mark.parametrize("implementation", ["foreach", "forloop"])
def test_reductions_and_unknown_functions_work_one_by_one(implementation: str) -> None:
    calls: dict[str, Call] = {
        "norm": lambda x, y, z: x * x.norm(),
        "zeros": lambda x, y, z: torch.zeros_like(x) + torch.nn.functional.relu(y),
        "remainder": lambda x, y, z: x % 2 + x // 3,
        "numbers": lambda x, y, z: torch.where(x > y, 0.1, 0.2) * x,
    }
    params = [torch.nn.Parameter(torch.arange(n) - 2.5) for n in (3, 8)]
    optimizer = computing(calls)(params, implementation=implementation)
    for p in params:
        p.grad = torch.full_like(p, 0.5)
    optimizer.step()
    for p in params:
        for name, call in calls.items():
            with torch.no_grad():
                wanted = call(p, p.grad, None)
            assert torch.equal(optimizer.state[p][f"to_{name}"], wanted)


def test_the_documentation_lists_every_method() -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "write-algorithm.md").read_text()
    (sentence,) = [line for line in text.splitlines() if line.startswith("A fused kernel can be")]
    documented = {documented_method(operation) for operation in OPERATIONS.values()} - {None}
    assert set(re.findall(r"`(\w+?)_?`", sentence)) == {*documented, "copy", "fill", "zero"}


def documented_method(operation: Operation) -> str | None:
    """Return the tensor method that an operation is, None where it has only another form."""
    methods = (operation.name,) if operation.methods is None else operation.methods
    return methods[0] if methods and not methods[0].startswith("_") else None


@pytest.mark.parametrize(
    "call",
    [
        lambda x, lr: x - lr,
        lambda x, lr: lr - x,
        lambda x, lr: lr * x + lr,
        lambda x, lr: x.maximum(lr),
        lambda x, lr: x.pow(lr) + lr**x,
        lambda x, lr: x.add(x, alpha=lr).addcdiv_(x, x, value=lr),
        lambda x, lr: x.lerp(x, lr),
        lambda x, lr: torch.where(x > lr, x, lr),
    ],
)
def test_bundles_never_wait_for_a_number_in_a_tensor(call: Any) -> None:
    """As on a device that runs ahead; here one whose tensors have no values at all."""
    with torch.device("meta"):
        result = call(Bundle([torch.ones(3), torch.ones(2)]), torch.tensor(0.3))
    assert [tensor.shape for tensor in result.tensors] == [(3,), (2,)]
