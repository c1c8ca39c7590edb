"""``torch.compile(optimizer.step)``: the same numbers, and no more compilations than needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from algorithms import ELEMENTWISE, TORCH, declared, skip_without_kernel
from bodies import CALLS, Branching, Mixed, Timed
from problems import copies
from torch._dynamo.utils import counters

import optkit
import optkit_core
from optkit_core import Buffer, Elementwise, WithTotals, at_least, hyperparameter
from optkit_core.testing import assert_agree
from optkit_core.tracing.trace import trace

pytestmark = [  # of torch's own code
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
]


class Rooted(Elementwise):
    """Computes with the count of steps as only a number can be computed with."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    beta: float = hyperparameter(default=0.9, range=at_least(0.0))

    square = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.square.lerp_(g * g, 1 - h.beta)
        p.addcdiv_(g, s.square.sqrt().add_(1e-8), value=-h.lr * math.sqrt(1 - h.beta**t))


class Cumulative(Elementwise):
    """Uses a tensor method for which there is no fused kernel."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g.logit(eps=0.1), alpha=h.lr)


ALGORITHMS: dict[str, type[Elementwise]] = {
    **ELEMENTWISE,
    **{cls.__name__: cls for cls in (Rooted, Mixed, Timed)},
}
STEPS = 12


class Compilations(NamedTuple):
    """What the compiler has counted."""

    graphs: int
    breaks: int


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compiled(optimizer: Any, backend: str = "eager") -> Callable[..., Any]:
    step: Callable[..., Any] = torch.compile(optimizer.step, backend=backend)
    return step


def counted() -> Compilations:
    return Compilations(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))


def parameters(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(33, generator=generator, dtype=torch.float64),
        torch.randn(5, 7, generator=generator, dtype=torch.float64).t(),
        torch.randn(1, generator=generator, dtype=torch.float64)[0],
    ]
    return [torch.nn.Parameter(tensor.to(dtype)) for tensor in tensors]


def give_gradients(params: list[torch.nn.Parameter], step: int) -> None:
    for position, p in enumerate(params):
        generator = torch.Generator().manual_seed(100 * step + position)
        g = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        p.grad = (g + 1j * g.flip(-1) if p.is_complex() and g.dim() else g).to(p.dtype)


def in_step(
    make: Callable[[Any], Any],
    dtype: torch.dtype = torch.float32,
    backend: str = "eager",
    steps: int = STEPS,
    missing: bool = False,
) -> tuple[Any, Any]:
    """Step a compiled optimizer and an uncompiled one over a schedule; return both."""
    mine = parameters(dtype)
    other = copies(mine)
    pair = [make(mine), make(other)]
    schedules = [torch.optim.lr_scheduler.ExponentialLR(one, 0.9) for one in pair]
    calls = [compiled(pair[0], backend), pair[1].step]
    for step in range(steps):
        for params, call, schedule in zip((mine, other), calls, schedules, strict=True):
            give_gradients(params, step)
            if missing and step % 4 == 1:
                params[1].grad = None
            call()
            schedule.step()
        assert_agree(mine, other)
    for p, q in zip(mine, other, strict=True):
        states = pair[0].state[p], pair[1].state[q]
        assert states[0].keys() == states[1].keys()
        for key, value in states[1].items():
            assert_agree([states[0][key]], [value])
    return pair[0], pair[1]


@pytest.fixture(scope="module")
def theirs() -> list[Compilations]:
    """What torch's own optimizers cost over a schedule."""
    return [cost_of_torch(cls) for cls in TORCH.values()]


def cost_of_torch(cls: Any) -> Compilations:
    torch._dynamo.reset()
    counters.clear()
    params = parameters()
    optimizer = cls(params)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    step = compiled(optimizer)
    for number in range(4):
        give_gradients(params, number)
        step()
        schedule.step()
    return counted()


def branches(cls: Any, steps: int = STEPS, **options: Any) -> int:
    """Return how many ways an algorithm's body goes in its first steps."""
    h = SimpleNamespace(**cls([torch.ones(1)], **options).defaults)
    counts = [None] if options.get("capturable") else map(float, range(1, steps + 1))
    # Where buffers are set by the body, their first step is a way of its own.
    first = any(buffer.is_set_by_body for buffer in cls.buffers.values())
    ways = product(counts, (False, True) if first else (False,))
    return len({trace(cls, h, t, is_new=new, dtype=torch.float32)[0] for t, new in ways})


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_as_many_graphs_as_branches_over_a_schedule_and_no_more_breaks_than_torch(
    theirs: list[Compilations], name: str
) -> None:
    """One for each way that the body goes; torch.optim compiles anew for another rate."""
    in_step(ALGORITHMS[name], steps=20)
    # What measures all parameters first steps uncompiled.
    is_compiled = not issubclass(ALGORITHMS[name], WithTotals)
    assert counted().graphs == (branches(ALGORITHMS[name], 20) if is_compiled else 0)
    assert counted().breaks <= min(cost.breaks for cost in theirs)


