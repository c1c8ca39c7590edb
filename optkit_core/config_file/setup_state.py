"""The state of a training setup: one dict for all parts, verified before anything changes."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from optkit_core import torch_private
from optkit_core.errors import CheckpointError

if TYPE_CHECKING:
    from optkit_core.checkpoint.load.load_report import LoadReport
    from optkit_core.config_file.training_setup import TrainingSetup

PARTS = ("optimizer", "schedule", "averaging")
COUNTS = ("steps", "epochs")
NESTED = torch_private.SCHEDULES
"""Where torch's sequences of schedulers have the states of their members."""


def saved(setup: TrainingSetup) -> dict[str, Any]:
    """Return the states of all parts of a setup, and its counts."""
    state = {name: part.state_dict() for name, part in _parts(setup).items()}
    return {**state, **{name: getattr(setup, name) for name in COUNTS}}


def load(setup: TrainingSetup, state_dict: Mapping[str, Any]) -> LoadReport | None:
    """Continue a setup from a state; see `TrainingSetup.load_state_dict`.

    Raises:
        CheckpointError: it doesn't fit.
    """
    mismatches = list(_mismatches(setup, state_dict))
    if mismatches:
        raise CheckpointError("the saved state doesn't fit:\n" + "\n".join(mismatches))
    # A copy: torch's schedulers would share the lists in it.
    schedule = copy.deepcopy(state_dict.get("schedule"))
    # First, since it refuses what it doesn't like before it changes anything.
    report: LoadReport | None = setup.optimizer.load_state_dict(state_dict["optimizer"])
    if setup.schedule is not None:
        setup.schedule.load_state_dict(schedule)
    if setup.averaging is not None:
        setup.averaging.load_state_dict(state_dict["averaging"])
    setup.steps, setup.epochs = (state_dict[name] for name in COUNTS)
    return report


def _parts(setup: TrainingSetup) -> dict[str, Any]:
    """Return the parts that have a state."""
    parts = {name: getattr(setup, name) for name in PARTS}
    return {name: part for name, part in parts.items() if part is not None}


def _mismatches(setup: TrainingSetup, state_dict: Any) -> Iterator[str]:
    """Yield what of a state doesn't fit, the optimizer's left to itself."""
    expected = {*_parts(setup), *COUNTS}
    if not isinstance(state_dict, Mapping):
        yield f"it must be a mapping, got {type(state_dict).__name__}."
        return
    for name in sorted(expected ^ state_dict.keys(), key=str):
        is_lacking = name in expected
        yield f"{name}: {'not in what was saved' if is_lacking else 'not in this setup'}."
    for name in expected & {*COUNTS} & state_dict.keys():
        count = state_dict[name]
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            yield f"{name} must be a whole number of at least 0, got {count!r:.80}."
    if setup.schedule is not None and "schedule" in state_dict:
        live = setup.schedule.state_dict()
        yield from _schedule_mismatches(live, state_dict["schedule"], "schedule")
    if setup.averaging is not None and "averaging" in state_dict:
        yield from _tensor_mismatches(setup.averaging.state_dict(), state_dict["averaging"])


def _schedule_mismatches(live: Any, saved: Any, name: str) -> Iterator[str]:
    """Yield where the state of a scheduler isn't one of its kind."""
    if _kind(live) != _kind(saved):
        if live is not None and saved is not None:
            yield f"{name} must be a {_kind(live)}, got {saved!r:.80}."
    elif isinstance(live, Mapping) and not name.endswith("milestones"):
        # Other names with an underscore differ between releases of torch.
        own, others = (
            {key for key in state if key == NESTED or not str(key).startswith("_")}
            for state in (live, saved)
        )
        for key in sorted(own ^ others, key=str):
            yield f"{name}.{key}: only in {'this setup' if key in own else 'what was saved'}."
        for key in sorted(own & others, key=str):
            yield from _schedule_mismatches(live[key], saved[key], f"{name}.{key}")
    elif isinstance(live, list) and name.endswith(("base_lrs", NESTED)):
        if len(live) != len(saved):
            yield f"{name} must have {len(live)} entries, got {len(saved)}."
        for position, pair in enumerate(zip(live, saved, strict=False)):
            yield from _schedule_mismatches(*pair, f"{name}[{position}]")


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    if isinstance(value, list | tuple):
        return "list"
    is_number = isinstance(value, numbers.Real | Tensor)
    return "number" if is_number else type(value).__name__


def _tensor_mismatches(live: Mapping[str, Tensor], saved: Any) -> Iterator[str]:
    """Yield where the tensors of an average aren't those that were saved."""
    if not isinstance(saved, Mapping):
        yield f"averaging must be a mapping, got {type(saved).__name__}."
        return
    for name in sorted(live.keys() ^ saved.keys(), key=str):
        yield f"averaging.{name}: only in {'this setup' if name in live else 'what was saved'}."
    for name in live.keys() & saved.keys():
        other = saved[name]
        shape = tuple(other.shape) if isinstance(other, Tensor) else type(other).__name__
        if shape != tuple(live[name].shape):
            yield f"averaging.{name} must have shape {tuple(live[name].shape)}, got {shape}."
