"""A saved state by parameter: taken out of a state dict, put in order, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core import CheckpointError
from optkit_plugins.lbfgs.state import by_parameter
from optkit_plugins.lbfgs.state.persistence import is_number, is_real
from optkit_plugins.lbfgs.state.sync import COUNTS

LINES = 20
"""How many complaints a message has."""


def is_by_parameter(state_dict: Any) -> bool:
    """Return whether a state dict holds tensors by parameter, not vectors of all of them."""
    given = state_dict if isinstance(state_dict, Mapping) else {}
    states, groups = given.get("state"), given.get("param_groups")
    if not isinstance(states, Mapping) or not isinstance(groups, list):
        return False
    # What isn't even of the right structure is refused as everything else is.
    dicts = [own for own in states.values() if isinstance(own, Mapping)]
    has_keys = bool(groups) and all(map(_has_keys, groups))
    return has_keys and any(by_parameter.STEP.format(0) in own for own in dicts)


def _has_keys(group: Any) -> bool:
    keys = group.get("params") if isinstance(group, Mapping) else None
    return isinstance(keys, (list, tuple)) and all(isinstance(key, (int, str)) for key in keys)


@attrs.frozen(eq=False)
class SavedByParameter:
    """What a state dict holds of the solver's state.

    Args:
        entries: those of each parameter, in the order of the optimizer's; the first one's have
            the numbers and small matrices, too.
        rest: the state dict without them, which has the counts and the groups.
        capacity: how many slots the ring has, as the saved groups say.
    """

    entries: Sequence[Mapping[str, Any]]
    rest: dict[str, Any]
    capacity: Any

    @classmethod
    def of(cls, state_dict: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Any:
        """Take a state dict apart.

        Args:
            state_dict: one of the form, whose groups may be anything.
            groups: those of the optimizer.

        Raises:
            CheckpointError: the parameters aren't those of the optimizer.
        """
        states = state_dict["state"]
        saved = list(state_dict["param_groups"])
        ids = _in_order(saved, groups)
        entries: list[Mapping[str, Any]] = [_state_of(i, states) for i in ids]
        shared = next((own for own in entries if "H_diag" in own), {})
        entries[:1] = [{**shared, **own} for own in entries[:1]]
        known = {*ids, *map(str, ids)}
        others = {key: own for key, own in states.items() if key not in known}
        first = saved[0]["params"][0] if saved[0]["params"] else ids[0]
        counts = {name: shared[name] for name in COUNTS if name in shared}
        rest = {**state_dict, "state": {first: counts, **others}}
        return cls(entries, rest, saved[0].get("history_size"))

    def require_fitting(self, owner: str, groups: Sequence[Mapping[str, Any]]) -> None:
        """Raise where something doesn't fit the parameters of an optimizer.

        Args:
            owner: what the optimizer is called.
            groups: its groups.

        Raises:
            CheckpointError: names what doesn't.
        """
        lines = list(self._complaints(groups))
        if lines:
            more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
            listed = "\n".join(f"- {line}" for line in [*lines[:LINES], *more])
            raise CheckpointError(
                f"this state doesn't fit this {owner}, which stays as it was:\n{listed}"
            )

    def _complaints(self, groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        if type(self.capacity) is not int or self.capacity < 1:
            yield f"history_size must be a whole number, at least 1, got {self.capacity!r:.40}"
            return
        names = by_parameter.names_for(self.capacity)
        pairs = zip(_labeled(groups), self.entries, strict=True)
        for (label, p), own in pairs:
            lacking = [name for name in names if name not in own]
            if lacking:
                yield f"the state of {label} has no {', '.join(lacking):.80}"
                continue
            for name in names:
                complaint = _complaint(own[name], p)
                if complaint:
                    yield f"{name} of {label} {complaint}"
        yield from _shared_complaints(self.entries[0], self.capacity, len(groups))


def _state_of(key: Any, states: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the state of a parameter that stands under a number or a name.

    Where an optimizer itself is loaded by ``torch.distributed.checkpoint``, tensors are filled in
    place, and what else was saved stands under the number as a string, beside what was there.
    """
    return {**states.get(key, {}), **states.get(str(key), {})}


def _in_order(saved: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the keys of the saved states in the order of an optimizer's parameters."""
    ids = [key for group in saved for key in group["params"]]
    count = sum(len(group["params"]) for group in groups)
    if len(ids) != count:
        raise CheckpointError(
            f"this state is of {len(ids)} parameters, this optimizer has {count}. L-BFGS goes on "
            "with the same parameters alone."
        )
    names = [name for group in saved for name in group.get("param_names") or ()]
    own = [name for group in groups for name in group.get("param_names") or ()]
    # torch's distributed layer has put the keys, names themselves, into the optimizer's order.
    is_ordered = all(isinstance(key, str) for key in ids)
    if is_ordered or set(names) != set(own) or len(set(names)) < count:
        return ids
    by_name = dict(zip(names, ids, strict=True))
    return [by_name[name] for name in own]


def _labeled(groups: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    for position, group in enumerate(groups):
        names = group.get("param_names") or [
            f"parameter {i} of group {position}" for i in range(len(group["params"]))
        ]
        yield from zip(names, group["params"], strict=True)


def _complaint(value: Any, p: Any) -> str:
    """Return why a value can't become a vector of a parameter, ``""`` where it can."""
    shape = torch.Size([*p.shape, 2] if p.is_complex() else p.shape)
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.is_meta:
        return f"must be a tensor of real numbers, got {value!r:.40}"
    if value.shape != shape:
        return f"has shape {list(value.shape)}, not {list(shape)}"
    meshes = [getattr(tensor, "device_mesh", None) for tensor in (value, p)]
    if (meshes[0] is None) != (meshes[1] is None):
        return f"is a {type(value).__name__}, the parameter a {type(p).__name__}"
    return ""


def _shared_complaints(shared: Mapping[str, Any], capacity: int, group_count: int) -> Iterator[str]:
    """Say what is wrong with the numbers and small matrices, or how they don't fit together."""
    lacking = [name for name in (*by_parameter.SHARED, *COUNTS) if name not in shared]
    if lacking:
        yield f"it isn't whole: there is no {', '.join(lacking):.80}"
        return
    square, row = (capacity, capacity), (capacity,)
    shapes = dict(zip(by_parameter.MATRICES, [square, square, row, (2 * capacity,)], strict=True))
    for name, shape in {**shapes, "scales": (group_count,)}.items():
        if not is_real(shared[name], shape):
            yield f"{name} must be a tensor of real numbers, {shape} of them"
            return
    for name in by_parameter.NUMBERS:
        if not is_number(shared[name]):
            yield f"{name} must be a number, got {shared[name]!r:.40}"
    limits = dict(zip(by_parameter.COUNTERS, (capacity, capacity - 1, 1, 1), strict=True))
    for name, most in limits.items():
        if type(shared[name]) is not int or not 0 <= shared[name] <= most:
            yield f"{name} must be a whole number up to {most}, got {shared[name]!r:.40}"
            return
    if bool((shared["curvatures"][: shared["pairs"]] <= 0).any()):
        yield "curvatures must be positive: those of remembered pairs are"
