"""Classes of ``torch.optim`` registered at run time: used as they are, and watched."""

from __future__ import annotations

import copy
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import distributions
import pytest
import torch
from distributions import Notes

import optkit
import optkit_core
from optkit_core import ConfigError

notes = pytest.fixture(distributions.notes)

CLASSES = {
    "torch-sgd": torch.optim.SGD,
    "torch-adam": torch.optim.Adam,
    "torch-rprop": torch.optim.Rprop,
    "torch-lbfgs": torch.optim.LBFGS,
    "torch-sparse": torch.optim.SparseAdam,
}
FLAGGED = ["torch-sgd", "torch-adam"]
FLAGLESS = ["torch-lbfgs", "torch-sparse"]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    for name, cls in CLASSES.items():
        optkit.register(name, cls)
    yield
    for name in CLASSES:
        optkit.unregister(name)


def parameter() -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    p.grad = torch.tensor([0.5, 0.25])
    return p


@pytest.mark.parametrize("name", FLAGGED)
def test_is_the_class_itself_with_the_classes_numbers(name: str) -> None:
    p, q = parameter(), parameter()
    ours = optkit.create(name, [{"params": [p], "lr": 0.125}], weight_decay=0.5)
    theirs = CLASSES[name]([{"params": [q], "lr": 0.125}], weight_decay=0.5)
    assert type(ours) is CLASSES[name]
    assert ours.defaults == theirs.defaults
    for _ in range(3):
        ours.step()
        theirs.step()
    torch.testing.assert_close(p, q, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["torch-sgd", "torch-adam", "torch-rprop"])
def test_each_event_fires_once(notes: Notes, name: str) -> None:
    optimizer = optkit.create(name, [parameter(), parameter(), parameter()])
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    assert notes.names == ["created", "before", "after", "saved", "loaded"]
    assert all(event[1] is optimizer for event in notes.events)
    assert notes.events[2][2] is None
    assert notes.events[3][2] is saved


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("name", ["torch-adam", "torch-lbfgs"])
def test_the_closures_loss_is_seen(notes: Notes, name: str, by_name: bool) -> None:
    p = parameter()
    losses = []

    def closure() -> torch.Tensor:
        p.grad = None
        losses.append((p**4).sum())
        losses[-1].backward()
        return losses[-1]

    optimizer = optkit.create(name, [p])
    returned = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
    assert notes.names == ["created", "before", "after"]
    assert returned is notes.events[2][2] is losses[0]
    assert len(losses) > (name == "torch-lbfgs")


def test_a_loss_is_of_its_own_step(notes: Notes) -> None:
    optimizer = optkit.create("torch-sgd", [parameter()])
    optimizer.step(lambda: 7.0)
    optimizer.step()
    optimizer.step(None)
    optimizer.step(closure=None)

    def fails() -> float:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        optimizer.step(fails)
    optimizer.step(lambda: 0.0)
    told = [event[2] for event in notes.events if event[0] == "after"]
    assert told == [7.0, None, None, None, 0.0]
    assert notes.names.count("before") == 6


class Fails(torch.optim.SGD):
    """A class whose step fails after its closure has been called."""

    def step(self, closure: Any = None) -> Any:
        if closure is not None:
            closure()
            raise ArithmeticError


def test_a_step_that_fails_leaves_no_loss_to_the_next(notes: Notes) -> None:
    optkit.register("fails", Fails)
    try:
        optimizer = optkit.create("fails", [parameter()])
    finally:
        optkit.unregister("fails")
    with pytest.raises(ArithmeticError):
        optimizer.step(lambda: 7.0)
    optimizer.step()
    assert notes.events[-1] == ("after", optimizer, None)


def test_a_class_that_is_not_created_here_is_not_watched(notes: Notes) -> None:
    torch.optim.SGD([parameter()], lr=0.1).step()
    assert notes.events == []


revive = pytest.mark.parametrize("revive", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])


@revive
def test_a_copy_is_watched_on_request(notes: Notes, revive: Any) -> None:
    """torch's own classes leave all hooks behind, and with them the plugins."""
    optimizer = optkit.create("torch-adam", [parameter()], lr=0.25)
    optimizer.step()
    revived = revive(optimizer)
    assert revived.param_groups[0]["lr"] == 0.25
    revived.step()
    assert {id(event[1]) for event in notes.events} == {id(optimizer)}
    for _ in range(2):
        optkit_core.watch(revived)
    revived.step()
    assert notes.names == ["created", "before", "after", "before", "after"]
    assert notes.events[-1][1] is revived


class KeepsHooks(torch.optim.SGD):
    """A class whose copies and pickles keep everything."""

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))


@revive
def test_a_class_that_keeps_hooks_stays_watched(notes: Notes, revive: Any) -> None:
    optkit.register("keeps-hooks", KeepsHooks)
    try:
        optimizer = optkit.create("keeps-hooks", [parameter()], lr=0.25)
    finally:
        optkit.unregister("keeps-hooks")
    revived = revive(optimizer)
    assert revived.step(lambda: 3.0) == 3.0
    assert notes.events[1:] == [("before", revived), ("after", revived, 3.0)]


def test_what_optkit_made_needs_no_watching(notes: Notes) -> None:
    created = [optkit.create(name, [parameter()]) for name in ("torch-sgd", "adamax")]
    for optimizer in created:
        optkit_core.watch(optimizer)
        optimizer.step()
    assert notes.names == ["created", "created", "before", "after", "before", "after"]


