"""Groups are bookkeeping: however many there are, their parameters step together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from algorithms import REPRESENTATIVES, TORCH
from bodies import Branching, Mixed, Timed
from problems import copies, gradients, parameters, set_gradients

import optkit
from optkit_core import Buffer, Elementwise, WithTotals, at_least, hyperparameter
from optkit_core.implementations.fused import cpp_kernel
from optkit_core.native import tensor_reader_loader
from optkit_core.testing import assert_agree

IMPLEMENTATIONS = ["fused", "foreach", "forloop", "auto"]


class Rooted(Elementwise):
    """Asks for a number that nobody can follow, which makes its body be run in each step."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.5, range=at_least(0.0))

    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 1 - h.decay)
        p.sub_(s.mean, alpha=h.lr * math.sqrt(t))


class Rectified(Elementwise):
    """Goes one way in its first steps, and another after them, by a group's own measure."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    warmup: int = hyperparameter(default=3, range=at_least(0))

    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 0.5)
        rate = max(h.lr * 0.1, h.lr - 0.01 * t)
        p.sub_(s.mean if t > h.warmup else g, alpha=rate)


ALGORITHMS: dict[str, Any] = {
    **REPRESENTATIVES,
    **{cls.__name__.lower(): cls for cls in (Mixed, Timed, Branching, Rooted, Rectified)},
}
SEPARATE = [name for name, cls in ALGORITHMS.items() if not issubclass(cls, WithTotals)]
"""Those whose groups step as they would alone."""


def grouped(params: list[torch.nn.Parameter], **options: Any) -> list[dict[str, Any]]:
    """Return a group for each parameter, each with values of its own."""
    return [
        {"params": [p], **{name: given(i) for name, given in options.items()}}
        for i, p in enumerate(params)
    ]


def own_rates(i: int) -> float:
    return 0.02 * (i + 1)


def sometimes_decayed(i: int) -> float:
    return 0.1 * (i % 2)


def options_of(algorithm: Any) -> dict[str, Callable[[int], Any]]:
    found: dict[str, Callable[[int], Any]] = {"lr": own_rates}
    if "weight_decay" in algorithm.declarations:
        found["weight_decay"] = sometimes_decayed
    if "warmup" in algorithm.declarations:
        found["warmup"] = lambda i: 2 + i % 3
    return found


def trained(
    optimizer: Any, params: Any, change: Callable[[Any, int], None], steps: int = 12
) -> Any:
    for step, grads in enumerate(gradients(params, steps)):
        set_gradients(params, grads)
        change(optimizer, step)
        optimizer.step()
    states = [optimizer.state[p] for p in params]
    return [p.detach() for p in params], states


def nothing(optimizer: Any, step: int) -> None:
    pass


def scheduled(optimizer: Any, step: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= 0.9


def decayed_later(optimizer: Any, step: int) -> None:
    if step == 5 and "weight_decay" in optimizer.param_groups[0]:
        for group in optimizer.param_groups[1:4]:
            group["weight_decay"] = 0.3 - group["weight_decay"]


def annotated(optimizer: Any, step: int) -> None:
    optimizer.param_groups[2]["initial_lr"] = 0.5 + step


def to_a_tensor(optimizer: Any, step: int) -> None:
    if step == 4:
        group = optimizer.param_groups[1]
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
    elif step > 4:
        optimizer.param_groups[1]["lr"].mul_(0.5)


CHANGES = [nothing, scheduled, decayed_later, annotated, to_a_tensor]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", SEPARATE)
def test_each_group_counts_by_itself(name: str, change: Any, dtype: torch.dtype) -> None:
    """Every implementation does to many groups what the for-loop does to each alone."""
    algorithm, params = ALGORITHMS[name], parameters(dtype)
    alone = copies(params)
    groups = grouped(alone, **options_of(algorithm))
    each = [algorithm([group], implementation="forloop") for group in groups]
    together = Together(each)
    wanted, states = trained(together, alone, change)
    for implementation in IMPLEMENTATIONS:
        own = copies(params)
        optimizer = algorithm(grouped(own, **options_of(algorithm)), implementation=implementation)
        found, kept = trained(optimizer, own, change)
        assert_agree(found, wanted)
        for mine, other in zip(kept, states, strict=True):
            assert mine.keys() == other.keys() and mine.get("step") == other.get("step")
            assert_agree([mine[key] for key in other], list(other.values()), dtype=dtype)


class Together:
    """Several optimizers of one group each, as if they were one of several."""

    def __init__(self, optimizers: list[Any]) -> None:
        self.optimizers = optimizers
        self.param_groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self.state = {p: o.state[p] for o in optimizers for p in o.param_groups[0]["params"]}

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()
            self.state.update(optimizer.state)


class Counted(Elementwise):
    """Branches on the count of steps in a way that can't be recorded."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 0.5)
        p.sub_(s.mean if int(t) > 3 else g, alpha=h.lr)


