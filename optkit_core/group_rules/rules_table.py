"""The second half of the table of groups: each rule, what it claims and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from optkit_core.group_rules.assignments import Assignment
from optkit_core.group_rules.group_list import Outcome
from optkit_core.group_rules.name_folding import folded
from optkit_core.group_rules.norm_layers import has_vectors_only, is_norm
from optkit_core.group_rules.rule import KEYS, SELECTORS, Rule
from optkit_core.group_rules.selecting import NORM

Row = tuple[str, str, str]


def rule_rows(outcome: Outcome) -> list[Row]:
    """Return rows for the rules, and for what isn't trained.

    Args:
        outcome: how the rules were applied.
    """
    rows: list[Row] = [("rule", "tensors", "claims: says")]
    if outcome.default is not None:
        holding = [item for item in outcome.assignments if outcome.default in item.rules]
        rows.append(("default", str(len(holding)), _says(outcome.default) or "nothing"))
    for rule in outcome.rules:
        count = str(len(outcome.claims[rule.index]))
        rows.append((str(rule), count, f"{rule.selection}: {_says(rule)}"))
        rows.extend(("", "", note) for note in _notes(rule, outcome))
    rows.extend(_left_out(outcome.assignments))
    return rows


def _says(rule: Rule) -> str:
    own = [key for key in KEYS if key not in SELECTORS and getattr(rule, key) not in (None, ())]
    said = [(key, getattr(rule, key)) for key in own if key != "exclusive" or rule.exclusive]
    return ", ".join(f"{key}={value!r}" for key, value in [*said, *rule.options.items()])


def _notes(rule: Rule, outcome: Outcome) -> Iterator[str]:
    """Yield what a rule has found in the model."""
    if rule.index in outcome.depths:
        yield outcome.depths[rule.index].source
    if NORM in rule.module:
        yield _norms(outcome.assignments)
    held = sum(rule in item.rules for item in outcome.assignments)
    if held < len(outcome.claims[rule.index]):
        yield f"holds for {held}; later rules give the others another algorithm"


def _norms(assignments: Iterable[Assignment]) -> str:
    """Return which classes are norm layers, and which small ones of the user's aren't."""
    owners = {id(m): m for item in assignments for m in item.parameter.owners}.values()
    found = dict.fromkeys(type(m).__name__ for m in owners if is_norm(m))
    others = dict.fromkeys(
        type(m).__name__
        for m in owners
        if has_vectors_only(m) and not is_norm(m) and not type(m).__module__.startswith("torch.nn.")
    )
    rest = f"; not norm: {', '.join(others)}" if others else ""
    return f"norm layers: {', '.join(found)}{rest}"


def _left_out(assignments: Iterable[Assignment]) -> Iterator[Row]:
    """Yield rows for parameters that are in no group."""
    untrained = [item for item in assignments if not item.is_trained]
    frozen = [item for item in untrained if item.decided("frozen")]
    others = [item for item in untrained if not item.decided("frozen")]
    for title, items in (("frozen", frozen), ("no gradient", others)):
        if items:
            names = folded(item.parameter.name for item in items)
            yield title, str(len(items)), ", ".join(names)
