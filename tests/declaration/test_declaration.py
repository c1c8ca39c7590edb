"""What a class body declares: inheritance, signatures, and bodies that can't mean what they say."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from checked import STEPS

import optkit
from optkit_core import (
    Buffer,
    Elementwise,
    ImplementationError,
    at_least,
    hyperparameter,
    testing,
    within,
)
from optkit_core.errors import DeclarationError
from optkit_core.selection import requests
from optkit_core.selection.select_implementation import select
from optkit_core.step.bucket_key import BucketKey
from optkit_plugins.adamax import Adamax


class Momentum(Elementwise):
    """Momentum, written with operators."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    decay: float = hyperparameter(default=0.9, range=within(0.0, 1.0))
    velocity = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.velocity *= h.decay
        s.velocity += g / (1 - h.decay**t)
        p -= s.velocity * h.lr


class Clipped:
    """A mixin that isn't an optimizer itself."""

    limit: float = hyperparameter(default=0.5, range=at_least(0.0))
    largest = Buffer(init="limit")


class Mixed(Clipped, Momentum):
    """Momentum with what the mixin declares."""

    decay: float = hyperparameter(default=0.5, range=within(0.0, 1.0))

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.largest.copy_(s.largest.max(g.abs()))
        Momentum.update(p, g.clamp(-h.limit, h.limit), s, h, t)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Momentum, Mixed])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_operators_mean_the_same_in_every_implementation(
    registered: Any, cls: type, dtype: torch.dtype
) -> None:
    registered("declared", cls)
    testing.check("declared", dtype=dtype, only=STEPS)


def test_declarations_of_mixins_and_bases_add_up() -> None:
    assert set(Mixed.hyperparameter_names) == {"lr", "decay", "limit"}
    assert set(Mixed.buffers) == {"velocity", "largest"}
    assert Mixed([torch.zeros(2)]).defaults["decay"] == 0.5
    optimizer = Mixed([p := torch.nn.Parameter(torch.zeros(2))], limit=0.25)
    p.grad = torch.zeros(2)
    optimizer.step()
    assert torch.equal(optimizer.state[p]["largest"], torch.full((2,), 0.25))


@pytest.mark.parametrize("names", [(), ("maximize",), ("differentiable", "maximize", "foreach")])
def test_a_class_says_which_options_are_by_position(names: tuple[str, ...]) -> None:
    cls = type("Placed", (Momentum,), {"options_by_position": names})
    arguments = list(inspect.signature(cls).parameters.values())[1:]
    by_position = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
    assert by_position == ["lr", "decay", *names]
    assert {a.name for a in arguments} == set(Momentum.declarations)
    given = cls([torch.ones(1)], 0.5, 0.25, *[False] * len(names)).defaults
    assert [given[name] for name in by_position] == [0.5, 0.25, *[False] * len(names)]


def test_a_hyperparameter_is_no_option_by_position() -> None:
    with pytest.raises(DeclarationError, match=r"names 'maximise'\. Did you mean 'maximize'"):
        type("Placed", (Momentum,), {"options_by_position": ("maximise",)})


def test_the_signature_follows_the_constructor() -> None:
    class Own(Adamax):
        def __init__(self, model: torch.nn.Module, warm: int = 5) -> None:
            super().__init__(model.parameters(), lr=0.5)
            self.warm = warm

    assert list(inspect.signature(Own).parameters) == ["model", "warm"]
    assert next(iter(inspect.signature(Mixed).parameters)) == "params"
    optimizer = Own(torch.nn.Linear(2, 2), warm=3)
    assert (optimizer.warm, optimizer.defaults["lr"]) == (3, 0.5)


def body(**content: Any) -> type:
    return type("Wrong", (Momentum,), {"__module__": __name__, **content})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"lr": 0.7}, "declare it anew with hyperparameter"),
        ({"velocity": None}, "declare it anew with Buffer"),
        ({"params": hyperparameter(default=1.0, range=at_least(0.0))}, "what is optimized"),
        (
            {"gain": hyperparameter(default=-1.0, range=at_least(0.0))},
            r"gain must be in \[0, inf\)",
        ),
        ({"step": Buffer()}, "every optimizer has that attribute"),
        ({"zero_grad": Buffer()}, "every optimizer has that attribute"),
        ({"total": Buffer(init="gain")}, "isn't a hyperparameter"),
        ({"update": lambda self, p, g, s, h, t: None}, "must be a static method"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_body_that_cant_be_meant_fails_when_it_is_read(content: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        body(**content)


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_assigning_a_buffer_is_an_error(implementation: str) -> None:
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.velocity = s.velocity * h.decay + g

    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.ones(2)
    optimizer = body(update=staticmethod(update))([p], implementation=implementation)
    with pytest.raises(AttributeError, match="update it in place"):
        optimizer.step()


def of_two_parameters(update: Any) -> Any:
    """Return an optimizer with gradients that joins its parameters in one bundle."""
    params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    for p in params:
        p.grad = torch.ones(1)
    return body(update=staticmethod(update))(params, implementation="foreach")


def test_branching_on_tensors_is_an_error_where_they_are_many() -> None:
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        if g.abs() > 1:
            p.zero_()

    optimizer = of_two_parameters(update)
    with pytest.raises(TypeError, match="can't branch on tensors"):
        optimizer.step()


def test_tensor_subclasses_go_to_the_forloop_of_their_own() -> None:
    cuda = torch.device("cuda")
    chosen = [
        select(
            requests.DEFAULT, BucketKey(cuda, torch.float32, native=native), Adamax.offers, Adamax
        )
        for native in (True, False)
    ]
    assert [choice.name for choice in chosen] == ["foreach", "forloop"]
    assert chosen[1].reason == "first choice on tensor subclasses that can run it"


def test_an_unknown_method_names_itself() -> None:
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        g.no_such_method()

    optimizer = of_two_parameters(update)
    with pytest.raises(AttributeError, match="no_such_method"):
        optimizer.step()


def test_a_group_overrides_either_flag_of_the_constructor() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    for flags in ({"fused": False}, {"foreach": False}, {"implementation": "forloop"}):
        optimizer = optkit.create("adamax", [{"params": [p], "implementation": "foreach"}], **flags)
        p.grad = torch.ones(1)
        optimizer.step()
        assert [choice.name for choice in optimizer.plan] == ["foreach"]
    with pytest.raises(ImplementationError, match="contradicts"):
        optkit.create("adamax", [{"params": [p], "implementation": "foreach", "foreach": False}])


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float32),
        (torch.complex128, torch.complex64),
    ],
)
def test_a_buffer_may_have_a_dtype_of_its_own(dtype: torch.dtype, wanted: torch.dtype) -> None:
    parameter = torch.zeros(3, dtype=dtype)
    assert Buffer(dtype=torch.float32).allocate(parameter, {}).dtype == wanted
    assert Buffer().allocate(parameter, {}).dtype == dtype
