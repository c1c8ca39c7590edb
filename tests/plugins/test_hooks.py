"""optkit's hooks, and torch's own: each once per event, in the documented order."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import distributions
import pytest
import torch
from algorithms import NAMES, TORCH, short
from distributions import Notes
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import optkit
import optkit_core
from optkit_core.plugins import hook_calls

world = pytest.fixture(distributions.world)
notes = pytest.fixture(distributions.notes)


def with_gradients(count: int = 3) -> list[torch.nn.Parameter]:
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(count)]
    for p in params:
        p.grad = torch.ones(2)
    return params


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_each_event_fires_once(notes: Notes, name: str, implementation: str) -> None:
    groups = [{"params": with_gradients(4)}, {"params": with_gradients(2), "lr": 0.5}]
    optimizer = optkit.create(name, groups, implementation=implementation)
    assert notes.events == [("created", optimizer)]
    loss = torch.tensor(3.0)
    optimizer.step()
    assert optimizer.step(lambda: loss) is loss
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    assert notes.names == ["created", "before", "after", "before", "after", "saved", "loaded"]
    assert all(event[1] is optimizer for event in notes.events)
    assert notes.events[2][2] is None
    assert notes.events[4][2] is loss
    assert notes.events[5][2] is saved


def test_other_calls_fire_nothing(notes: Notes) -> None:
    optimizer = optkit.create("adagrad", with_gradients())
    optimizer.add_param_group({"params": with_gradients()})
    optimizer.zero_grad()
    repr(optimizer)
    assert notes.names == ["created"]


def test_a_class_that_is_called_directly_fires_too(notes: Notes) -> None:
    class Mine(optkit.get("adagrad")):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    Mine(with_gradients()).step()
    optkit.get("adamax")(with_gradients()).step()
    assert notes.names == ["created", "before", "after"] * 2


def test_a_refused_constructor_fires_nothing(notes: Notes) -> None:
    with pytest.raises(optkit.HyperparameterError):
        optkit.create("adamax", with_gradients(), lr=-1.0)
    with pytest.raises(optkit.ImplementationError):
        optkit.create("adamax", with_gradients(), differentiable=True, implementation="foreach")
    assert notes.events == []


def test_a_step_of_lbfgs_is_one_event_for_all_its_evaluations(notes: Notes) -> None:
    (p,) = params = with_gradients(1)
    optimizer = optkit.create("lbfgs", params)
    losses = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (p**4).sum()
        loss.backward()
        losses.append(loss)
        return loss

    optimizer.step(closure)
    assert len(losses) > 2
    assert notes.names == ["created", "before", "after"]
    assert notes.events[2][2] is losses[0]


@pytest.mark.parametrize("name", TORCH)
def test_hooks_see_what_they_promise(name: str) -> None:
    """The optimizer is complete when created; gradients may change before, and count after."""
    (p,) = params = with_gradients(1)
    seen = []

    class Plugin:
        @optkit_core.hookimpl
        def optkit_created(self, optimizer: Any) -> None:
            seen.append([group["lr"] for group in optimizer.param_groups])

        @optkit_core.hookimpl
        def optkit_before_step(self, optimizer: Any) -> None:
            seen.append(p.detach().clone())
            p.grad = None

        @optkit_core.hookimpl
        def optkit_after_step(self, loss: Any) -> None:
            seen.append(loss)

    registered = optkit_core.register_plugin(Plugin())
    try:
        optkit.create(name, params, lr=0.25).step()
    finally:
        optkit_core.unregister_plugin(registered)
    assert seen[0] == [0.25] and seen[2] is None
    torch.testing.assert_close(p.detach(), seen[1], rtol=0, atol=0)


def test_a_failing_closure_fires_no_after(notes: Notes) -> None:
    def closure() -> float:
        raise ArithmeticError

    optimizer = optkit.create("adamax", with_gradients())
    with pytest.raises(ArithmeticError):
        optimizer.step(closure)
    assert notes.names == ["created", "before"]


@pytest.fixture
def failing() -> Callable[[str], Any]:
    """Let one of optkit's hooks fail inside a block."""

    @contextmanager
    def fails(hook: str) -> Iterator[None]:
        def fail() -> None:
            raise ArithmeticError("a hook failed")

        registered = optkit_core.register_plugin(plugin(**{hook: fail}), "failing")
        try:
            with pytest.raises(ArithmeticError, match="a hook failed"):
                yield
        finally:
            optkit_core.unregister_plugin(registered)

    return fails


ALL = [*NAMES, "foreign"]


