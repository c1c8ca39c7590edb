"""A rule: which parameters it claims, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from optkit_core.composition import members
from optkit_core.declaration.ranges import Range, at_least, boolean, converter, within
from optkit_core.declaration.roles import ANNOTATIONS
from optkit_core.errors import (
    AmbiguousAlgorithmError,
    RuleError,
    UnknownAlgorithmError,
    did_you_mean,
)
from optkit_core.group_rules.rule_ranges import Dimensions, PatternsInOrder, Text, Texts
from optkit_core.param_groups.group_keys import is_misspelling

SELECTORS = ("match", "names", "module", "ndim")
"""Keys that say which parameters a rule claims; those that it has must all fit."""

FACTORS = ("lr_scale", "layer_decay")
"""Keys that multiply the learning rate, whoever sets it."""

RESERVED = frozenset({"params", "param_names", "schema", "writer"})
"""Keys of a group that `optkit.groups` or a checkpoint writes."""


def _key(range: Range, doc: str, default: Any = None) -> Any:
    return attrs.field(default=default, kw_only=True, metadata={"range": range, "doc": doc})


@attrs.frozen(eq=False)
class Rule:
    """One rule, checked; an attribute is None or empty where the rule doesn't have the key.

    Args:
        index: its place in the list; -1 for the default, which claims every parameter.
        options: what goes into the group as it is: hyperparameters, options, ``name``.
        match: shell patterns for names; any may fit.
        names: names.
        module: classes of the module that owns the parameter, or ``"norm"``; any may fit.
        ndim: numbers of dimensions; any may fit.
        algorithm: the name of what optimizes the parameters.
        frozen: whether they don't train.
        exclusive: whether no other exclusive rule may claim them.
        lr_scale: multiplies the learning rate.
        layer_decay: multiplies it once for each layer above a parameter's own.
        blocks: classes whose modules are the layers; any may fit.
        depth: patterns from the lowest depth to the highest, in place of modules.
    """

    index: int
    options: Mapping[str, Any] = attrs.field(factory=dict)
    match: tuple[str, ...] = _key(Texts(), "shell patterns for the parameter's name", ())
    names: tuple[str, ...] = _key(Texts(), "names of parameters", ())
    module: tuple[str, ...] = _key(Texts(), 'classes of the owning module, or "norm"', ())
    ndim: tuple[int, ...] = _key(Dimensions(), "numbers of dimensions", ())
    algorithm: str | None = _key(Text(), "what optimizes the parameters")
    frozen: bool | None = _key(boolean(), "whether the parameters don't train")
    exclusive: bool = _key(boolean(), "whether other exclusive rules may not claim them", False)
    lr_scale: float | None = _key(at_least(0.0), "multiplies the learning rate")
    layer_decay: float | None = _key(
        within(0.0, 1.0, closed=True), "multiplies the learning rate once for each layer above"
    )
    blocks: tuple[str, ...] = _key(Texts(), "classes whose modules are the layers", ())
    depth: tuple[tuple[str, ...], ...] = _key(
        PatternsInOrder(), "patterns from the lowest depth to the highest", ()
    )

    @property
    def is_default(self) -> bool:
        """Whether it stands before all others, for whatever there is."""
        return self.index < 0

    @property
    def selection(self) -> str:
        """Which parameters it claims, in words."""
        given = ((key, getattr(self, key)) for key in SELECTORS)
        return " and ".join(
            f"{key} {(items[0] if len(items) == 1 else list(items))!r}"
            for key, items in given
            if items
        )

    @property
    def chooses(self) -> bool:
        """Whether it says what a parameter can have only one of."""
        return self.algorithm is not None or self.frozen is not None

    def __str__(self) -> str:
        return "default" if self.is_default else f"rule {self.index}"


KEYS: Mapping[str, attrs.Attribute[Any]] = {
    item.name: item for item in attrs.fields(Rule) if "range" in item.metadata
}
"""The keys of a rule beside hyperparameters; ``metadata`` has each one's range and meaning."""


