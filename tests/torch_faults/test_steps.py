"""Faults of torch.optim's steps; the numbers are those of `torch_faults.FAULTS`."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from algorithms import ELEMENTWISE, declared
from torch import Tensor
from torch_faults import assert_in_torch

import optkit
from optkit_core import Buffer, Elementwise, at_least, hyperparameter
from optkit_core.testing import assert_agree

IMPLEMENTATIONS = ["forloop", "foreach", "fused"]


class Descent(Elementwise):
    """Gradient descent along a decaying sum of gradients, with a look ahead."""

    lr: float = hyperparameter(default=0.125, range=at_least(0.0))

    velocity = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.velocity.mul_(0.5).add_(g)
        p.add_(g.add(s.velocity, alpha=0.5), alpha=-h.lr)


def image_weight() -> torch.nn.Parameter:
    weight = torch.linspace(-1, 1, 16 * 8 * 3 * 3).reshape(16, 8, 3, 3)
    return torch.nn.Parameter(weight.to(memory_format=torch.channels_last))


def stepped(make: Any, contiguous: bool) -> Tensor:
    """Return a channels_last weight after three steps, its state made contiguous before them."""
    p = image_weight()
    optimizer = make([p])
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        g = torch.randn(p.shape, generator=generator)
        p.grad = g.to(memory_format=torch.channels_last)
        optimizer.step()
        if step == 0 and contiguous:
            state = optimizer.state[p]
            state.update({k: v.contiguous() for k, v in state.items() if v.dim()})
    return p.detach()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_fault_1_state_of_another_layout_updates_the_wrong_elements(name: str) -> None:
    def adam(params: Any) -> Any:
        return torch.optim.Adam(params, lr=0.1, fused=True)

    assert_in_torch(1, bool((stepped(adam, True) - stepped(adam, False)).abs().max() > 0.01))
    for implementation in IMPLEMENTATIONS:
        make = partial(optkit.create, name, lr=0.1, implementation=implementation)
        # Of a norm the order in which elements lie is that in which they are added.
        tolerance = 0.0 if optkit.get(name).is_elementwise else 1e-6
        torch.testing.assert_close(
            stepped(make, True), stepped(make, False), rtol=tolerance, atol=tolerance
        )


class Trained:
    """A convolution's weight, trained contiguous, then loaded into a channels_last model."""

    def __init__(self, cls: Any, **options: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(64, 32, 3, 3, generator=generator)
        grads = torch.randn(6, 64, 32, 3, 3, generator=generator)
        first = torch.nn.Parameter(weight.clone())
        optimizer = cls([first], **options)
        self.train(optimizer, first, grads[:3])
        self.p = torch.nn.Parameter(first.detach().clone(memory_format=torch.channels_last))
        loaded = cls([self.p], **options)
        loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        self.train(loaded, self.p, grads[3:])

    @staticmethod
    def train(optimizer: Any, p: Any, grads: Tensor) -> None:
        for g in grads:
            p.grad = g.clone(memory_format=torch.preserve_format)
            optimizer.step()


def test_fault_1_a_contiguous_checkpoint_in_a_channels_last_model() -> None:
    """torch's fused kernels update the wrong elements here, without an error."""
    theirs = Trained(torch.optim.Adam, lr=0.01, fused=True)
    reference = Trained(torch.optim.Adam, lr=0.01, foreach=False)
    assert_in_torch(1, bool((theirs.p - reference.p).abs().max() > 0.01))
    for algorithm in ELEMENTWISE.values():
        ours = Trained(algorithm, lr=0.01, implementation="fused")
        forloop = Trained(algorithm, lr=0.01, implementation="forloop")
        assert_agree([ours.p], [forloop.p])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_fault_2_whole_vectors_of_halves_stay_as_they_are(
    dtype: torch.dtype, implementation: str, registered: Any
) -> None:
    def moved(make: Any) -> int:
        p = torch.nn.Parameter(torch.ones(1000, dtype=dtype))
        p.grad = torch.ones_like(p)
        make([p]).step()
        return int((p != 1).sum())

    assert_in_torch(2, moved(lambda p: torch.optim.SGD(p, lr=0.125, fused=True)) < 1000)
    registered("descent", Descent)
    assert moved(lambda p: optkit.create("descent", p, implementation=implementation)) == 1000


def test_fault_3_a_zero_gradient_in_float16_gives_nan() -> None:
    def rests(make: Any) -> bool:
        p = torch.nn.Parameter(torch.ones(1003, dtype=torch.float16))
        p.grad = torch.zeros_like(p)
        make([p]).step()
        return bool((p == 1).all())

    for cls in (torch.optim.Adagrad, torch.optim.Adamax):
        assert_in_torch(3, not rests(partial(cls, foreach=False)))
    for name in ELEMENTWISE:
        options = declared(name, weight_decay=0.0)
        assert rests(partial(optkit.create, name, implementation="fused", **options))
        assert rests(partial(optkit.create, name, **options))


@pytest.mark.parametrize("implementation", [*IMPLEMENTATIONS, "auto"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_fault_12_memory_of_two_parameters_is_updated_twice(name: str, implementation: str) -> None:
    def twins() -> list[torch.nn.Parameter]:
        whole = torch.ones(100)
        pair = [torch.nn.Parameter(whole[:60]), torch.nn.Parameter(whole[50:])]
        for p in pair:
            p.grad = torch.ones_like(p)
        return pair

    first, _ = params = twins()
    torch.optim.SGD(params, lr=0.25).step()
    assert_in_torch(12, bool(first[55] == 0.5))
    first, second = params = twins()
    named = list(zip("ab", params, strict=True))
    optimizer = optkit.create(name, named, implementation=implementation)
    with pytest.raises(optkit.OptkitError, match=r"\('a'\) and .* \('b'\) share memory"):
        optimizer.step()
    assert (first == 1).all() and (second == 1).all()
    assert len(optimizer.state) == 0 or all(s["step"] == 0 for s in optimizer.state.values())


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_neighbors_in_one_memory_are_fine(name: str) -> None:
    results = []
    for implementation in IMPLEMENTATIONS:
        whole = torch.linspace(-1, 1, 120)
        woven = whole[60:].reshape(30, 2)
        views = [whole[:31], whole[31:60], woven[:, 0], woven[:, 1]]
        params = [torch.nn.Parameter(view) for view in views]
        for p in params:
            p.grad = p.detach().cos()
        optkit.create(name, params, implementation=implementation).step()
        results.append(whole)
    for found in results[1:]:
        assert_agree([found], [results[0]])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_fault_15_a_step_modifies_the_gradient(implementation: str, registered: Any) -> None:
    def changed(make: Any) -> bool:
        p = torch.nn.Parameter(torch.ones(100))
        optimizer = make([p])
        for _ in range(2):
            p.grad = torch.ones_like(p)
            optimizer.step()
        return not bool((p.grad == 1).all())

    def sgd(params: Any) -> Any:
        return torch.optim.SGD(params, lr=0.1, momentum=0.5, nesterov=True, foreach=True)

    assert_in_torch(15, changed(sgd))
    registered("descent", Descent)
    assert not changed(lambda p: optkit.create("descent", p, implementation=implementation))


class Tagged(Tensor):
    """A tensor subclass that does nothing."""


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_fault_19_one_odd_tensor_decides_for_the_whole_group(name: str) -> None:
    params: list[Any] = [torch.nn.Parameter(torch.ones(3)) for _ in range(8)]
    odd = torch.ones(3).as_subclass(Tagged).requires_grad_()
    for p in [*params, odd]:
        p.grad = torch.ones(3)
    optimizer = optkit.create(name, [*params, odd])
    optimizer.step()
    ran = {str(choice.key): choice.name for choice in optimizer.plan}
    assert ran == {"cpu float32": "fused", "cpu float32 tensor subclass": "forloop"}
    assert torch.equal(odd.as_subclass(Tensor).detach(), params[0].detach())
