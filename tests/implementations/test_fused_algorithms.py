"""Whole algorithms: fused computes what the for-loop computes, for any input and any layout."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import ELEMENTWISE, declared, steady
from bodies import Branching, Mixed, Timed
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from problems import copies, gradients, parameters, set_gradients
from processes import python
from torch import Tensor

import optkit
from optkit_core import BucketKey, Buffer, Elementwise, WithTotals, at_least, hyperparameter
from optkit_core.implementations.fused import cpp_kernel
from optkit_core.native import cache
from optkit_core.testing import assert_agree

STEPS = 12
SIZES = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000, 4099]


class Varied(Elementwise):
    """Uses many operations at once: steps by sign where momentum and gradient agree."""

    lr: float = hyperparameter(default=0.05, range=at_least(0.0))
    weight_decay: float = hyperparameter(default=0.1, range=at_least(0.0))

    mean = Buffer()
    largest = Buffer(init=0.125)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        if h.weight_decay:
            p.mul_(1 - h.lr * h.weight_decay)
        blend = s.mean.lerp(g, 0.2).clamp(-50, 50)
        agree = (blend * g > 0) & ~(blend == g) | g.isnan()
        s.largest.copy_(s.largest.maximum(g.abs()).minimum(g.square() + 3))
        p.sub_(blend.sign().where(agree, blend / (1 + s.largest)), alpha=h.lr)
        s.mean.mul_(0.9).add_(g, alpha=0.1 / (1 + 0.5**t)).addcmul_(g, s.largest, value=0.01)


# No dtype rounds these rates, from which Rprop's steps start.
RATE, SMALL = {"lr": 2**-3}, {"lr": 5 * 2**-9}
OPTIONS = {"weight_decay": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.25}
SHIPPED = [
    pytest.param(cls, declared(name, **options), id=name + kind)
    for name, cls in ELEMENTWISE.items()
    for kind, options in {"": RATE, "-decay-maximize": {**OPTIONS, "maximize": True}}.items()
]
ALGORITHMS: list[Any] = [
    *SHIPPED,
    pytest.param(Varied, {}, id="varied"),
    pytest.param(Timed, {}, id="timed"),
    pytest.param(Branching, {"maximize": True}, id="branching"),
]
WIDE = [torch.float32, torch.float64, torch.complex64, torch.complex128]
HALF = [torch.bfloat16, torch.float16]


EXACT = (optkit.get("adamax"), Varied, Timed)
"""What does without sqrt and tanh, which torch on CPU doesn't round correctly."""


def assert_same(found: Sequence[Tensor], wanted: Sequence[Tensor], algorithm: type) -> None:
    if algorithm not in EXACT:
        assert_agree(found, wanted)
        return
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine.detach(), other.detach(), rtol=0, atol=0, equal_nan=True)


def skip_unless_taken(algorithm: Any, dtype: torch.dtype) -> None:
    """Skip a test with parameters of a dtype that an algorithm refuses."""
    reason = algorithm.unsupported_reason(BucketKey(torch.device("cpu"), dtype), None)
    if reason:
        pytest.skip(reason)


def pair(
    algorithm: Any, params: list[torch.nn.Parameter], **options: Any
) -> tuple[tuple[Any, Any], tuple[list[Any], list[Any]]]:
    """Return a fused optimizer, one of the for-loop, and the parameters of each."""
    others = copies(params)
    fused = algorithm(params, implementation="fused", **options)
    forloop = algorithm(others, implementation="forloop", **options)
    return (fused, forloop), (params, others)


def step(optimizers: Any, params: Any, grads: Sequence[Any]) -> None:
    """Step both with equal gradients, and see that these stay as they are."""
    for optimizer, own in zip(optimizers, params, strict=True):
        set_gradients(own, grads)
        optimizer.step()
        for p, g in zip(own, grads, strict=True):
            assert (p.grad is None) == (g is None)
            if g is not None:
                torch.testing.assert_close(p.grad, g, rtol=0, atol=0, equal_nan=True)


def assert_same_states(optimizers: Any, params: Any, algorithm: type) -> None:
    for p, q in zip(*params, strict=True):
        mine, other = (o.state.get(x, {}) for o, x in zip(optimizers, (p, q), strict=True))
        assert mine.keys() == other.keys()
        assert_same([mine[key] for key in mine], [other[key] for key in mine], algorithm)