def parsed(rules: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """Return rules as they were given, checked.

    Raises:
        RuleError: something isn't a rule; its `index` and `key` say which, and where in it.

    >>> parsed([{"match": "*.bias", "weight_decay": 0.0}])[0].options
    {'weight_decay': 0.0}
    """
    if isinstance(rules, (str, Mapping)) or not isinstance(rules, Iterable):
        raise RuleError(f"rules must be a list of mappings, got {rules!r:.80}.")
    return [_parsed(index, given) for index, given in enumerate(rules)]


def parsed_default(given: Mapping[str, Any]) -> Rule:
    """Return what holds where no rule says otherwise, checked.

    Raises:
        RuleError: it isn't a mapping of hyperparameters, and ``"algorithm"``.
    """
    keys = given if isinstance(given, Mapping) else ()
    out_of_place = next((key for key in keys if key in KEYS and key != "algorithm"), None)
    if out_of_place is not None:
        raise RuleError(
            f"{out_of_place!r} belongs into a rule, {{'match': '*', {out_of_place!r}: ...}} for "
            "example.",
            index=-1,
            key=out_of_place,
        )
    return _checked(-1, given)


def _parsed(index: int, given: Mapping[str, Any]) -> Rule:
    rule = _checked(index, given)
    if not any(getattr(rule, key) for key in SELECTORS):
        raise RuleError(
            f"it claims no parameters: it needs one of {', '.join(map(repr, SELECTORS))}, "
            "'match': '*' for all of them.",
            index=index,
        )
    for key in ("blocks", "depth"):
        if getattr(rule, key) and rule.layer_decay is None:
            raise RuleError(f"{key!r} goes with 'layer_decay'.", index=index, key=key)
    if rule.blocks and rule.depth:
        raise RuleError("it has 'blocks' and 'depth'; one says it all.", index=index, key="depth")
    if all(key in (*SELECTORS, "exclusive", "blocks", "depth") for key in given):
        raise RuleError(
            "it says nothing about the parameters that it claims: it needs a hyperparameter, or "
            "'algorithm', 'frozen', 'lr_scale' or 'layer_decay'.",
            index=index,
        )
    return rule


def _checked(index: int, given: Mapping[str, Any]) -> Rule:
    if not isinstance(given, Mapping):
        raise RuleError(f"it must be a mapping, got {given!r:.80}.", index=index)
    for key in given:
        _require_possible(index, key, given)
    keys = {key: value for key, value in given.items() if key in KEYS}
    options = {key: value for key, value in given.items() if key not in KEYS}
    for key, value in keys.items():
        complaint = KEYS[key].metadata["range"].complaint(key, value)
        if complaint:
            # Without torch's words for hyperparameters, which these aren't.
            raise RuleError(complaint.partition(" [Invalid")[0], index=index, key=key)
    converted = {key: converter(KEYS[key].metadata["range"])(keys[key]) for key in keys}
    if "algorithm" in converted:
        converted["algorithm"] = _algorithm(index, converted["algorithm"])
    return Rule(index, options, **converted)


def _algorithm(index: int, given: str) -> str:
    """Return the name of an algorithm as the registry has it."""
    try:
        return members.name_of(given)
    except (UnknownAlgorithmError, AmbiguousAlgorithmError) as error:
        raise RuleError(str(error), index=index, key="algorithm") from error


def _require_possible(index: int, key: Any, given: Mapping[str, Any]) -> None:
    """Raise for a key that can't stand in a rule, or misspells one of a rule's own."""
    if not isinstance(key, str):
        raise RuleError(f"its keys must be texts, got {key!r:.60}.", index=index)
    if key in RESERVED:
        hint = " Select parameters by 'names'." if key in ("params", "param_names") else ""
        raise RuleError(f"{key!r} isn't for rules.{hint}", index=index, key=key)
    if key in KEYS or key in ANNOTATIONS:
        return
    if any(is_misspelling(key.lower(), known) for known in KEYS):
        hint = did_you_mean(key, KEYS)
        raise RuleError(f"it has {key}={given[key]!r:.60}.{hint}", index=index, key=key)
