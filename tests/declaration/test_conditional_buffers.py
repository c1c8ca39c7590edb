"""Buffers under a condition, buffers that the body sets, and states without a counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checked import STEPS
from torch import Tensor

import optkit
from optkit_core import (
    Buffer,
    Elementwise,
    Optimizer,
    at_least,
    boolean,
    hyperparameter,
    testing,
)
from optkit_core.errors import DeclarationError

IMPLEMENTATIONS = ["forloop", "foreach", "fused"]


class Momentum(Elementwise):
    """SGD with momentum, of torch's numerics."""

    counts_steps = False

    lr: float = hyperparameter(default=1e-2, range=at_least(0.0))
    momentum: float = hyperparameter(default=0.0, range=at_least(0.0))
    dampening: float = hyperparameter(default=0.0, range=at_least(0.0))

    momentum_buffer = Buffer(init=None, when="momentum")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        assert t is None
        if h.momentum and s.is_new:
            s.momentum_buffer.copy_(g)
        elif h.momentum:
            s.momentum_buffer.mul_(h.momentum).add_(g, alpha=1 - h.dampening)
        p.add_(s.momentum_buffer if h.momentum else g, alpha=-h.lr)


class Largest(Elementwise):
    """Steps divided by a root mean square, which can't shrink under an option."""

    lr: float = hyperparameter(default=1e-2, range=at_least(0.0))
    amsgrad: bool = hyperparameter(default=False, range=boolean())

    square = Buffer()
    largest = Buffer(when="amsgrad")
    matrix = Buffer(when=lambda p, group: p.dim() > 1)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.square.mul_(0.9).addcmul_(g, g, value=0.1)
        mean = s.square
        if h.amsgrad:
            mean = s.largest.copy_(s.largest.maximum(s.square))
        p.addcdiv_(g, mean.sqrt().add_(1e-8), value=-h.lr)


def params_of(dtype: torch.dtype = torch.float32, count: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(37,), (3, 70), (), (0,), (129,)][:count]
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