class Turning(Elementwise):
    """Does what no kernel can, once its rate is small."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 0.5)
        p.sub_(s.mean.cumsum(0) if h.lr < 0.05 else s.mean, alpha=h.lr)


class Leaving(Counted):
    """Does what no kernel can from the fourth step on, after what can't be recorded."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.mean.lerp_(g, 0.5)
        p.sub_(s.mean.cumsum(0) if int(t) > 3 else g, alpha=h.lr)


@pytest.mark.parametrize("algorithm", [Counted, Turning, Leaving, Rectified])
def test_a_body_that_turns_while_all_else_stays(algorithm: Any) -> None:
    """The gradients are those of the step, though nothing else has changed for some steps."""
    found, wanted = ([torch.nn.Parameter(torch.ones(9)) for _ in range(6)] for _ in range(2))
    for implementation, params in (("auto", found), ("forloop", wanted)):
        generator = torch.Generator().manual_seed(0)
        optimizer = algorithm(grouped(params, lr=own_rates), implementation=implementation)
        for step in range(9):
            for p in params:
                p.grad = torch.randn(9, generator=generator)
            if step == 0:
                params[1].grad = None  # whose count lags behind from here on
            if step == 6:
                optimizer.param_groups[4]["lr"] = 0.01
            optimizer.step()
    assert_agree(found, wanted)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", TORCH)
