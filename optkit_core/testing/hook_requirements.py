"""Hooks: torch's and optkit's are called once each, in order, with what they are promised."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optkit_core.optimizer import Optimizer
from optkit_core.plugins.entry_points import register_plugin, unregister_plugin
from optkit_core.plugins.hookspecs import hookimpl
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.stepping import closure_for
from optkit_core.testing.subject import Subject

PLUGIN = "optkit-conformance"

TORCHS = ("step pre", "step post", "state_dict pre", "state_dict post", "load pre", "load post")
OWN = ("created", "before_step", "after_step", "state_saved", "state_loaded", "group_added")


def torch_hooks(subject: Subject) -> None:
    """Register each of torch's hooks, then step, save and load."""
    name = subject.implementations[0]
    optimizer, other = (subject.optimizer(small_parameters(subject), name) for _ in range(2))
    calls: list[str] = []

    def note(what: str) -> Any:
        def hook(seen: Any, *rest: Any) -> None:
            assert seen is optimizer, f"the {what} hook gets {type(seen).__name__}"
            calls.append(what)

        return hook

    handles = [
        optimizer.register_step_pre_hook(note("step pre")),
        optimizer.register_step_post_hook(note("step post")),
        optimizer.register_state_dict_pre_hook(note("state_dict pre")),
        optimizer.register_state_dict_post_hook(note("state_dict post")),
        optimizer.register_load_state_dict_pre_hook(note("load pre")),
        optimizer.register_load_state_dict_post_hook(note("load post")),
    ]
    _use(subject, optimizer)
    _step(subject, other)
    optimizer.load_state_dict(other.state_dict())
    assert tuple(calls) == TORCHS, f"torch's hooks are called {calls}, not {list(TORCHS)}"
    for handle in handles:
        handle.remove()
    _use(subject, optimizer)
    assert tuple(calls) == TORCHS, "a hook is called after its removal"


def replaced_state_dicts(subject: Subject) -> None:
    """Let hooks put another state dict in place of what is saved and what is loaded."""
    name = subject.implementations[0]
    optimizer, source = (subject.optimizer(small_parameters(subject), name) for _ in range(2))
    _step(subject, source)
    optimizer.register_state_dict_post_hook(lambda _, saved: {**saved, "mark": 1})
    assert optimizer.state_dict().get("mark") == 1, "what a state_dict post hook returns is ignored"
    wanted = copy.deepcopy(source.state_dict())
    optimizer.register_load_state_dict_pre_hook(lambda _, given: wanted)
    optimizer.load_state_dict({"state": {}, "param_groups": []})
    found = {k: v.keys() for k, v in source.state_dict()["state"].items()}
    loaded = {k: v.keys() for k, v in optimizer.state_dict()["state"].items()}
    assert loaded == found, "what a load_state_dict pre hook returns is ignored"


def optkit_hooks(subject: Subject) -> None:
    """Watch an optimizer through a plugin's hooks from its construction on."""
    with _watched() as watcher:
        optimizer = subject.optimizer(small_parameters(subject), subject.implementations[0])
        loss = _step(subject, optimizer)
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.add_param_group({"params": small_parameters(subject)})
    calls = [what for what, seen in watcher.calls if seen is optimizer]
    assert tuple(calls) == OWN, f"optkit's hooks are called {calls}, not {list(OWN)}"
    assert watcher.loss is loss, (
        f"optkit_after_step gets the loss {watcher.loss!r:.60}, the step returned {loss!r:.60}"
    )


class HookWatcher:
    """A plugin that notes which of its hooks is called, and with which optimizer."""

    def __init__(self) -> None:
        """Begin without calls."""
        self.calls: list[tuple[str, Any]] = []
        self.loss: Any = None

    @hookimpl
    def optkit_created(self, optimizer: Any) -> None:
        """Note it."""
        self.calls.append(("created", optimizer))

    @hookimpl
    def optkit_group_added(self, optimizer: Any, group: dict[str, Any]) -> None:
        """Note it."""
        self.calls.append(("group_added", optimizer))

    @hookimpl
    def optkit_before_step(self, optimizer: Any) -> None:
        """Note it."""
        self.calls.append(("before_step", optimizer))

    @hookimpl
    def optkit_after_step(self, optimizer: Any, loss: Any, skipped: Any) -> None:
        """Note it, and the loss."""
        self.calls.append(("after_step", optimizer))
        self.loss = loss

    @hookimpl
    def optkit_state_saved(self, optimizer: Any, state_dict: dict[str, Any]) -> None:
        """Note it."""
        self.calls.append(("state_saved", optimizer))

    @hookimpl
    def optkit_state_loaded(self, optimizer: Any) -> None:
        """Note it."""
        self.calls.append(("state_loaded", optimizer))


@contextmanager
def _watched() -> Iterator[HookWatcher]:
    watcher = HookWatcher()
    register_plugin(watcher, PLUGIN)
    try:
        yield watcher
    finally:
        unregister_plugin(PLUGIN)


def _use(subject: Subject, optimizer: Optimizer) -> None:
    _step(subject, optimizer)
    optimizer.state_dict()


def _step(subject: Subject, optimizer: Optimizer) -> Any:
    """Take a step by a closure, and return the loss."""
    return optimizer.step(closure_for(subject, optimizer, 0))
