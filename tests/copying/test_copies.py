"""Copies and pickles of optimizers: what goes along, and what is named as left behind."""

from __future__ import annotations

import copy
import io
import multiprocessing
import multiprocessing.reduction
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import algorithms
import distributions
import pytest
import thirdparty
import torch
from distributions import Notes, World
from processes import python
from thirdparty import CALLS, Counter, Descent, Guarded, Locked, Lookahead
from torch.optim import lr_scheduler
from torch.utils.hooks import RemovableHandle, unserializable_hook

import optkit
import optkit_core
from optkit import CopyWarning
from optkit_core.declaration.buffer_conditions import exists_for

world = pytest.fixture(distributions.world)
notes = pytest.fixture(distributions.notes)

ALGORITHMS = {
    **{name: algorithms.ALGORITHMS[name] for name in algorithms.NAMES},
    "descent": Descent,
    "whole": thirdparty.Whole,
    "lookahead": Lookahead,
}
KINDS = [
    f"{action}_{time}"
    for action in ("step", "state_dict", "load_state_dict")
    for time in ("pre", "post")
]
PREPENDABLE = KINDS[2:]


def saved_by_torch(optimizer: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(optimizer, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def sent_to_a_process(optimizer: Any) -> Any:
    return pickle.loads(multiprocessing.reduction.ForkingPickler.dumps(optimizer))


PICKLES = {
    "pickle 0": lambda thing: pickle.loads(pickle.dumps(thing, protocol=0)),
    "pickle 5": lambda thing: pickle.loads(pickle.dumps(thing, protocol=5)),
    "torch.save": saved_by_torch,
    "multiprocessing": sent_to_a_process,
}
DEEP = {"deepcopy": copy.deepcopy, **PICKLES}
APART = {name: way for name, way in DEEP.items() if name != "multiprocessing"}  # shares memory
WAYS = {"copy": copy.copy, **DEEP}

each_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
each_kind = pytest.mark.parametrize(
    "name", [name for name in ALGORITHMS if name not in algorithms.NAMES or name in algorithms.FEW]
)
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
each_deep_way = pytest.mark.parametrize("way", DEEP.values(), ids=DEEP)
each_way_apart = pytest.mark.parametrize("way", APART.values(), ids=APART)
each_pickle = pytest.mark.parametrize("way", PICKLES.values(), ids=PICKLES)


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def make(name: str, **options: Any) -> Any:
    return ALGORITHMS[name]([torch.nn.Parameter(torch.linspace(-2.0, 3.0, 37))], **options)


def closure(optimizer: Any) -> Any:
    """Return a closure over the optimizer's own parameter."""
    (p,) = optimizer.param_groups[0]["params"]

    def evaluate() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (p.square() + 0.25 * p.pow(4)).sum()
        loss.backward()
        return loss

    return evaluate


def stepped(optimizer: Any, steps: int = 1) -> list[float]:
    for _ in range(steps):
        optimizer.step(closure(optimizer))
    values: list[float] = optimizer.param_groups[0]["params"][0].tolist()
    return values


def exercise(optimizer: Any) -> None:
    """Make every kind of torch hook fire."""
    stepped(optimizer)
    optimizer.load_state_dict(optimizer.state_dict())


def called(optimizer: Any) -> list[str]:
    """Return which hooks a full exercise calls, all of them with this optimizer."""
    CALLS.clear()
    exercise(optimizer)
    assert all(seen is optimizer for _, seen in CALLS)
    return [what for what, _ in CALLS]


def register(optimizer: Any, kind: str, hook: Any, **options: Any) -> RemovableHandle:
    handle: RemovableHandle = getattr(optimizer, f"register_{kind}_hook")(hook, **options)
    return handle


@each_way
@each_kind
def test_hooks_go_along_in_their_order(name: str, way: Any) -> None:
    optimizer = make(name)
    for kind in KINDS:
        register(optimizer, kind, thirdparty.second)
        register(optimizer, kind, Counter())
        register(
            optimizer, kind, thirdparty.first, **{"prepend": True} if kind in PREPENDABLE else {}
        )
    expected = ["second", "object", "first"] * 2 + ["first", "second", "object"] * 4
    assert called(optimizer) == expected
    twin = way(optimizer)
    assert called(twin) == expected
    assert called(optimizer) == expected


@each_deep_way
@pytest.mark.parametrize("kind", KINDS)
def test_handles_go_along_too(kind: str, way: Any) -> None:
    """In either order: a handle finds its table when it's copied first as well."""
    optimizer = make("descent")
    handle = register(optimizer, kind, thirdparty.first)
    for twin, removes in (way((optimizer, handle)), reversed(way((handle, optimizer)))):
        assert called(twin) == ["first"]
        removes.remove()
        assert called(twin) == []
    assert called(optimizer) == ["first"]
    handle.remove()
    assert called(optimizer) == []


@each_way
def test_a_copy_and_its_original_keep_hooks_of_their_own(way: Any) -> None:
    optimizer = make("descent")
    handle = register(optimizer, "step_pre", thirdparty.first)
    twin = way(optimizer)
    added = register(twin, "step_post", thirdparty.second)
    handle.remove()
    assert called(twin) == ["first", "second"]
    assert called(optimizer) == []
    added.remove()
    assert called(twin) == ["first"]


@each_pickle
def test_hooks_keep_out_of_each_others_way_in_a_new_process(
    monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    """A process numbers its handles from 0; a number that came along must not be given again."""
    monkeypatch.setattr(RemovableHandle, "next_id", 5)
    optimizer = make("descent")
    register(optimizer, "step_pre", thirdparty.first)

    def reborn(optimizer: Any) -> Any:
        pickled = pickle.dumps(optimizer)
        monkeypatch.setattr(RemovableHandle, "next_id", 0)
        return pickle.loads(pickled)

    twin = reborn(optimizer)
    for _ in range(7):
        register(twin, "step_pre", thirdparty.second)
    assert called(twin) == ["first"] + ["second"] * 7


@each_way
def test_a_hook_of_the_optimizer_itself_is_the_copys_own(way: Any) -> None:
    optimizer = make("lookahead")
    register(optimizer, "step_post", optimizer.own_hook)
    twin = way(optimizer)
    assert called(twin) == called(optimizer) == ["own"]


@each_way
def test_a_hook_of_an_object_goes_with_its_object(way: Any) -> None:
    optimizer, counter = make("descent"), Counter()
    register(optimizer, "step_pre", counter.method)
    stepped(optimizer, 2)
    twin, counted = way((optimizer, counter)) if way is not copy.copy else (way(optimizer), counter)
    stepped(twin)
    assert counted.count == 3
    assert counter.count == (3 if way is copy.copy else 2)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_functions_of_any_kind_go_along_into_copies(way: Any) -> None:
    optimizer, seen = make("descent"), []
    register(optimizer, "step_pre", lambda optimizer, *_: seen.append(optimizer))
    twin = way(optimizer)
    stepped(twin)
    assert len(seen) == 1 and seen[0] is twin


def local_hook(mark: str) -> Any:
    def hook(*_: Any) -> None:
        CALLS.append((mark, None))

    return hook


@each_pickle
def test_a_pickle_names_what_it_leaves_behind(way: Any) -> None:
    optimizer = make("adamax")
    register(optimizer, "step_pre", thirdparty.first)
    register(optimizer, "step_pre", local_hook("local"))
    register(optimizer, "step_pre", thirdparty.second)
    register(optimizer, "state_dict_post", lambda *_: None)
    register(optimizer, "load_state_dict_pre", Locked().method)
    optimizer.stream = Locked()
    with pytest.warns(CopyWarning) as caught:
        twin = way(optimizer)
    (message,) = [str(warning.message) for warning in caught]
    for words in (
        "a pickle of Adamax goes without",
        f"step_pre_hook {__name__}.local_hook.<locals>.hook",
        f"state_dict_post_hook {__name__}.test_a_pickle_names_what_it_leaves_behind.<locals>",
        "load_state_dict_pre_hook thirdparty.Counter.method",
        "attribute 'stream'",
        "unserializable_hook",
    ):
        assert words in message
    assert message.count("step_pre_hook") == 1
    assert called(twin) == ["first", "second"]
    assert not hasattr(twin, "stream")


@each_pickle
def test_a_marked_hook_stays_behind_in_silence(monkeypatch: pytest.MonkeyPatch, way: Any) -> None:
    @unserializable_hook
    def marked(*_: Any) -> None:
        CALLS.append(("marked", None))

    monkeypatch.setattr(thirdparty, "marked", marked, raising=False)
    marked.__module__, marked.__qualname__ = "thirdparty", "marked"  # it could be imported
    optimizer = make("adamax")
    register(optimizer, "step_pre", marked)
    register(optimizer, "step_pre", unserializable_hook(lambda *_: None))
    register(optimizer, "step_pre", unserializable_hook(local_hook("local")))
    register(optimizer, "step_post", thirdparty.first)
    assert called(way(optimizer)) == ["first"]


def test_what_cant_be_copied_is_named_and_leaves_nothing_half_copied() -> None:
    optimizer, holder = make("descent"), {"counter": Counter()}
    broken = Locked()
    broken.first = holder["counter"]  # is copied before the lock fails
    register(optimizer, "step_pre", thirdparty.first)
    register(optimizer, "step_pre", broken.method)
    optimizer.broken = broken
    with pytest.warns(
        CopyWarning, match=r"deep copy of Descent.*attribute 'broken'.*Counter.method"
    ):
        twin, other = copy.deepcopy((optimizer, holder))
    assert called(twin) == ["first"]
    assert not hasattr(twin, "broken")
    assert other["counter"] is not holder["counter"]
    with pytest.raises(TypeError, match="lock"), warnings.catch_warnings():
        warnings.simplefilter("ignore", CopyWarning)
        copy.deepcopy((optimizer, broken))


def test_what_an_optimizer_cannot_be_without_is_never_left_behind() -> None:
    optimizer = make("descent")
    optimizer.state[optimizer.param_groups[0]["params"][0]]["extra"] = Locked()
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="lock"):
            way(optimizer)


@each_deep_way
@each_algorithm
def test_a_copy_goes_on_as_the_original(name: str, way: Any) -> None:
    """Bit for bit, with L-BFGS's history and third parties' attributes too."""
    options = {"lr": 0.05, **algorithms.short(name)}
    uninterrupted, optimizer = make(name, **options), make(name, **options)
    stepped(uninterrupted, 3)
    stepped(optimizer, 3)
    twin = way(optimizer)
    if way in APART.values():
        assert stepped(optimizer, 5) == stepped(uninterrupted, 5)
    else:
        stepped(uninterrupted, 5)
    assert stepped(twin, 5) == uninterrupted.param_groups[0]["params"][0].tolist()


@each_way
@each_kind
def test_a_copy_has_everything_that_the_original_has(name: str, way: Any) -> None:
    with optkit.use("auto"):
        optimizer = make(name)
    stepped(optimizer)
    twin = way(optimizer)
    assert type(twin) is type(optimizer)
    assert vars(twin).keys() == vars(optimizer).keys()
    assert twin.defaults == optimizer.defaults
    assert twin.request.by_device == {"*": "auto"}
    assert twin.request.source == "optkit.use"
    assert twin.plan == ()
    assert repr(twin) == repr(optimizer)
    stepped(twin)
    assert [choice.name for choice in twin.plan] == [choice.name for choice in optimizer.plan]


@each_way
@each_algorithm
def test_a_copy_can_be_asked_for_its_state(name: str, way: Any) -> None:
    """Distributed checkpoints ask whether there is state, and get all of it before any step."""
    optimizer = make(name)
    (p,) = optimizer.param_groups[0]["params"]
    assert not optimizer.state[p] or optimizer.defaults.get(
        "eager_state"
    )  # asking leaves an empty state behind
    twin = way(optimizer)
    twin.init_state()
    (q,) = twin.param_groups[0]["params"]
    required = {
        key
        for key, buffer in twin.state_buffers.items()
        if not buffer.optional and exists_for(buffer, q, twin.param_groups[0])
    }
    assert twin.state[q].keys() == required
    original = make(name)
    assert bool(way(original).state) == bool(required)


def test_a_shallow_copy_shares_groups_and_state() -> None:
    optimizer = make("lookahead")
    twin = copy.copy(optimizer)
    for name in ("param_groups", "state", "defaults", "anchors"):
        assert getattr(twin, name) is getattr(optimizer, name)
    assert twin.plan == () and "differentiable" in twin.defaults


@each_way
def test_slots_go_along(way: Any) -> None:
    optimizer = thirdparty.Slotted([torch.nn.Parameter(torch.ones(3))])
    optimizer.scale = 2.5
    assert way(optimizer).scale == 2.5


@each_way
def test_a_subclass_has_the_last_word(way: Any) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    guarded = Guarded([p], lr=0.25)
    twin = way(guarded)
    assert twin.lock is not guarded.lock and twin.defaults["lr"] == 0.25
    register(guarded, "step_pre", thirdparty.first)
    assert called(way(guarded)) == ["first"]
    with optkit.use("forloop"):
        shaped = way(thirdparty.TorchShaped([p]))
    assert shaped.request.source == "optkit.use"
    stepped(shaped)


def test_a_subclass_may_be_pickled_in_its_own_way() -> None:
    rebuilt = thirdparty.Rebuilt([torch.nn.Parameter(torch.ones(3))], lr=0.25)
    twin = pickle.loads(pickle.dumps(rebuilt))
    assert twin.param_groups[0]["lr"] == 0.25
    stepped(twin)
    listed = thirdparty.Listed([torch.nn.Parameter(torch.ones(3))], lr=0.25)
    register(listed, "step_pre", thirdparty.first)
    assert called(pickle.loads(pickle.dumps(listed))) == ["first"]


@each_way_apart
@each_kind
def test_a_scheduler_and_its_optimizer_are_copied_together(name: str, way: Any) -> None:
    """The copy of the scheduler drives the copy; torch's copy warns of a step never taken."""
    optimizer = make(name, lr=0.5)
    schedule = lr_scheduler.StepLR(optimizer, 1, 0.5)
    twin, scheduled = way((optimizer, schedule))
    before = optimizer.param_groups[0]["params"][0].tolist()
    stepped(twin)
    scheduled.step()
    assert twin.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["params"][0].tolist() == before
    stepped(optimizer)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.25
    again, _ = way((twin, scheduled))
    stepped(again)


def test_a_copied_scheduler_still_tells_when_steps_are_missed() -> None:
    optimizer = make("descent", lr=0.5)
    _, schedule = copy.deepcopy((optimizer, lr_scheduler.StepLR(optimizer, 1, 0.5)))
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()


@each_way_apart
def test_a_tool_over_a_method_stays_behind(way: Any) -> None:
    optimizer, used = make("descent"), []
    original = optimizer.step
    optimizer.step = lambda *arguments: (used.append(1), original(*arguments))
    twin = way(optimizer)
    before = optimizer.param_groups[0]["params"][0].tolist()
    assert stepped(twin) != before
    assert used == [] and optimizer.param_groups[0]["params"][0].tolist() == before


@each_way
@each_kind
def test_plugins_see_a_copy(notes: Notes, name: str, way: Any) -> None:
    copied = []

    class Plugin:
        @optkit_core.hookimpl
        def optkit_copied(self, optimizer: Any) -> None:
            copied.append((optimizer, optimizer.param_groups[0]["lr"]))

    optimizer = make(name, lr=0.25)
    registered = optkit_core.register_plugin(Plugin())
    try:
        twin = way(optimizer)
        stepped(twin)
    finally:
        optkit_core.unregister_plugin(registered)
    assert [(seen is twin, lr) for seen, lr in copied] == [(True, 0.25)]
    assert notes.names == ["created", "before", "after"]
    assert notes.events[1][1] is notes.events[2][1] is twin


@pytest.mark.slow
def test_whole_plugins_are_loaded_for_an_unpickled_optimizer(world: World) -> None:
    source = "import optkit_core\n@optkit_core.hookimpl\ndef optkit_after_step(): print('seen')\n"
    world.install("watchers", plugins={"watch": "watching"}, modules={"watching": source})
    path = world.root / "one.pickle"
    path.write_bytes(pickle.dumps(make("adamax")))
    code = f"import pathlib, pickle; pickle.loads(pathlib.Path({str(path)!r}).read_bytes()).step()"
    assert python(code, world.root / "watchers") == "seen\n"


@each_way
def test_the_flag_for_a_scaler_goes_along(way: Any) -> None:
    optimizer = thirdparty.Scaled([torch.nn.Parameter(torch.ones(3))])
    assert way(optimizer)._step_supports_amp_scaling


DATA = Path(__file__).parents[1] / "data"
OLD = {
    "adagrad": [-1.6646208763122559, -1.3550292253494263, -1.0460224151611328],
    "adamax": [-1.4800704717636108, -1.1745461225509644, -0.8701836466789246],
    "lbfgs": [-1.1897549629211426, -0.9741848707199097, -0.7676256895065308],
}
"""Where version 0.1.0 arrived from its own pickles after three more steps."""


@pytest.mark.parametrize("name", OLD)
def test_pickles_of_version_0_1_0_load_and_go_on(name: str) -> None:
    optimizer = pickle.loads((DATA / f"{name}-0.1.0.pickle").read_bytes())
    assert optimizer.param_groups[0]["param_names"] == ["weight"]
    assert optimizer.request.by_device == {"*": "forloop"}
    counters = [state["step"] for state in optimizer.state.values() if "step" in state]
    assert all(counter.dtype == torch.float64 for counter in counters)
    torch.testing.assert_close(stepped(optimizer, 3)[:3], OLD[name], rtol=1e-6, atol=0)
    register(optimizer, "step_pre", thirdparty.first)
    assert called(pickle.loads(pickle.dumps(optimizer))) == ["first"]


def test_groups_that_join_an_unpickled_optimizer_are_seen() -> None:
    seen = []

    class Plugin:
        @optkit_core.hookimpl
        def optkit_group_added(self, group: Any) -> None:
            seen.append(group["lr"])

    optimizer = pickle.loads(
        (Path(__file__).parents[1] / "data" / "adamax-0.1.0.pickle").read_bytes()
    )
    registered = optkit_core.register_plugin(Plugin())
    try:
        late = torch.nn.Parameter(torch.ones(3))
        optimizer.add_param_group({"params": [("late", late)], "lr": 0.5})
    finally:
        optkit_core.unregister_plugin(registered)
    assert seen == [0.5]


@pytest.mark.slow
def test_a_spawned_process_gets_a_working_optimizer() -> None:
    optimizer = optkit.create("adagrad", [torch.nn.Parameter(torch.ones(3))], lr=0.5)
    register(optimizer, "step_pre", thirdparty.first)
    lr_scheduler.StepLR(optimizer, 3)
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=thirdparty.step_there, args=(optimizer, sending))
    process.start()
    sending.close()  # so that a process that ends without a word ends the waiting
    assert receiving.recv() == ([0.5, 0.5, 0.5], ["first"], 0.5)
    process.join()
    assert process.exitcode == 0 and CALLS == []
