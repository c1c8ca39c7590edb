"""JSON Schemas of ranges: what an editor can check of a value."""

from __future__ import annotations

import functools
import math
from typing import Any

from optkit_core.config_file.algorithm_options import NONE
from optkit_core.config_file.setting_ranges import SettingText, Tables
from optkit_core.declaration.choice_ranges import Boolean, OneOf
from optkit_core.declaration.collection_ranges import Function, PerGroup, Rising
from optkit_core.declaration.ranges import RealInterval, TupleOf, Whole
from optkit_core.factories.annotated_ranges import AnyOf, OfType
from optkit_core.group_rules import rule_ranges
from optkit_core.selection import requests

Schema = dict[str, Any]

TYPES: dict[str, Schema] = {
    "True or False": {"type": "boolean"},
    "a whole number": {"type": "integer"},
    "a number": {"type": "number"},
    "a text": {"type": "string", "minLength": 1},
    "None": {"enum": [NONE, None]},
}


def described(range: Any, doc: str, default: Any = None) -> Schema:
    """Return the schema of a setting.

    Args:
        range: what is allowed; None where that isn't known.
        doc: one phrase about it.
        default: its value where none is given.
    """
    phrase = ". ".join(part for part in (doc, "" if range is None else str(range)) if part)
    schema = {} if range is None else schema_of(range)
    schema = {**schema, **({"description": phrase} if phrase else {})}
    return {**schema, "default": plain} if (plain := _default(default)) is not None else schema


@functools.singledispatch
def schema_of(range: Any) -> Schema:
    """Return the schema of what a range allows; a plugin's range may have ``json_schema()``.

    >>> from optkit_core import within
    >>> schema_of(within(0.0, 1.0))
    {'type': 'number', 'minimum': 0.0, 'exclusiveMaximum': 1.0}
    """
    own = getattr(range, "json_schema", None)
    return dict(own()) if callable(own) else {}


@schema_of.register
def _(range: RealInterval) -> Schema:
    schema: Schema = {"type": "number"}
    if math.isfinite(range.low):
        schema["exclusiveMinimum" if range.above else "minimum"] = range.low
    if math.isfinite(range.high):
        schema["maximum" if range.closed else "exclusiveMaximum"] = range.high
    return _or_none(schema, range.optional)


@schema_of.register
def _(range: Whole) -> Schema:
    schema: Schema = {"type": "integer", "minimum": range.low}
    if range.high is not None:
        schema["maximum"] = range.high
    return _or_none(schema, range.optional)


@schema_of.register
def _(range: TupleOf) -> Schema:
    count = len(range.ranges)
    entries = [schema_of(entry) for entry in range.ranges]
    return {"type": "array", "prefixItems": entries, "minItems": count, "maxItems": count}


@schema_of.register
def _(range: OneOf) -> Schema:
    none = [NONE] if None in range.values else []
    return {"enum": [*none, *range.values]}


@schema_of.register
def _(range: Boolean) -> Schema:
    return {"type": "boolean"}


@schema_of.register
def _(range: PerGroup) -> Schema:
    one = schema_of(range.range)
    return {"anyOf": [one, {"type": "array", "items": one}]}


@schema_of.register
def _(range: Rising) -> Schema:
    return {"type": "array", "items": schema_of(range.range)}


@schema_of.register
def _(range: Function) -> Schema:
    # No file can hold one.
    return {"enum": [NONE, None]} if range.optional else {"not": {}}


@schema_of.register
def _(range: OfType) -> Schema:
    schema: Schema = TYPES.get(range.words, {})
    return schema


@schema_of.register
def _(range: AnyOf) -> Schema:
    return {"anyOf": [schema_of(one) for one in range.ranges]}


@schema_of.register
def _(range: SettingText) -> Schema:
    return {"type": "string", "pattern": r"\S"}


@schema_of.register
def _(range: Tables) -> Schema:
    return {"type": "array", "items": {"type": "object"}}


@schema_of.register
def _(range: requests.ImplementationRange) -> Schema:
    name: Schema = {"enum": requests.known_names()}
    by_device = {"type": "object", "additionalProperties": name}
    return {"anyOf": [name, by_device, {"enum": [NONE, None]}]}


@schema_of.register(rule_ranges.Texts)
def _(range: Any) -> Schema:
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _or_none(schema: Schema, is_optional: bool) -> Schema:
    return {"anyOf": [schema, {"enum": [NONE, None]}]} if is_optional else schema


def _default(value: Any) -> Any:
    """Return a default as JSON has it, None where it can't."""
    if isinstance(value, list | tuple):
        entries = [_default(item) for item in value]
        return None if None in entries else entries
    is_plain = isinstance(value, bool | int | str) or (
        isinstance(value, float) and math.isfinite(value)
    )
    return value if is_plain else None