@pytest.mark.parametrize("dtype", WIDE, ids=str)
@pytest.mark.parametrize(("algorithm", "options"), ALGORITHMS)
def test_fused_equals_forloop(algorithm: Any, options: Any, dtype: torch.dtype) -> None:
    skip_unless_taken(algorithm, dtype)
    optimizers, params = pair(algorithm, parameters(dtype), **options)
    for grads in gradients(params[0], STEPS):
        step(optimizers, params, grads)
        assert_same(params[0], params[1], algorithm)
    assert_same_states(optimizers, params, algorithm)
    assert {choice.name for choice in optimizers[0].plan} == {"fused"}


def in_turn(params: Sequence[Any]) -> list[Any]:
    """Return algorithms with a half type each: by default with one, with options with the other.

    Its options don't know of the type: that decides how what a kernel loads and stores is rounded.
    """
    pairs = zip(params, itertools.cycle(HALF), strict=False)
    return [pytest.param(*p.values, dtype, id=f"{p.id}-{dtype}") for p, dtype in pairs]


@pytest.mark.parametrize(
    ("algorithm", "options", "dtype"),
    [*in_turn(ALGORITHMS), *in_turn(2 * [pytest.param(Mixed, {}, id="m")])],
)
def test_half_types_are_stepped_in_float32(
    algorithm: Any, options: Any, dtype: torch.dtype
) -> None:
    """A step is that of float32 copies, rounded once: to the unit in the last place."""
    if issubclass(algorithm, WithTotals):
        pytest.skip("what it measures is rounded before it is updated with")
    params = parameters(dtype)
    wide = [torch.nn.Parameter(p.detach().float()) for p in params]
    if isinstance(algorithm.default_values.get("eps"), tuple):
        options = {**options, "eps": (1e-7, 1e-3)}  # by default it is that of the dtype
    if "lr" in algorithm.default_values:
        options = {**SMALL, **options}
    ours = algorithm(params, implementation="fused", **options)
    reference = algorithm(wide, implementation="forloop", **options)
    ulp = torch.finfo(dtype).eps
    for grads in gradients(params, STEPS):
        set_gradients(params, grads)
        set_gradients(wide, [None if g is None else g.float() for g in grads])
        ours.step()
        reference.step()
        for p, q in zip(params, wide, strict=True):
            for mine, other in [(p, q), *zip_states(ours, reference, p, q)]:
                torch.testing.assert_close(
                    mine.detach(),
                    other.detach().to(mine.dtype),
                    rtol=ulp,
                    atol=1e-7,
                    equal_nan=True,  # a mean of no rows
                )
                other.data.copy_(mine.detach())


def zip_states(ours: Any, reference: Any, p: Any, q: Any) -> list[tuple[Tensor, Tensor]]:
    return [(mine, reference.state[q][key]) for key, mine in ours.state.get(p, {}).items()]


@pytest.mark.parametrize("other", ["forloop", "foreach"])
@pytest.mark.parametrize(
    ("algorithm", "options", "dtype"), in_turn([*SHIPPED, pytest.param(Timed, {}, id="timed")])
)
def test_half_types_agree_with_torchs_rounding(
    algorithm: Any, options: Any, other: str, dtype: torch.dtype
) -> None:
    mine, others = parameters(dtype), parameters(dtype)
    options = {**options, **steady(algorithm, dtype)}
    fused = algorithm(mine, implementation="fused", **options)
    reference = algorithm(others, implementation=other, **options)
    for grads in gradients(mine, STEPS):
        for optimizer, params in ((fused, mine), (reference, others)):
            set_gradients(params, grads)
            optimizer.step()
    assert_agree(mine, others)


@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused"])
@pytest.mark.parametrize("dtype", [*HALF, torch.float64, torch.complex128], ids=str)
def test_buffers_of_another_dtype_are_computed_in_the_widest(
    dtype: torch.dtype, implementation: str
) -> None:
    params = parameters(dtype)
    optimizer = Mixed(params, implementation=implementation)
    widest = torch.promote_types(dtype, torch.float32)
    wide = [torch.nn.Parameter(p.detach().to(widest)) for p in params]
    means = [torch.zeros_like(p, dtype=torch.promote_types(torch.float32, dtype)) for p in wide]
    narrow = torch.complex64 if dtype.is_complex else torch.float32
    for grads in gradients(params, 5):
        set_gradients(params, grads)
        optimizer.step()
        for p, q, mean, g in zip(params, wide, means, grads, strict=True):
            if g is None:
                continue
            views = (q.detach(), g.to(widest), mean)
            x, y, m = (torch.view_as_real(v) if v.is_complex() else v for v in views)
            x.mul_(1 - 0.1 * 0.01)
            m.lerp_(y, 0.3)
            x.add_(torch.where(m * y > 0, m, m * 0.5), alpha=-0.1)
            mean.copy_(mean.to(narrow))
            q.data.copy_(q.detach().to(dtype))
            assert optimizer.state[p]["mean"].dtype == narrow
            assert optimizer.state[p]["last"].dtype == dtype
            assert_agree([p, optimizer.state[p]["mean"]], [q.detach().to(dtype), mean.to(narrow)])