@pytest.mark.parametrize("name", TORCH)
def test_a_tensor_learning_rate_is_neither_compiled_in_nor_changed(name: str) -> None:
    lr = torch.tensor(0.1)
    params = parameters()
    optimizer = optkit.create(name, params, lr=lr)
    step = compiled(optimizer)
    other = copies(params)
    reference = optkit.create(name, other, lr=0.1)
    for number in range(4):
        for own in (params, other):
            give_gradients(own, number)
        step()
        reference.step()
        assert_agree(params, other)
        lr.mul_(0.5)
        reference.param_groups[0]["lr"] *= 0.5
    assert counted().graphs == 1
    assert lr == 0.1 * 0.5**4


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"weight_decay": 0.1, "maximize": True},
        {"implementation": "forloop"},
        {"implementation": "foreach", "lr": torch.tensor(0.01, dtype=torch.float64)},
        {"capturable": True, "weight_decay": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", TORCH)
def test_options_give_the_same_numbers(name: str, options: Any) -> None:
    """Outside of a compiler, capturable isn't to be had on CPU."""
    skip_without_kernel(name, options.get("capturable", False))
    options = declared(name, **options)
    made: list[Any] = []

    def make(params: Any) -> Any:
        uncapturable = {**options, "capturable": False} if made else options
        own = {key: v.clone() if key == "lr" else v for key, v in uncapturable.items()}
        made.append(
            optkit.create(name, [{"params": params[:1], "lr": 0.3}, {"params": params[1:]}], **own)
        )
        return made[-1]

    in_step(make, torch.float64)
    assert counted().graphs == branches(ELEMENTWISE[name], **options)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64], ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_other_dtypes_give_the_same_numbers(name: str, dtype: torch.dtype) -> None:
    in_step(lambda params: optkit.create(name, params, **declared(name, eps=1e-3)), dtype)
    assert counted().graphs == branches(ELEMENTWISE[name])


@pytest.mark.parametrize("name", TORCH)
def test_missing_gradients_give_the_same_numbers(name: str) -> None:
    """All gradients, fewer, and both again for parameters whose counts differ."""
    in_step(lambda params: optkit.create(name, params), torch.float64, missing=True)
    assert counted().graphs <= 4 * branches(ELEMENTWISE[name])


def test_every_operation_gives_the_same_numbers() -> None:
    buffers = {f"{name}_": Buffer() for name in CALLS}

    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        for name, call in CALLS.items():
            getattr(s, f"{name}_").copy_(call(p, g, s.other))

    everything = type(
        "Everything",
        (Elementwise,),
        {**buffers, "other": Buffer(init=0.5), "update": staticmethod(update)},
    )
    found = [parameters(torch.float64)[:2] for _ in range(2)]
    mine, reference = [
        everything(params, implementation="forloop" if n else "foreach")
        for n, params in enumerate(found)
    ]
    for params in found:
        give_gradients(params, 0)
    compiled(mine)()
    reference.step()
    for name in CALLS:
        for p, q in zip(*found, strict=True):
            assert_agree([mine.state[p][f"{name}_"]], [reference.state[q][f"{name}_"]])
    assert counted().graphs == 1


class Exchanging(Elementwise):
    """Parameter and buffer change places."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    other = Buffer(init=1.0)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        old = p.clone()
        p.copy_(s.other)
        s.other.copy_(old)


@pytest.mark.parametrize("algorithm", [Exchanging, Branching, Cumulative])
def test_unusual_bodies_give_the_same_numbers(theirs: list[Compilations], algorithm: Any) -> None:
    """A body that branches has a graph for each branch, one that can't be traced has none."""
    in_step(algorithm)
    graphs = {Exchanging: 1, Branching: 2, Cumulative: 0}
    assert counted() == Compilations(graphs[algorithm], min(cost.breaks for cost in theirs))


def test_machine_code_gives_the_same_numbers() -> None:
    optimizer, _ = in_step(
        lambda params: optkit.create("adamax", params), backend="inductor", steps=4
    )
    assert counted().graphs == 1
    (choice,) = optimizer.plan
    assert choice.name == "foreach"
    assert choice.reason == "first choice under torch.compile that can run it"
    assert dict(choice.rejected)["fused"] == "under torch.compile the compiler writes the kernels"


