"""The table of groups: what is in each, with which options, and which rule says so."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from optkit_core.declaration.roles import ALGORITHM
from optkit_core.group_rules.assignments import Assignment
from optkit_core.group_rules.group_list import GroupRecord, Outcome
from optkit_core.group_rules.name_folding import folded
from optkit_core.group_rules.rules_table import rule_rows
from optkit_core.group_rules.text_columns import columns

WIDTH = 100
"""How many columns a table has at most."""


def table(outcome: Outcome, *, parameters: bool) -> str:
    """Return the groups and the rules as text.

    Args:
        outcome: how the rules were applied.
        parameters: whether each parameter has a line of its own.
    """
    parts = [_summary(outcome), _groups(outcome.records), columns(rule_rows(outcome), WIDTH)]
    if parameters:
        parts.append(_parameters(outcome))
    notes = list(_notes(outcome.assignments))
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def _summary(outcome: Outcome) -> str:
    trained = [item for record in outcome.records for item in record.assignments]
    every = outcome.assignments
    groups = f"{len(outcome.records)} group{'s' if len(outcome.records) > 1 else ''}"
    algorithms = " and ".join(dict.fromkeys(item.algorithm for item in trained if item.algorithm))
    return (
        f"{groups}{' of ' if algorithms else ''}{algorithms}, {len(trained)} of {len(every)} "
        f"tensors, {_elements(trained)} of {_elements(every)} elements"
    )


def _groups(records: Sequence[GroupRecord]) -> str:
    rows = [("group", "tensors", "elements", "options, and parameters that have them")]
    for index, record in enumerate(records):
        items = record.assignments
        names = ", ".join(folded(item.parameter.name for item in items))
        head = (str(index), str(len(items)), _elements(items))
        rows += [(*head, ", ".join(_options(record)) or "none"), ("", "", "", names)]
    return columns(rows, WIDTH, right=(0, 1, 2))


def _options(record: GroupRecord) -> Iterator[str]:
    """Yield each option of a group, with the rules that give it."""
    for key, value in record.options.items():
        sources = _joined(_source(item, key) for item in record.assignments)
        yield f"{key}={_written(value)} ({sources})"


def _source(item: Assignment, key: str) -> str:
    """Return who gives a parameter an option, and for the learning rate who multiplies it."""
    if key == ALGORITHM:
        return str(item.algorithm_rule)
    setting = item.settings.get(key)
    source = str(item.algorithm) if setting is None else str(setting.rule)
    factors = item.factors if key == "lr" else ()
    return " × ".join([source, *(str(factor.rule) for factor in factors)])


def _parameters(outcome: Outcome) -> str:
    groups = {
        id(item): str(index)
        for index, record in enumerate(outcome.records)
        for item in record.assignments
    }
    rows = [("parameter", "shape", "group", "rules that hold for it")]
    for item in outcome.assignments:
        shape = (
            "?"
            if nn.parameter.is_lazy(item.parameter.tensor)
            else tuple(item.parameter.tensor.shape)
        )
        rows.append(
            (
                item.parameter.name,
                str(shape),
                groups.get(id(item)) or _reason(item),
                ", ".join(map(str, item.rules)),
            )
        )
    return columns(rows, WIDTH)


def _reason(item: Assignment) -> str:
    return "frozen" if item.decided("frozen") else "no gradient"


def _notes(assignments: Iterable[Assignment]) -> Iterator[str]:
    """Yield what is to be said of parameters beside their groups."""
    for item in assignments:
        first, *others = item.parameter.names
        if others:
            text = f"tied: {first} is {', '.join(folded(others))} too, and goes once."
            yield textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _elements(items: Iterable[Assignment]) -> str:
    parameters = [item.parameter for item in items]
    if any(nn.parameter.is_lazy(parameter.tensor) for parameter in parameters):
        return "?"
    return f"{sum(parameter.elements for parameter in parameters):,}"


def _joined(sources: Iterable[str]) -> str:
    return " or ".join(sorted(set(sources)))


def _written(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor({value.item():.4g})" if value.numel() == 1 else "tensor"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