@pytest.mark.parametrize("differentiable", [False, True])
def test_mixed_dtypes_step_under_autograd_too(differentiable: bool) -> None:
    results = []
    for _ in range(2):
        p = torch.linspace(-1, 1, 7, dtype=torch.bfloat16).requires_grad_()
        start = p.clone() if differentiable else torch.nn.Parameter(p.detach())
        optimizer = Mixed([start], implementation="forloop", differentiable=differentiable)
        for _ in range(3):
            start.grad = torch.linspace(-2, 3, 7).to(torch.bfloat16)
            optimizer.step()
        results.append(start.detach())
        assert optimizer.state[start]["mean"].dtype == torch.float32
        assert start.dtype == torch.bfloat16
        if differentiable:
            (gradient,) = torch.autograd.grad(start.sum(), p)
            assert gradient.isfinite().all() and gradient.ne(0).all()
    assert torch.equal(*results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("together", [True, False])
def test_every_size(dtype: torch.dtype, together: bool) -> None:
    """Rows of every size walked together, and each in a bucket of its own."""

    def tensors(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(n, generator=generator).to(dtype) for n in SIZES]

    algorithm = optkit.get("adamax")
    lists = [tensors(0)] if together else [[t] for t in tensors(0)]
    grads = [tensors(1)] if together else [[t] for t in tensors(1)]
    for values, given_grads in zip(lists, grads, strict=True):
        params = [torch.nn.Parameter(value) for value in values]
        optimizers, both = pair(algorithm, params)
        for _ in range(2):
            step(optimizers, both, given_grads)
        if dtype.itemsize == 2:
            assert_agree(*both)
        else:
            assert_same(*both, algorithm)


ADVERSARIAL = [0.0, -0.0, 1e-45, -1e-40, 1e-38, 3e38, -3e38, 1.0, float("inf"), float("nan")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("algorithm", "options"), ALGORITHMS)
def test_adversarial_values(algorithm: Any, options: Any, dtype: torch.dtype) -> None:
    values = torch.tensor([*ADVERSARIAL, -float("inf")], dtype=dtype)
    p, g = torch.cartesian_prod(values, values).unbind(1)
    optimizers, params = pair(algorithm, [torch.nn.Parameter(p.contiguous())], **options)
    for shift in range(4):
        step(optimizers, params, [g.roll(shift)])
        assert_same(*params, algorithm)
    assert_same_states(optimizers, params, algorithm)


floats = st.floats(width=32)
rows = st.integers(1, 70).flatmap(
    lambda n: st.tuples(*[st.lists(floats, min_size=n, max_size=n) for _ in range(3)])
)


@settings(max_examples=60, **PATIENT)
@given(rows=st.lists(rows, min_size=1, max_size=3), lr=st.floats(0, 10))
def test_any_values(rows: Any, lr: float) -> None:
    algorithm = optkit.get("adamax")
    params = [torch.nn.Parameter(torch.tensor(p)) for p, _, _ in rows]
    optimizers, both = pair(algorithm, params, lr=lr)
    for place in (1, 2):
        step(optimizers, both, [torch.tensor(row[place]) for row in rows])
    assert_same(*both, algorithm)
    assert_same_states(optimizers, both, algorithm)


GUARD = 12345.0


def test_nothing_outside_the_tensors_is_touched() -> None:
    memory = {role: torch.full((30_000,), GUARD) for role in ("p", "g", "exp_avg", "exp_inf")}
    places, start = [], 17
    for size in SIZES:
        places.append(slice(start, start + size))
        start += size + 17
    params = [torch.nn.Parameter(memory["p"][place].fill_(0.5)) for place in places]
    optimizer = optkit.create("adamax", params, implementation="fused")
    for p, place in zip(params, places, strict=True):
        p.grad = memory["g"][place].fill_(-2.0)
        optimizer.state[p].update(step=torch.tensor(0.0), exp_avg=memory["exp_avg"][place].zero_())
        optimizer.state[p]["exp_inf"] = memory["exp_inf"][place].zero_()
    optimizer.step()
    outside = torch.ones(30_000, dtype=torch.bool)
    for place in places:
        outside[place] = False
    for role, values in memory.items():
        assert values[outside].eq(GUARD).all(), role
        assert values[~outside].ne(GUARD).all(), role
    assert memory["g"][~outside].eq(-2.0).all()
    assert (
        optimizer.state[params[-1]]["exp_inf"].data_ptr()
        == memory["exp_inf"][places[-1]].data_ptr()
    )


def layouts(value: Tensor) -> dict[str, Tensor]:
    """Return the same 4-dimensional values in different layouts."""
    gaps = torch.zeros(*value.shape[:-1], 2 * value.shape[-1], dtype=value.dtype)[..., ::2]
    return {
        "contiguous": value.clone(),
        "channels_last": value.clone(memory_format=torch.channels_last),
        "gaps": gaps.copy_(value),
        "permuted": value.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    }


LAYOUTS = ["contiguous", "channels_last", "gaps", "permuted"]


@pytest.mark.parametrize("state", LAYOUTS)
@pytest.mark.parametrize("grad", LAYOUTS)
@pytest.mark.parametrize("param", LAYOUTS)
def test_any_layout_of_parameter_gradient_and_state(param: str, grad: str, state: str) -> None:
    algorithm = optkit.get("adamax")
    generator = torch.Generator().manual_seed(0)
    value, g, average = torch.randn(3, 8, 5, 3, 4, generator=generator)
    params = [torch.nn.Parameter(layouts(value)[param]) for _ in range(2)]
    optimizers = [
        algorithm([p], implementation=name)
        for p, name in zip(params, ("fused", "forloop"), strict=True)
    ]
    for p, optimizer in zip(params, optimizers, strict=True):
        zeros = layouts(torch.zeros_like(value))["channels_last"]
        optimizer.state[p] = {"step": torch.tensor(3.0), "exp_avg": layouts(average)[state]}
        optimizer.state[p]["exp_inf"] = zeros
        for _ in range(3):
            p.grad = layouts(g)[grad]
            optimizer.step()
    assert torch.equal(*params)
    for key in ("exp_avg", "exp_inf"):
        mine, other = (o.state[p][key] for o, p in zip(optimizers, params, strict=True))
        assert torch.equal(mine, other) and mine.stride() == other.stride()


def test_only_the_tensors_that_lie_otherwise_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one odd tensor costs its own copy; the other 399 don't notice."""
    params = [torch.nn.Parameter(torch.randn(8, 3, 4, 4)) for _ in range(5)]
    optimizer = optkit.create("adamax", params, implementation="fused")
    copied: list[Any] = []
    copy_ = Tensor.copy_

    def counted(self: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        copied.append(self.shape)
        return copy_(self, *arguments, **keywords)

    for odd in (None, 3, None):
        for position, p in enumerate(params):
            g = torch.randn(p.shape)
            p.grad = g.to(memory_format=torch.channels_last) if position == odd else g
        copied.clear()
        monkeypatch.setattr(Tensor, "copy_", counted)
        optimizer.step()
        monkeypatch.undo()
        assert len(copied) == (0 if odd is None else 4 + 3)


def test_expanded_parameters_are_refused_before_anything_is_updated() -> None:
    """torch notices when others have been updated already."""
    moved = []
    for cls in (optkit.get("adamax"), torch.optim.Adamax):
        params = [torch.nn.Parameter(torch.zeros(9)), torch.nn.Parameter(torch.zeros(1).expand(9))]
        optimizer: Any = cls(params, foreach=False)
        for p in params:
            p.grad = torch.ones(9)
        with pytest.raises((ValueError, RuntimeError), match="more than one element of the"):
            optimizer.step()
        moved.append(bool(params[0].any()))
    assert moved == [False, True]


def test_a_negated_view_as_gradient() -> None:
    """The imaginary part of a conjugate waits for its sign; its memory has the other one."""
    results = []
    for implementation in ("fused", "forloop"):
        p = torch.nn.Parameter(torch.tensor(0.7))
        q = torch.nn.Parameter(torch.tensor([0.1, 0.2], dtype=torch.complex64))
        optimizer = optkit.create("adamax", [p, q], lr=0.1, implementation=implementation)
        for number in range(4):
            optimizer.zero_grad()
            if number % 2:
                torch.complex(torch.tensor(1.0), p).conj().imag.backward()
            else:
                (p * 2).backward()
            q.grad = torch.tensor([1 + 2j, -3j]).conj() if number > 1 else torch.ones_like(q)
            optimizer.step()
        results.append((p.detach(), q.detach()))
    for mine, other in zip(*results, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    def trained(count: int) -> list[Tensor]:
        torch.set_num_threads(count)
        generator = torch.Generator().manual_seed(0)
        sizes = [1_300_001, 5, 300_000, *[64] * 50]
        assert sum(sizes) > 3 * cpp_kernel.MIN_ELEMENTS_PER_THREAD
        params = [torch.nn.Parameter(torch.randn(n, generator=generator)) for n in sizes]
        optimizer = optkit.create("adagrad", params, implementation="fused", weight_decay=0.1)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
        optimizer.step()
        return params

    for mine, other in zip(trained(threads), trained(1), strict=True):
        assert torch.equal(mine, other)


MAPS = Path("/proc/self/maps")


@pytest.mark.slow
@pytest.mark.skipif(not MAPS.exists(), reason="needs Linux")
def test_one_openmp_runtime() -> None:
    """Two in one process were seen to slow torch's own operations more than tenfold."""
    code = f"""
import pathlib, re, torch, optkit
torch.set_num_threads(2)
params = [torch.nn.Parameter(torch.ones({cpp_kernel.MIN_ELEMENTS_PER_THREAD})) for _ in range(2)]
for p in params:
    p.grad = torch.ones_like(p)
optkit.create("adamax", params, implementation="fused").step()
(params[0] * 2).exp().sum().item()
lines = pathlib.Path({str(MAPS)!r}).read_text().splitlines()
found = {{line.split()[-1] for line in lines if re.search(r"/lib(gomp|omp|iomp)[^/]*$", line)}}
print(len(found), any("optkit" in line or ".so" in line for line in lines))
"""
    assert python(code, OPTKIT_CACHE_DIR=os.environ["OPTKIT_CACHE_DIR"]).split() == ["1", "True"]


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return how many kernels have been compiled since the test began."""
    monkeypatch.setenv("OPTKIT_CACHE_DIR", str(tmp_path))
    cpp_kernel.load_kernel.cache_clear()
    yield lambda: len(cache.files())
    cpp_kernel.load_kernel.cache_clear()


def test_neither_schedule_nor_step_compiles_anew(counted: Any) -> None:
    params = parameters(torch.float32)
    optimizer = optkit.create("adamax", params, lr=torch.tensor(0.1), implementation="fused")
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    kinds = []
    for number, grads in enumerate(gradients(params, 12)):
        set_gradients(params, grads)
        optimizer.step()
        schedule.step()
        optimizer.param_groups[0]["betas"] = (0.5 + number / 100, 0.9)
        kinds.append(counted())
    assert set(kinds) == {1}
    optimizer.param_groups[0]["weight_decay"] = 0.1
    for decay in (0.1, 0.2, 0.3):
        optimizer.param_groups[0]["weight_decay"] = decay
        optimizer.step()
    assert counted() == 2


def test_a_schedule_with_a_tensor_lr_equals_forloop() -> None:
    for factory in (lambda: 0.1, lambda: torch.tensor(0.1), lambda: torch.tensor([0.1])):
        algorithm = optkit.get("adagrad")
        params = parameters(torch.float32)
        others = copies(params)
        optimizers = [
            algorithm(own, lr=factory(), lr_decay=0.1, implementation=name)
            for own, name in ((params, "fused"), (others, "forloop"))
        ]
        schedules = [torch.optim.lr_scheduler.ExponentialLR(o, 0.8) for o in optimizers]
        for grads in gradients(params, 6):
            step(optimizers, (params, others), grads)
            for schedule in schedules:
                schedule.step()
        assert_agree(params, others)


def test_step_counters_in_float64() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        algorithm = optkit.get("adamax")
        optimizers, params = pair(algorithm, parameters(torch.float32))
        for grads in gradients(params[0], 7):
            step(optimizers, params, grads)
        assert_same(*params, algorithm)
        counters = [state["step"] for state in optimizers[0].state.values()]
        assert {counter.dtype for counter in counters} == {torch.float64}
    finally:
        torch.set_default_dtype(torch.float32)