@pytest.mark.parametrize("name", ALL)
def test_an_optimizer_outlives_a_failing_hook(
    failing: Callable[[str], Any], foreign: str, name: str
) -> None:
    """Before a step it prevents the step; after one the step has been taken."""
    (p,) = params = with_gradients(1)
    optimizer = optkit.create(foreign if name == "foreign" else name, params)
    with failing("optkit_before_step"):
        optimizer.step(lambda: 1.0)
    assert torch.equal(p, torch.ones(2)) and torch.is_grad_enabled()
    with failing("optkit_after_step"):
        optimizer.step(lambda: 1.0)
    stepped = p.detach().clone()
    assert not torch.equal(stepped, torch.ones(2)) and torch.is_grad_enabled()
    with failing("optkit_state_saved"):
        optimizer.state_dict()
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.5
    with failing("optkit_state_loaded"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.step(lambda: 1.0)
    assert not torch.equal(p, stepped)


@pytest.mark.parametrize("name", ALL)
def test_a_refused_load_is_not_a_loaded_state(notes: Notes, foreign: str, name: str) -> None:
    optimizer = optkit.create(foreign if name == "foreign" else name, with_gradients())
    called: list[str] = []
    optimizer.register_load_state_dict_pre_hook(lambda *_: called.append("pre"))
    optimizer.register_load_state_dict_post_hook(lambda *_: called.append("post"))
    saved = optimizer.state_dict()
    saved["param_groups"].append({**saved["param_groups"][0], "params": []})
    with pytest.raises(ValueError, match="parameter groups"):
        optimizer.load_state_dict(saved)
    assert called == ["pre"] and notes.names == ["created", "saved"]


@pytest.mark.parametrize("name", TORCH)
def test_a_group_that_joins_later_is_seen(name: str) -> None:
    seen: list[Any] = []

    class Plugin:
        @optkit_core.hookimpl
        def optkit_group_added(self, optimizer: Any, group: Any) -> None:
            seen.append((optimizer, group, group["lr"], group is optimizer.param_groups[-1]))

    registered = optkit_core.register_plugin(Plugin())
    try:
        optimizer = optkit.create(
            name, [{"params": with_gradients()}, {"params": with_gradients()}]
        )
        assert seen == []
        optimizer.add_param_group({"params": with_gradients(), "lr": 0.5})
        with pytest.raises(optkit.HyperparameterError):
            optimizer.add_param_group({"params": with_gradients(), "lr": -0.5})
        twin = copy.deepcopy(optimizer)
        twin.add_param_group({"params": with_gradients(), "lr": 0.25})
    finally:
        optkit_core.unregister_plugin(registered)
    assert [event[0] for event in seen] == [optimizer, twin]
    assert [event[2:] for event in seen] == [(0.5, True), (0.25, True)]


class Ordered:
    """Notes the order of torch's hooks, optkit's, the closure and the update."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.param = with_gradients(1)[0]

    def note(self, what: str) -> Any:
        def hook(*_: Any) -> None:
            self.log.append(what + ("" if (self.param == 1).all() else "*"))

        return hook

    def closure(self) -> float:
        self.note("closure")()
        return 2.0

    def torchs(self, optimizer: Any) -> list[Any]:
        optimizer.register_step_pre_hook(self.note("pre"))
        optimizer.register_step_post_hook(self.note("post"))
        for kind in ("state_dict", "load_state_dict"):
            getattr(optimizer, f"register_{kind}_pre_hook")(self.note(f"{kind} pre"))
            getattr(optimizer, f"register_{kind}_post_hook")(self.note(f"{kind} post"))
        return [
            register_optimizer_step_pre_hook(self.note("global pre")),
            register_optimizer_step_post_hook(self.note("global post")),
        ]

    @optkit_core.hookimpl
    def optkit_before_step(self) -> None:
        self.note("optkit before")()

    @optkit_core.hookimpl
    def optkit_after_step(self) -> None:
        self.note("optkit after")()

    @optkit_core.hookimpl
    def optkit_state_saved(self) -> None:
        self.note("optkit saved")()

    @optkit_core.hookimpl
    def optkit_state_loaded(self) -> None:
        self.note("optkit loaded")()


@pytest.fixture
def foreign() -> Iterator[str]:
    optkit.register("torch-adam", torch.optim.Adam)
    yield "torch-adam"
    optkit.unregister("torch-adam")


@pytest.fixture
def ordered() -> Iterator[Ordered]:
    made = Ordered()
    name = optkit_core.register_plugin(made)
    yield made
    optkit_core.unregister_plugin(name)


def ordered_optimizer(ordered: Ordered, name: str, foreign: str) -> Any:
    return optkit.create(foreign if name == "foreign" else name, [ordered.param], **short(name))


@pytest.mark.parametrize("name", ALL)
def test_the_order_around_a_step(ordered: Ordered, foreign: str, name: str) -> None:
    """A star marks what runs after the update."""
    optimizer = ordered_optimizer(ordered, name, foreign)
    handles = ordered.torchs(optimizer)
    try:
        assert optimizer.step(ordered.closure) == 2.0
    finally:
        for handle in handles:
            handle.remove()
    own = ["optkit before", "pre"] if name == "foreign" else ["pre", "optkit before"]
    after = ["optkit after*", "post*", "global post*"]
    assert ordered.log == ["global pre", *own, "closure", *after]


@pytest.mark.parametrize("name", ALL)
def test_the_order_around_a_state_dict(ordered: Ordered, foreign: str, name: str) -> None:
    optimizer = ordered_optimizer(ordered, name, foreign)
    for handle in ordered.torchs(optimizer):
        handle.remove()
    optimizer.load_state_dict(optimizer.state_dict())
    saving = ["state_dict post", "optkit saved"]
    loading = ["load_state_dict post", "optkit loaded"]
    if name == "foreign":
        saving.reverse()
        loading.reverse()
    assert ordered.log == ["state_dict pre", *saving, "load_state_dict pre", *loading]


@pytest.mark.parametrize("name", TORCH)
def test_the_saved_state_can_be_changed_in_place(name: str) -> None:
    class Plugin:
        @optkit_core.hookimpl
        def optkit_state_saved(self, state_dict: Any) -> None:
            state_dict["epoch"] = state_dict.get("epoch", 0) + 1

    optimizer = optkit.create(name, with_gradients())
    optimizer.register_state_dict_post_hook(lambda _, state_dict: {**state_dict, "epoch": 6})
    registered = optkit_core.register_plugin(Plugin())
    try:
        assert optimizer.state_dict()["epoch"] == 7
    finally:
        optkit_core.unregister_plugin(registered)
    assert optimizer.state_dict()["epoch"] == 6


@pytest.mark.usefixtures("world")
def test_without_a_plugin_nothing_is_called() -> None:
    called: list[str] = []
    undo = hook_calls.manager.add_hookcall_monitoring(
        lambda hook, *_: called.append(hook), lambda *_: None
    )
    optimizer = optkit.create("adagrad", with_gradients())
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert called == []
    optkit_core.register_plugin(Notes(), "notes")
    called.clear()
    optimizer.step()
    assert called == ["optkit_before_step", "optkit_after_step"]
    optkit_core.unregister_plugin("notes")
    optimizer.step()
    assert called == ["optkit_before_step", "optkit_after_step"]
    undo()


@pytest.mark.usefixtures("world")
def test_plugins_at_run_time_have_names() -> None:
    module = types.ModuleType("a_module")
    assert optkit_core.register_plugin(module) == "a_module"
    assert optkit_core.register_plugin(Notes(), "first") == "first"
    assert sorted(hook_calls.names()) == ["a_module", "first"]
    with pytest.raises(optkit_core.PluginError, match=r"second.*a_module.*first"):
        optkit_core.unregister_plugin("second")
    optkit_core.unregister_plugin("first")
    assert hook_calls.names() == ["a_module"]
    optkit_core.register_plugin(Notes(), "first")


def test_a_plugin_is_registered_once(notes: Notes) -> None:
    for plugin, name in ((notes, "notes"), (notes, "other"), (Notes(), "notes")):
        with pytest.raises(optkit_core.PluginError, match="registered already"):
            optkit_core.register_plugin(plugin, name)
    assert "other" not in hook_calls.names()
    optkit.create("adamax", with_gradients())
    assert notes.names == ["created"]


def plugin(**functions: Any) -> Any:
    marked = {name: optkit_core.hookimpl(function) for name, function in functions.items()}
    return types.SimpleNamespace(**marked, __name__="a_plugin")


def loses(registrar: Any) -> None:
    raise KeyError("lost")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ({"optkit_bogus": lambda optimizer: None}, ["optkit_bogus", "optkit_created"]),
        ({"optkit_before_steps": lambda: None}, ["optkit_before_steps", "optkit_before_step,"]),
        ({"optkit_created": lambda banana: None}, ["optkit_created", "banana"]),
        ({"optkit_before_step": lambda optimizer, loss: None}, ["loss"]),
        ({"optkit_register": loses}, ["lost"]),
    ],
    ids=lambda value: next(iter(value)),
)
def test_a_wrong_plugin_is_refused_and_leaves_nothing(functions: Any, words: list[str]) -> None:
    called: list[str] = []
    wrong = plugin(**{"optkit_state_loaded": lambda: called.append("loaded"), **functions})
    with pytest.raises(optkit_core.PluginError) as raised:
        optkit_core.register_plugin(wrong, "wrong")
    for word in words:
        assert word in str(raised.value)
    assert hook_calls.names() == []
    optimizer = optkit.create("adamax", with_gradients())
    optimizer.load_state_dict(optimizer.state_dict())
    assert called == []
    assert optkit_core.register_plugin(Notes(), "right") == "right"


@pytest.mark.usefixtures("world")
def test_a_plugin_registers_its_algorithms_and_takes_only_its_hooks_back() -> None:
    def optkit_register(registrar: Any) -> None:
        registrar.register("lion", torch.optim.SGD)

    optkit_core.register_plugin(plugin(optkit_register=optkit_register), "pride")
    assert optkit.get("lion") is torch.optim.SGD
    assert optkit.describe("lion").distribution == "pride"
    optkit_core.unregister_plugin("pride")
    assert optkit.get("pride:lion") is torch.optim.SGD
