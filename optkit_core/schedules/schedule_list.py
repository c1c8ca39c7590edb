"""Schedules that are made of schedules: what a list of them may hold, as a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from torch.optim.lr_scheduler import ReduceLROnPlateau

from optkit_core.errors import AmbiguousNameError, UnknownNameError
from optkit_core.param_groups.spelling import got
from optkit_core.plugins import entry_points
from optkit_core.schedules.schedule_request import schedule_arguments


@attrs.frozen(eq=False, repr=False)
class ScheduleList:
    """A list of mappings, each the name of a schedule and its arguments."""

    def __str__(self) -> str:
        return "a list of mappings, each a schedule's name and arguments"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not value:
            return f"{name} must be {self}, {got(value)}"
        wrong = (_complaint(f"{name}[{i}]", item) for i, item in enumerate(value))
        return next(filter(None, wrong), "")

    def converted(self, value: Any) -> list[dict[str, Any]]:
        """Return a list of dicts."""
        return [dict(item) for item in value]


def schedule_list() -> ScheduleList:
    """Allow a list of mappings, each the name of a schedule and its arguments.

    It is for schedules that are made of others. None of these may be made of others itself, have a
    warm-up of its own or follow a metric: torch's classes don't hold such ones, or begin them at
    the wrong step.

    >>> schedule_list().complaint("schedules", [{"name": "step", "step_size": 0}])
    'schedules[0].step_size must be a whole number of at least 1, got 0.'
    """
    return ScheduleList()


def _complaint(path: str, item: Any) -> str:
    if not isinstance(item, Mapping) or "name" not in item:
        return f"{path} must be a mapping with the name of a schedule, {got(item)}"
    try:
        factory = entry_points.load(item["name"], "schedule")
    except (UnknownNameError, AmbiguousNameError) as error:
        return f"{path}.name is wrong: {error}"
    if _follows_a_metric(factory):
        return f"{path} can't be {item['name']!r}: it follows a metric, and others don't take one."
    known = schedule_arguments(factory)
    if any(isinstance(argument.range, ScheduleList) for argument in known.by_name.values()):
        return f"{path} can't be {item['name']!r}, which is made of schedules itself."
    given = {key: value for key, value in item.items() if key != "name"}
    fault = known.fault(path, given, f"{path}.")
    if fault is not None:
        return fault.text
    if given.get("last_epoch", -1) != -1:
        return f"{path}.last_epoch can't be given: each begins anew. Load the state of the whole."
    if given.get("warmup"):
        return (
            f"{path}.warmup can't be given: it would begin at the wrong step. Put "
            "{'name': 'linear', 'start_factor': ..., 'total_iters': ...} into the list."
        )
    return ""


def _follows_a_metric(factory: Any) -> bool:
    return isinstance(factory, type) and issubclass(factory, ReduceLROnPlateau)