def test_torch_says_the_same(name: str, implementation: str) -> None:
    params = parameters(torch.float64)
    theirs = copies(params)
    options = options_of(optkit.get(name))
    reference = TORCH[name](grouped(theirs, **options))
    ours = optkit.create(name, grouped(params, **options), implementation=implementation)
    assert_agree(trained(ours, params, scheduled)[0], trained(reference, theirs, scheduled)[0])


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows each launch of a kernel has."""
    rows: list[int] = []
    run = cpp_kernel.KernelJob.run

    def noting(job: Any) -> None:
        rows.append(job.rows)
        run(job)

    monkeypatch.setattr(cpp_kernel.KernelJob, "run", noting)
    return rows


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("name", [*REPRESENTATIVES, "timed", "rooted"])
def test_one_launch_for_all_groups(
    name: str, is_read: bool, launched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_read:
        monkeypatch.setenv(tensor_reader_loader.SWITCH, "0")
    params = [torch.nn.Parameter(torch.ones(n + 1)) for n in range(40)]
    optimizer = ALGORITHMS[name](grouped(params, lr=own_rates))
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        scheduled(optimizer, 0)
        optimizer.step()
    kernels = 2 if isinstance(optimizer, WithTotals) else 1
    assert launched == [40] * 3 * kernels


def test_each_way_of_a_body_is_a_launch(launched: list[int]) -> None:
    params = [torch.nn.Parameter(torch.ones(n + 1)) for n in range(40)]
    groups = grouped(params, lr=own_rates, weight_decay=sometimes_decayed)
    optimizer = optkit.create("adamax", groups)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.step()
    assert launched == [20] * 4


def test_groups_of_equal_values_are_one_call_of_foreach(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    update = Timed.update

    def counting(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        calls.append(len(p.tensors))
        update(p, g, s, h, t)

    monkeypatch.setattr(Timed, "update", staticmethod(counting))
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(12)]
    optimizer = Timed(grouped(params, lr=lambda i: 0.1 * (i % 3)), implementation="foreach")
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert calls == [4, 4, 4]


def test_a_scaler_steps_many_groups() -> None:
    params = parameters(torch.float32)
    other = copies(params)
    optimizers = [
        optkit.create("adamax", grouped(own, lr=own_rates), implementation=implementation)
        for own, implementation in ((params, "fused"), (other, "forloop"))
    ]
    for optimizer, own in zip(optimizers, (params, other), strict=True):
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
        for step, grads in enumerate(gradients(own, 6)):
            set_gradients(own, grads)
            for p in own:
                if p.grad is not None:
                    p.grad.mul_(scaler.scale(torch.ones(())))
            if step == 3 and own[2].grad is not None:
                own[2].grad[0] = float("inf")
            scaler.step(optimizer)
            scaler.update()
    assert_agree(params, other)


def test_other_modes_are_buckets_of_their_own() -> None:
    params = [torch.nn.Parameter(torch.ones(9)) for _ in range(6)]
    modes: list[dict[str, Any]] = [
        {},
        {"maximize": True},
        {"implementation": "foreach"},
        {},
        {"foreach": False},
        {"maximize": True},
    ]
    groups = [{"params": [p], **mode} for p, mode in zip(params, modes, strict=True)]
    optimizer = optkit.create("adamax", groups, lr=0.5)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    explained = optimizer.explain().buckets
    assert [(b.groups, b.implementation) for b in explained] == [
        ((0, 3), "fused"),
        ((1, 5), "fused"),
        ((2,), "foreach"),
        ((4,), "forloop"),
    ]
    assert [p[0].item() for p in params] == pytest.approx([0.5, 1.5, 0.5, 0.5, 0.5, 1.5])


BAD: list[tuple[str, Any]] = [
    *(("lr", value) for value in (-1, "0.1", None, float("nan"), torch.ones(3))),
    *(("betas", value) for value in ((2, 3), 0.9, (0.9,), ("a", "b"))),
    *(("eps", value) for value in (-1e-8, "x")),
    *(("maximize", value) for value in ("yes", 2)),
    *(("implementation", value) for value in ("fuse", 3)),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_wrong_value_is_refused_in_the_next_step(
    implementation: str, name: str, value: Any
) -> None:
    """The constructor's error, before anything is updated, until the value is right again."""
    params = [torch.nn.Parameter(torch.ones(5)) for _ in range(4)]
    with pytest.raises(optkit.OptkitError) as wanted:
        optkit.create("adamax", params, **{"implementation": implementation, name: value})
    optimizer = optkit.create("adamax", grouped(params), implementation=implementation)
    for p in params:
        p.grad = torch.ones_like(p)
    for _ in range(2):
        optimizer.step()
    before = [p.detach().clone() for p in params]
    right = optimizer.param_groups[2][name]
    optimizer.param_groups[2][name] = value
    for _ in range(3):
        with pytest.raises(optkit.OptkitError) as found:
            optimizer.step()
        assert type(found.value) is type(wanted.value)
        assert str(found.value) == str(wanted.value)
    assert all(map(torch.equal, params, before))
    assert [optimizer.state[p]["step"].item() for p in params] == [2] * 4
    optimizer.param_groups[2][name] = right
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in params] == [3] * 4


@pytest.mark.parametrize("implementation", ["foreach", "forloop", "auto"])
def test_a_wrong_value_of_sparse_gradients_is_refused(implementation: str) -> None:
    """What a value is refused for may depend on the gradient."""
    p = torch.nn.Parameter(torch.ones(5))
    optimizer = optkit.create("adagrad", [p], implementation=implementation)
    for _ in range(2):
        p.grad = torch.eye(5)[0].to_sparse()
        optimizer.step()
    optimizer.param_groups[0]["weight_decay"] = 0.1
    with pytest.raises(optkit.OptkitError, match="not compatible with sparse gradients"):
        optimizer.step()
