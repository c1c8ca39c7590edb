"""The JSON Schema of a configuration, with every algorithm, schedule and averaging installed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from types import MappingProxyType

import attrs

from optkit_core.api import available, get
from optkit_core.config_file.algorithm_options import is_required, options
from optkit_core.config_file.json_schema import name_schemas
from optkit_core.config_file.json_schema.range_schemas import Schema, described
from optkit_core.config_file.sections import SECTIONS
from optkit_core.declaration.fields import Declaration
from optkit_core.errors import OptkitError
from optkit_core.factories.factory_description import arguments_taken, summary_of
from optkit_core.group_rules.rule import KEYS, SELECTORS
from optkit_core.plugins import entry_points
from optkit_core.plugins.kinds import KINDS
from optkit_core.selection import requests

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema(left_out: Mapping[str, Container[str]] = MappingProxyType({})) -> Schema:
    """Return the JSON Schema of what `optkit.from_config` takes.

    Args:
        left_out: names that aren't to be imported, by their kind (default: none).

    Returns:
        A schema of draft 2020-12, from the algorithms, schedules and averagings that are
        registered.

    >>> schema = config_schema()
    >>> schema["properties"]["clipping"]["properties"]["norm_type"]["default"]
    2.0
    """
    entry_points.load_all()
    named = {kind: _importable(kind, left_out.get(kind, ())) for kind in KINDS}
    return {
        "$schema": DIALECT,
        "title": "optkit configuration",
        "description": "What optkit.from_config reads.",
        "type": "object",
        "required": ["optimizer"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string", "description": "Where this schema is, for editors."},
            "optimizer": _optimizer(named["algorithm"]),
            "implementation": described(
                requests.ImplementationRange(), "Which implementation runs, by type of device"
            ),
            "schedule": _factory_section("schedule", named["schedule"]),
            "averaging": _factory_section("averaging", named["averaging"]),
            "clipping": _clipping(),
        },
        "$defs": _definitions(named["algorithm"]),
    }


def _importable(kind: str, left_out: Container[str]) -> list[str]:
    """Return the names of a kind, without those of broken plugins."""
    names = []
    for name in available(kind=kind):
        if name in left_out:
            continue
        try:
            entry_points.load(name, kind)
        except OptkitError:
            continue
        names.append(name)
    return names


def _section(key: str) -> Schema:
    """Return the schema of a section's settings."""
    section = SECTIONS[key]
    fields = [field for field in attrs.fields(section) if "range" in field.metadata]
    return {
        "description": (section.__doc__ or "").splitlines()[0],
        "type": "object",
        "required": [field.name for field in fields if field.default is attrs.NOTHING],
        "properties": {
            field.name: described(
                field.metadata["range"],
                field.metadata["doc"],
                None if field.default is attrs.NOTHING else field.default,
            )
            for field in fields
        },
    }


def _named(key: str, kind: str, names: Iterable[str], of: Callable[[str], Schema]) -> Schema:
    """Return a section whose name decides what else may stand in it."""
    listed, section = list(names), _section(key)
    section["properties"]["name"] |= name_schemas.any_of(listed, KINDS[kind])
    return {
        **section,
        "allOf": [_if_called("name", name, kind, of(name)) for name in listed],
        "unevaluatedProperties": False,
    }


def _if_called(key: str, name: str, kind: str, then: Schema) -> Schema:
    is_called = {"properties": {key: name_schemas.one(name, KINDS[kind])}, "required": [key]}
    return {"if": is_called, "then": then}


def _optimizer(names: list[str]) -> Schema:
    def of(name: str) -> Schema:
        required = [key for key, item in options(get(name)).items() if is_required(item)]
        return {
            "$ref": f"#/$defs/{name}-options",
            # The section of that name says it.
            "properties": {"groups": {"type": "array"}, "implementation": False},
            "required": required,
            "if": {"properties": {"groups": {"contains": {"required": ["algorithm"]}}}},
            "then": _groups_of("any-rule"),
            "else": _groups_of(f"{name}-rule"),
        }

    return _named("optimizer", "algorithm", names, of)


def _groups_of(definition: str) -> Schema:
    return {"properties": {"groups": {"items": {"$ref": f"#/$defs/{definition}"}}}}


def _definitions(names: list[str]) -> dict[str, Schema]:
    """Return what sections refer to: the options of each algorithm, and its rules."""
    definitions: dict[str, Schema] = {"rule": _rule(), "algorithm-rule": _algorithm_rule(names)}
    for name in names:
        definitions[f"{name}-options"] = {"properties": _options(name)}
        definitions[f"{name}-rule"] = _rule_of([name])
    # Beside a rule that names an algorithm, what another one says may be for that.
    definitions["any-rule"] = _rule_of(names)
    return definitions


def _rule_of(names: list[str]) -> Schema:
    """Return the schema of rules where one of some algorithms optimizes what they claim."""
    options = [{"$ref": f"#/$defs/{name}-options"} for name in names]
    return {
        "$ref": "#/$defs/rule",
        "if": {"required": ["algorithm"]},
        "then": {"$ref": "#/$defs/algorithm-rule"},
        "else": {"anyOf": options},
        "unevaluatedProperties": False,
    }


def _options(name: str) -> dict[str, Schema]:
    described_options = {}
    for key, item in options(get(name)).items():
        if isinstance(item, Declaration):
            described_options[key] = described(item.range, item.doc, item.default)
        else:
            described_options[key] = described(None, "", item.default)
    return described_options


def _rule() -> Schema:
    """Return the schema of a rule's own keys."""
    keys = {
        name: described(item.metadata["range"], item.metadata["doc"]) for name, item in KEYS.items()
    }
    return {
        "description": "A rule for groups of parameters.",
        "type": "object",
        "properties": {**keys, "name": {"type": "string", "description": "the group's name"}},
        "anyOf": [{"required": [key]} for key in SELECTORS],
    }


def _algorithm_rule(names: list[str]) -> Schema:
    """Return the schema of the options in a rule that names its algorithm."""
    return {
        "properties": {"algorithm": name_schemas.any_of(names, KINDS["algorithm"])},
        "allOf": [
            _if_called("algorithm", name, "algorithm", {"$ref": f"#/$defs/{name}-options"})
            for name in names
        ],
    }


def _factory_section(kind: str, names: list[str]) -> Schema:
    def of(name: str) -> Schema:
        factory = entry_points.load(name, kind)
        arguments = arguments_taken(kind, factory)
        known = arguments.by_name.values()
        schema: Schema = {
            "description": summary_of(factory),
            "properties": {
                a.name: described(a.range, a.doc, None if a.is_required else a.default)
                for a in known
            },
            "required": [a.name for a in known if a.is_required],
        }
        return {**schema, "additionalProperties": True} if arguments.is_open else schema

    return _named(kind, kind, names, of)


def _clipping() -> Schema:
    one = [{"required": ["norm"]}, {"required": ["value"]}]
    return {**_section("clipping"), "additionalProperties": False, "oneOf": one}
