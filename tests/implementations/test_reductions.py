"""Bodies that reduce: every implementation computes what the for-loop does, chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from checked import STEPS
from reducing import COLUMNS, EMPTY, LARGEST, ROWS, SHAPES, WHOLE, Call, Shaped, reducing
from torch import Tensor

import optkit_core
from optkit_core import Buffer, Elementwise, Layerwise, testing
from optkit_core.implementations.fused import cpp_kernel
from optkit_core.step.bucket_key import BucketKey
from optkit_core.testing import assert_agree
from optkit_core.tracing.reduction_passes import passes_of
from optkit_core.tracing.trace import trace

CPU = torch.device("cpu")
CALLS = [
    *(pytest.param(call, 0, True, id=f"whole {name}") for name, call in WHOLE.items()),
    *(pytest.param(call, 0, False, id=f"whole {name}") for name, call in LARGEST.items()),
    *(pytest.param(call, 1, False, id=f"rows {name}") for name, call in ROWS.items()),
    *(pytest.param(call, 2, False, id=f"columns {name}") for name, call in COLUMNS.items()),
]


def tensors(shapes: Iterable[Sequence[int]], dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def give_gradients(params: list[Tensor], seed: int) -> None:
    grads = tensors((p.shape for p in params), params[0].dtype, seed + 1)
    for p, g in zip(params, grads, strict=True):
        p.grad = g


def stepped(cls: type[Layerwise], params: list[Tensor], steps: int = 3, **options: Any) -> Any:
    """Take steps with drawn gradients; return the parameters with their states."""
    optimizer = cls(params, **options)
    for number in range(steps):
        give_gradients(params, number)
        optimizer.step()
    if "implementation" in options:
        assert {choice.name for choice in optimizer.plan} == {options["implementation"]}
    states = [value for p in params for value in optimizer.state[p].values()]
    return [*params, *states]


OTHERS = itertools.cycle([torch.float64, torch.bfloat16])
DTYPED = [
    pytest.param(*call.values, dtype, id=f"{call.id}-{dtype}")
    for call in CALLS
    for dtype in (torch.float32, next(OTHERS))
]
"""Each call in float32, and every second one in either of two dtypes that differ in what a
kernel loads and stores, and not in how it walks."""


@pytest.mark.parametrize("implementation", ["foreach", "fused"])
@pytest.mark.parametrize(("call", "least", "of_none", "dtype"), DTYPED)
def test_all_agree_with_the_forloop(
    call: Call, least: int, of_none: bool, dtype: torch.dtype, implementation: str
) -> None:
    shapes = [s for s in [*SHAPES, *(EMPTY if of_none else [])] if len(s) >= least]
    cls = reducing(call)
    wanted = stepped(cls, tensors(shapes, dtype), implementation="forloop")
    found = stepped(cls, tensors(shapes, dtype), implementation=implementation)
    assert_agree(found, wanted)


LAYOUTS: dict[str, Any] = {
    "transposed": lambda: [t.t() for t in tensors([(7, 9), (130, 70)], torch.float32)],
    "channels last": lambda: [
        t.to(memory_format=torch.channels_last)
        for t in tensors([(2, 3, 4, 5), (8, 16, 3, 3)], torch.float32)
    ],
    "with gaps": lambda: [t[:, ::3] for t in tensors([(9, 20)], torch.float32)],
    "complex": lambda: tensors([(9, 20), (3,), ()], torch.complex64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", [WHOLE["double"], ROWS["norm"]], ids=["whole", "rows"])
def test_however_tensors_lie(call: Call, layout: str) -> None:
    cls = reducing(call)
    wanted = stepped(cls, LAYOUTS[layout](), implementation="forloop")
    found = stepped(cls, LAYOUTS[layout](), implementation="fused")
    assert_agree(found, wanted, torch.float32)


@pytest.mark.parametrize("name", ["foreach", "fused"])
def test_buffers_of_rows_columns_matrices_and_tensors(name: str) -> None:
    shapes = [s for s in SHAPES if len(s) > 1]
    wanted = stepped(Shaped, tensors(shapes, torch.float64), 5, implementation="forloop")
    found = stepped(Shaped, tensors(shapes, torch.float64), 5, implementation=name)
    assert_agree(found, wanted)


def test_the_conformance_check_covers_them() -> None:
    report = testing.check(Shaped, min_dim=2, only=STEPS)
    assert report.implementations == ("forloop", "foreach", "fused")


@pytest.mark.parametrize("cls", [Shaped, reducing(WHOLE["of a reduction"])], ids=["rows", "flat"])
def test_no_result_depends_on_the_number_of_threads(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpp_kernel, "MIN_ELEMENTS_PER_THREAD", 1)
    shapes = [(3, 5), (130, 600), (70, 3, 5), (65, 257)]
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(stepped(cls, tensors(shapes, torch.float32), implementation="fused"))
    finally:
        torch.set_num_threads(1)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize("special", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["amax", "amin", "max"])
def test_what_is_not_finite_goes_through(name: str, special: float) -> None:
    results = []
    for implementation in ("forloop", "fused"):
        p, g = torch.zeros(5000), torch.linspace(-3, 2, 5000)
        g[4321] = special
        p.grad = g
        reducing(LARGEST[name])([p], implementation=implementation).step()
        results.append(p)
    assert torch.equal(results[1].isnan(), results[0].isnan())
    assert_agree(results[1:], results[:1])


def test_a_sum_of_millions_keeps_its_digits() -> None:
    """One float32 after another, ones would stop at 2**24, and these lose four digits before."""
    p, g = torch.zeros(5_000_000), torch.full((5_000_000,), 0.1)
    p.grad = g
    reducing(lambda x: x.sum())([p], lr=1.0, implementation="fused").step()
    assert p[0].item() == pytest.approx(g.double().sum().item(), rel=1e-6)


def program_of(cls: type[Layerwise]) -> Any:
    return trace(cls, cls([torch.zeros(3, 3)]).values(cls.default_values), 2.0)[0]


def test_there_is_a_pass_for_each_reduction_of_a_reduction() -> None:
    assert len(passes_of(program_of(reducing(WHOLE["norm"]))).reductions) == 2
    assert len(passes_of(program_of(reducing(WHOLE["of a reduction"]))).reductions) == 3
    assert len(passes_of(program_of(reducing(WHOLE["numel"]))).reductions) == 1
    assert not passes_of(program_of(reducing(WHOLE["norm"]))).has_matrices
    assert passes_of(program_of(reducing(ROWS["norm"]))).has_matrices


class Remembering(Layerwise):
    """A buffer that only its own update reads, and one whose old value the last pass reads."""

    mean = Buffer()
    last = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 0.5)
        p.sub_(s.last, alpha=s.mean.norm())
        s.last.copy_(g)


def test_what_nothing_reads_any_more_is_stored_at_once() -> None:
    program = program_of(Remembering)
    stored = [{program.inputs[i] for i, _ in own} for own in passes_of(program).stores]
    assert stored == [{"mean"}, {"p", "last"}]
    wanted = stepped(Remembering, tensors(SHAPES, torch.float64), implementation="forloop")
    assert_agree(
        stepped(Remembering, tensors(SHAPES, torch.float64), implementation="fused"), wanted
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda x: x.mean(dim=-1, keepdim=True).std(), "std"),
        (lambda x: x.sum(dim=-1).sum(), "without keepdim=True"),
        (lambda x: x.sum(dim=0, keepdim=True), r"sum\(dim=0\), and a kernel reduces over -1"),
        (lambda x: x.norm(3), r"norm\(3\), and a kernel"),
        (lambda x: x.clone().fill_(2.0).sum(), "of what it has filled"),
    ],
)
def test_what_no_kernel_does_is_a_reason(call: Call, reason: str) -> None:
    cls = reducing(call)
    with pytest.raises(optkit_core.ImplementationError, match=reason):
        cls([torch.ones(3, 3)], implementation="fused")
    assert stepped(cls, [torch.ones(3, 3)], 1)


def test_a_change_of_a_shaped_buffer_is_noticed() -> None:
    (p,) = params = tensors([(4, 6)], torch.float32)
    optimizer = Shaped(params, implementation="fused")
    for _ in range(3):
        p.grad = torch.ones(4, 6)
        optimizer.step()
    optimizer.state[p]["row"].data = torch.ones(3, 1)
    before = p.clone()
    with pytest.raises(optkit_core.ShapeError, match="'row'"):
        optimizer.step()
    assert torch.equal(p, before)


def test_an_elementwise_class_must_not_reduce() -> None:
    class Wrong(Elementwise):
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g / g.norm())

    p = torch.ones(3)
    p.grad = torch.ones(3)
    for implementation in ("forloop", "fused", "auto"):
        with pytest.raises(optkit_core.DeclarationError, match=r"derive it from .*Layerwise"):
            Wrong([p], implementation=implementation).step()
    assert torch.equal(p, torch.ones(3))
    with pytest.raises(AssertionError, match=r"derive it from .*Layerwise"):
        testing.check(Wrong, only=STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("cls", [Shaped, reducing(WHOLE["chosen"])], ids=["rows", "flat"])
def test_a_compiled_step_has_the_same_numbers(cls: Any, implementation: str) -> None:
    torch._dynamo.reset()
    results = []
    for backend in (None, "eager"):
        params = tensors([(5, 7), (3, 4, 6)], torch.float32)
        optimizer = cls(params, implementation=implementation)
        step = torch.compile(optimizer.step, backend=backend) if backend else optimizer.step
        for number in range(3):
            give_gradients(params, number)
            step()
        results.append(params)
    assert_agree(results[1], results[0])
    torch._dynamo.reset()


def test_a_dtype_can_be_asked_for() -> None:
    class Relative(Layerwise):
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g.clamp(min=torch.finfo(p.dtype).eps * 1e6))

    for dtype in (torch.float32, torch.float64):
        wanted = stepped(Relative, tensors([(50,)], dtype), implementation="forloop")
        for name in ("foreach", "fused"):
            assert_agree(stepped(Relative, tensors([(50,)], dtype), implementation=name), wanted)
    key = BucketKey(CPU, torch.float16)
    program, (bound,) = trace(Relative, None, 1.0, buffers=key.buffers, dtype=torch.float16)
    assert bound == torch.finfo(torch.float16).eps * 1e6 and len(program.instructions) == 2