def give_gradients(params: list[Tensor], number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    for position, p in enumerate(params):
        g = torch.randn(p.shape, generator=generator, dtype=p.dtype)
        p.grad = None if (number + position) % 3 == 0 else g


def take_steps(optimizer: Any, params: list[Tensor], numbers: Any) -> None:
    for number in numbers:
        give_gradients(params, number)
        optimizer.step()


OPTIONS = [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_momentum_starts_from_each_first_gradient(
    implementation: str, dtype: torch.dtype, options: dict[str, float]
) -> None:
    mine, theirs = params_of(dtype), params_of(dtype)
    optimizer = Momentum(mine, implementation=implementation, **options)
    reference = torch.optim.SGD(theirs, lr=1e-2, foreach=False, **options)
    for number in range(12):
        take_steps(optimizer, mine, [number])
        take_steps(reference, theirs, [number])
        testing.assert_agree(mine, theirs)
    own, state = optimizer.state_dict()["state"], reference.state_dict()["state"]
    assert {k: list(v) for k, v in own.items()} == {k: list(v) for k, v in state.items()}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_state_is_empty_and_loads(implementation: str) -> None:
    params = params_of()
    optimizer = Momentum(params, implementation=implementation)
    take_steps(optimizer, params, range(3))
    saved = optimizer.state_dict()
    assert saved["state"] == {} and len(optimizer.state) == 0
    assert Momentum(params_of()).load_state_dict(saved).loaded == ()


def test_what_torch_saved_as_none_has_not_begun() -> None:
    """As older releases save SGD without momentum."""
    saved = Momentum(params_of()).state_dict()
    saved["state"] = {number: {"momentum_buffer": None} for number in range(5)}
    optimizer = Momentum(params_of())
    optimizer.load_state_dict(saved)
    assert len(optimizer.state) == 0
    saved["param_groups"][0]["momentum"] = 0.9
    params, others = params_of(), params_of()
    optimizer = Momentum(params)
    optimizer.load_state_dict(saved)
    take_steps(optimizer, params, range(2))
    take_steps(torch.optim.SGD(others, lr=1e-2, momentum=0.9, foreach=False), others, range(2))
    testing.assert_agree(params, others)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_skipped_first_step_begins_nothing(implementation: str) -> None:
    options: Any = {"momentum": 0.9, "dampening": 0.5, "implementation": implementation}
    params, others = params_of(), params_of()
    optimizer: Any = Momentum(params, **options)
    optimizer.grad_scale, optimizer.found_inf = torch.ones(()), torch.ones(())
    take_steps(optimizer, params, [1])
    optimizer.found_inf = torch.zeros(())
    take_steps(optimizer, params, range(1, 4))
    plain = Momentum(others, **options)
    take_steps(plain, others, range(1, 4))
    testing.assert_agree(params, others)


def test_a_refused_first_step_begins_nothing() -> None:
    params = params_of()
    optimizer = Momentum(params, momentum=0.9, dampening=0.5)
    give_gradients(params, 1)
    kept = params[1].grad
    params[1].data = params[1].data.new_zeros(2)
    with pytest.raises(optkit.OptkitError, match="shape"):
        optimizer.step()
    assert kept is params[1].grad
    assert not any(optimizer.state.values())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_condition_may_change_between_steps(implementation: str) -> None:
    params, others = params_of(), params_of()
    optimizer = Momentum(params, implementation=implementation)
    reference = torch.optim.SGD(others, lr=1e-2, foreach=False)
    for number, momentum in enumerate([0.0, 0.9, 0.9, 0.5, 0.0, 0.9]):
        for each, own in ((optimizer, params), (reference, others)):
            each.param_groups[0]["momentum"] = momentum
            take_steps(each, own, [number])
    testing.assert_agree(params, others)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_plan_ends_where_a_condition_changes(implementation: str) -> None:
    """With every gradient there in each step, nothing else would end it."""
    params, others = params_of(), params_of()
    optimizer = Momentum(params, implementation=implementation)
    reference = torch.optim.SGD(others, lr=1e-2, foreach=False)
    for momentum in [0.0, 0.0, 0.0, 0.9, 0.9, 0.9, 0.0, 0.0]:
        for each, own in ((optimizer, params), (reference, others)):
            each.param_groups[0]["momentum"] = momentum
            for p in own:
                p.grad = torch.ones_like(p)
            each.step()
        testing.assert_agree(params, others)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_only_who_needs_a_buffer_has_it(implementation: str) -> None:
    params = params_of()
    groups = [{"params": params[:2]}, {"params": params[2:], "amsgrad": True}]
    optimizer = Largest(groups, implementation=implementation)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    names = [tuple(optimizer.state[p]) for p in params]
    plain, capped = ("step", "square"), ("step", "square", "largest")
    assert names == [plain, (*plain, "matrix"), capped, capped, capped]
    fresh = Largest([{"params": params[:2]}, {"params": params[2:], "amsgrad": True}])
    assert len(fresh.load_state_dict(optimizer.state_dict()).loaded) == 5


def test_what_the_condition_asks_for_must_be_in_a_checkpoint() -> None:
    params = params_of()
    optimizer = Largest(params, amsgrad=True)
    take_steps(optimizer, params, range(2))
    saved = optimizer.state_dict()
    saved["state"][1] = {k: v for k, v in saved["state"][1].items() if k != "largest"}
    with pytest.raises(optkit.CheckpointError, match="has no largest"):
        Largest(params_of()).load_state_dict(saved)
    saved["param_groups"][0]["amsgrad"] = False
    Largest(params_of()).load_state_dict(saved)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_an_option_that_is_turned_on_allocates(implementation: str) -> None:
    params = params_of()
    optimizer = Largest(params, implementation=implementation)
    take_steps(optimizer, params, range(3))
    assert not any("largest" in state for state in optimizer.state.values())
    squares = [state["square"] for state in optimizer.state.values()]
    optimizer.param_groups[0]["amsgrad"] = True
    take_steps(optimizer, params, range(3, 5))
    assert all("largest" in state for state in optimizer.state.values())
    assert [state["square"] for state in optimizer.state.values()] == squares


@pytest.mark.parametrize("cls", [Momentum, Largest])
def test_the_conformance_check_holds(cls: Any) -> None:
    options = {"momentum": 0.9} if cls is Momentum else {"constant": ["matrix"]}
    report = testing.check(cls, lr=0.1, only=STEPS, **options)
    assert report.implementations == ("forloop", "foreach", "fused")


@pytest.mark.parametrize(
    ("buffer", "words"),
    [
        (Buffer(when="amsgrat"), "when='amsgrat' isn't a hyperparameter. Did you mean 'amsgrad'"),
        (Buffer(init="learning"), "init='learning' isn't a hyperparameter"),
    ],
)
def test_a_condition_names_what_is_declared(buffer: Buffer, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):

        class Wrong(Elementwise):
            amsgrad: bool = hyperparameter(default=False, range=boolean())
            largest = buffer


def test_a_body_alone_can_set_a_buffer() -> None:
    with pytest.raises(DeclarationError, match="there is none"):

        class Bodiless(Optimizer):
            mean = Buffer(init=None)
