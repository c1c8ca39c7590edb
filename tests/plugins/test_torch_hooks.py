"""torch's own hooks, on every algorithm in lock step with an optimizer of torch.optim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import thirdparty
import torch
from algorithms import COUNTERPARTS
from torch.optim import optimizer as torchs

import optkit

FOREIGN = {"torch-sgd": torch.optim.SGD, "torch-lbfgs": torch.optim.LBFGS}
PAIRS: dict[str, tuple[Any, Any]] = {
    **{name: (optkit.get(name), cls) for name, cls in COUNTERPARTS.items()},
    "an update body": (thirdparty.Descent, torch.optim.SGD),
    "an advance": (thirdparty.Whole, torch.optim.SGD),
    **{name: (None, cls) for name, cls in FOREIGN.items()},
}
GLOBAL = {
    "pre": torchs.register_optimizer_step_pre_hook,
    "post": torchs.register_optimizer_step_post_hook,
}

STATE_KINDS = [
    f"{action}_{time}" for action in ("state_dict", "load_state_dict") for time in ("pre", "post")
]
each_pair = pytest.mark.parametrize("name", PAIRS)
Script = Callable[["Run"], None]


@pytest.fixture(autouse=True)
def foreign() -> Iterator[None]:
    for name, cls in FOREIGN.items():
        optkit.register(name, cls)
    yield
    for name in FOREIGN:
        optkit.unregister(name)


class Run:
    """One optimizer, and a log of what its hooks see."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.log: list[Any] = []
        self.p = torch.nn.Parameter(torch.linspace(-2.0, 3.0, 37))
        self.optimizer = make([self.p], lr=0.125)
        self.start = self.p.detach().clone()
        self.handles = ExitStack()

    def closure(self, weight: float = 1.0) -> Any:
        """Return a closure that is known by its weight."""

        def evaluate() -> torch.Tensor:
            self.log.append(("closure", weight))
            self.optimizer.zero_grad()
            loss = weight * self.p.square().sum()
            loss.backward()
            return loss

        evaluate.weight = weight
        return evaluate

    def hook(self, mark: str, result: Any = None) -> Any:
        """Return a hook that logs everything it is given and can see."""

        def hook(*given: Any, **named: Any) -> Any:
            assert not named
            assert given[0] is self.optimizer
            moved = not torch.equal(self.p.detach(), self.start)
            self.log.append((mark, moved, torch.is_grad_enabled(), *map(self.shown, given[1:])))
            return result(*given) if callable(result) else result

        return hook

    def shown(self, given: Any) -> Any:
        """Return what a hook was given in a form that can be compared."""
        if given is self.optimizer:
            return "the optimizer"
        if callable(given):
            return ("closure", given.weight)
        if isinstance(given, tuple):
            return tuple(map(self.shown, given))
        return {key: self.shown(item) if callable(item) else "..." for key, item in given.items()}

    def on(self, kind: str, mark: str, result: Any = None, **options: Any) -> Any:
        """Register a hook of a kind until the end of the run."""
        register = getattr(self.optimizer, f"register_{kind}_hook")
        return self.handles.enter_context(register(self.hook(mark, result), **options))

    def everywhere(self, kind: str, mark: str, result: Any = None) -> Any:
        """Register a global hook until the end of the run."""
        return self.handles.enter_context(GLOBAL[kind](self.hook(mark, result)))

    def fails(self, call: Callable[[], Any], error: type[Exception] = ArithmeticError) -> str:
        """Log how a call fails, and where the parameter stands then."""
        with pytest.raises(error) as raised:
            call()
        words = str(raised.value).partition("must return")[2]
        self.log.append((error.__name__, words, not torch.equal(self.p.detach(), self.start)))
        assert torch.is_grad_enabled()
        return str(raised.value)


def fail(*_: Any) -> None:
    raise ArithmeticError("a hook failed")


def played(script: Script, make: Callable[..., Any]) -> Run:
    run = Run(make)
    with run.handles:
        script(run)
    run.log.append("unhooked")
    run.optimizer.step(run.closure(0.25))
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    return run


def steps_with_hooks(run: Run) -> None:
    for mark in ("first", "second"):
        for time in ("pre", "post"):
            run.on(f"step_{time}", f"{mark} {time}")
            run.everywhere(time, f"{mark} global {time}")
    run.optimizer.step(run.closure())
    run.optimizer.step(closure=run.closure())
    with torch.no_grad():
        run.optimizer.step(run.closure())


def steps_with_removed_hooks(run: Run) -> None:
    kept, removed = run.on("step_pre", "kept"), run.on("step_pre", "removed")
    everywhere = run.everywhere("post", "global")
    removed.remove()
    removed.remove()
    run.optimizer.step(run.closure())
    everywhere.remove()
    kept.remove()
    run.optimizer.step(run.closure())


def steps_with_replaced_arguments(run: Run) -> None:
    """Every pre-hook sees what the one before has made of the arguments; so do post-hooks."""

    def by_position(optimizer: Any, arguments: Any, keywords: Any) -> Any:
        return (optimizer, run.closure(2.0)), {}

    def by_name(optimizer: Any, arguments: Any, keywords: Any) -> Any:
        return arguments[:1], {"closure": run.closure(3.0)}

    run.everywhere("pre", "global", by_position)
    first = run.on("step_pre", "by name", by_name)
    run.on("step_pre", "sees")
    run.on("step_post", "post")
    run.everywhere("post", "global post")
    run.optimizer.step()
    first.remove()
    run.optimizer.step(run.closure())


