"""Descriptions: what `optkit.describe` and ``optkit show`` tell about an algorithm."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import torch

from optkit_core.checkpoint.schema import schema_of
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.roles import Role
from optkit_core.declaration.search_spaces import Search, described
from optkit_core.declaration.tensor_types import dtype_name
from optkit_core.optimizer import Optimizer
from optkit_core.plugins.registry import RegistryEntry
from optkit_core.selection.capabilities import Capabilities, capabilities
from optkit_core.selection.collect_offers import OWN_STEP, offers_of


@attrs.frozen
class HyperparameterInfo:
    """One hyperparameter.

    Args:
        name: its name.
        type: its annotation.
        range: what it allows.
        default: its value where none is given.
        doc: what it means.
        search: where good values are searched, in Optuna's words: an object with
            ``distribution``, which is ``"loguniform"`` or ``"uniform"`` and has ``low`` and
            ``high``, or ``"choice"`` with ``choices``; a tuple of these, or None where an entry
            stays, for a tuple; None where nothing is to be searched.
    """

    name: str
    type: str
    range: str
    default: Any
    doc: str = ""
    search: Search = None


@attrs.frozen
class BufferInfo:
    """One entry of each parameter's state, as its schema has it.

    Args:
        name: its key.
        kind: as `Buffer` calls it, ``"per element"`` for example.
        dtype: the rule for its dtype.
        init: what it starts from.
        doc: what it is.
        shape: the rule for its shape.
        device: the rule for its device.
        since: the version of the schema that brought it.
        when: under which condition a parameter has it.
    """

    name: str
    kind: str
    dtype: str
    init: str
    doc: str = ""
    shape: str = ""
    device: str = ""
    since: int = 1
    when: str = "always"


@attrs.frozen
class Description:
    """Everything that is known about an algorithm, as plain values."""

    name: str
    summary: str
    paper: str
    hyperparameters: tuple[HyperparameterInfo, ...]
    buffers: tuple[BufferInfo, ...]
    implementations: tuple[str, ...]
    distribution: str
    version: str
    location: str
    capabilities: Capabilities
    schema: str = ""

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}"]
        lines += [f"paper: {self.paper}"] if self.paper else []
        lines += [_line(item) for item in self.hyperparameters]
        lines += [f"  buffer {b.name}: {b.kind}, {b.dtype}, from {b.init}" for b in self.buffers]
        lines += [f"schema of saved state: {self.schema}"] if self.schema else []
        lines.append(f"implementations: {', '.join(self.implementations)}")
        owner = f"{self.distribution} {self.version}".rstrip()
        lines.append(f"provided by {owner} ({self.location})")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return dicts, lists and values, as ``optkit show --json`` has them.

        >>> import optkit
        >>> optkit.describe("adamax").as_dict()["hyperparameters"][0]["search"]
        {'distribution': 'loguniform', 'low': 0.0001, 'high': 0.1}
        """
        return attrs.asdict(self, value_serializer=_serialized)


def _serialized(owner: Any, field: Any, value: Any) -> Any:
    # attrs would give its fields alone, which don't tell one distribution from another.
    return described(value) if field is not None and field.name == "search" else value


def _line(item: HyperparameterInfo) -> str:
    search = f"; search {item.search}" if item.search else ""
    return f"  {item.name}: {item.type} = {item.default!r}, {item.range}{search}"


def describe(entry: RegistryEntry, algorithm: type[torch.optim.Optimizer]) -> Description:
    """Describe an algorithm from its declarations, or a torch class from its signature.

    Args:
        entry: the algorithm in the registry.
        algorithm: its class.
    """
    declared = algorithm if issubclass(algorithm, Optimizer) else None
    return Description(
        name=entry.name,
        summary=_summary(algorithm),
        paper=getattr(algorithm, "paper", ""),
        hyperparameters=_declared(declared) if declared else _from_signature(algorithm),
        buffers=_buffers(declared) if declared else (),
        implementations=_implementations(declared) if declared else (OWN_STEP,),
        distribution=entry.provider,
        version=entry.version,
        location=entry.location,
        capabilities=capabilities(algorithm),
        schema=schema_of(declared).identity if declared else "",
    )


def _summary(algorithm: type) -> str:
    lines = (inspect.getdoc(algorithm) or "").splitlines()
    return lines[0].removeprefix(f"{algorithm.__name__}: ") if lines else ""


def _declared(algorithm: type[Optimizer]) -> tuple[HyperparameterInfo, ...]:
    return tuple(
        HyperparameterInfo(name, item.type, str(item.range), item.default, item.doc, item.search)
        for name, item in algorithm.declarations.items()
        if item.role is Role.HYPERPARAMETER
    )


def _from_signature(algorithm: type) -> tuple[HyperparameterInfo, ...]:
    arguments = list(inspect.signature(algorithm).parameters.values())
    return tuple(
        HyperparameterInfo(
            argument.name,
            inspect.formatannotation(argument.annotation)
            if argument.annotation is not argument.empty
            else "",
            "not declared",
            # By identity: any object may be a default, a tensor too, whose == returns a tensor.
            None if argument.default is argument.empty else argument.default,
        )
        for argument in arguments
        if argument.name != "params" and argument.kind is not argument.VAR_KEYWORD
    )


def _buffers(algorithm: type[Optimizer]) -> tuple[BufferInfo, ...]:
    return tuple(_buffer(name, item) for name, item in schema_of(algorithm).buffers.items())


def _dtype_rule(item: Buffer) -> str:
    if callable(item.dtype):
        return "a function of the parameter"
    return item.rules.dtype_rule if item.dtype is None else dtype_name(item.dtype)


def _buffer(name: str, item: Buffer) -> BufferInfo:
    return BufferInfo(
        name,
        item.kind,
        _dtype_rule(item),
        _start(item),
        item.doc,
        item.rules.shape_rule,
        item.rules.device_rule,
        item.since,
        _condition(item),
    )


def _start(item: Buffer) -> str:
    if callable(item.init):
        return "a function of the parameter"
    if item.is_set_by_body:
        return "set in the first step"
    return "when it is written" if item.optional else str(item.init)


def _condition(item: Buffer) -> str:
    if callable(item.when):
        return "as the parameter and its group decide"
    return f"with {item.when}" if item.when else "always"


def _implementations(algorithm: type[Optimizer]) -> tuple[str, ...]:
    return tuple(offer.name for offer in offers_of(algorithm)) or (OWN_STEP,)