def test_an_explicit_request_for_fused_is_refused_before_anything_changes() -> None:
    params = parameters()
    optimizer = optkit.create("adagrad", params, implementation="fused")
    give_gradients(params, 0)
    before = [p.detach().clone() for p in params]
    with pytest.raises(
        optkit.ImplementationError,
        match=r"the compiler writes the kernels.*could run: forloop, foreach",
    ):
        compiled(optimizer)()
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))
    assert all(state["step"] == 0 for state in optimizer.state.values())


def test_sparse_gradients_step_uncompiled_beside_compiled_ones() -> None:
    found = [parameters()[:2] for _ in range(2)]
    mine, other = [optkit.create("adagrad", params) for params in found]
    step = compiled(mine)
    for number in range(3):
        for params in found:
            give_gradients(params, number)
            params[0].grad = params[0].grad.relu().to_sparse()
        step()
        other.step()
        assert_agree(*found)
    assert counted() == Compilations(1, 1)


@pytest.mark.parametrize("name", TORCH)
def test_a_differentiable_step_is_recorded_uncompiled(name: str) -> None:
    found = []
    for is_compiled in (True, False):
        scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        theta = torch.linspace(-1, 1, 9, dtype=torch.float64) * scale
        optimizer = optkit.create(name, [theta], lr=0.1, differentiable=True)
        theta.grad = (theta.detach() + 1.1) * scale
        (compiled(optimizer) if is_compiled else optimizer.step)()
        found.append(torch.autograd.grad(theta.sin().sum(), scale)[0])
    assert found[0] == found[1] != 0
    assert counted().graphs == 0


def test_hooks_fire_once_per_step_with_the_closures_loss() -> None:
    seen: list[Any] = []

    class Watch:
        @optkit_core.hookimpl
        def optkit_before_step(self, optimizer: Any) -> None:
            seen.append("before")

        @optkit_core.hookimpl
        def optkit_after_step(self, loss: Any) -> None:
            seen.append(loss)

    params = parameters()
    optimizer = optkit.create("adamax", params)
    optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    step = compiled(optimizer)
    give_gradients(params, 0)
    grads = [p.grad for p in params]  # made outside: not every release traces a torch.Generator

    def closure() -> str:
        seen.append("closure")
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        return "loss"

    name = optkit_core.register_plugin(Watch(), "watch")
    try:
        for _ in range(2):
            assert step(closure) == "loss"
    finally:
        optkit_core.unregister_plugin(name)
    assert seen == ["pre", "before", "closure", "loss", "post"] * 2
    give_gradients(params, 1)
    step()
    assert seen[10:] == ["pre", "post"]
    assert optimizer.state[params[0]]["step"] == 3


def test_grad_scaler_skips_a_compiled_step_and_takes_the_scale_out() -> None:
    found = [parameters() for _ in range(2)]
    mine, other = [optkit.create("adamax", params) for params in found]
    mine.step = compiled(mine)
    for optimizer, params in zip((mine, other), found, strict=True):
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for number in range(4):
            loss = sum((p * (number + 1)).square().sum() for p in params)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            if number == 1:
                params[0].grad[0] = math.inf
            scaler.step(optimizer)
            scaler.update()
        assert optimizer.state[params[0]]["step"] == 3
    assert_agree(*found)


def test_lbfgs_steps_uncompiled_as_torchs_does() -> None:
    breaks = []
    ends = []
    for cls in (optkit.get("lbfgs"), torch.optim.LBFGS):
        torch._dynamo.reset()
        counters.clear()
        params = [torch.nn.Parameter(torch.ones(5, dtype=torch.float64))]
        optimizer = cls(params)

        def closure(params: Any = params, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = sum((p - 3).square().sum() for p in params)
            loss.backward()
            return loss

        compiled(optimizer)(closure)
        breaks.append(counted().breaks)
        ends.append(params)
    assert breaks[0] <= breaks[1]
    assert_agree(*ends)


def test_each_optimizer_has_compilations_of_its_own() -> None:
    """The compiler keeps a limited number for each function."""
    with torch._dynamo.config.patch(recompile_limit=2):
        for _ in range(2):
            params = parameters()
            step = compiled(optkit.create("adamax", params))
            for count in (3, 2):
                give_gradients(params, 0)
                for p in params[count:]:
                    p.grad = None
                step()
    assert counted().graphs == 4