def steps_with_wrong_results(run: Run) -> None:
    for wrong in ("nonsense", (1, 2, 3), [1, {}]):
        with run.optimizer.register_step_pre_hook(run.hook("wrong", wrong)):
            run.fails(lambda: run.optimizer.step(run.closure()), RuntimeError)
    run.on("step_post", "ignored", "nonsense")
    run.optimizer.step(run.closure())


def steps_with_failing_hooks(run: Run) -> None:
    for register in (
        run.optimizer.register_step_pre_hook,
        GLOBAL["pre"],
        run.optimizer.register_step_post_hook,
        GLOBAL["post"],
    ):
        run.on("step_pre", "before")
        run.on("step_post", "after")
        with register(fail):
            run.fails(lambda: run.optimizer.step(run.closure()))
    run.optimizer.step(run.closure())


def states_with_hooks(run: Run) -> None:
    run.optimizer.step(run.closure())
    for kind in STATE_KINDS:
        run.on(kind, f"second {kind}")
        run.on(kind, f"first {kind}", prepend=True)
        run.on(kind, f"third {kind}", prepend=False)
    run.optimizer.load_state_dict(run.optimizer.state_dict())


def states_with_replacements(run: Run) -> None:
    run.optimizer.step(run.closure())

    def marked(optimizer: Any, state_dict: Any) -> Any:
        return {**state_dict, "epoch": state_dict.get("epoch", 0) + 1}

    def changed_in_place(optimizer: Any, state_dict: Any) -> None:
        state_dict["seen"] = True

    def faster(optimizer: Any, state_dict: Any) -> Any:
        groups = [{**group, "lr": 0.75} for group in state_dict["param_groups"]]
        return {key: state_dict[key] for key in ("state",)} | {"param_groups": groups}

    run.on("state_dict_pre", "ignored", "nonsense")
    for hook in (marked, marked, changed_in_place):
        run.on("state_dict_post", hook.__name__, hook)
    run.on("load_state_dict_pre", "changed in place", changed_in_place)
    run.on("load_state_dict_pre", "faster", faster)
    run.on("load_state_dict_pre", "sees")
    run.on("load_state_dict_post", "ignored", "nonsense")
    saved = run.optimizer.state_dict()
    given = dict(saved)
    run.optimizer.load_state_dict(given)
    run.log += [saved["epoch"], sorted(given), run.optimizer.param_groups[0]["lr"]]


def states_with_failing_hooks(run: Run) -> None:
    run.optimizer.step(run.closure())
    saved = run.optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.5
    for kind, call in (
        ("state_dict_pre", run.optimizer.state_dict),
        ("state_dict_post", run.optimizer.state_dict),
        ("load_state_dict_pre", lambda: run.optimizer.load_state_dict(saved)),
        ("load_state_dict_post", lambda: run.optimizer.load_state_dict(saved)),
    ):
        run.on(kind, f"before {kind}")
        with getattr(run.optimizer, f"register_{kind}_hook")(fail):
            run.on(kind, f"after {kind}")
            run.fails(call)
        run.log.append(run.optimizer.param_groups[0]["lr"])


def refused_states(run: Run) -> None:
    """The pre-hooks may mend what is loaded; what is refused all the same was never loaded."""
    run.on("load_state_dict_pre", "pre")
    run.on("load_state_dict_post", "post")
    for wrong in ([], [{"params": [0, 1]}]):
        loaded = {"state": {}, "param_groups": wrong}
        run.fails(lambda loaded=loaded: run.optimizer.load_state_dict(loaded), ValueError)


SCRIPTS = [
    steps_with_hooks,
    steps_with_removed_hooks,
    steps_with_replaced_arguments,
    steps_with_wrong_results,
    steps_with_failing_hooks,
    states_with_hooks,
    states_with_replacements,
    states_with_failing_hooks,
    refused_states,
]


@pytest.mark.parametrize("script", SCRIPTS)
@each_pair
def test_hooks_see_the_same_in_the_same_order_as_on_torch(name: str, script: Script) -> None:
    ours, torchs_own = PAIRS[name]
    if ours is None:
        mine = played(script, lambda params, lr: optkit.create(name, params, lr=lr))
    else:
        mine = played(script, ours)
    other = played(script, torchs_own)
    assert mine.log == other.log
    torch.testing.assert_close(mine.p, other.p)


@pytest.mark.parametrize("position", [0, 1], ids=["optkit", "torch"])
@each_pair
def test_a_load_pre_hook_gets_a_copy_and_the_given_dict_stays(name: str, position: int) -> None:
    optimizer = (PAIRS[name][position] or PAIRS[name][1])([torch.nn.Parameter(torch.ones(3))], lr=1)
    given, seen = optimizer.state_dict(), []
    before, groups = list(given), given["param_groups"]
    optimizer.register_load_state_dict_pre_hook(lambda _, loaded: seen.append(loaded))
    optimizer.register_load_state_dict_pre_hook(lambda _, loaded: loaded.update(more=1))
    optimizer.load_state_dict(given)
    assert seen[0] is not given and seen[0]["param_groups"] is groups
    assert list(given) == before