def test_a_closure_is_left_alone_unless_a_plugin_asks_for_its_loss(notes: Notes) -> None:
    optimizer, seen = optkit.create("torch-sgd", [parameter()]), []
    optimizer.register_step_post_hook(lambda _, arguments, keywords: seen.append(arguments[1]))

    def closure() -> float:
        return 1.0

    optimizer.step(closure)
    assert seen[0] is not closure
    optkit_core.unregister_plugin("notes")
    try:
        optimizer.step(closure)
    finally:
        optkit_core.register_plugin(notes, "notes")
    assert seen[1] is closure


FLAGS = [("forloop", False, None), ("foreach", True, None), ("fused", None, True)]


def ask(level: str, wish: Any, monkeypatch: pytest.MonkeyPatch, name: str, **options: Any) -> Any:
    """Create an optimizer with a wish spoken at one level."""
    if level == "argument":
        return optkit.create(name, [parameter()], implementation=wish, **options)
    if level == "use":
        with optkit.use(wish):
            return optkit.create(name, [parameter()], **options)
    monkeypatch.setenv("OPTKIT_IMPLEMENTATION", wish)
    return optkit.create(name, [parameter()], **options)


@pytest.mark.parametrize("level", ["argument", "use", "environment"])
@pytest.mark.parametrize(("wish", "foreach", "fused"), [*FLAGS, ("auto", None, None)])
@pytest.mark.parametrize("name", FLAGGED)
def test_an_implementation_becomes_torchs_flag(
    monkeypatch: pytest.MonkeyPatch, name: str, wish: str, foreach: Any, fused: Any, level: str
) -> None:
    optimizer = ask(level, wish, monkeypatch, name)
    group = optimizer.param_groups[0]
    assert (group["foreach"], group["fused"]) == (foreach, fused)
    optimizer.step()


def test_a_wish_for_any_device_counts() -> None:
    optimizer = optkit.create("torch-sgd", [parameter()], implementation={"*": "foreach"})
    assert optimizer.param_groups[0]["foreach"] is True


@pytest.mark.parametrize("level", ["use", "environment"])
@pytest.mark.parametrize("ambient", ["forloop", "foreach", "fused"])
@pytest.mark.parametrize("flags", [{"foreach": True}, {"foreach": False}, {"fused": True}], ids=str)
def test_a_flag_has_more_authority(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], ambient: str, level: str
) -> None:
    group = ask(level, ambient, monkeypatch, "torch-adam", **flags).param_groups[0]
    assert {name: group[name] for name in flags} == flags
    assert [group["foreach"], group["fused"]].count(True) == sum(flags.values())


@pytest.mark.parametrize(
    ("wish", "flags"),
    [
        ("foreach", {"foreach": False}),
        ("forloop", {"foreach": True}),
        ("foreach", {"fused": True}),
        ("fused", {"foreach": True}),
        ("fused", {"fused": False}),
    ],
)
def test_contradictions_are_refused(wish: str, flags: dict[str, bool]) -> None:
    with pytest.raises(optkit.ImplementationError, match="contradicts"):
        optkit.create("torch-adam", [parameter()], implementation=wish, **flags)


@pytest.mark.parametrize("level", ["argument", "use", "environment"])
@pytest.mark.parametrize("name", FLAGLESS)
def test_a_class_without_flags_refuses_a_wish(
    monkeypatch: pytest.MonkeyPatch, name: str, level: str
) -> None:
    sources = {
        "argument": "implementation=",
        "use": "requested by optkit.use",
        "environment": "requested by the environment variable OPTKIT_IMPLEMENTATION",
    }
    with pytest.raises(optkit.ImplementationError) as raised:
        ask(level, "foreach", monkeypatch, name)
    for words in (CLASSES[name].__name__, "'foreach'", "implementation='auto'", sources[level]):
        assert words in str(raised.value)
    monkeypatch.delenv("OPTKIT_IMPLEMENTATION", raising=False)
    assert type(optkit.create(name, [parameter()], implementation="auto")) is CLASSES[name]


def test_a_class_without_a_flag_for_fused_refuses_it() -> None:
    assert optkit.create("torch-rprop", [parameter()], implementation="foreach")
    with pytest.raises(optkit.ImplementationError, match="Rprop"):
        optkit.create("torch-rprop", [parameter()], implementation="fused")


def test_devices_apart_cannot_be_said_by_a_flag() -> None:
    with pytest.raises(optkit.ImplementationError, match="Adam"):
        optkit.create("torch-adam", [parameter()], implementation={"cpu": "foreach"})


@pytest.mark.parametrize("wish", ["quick", {"gpu": "foreach"}, 3], ids=str)
def test_a_bad_wish_is_named(wish: Any) -> None:
    with pytest.raises(ConfigError, match="implementation="):
        optkit.create("torch-adam", [parameter()], implementation=wish)


def test_the_classes_own_errors_are_its_own() -> None:
    with pytest.raises(ValueError, match="Invalid learning rate"):
        optkit.create("torch-adam", [parameter()], lr=-1.0)
    with pytest.raises(TypeError, match="banana"):
        optkit.create("torch-adam", [parameter()], banana=1)


def test_the_description_comes_from_the_signature() -> None:
    description = optkit.describe("torch-adam")
    found = {item.name: item.default for item in description.hyperparameters}
    assert found["lr"] == 1e-3 and found["betas"] == (0.9, 0.999)
    assert "params" not in found
    assert description.distribution == "run time"
    assert description.location == "torch.optim.adam:Adam"
    assert "torch-adam" in str(description)


def test_a_loss_is_not_kept_after_the_step() -> None:
    class Loss:
        """Something that a weak reference can point at."""

    optimizer = optkit.create("torch-sgd", [parameter()])
    losses = [Loss()]
    alive = weakref.ref(losses[0])
    optimizer.step(losses.pop)
    assert alive() is None
