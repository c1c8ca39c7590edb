"""Descriptions of schedules and averagings: what `optkit.describe` and ``optkit show`` tell."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from optkit_core.factories.factory_arguments import Argument, Arguments, arguments_of
from optkit_core.factories.torch_factories import TORCH, page_of
from optkit_core.plugins.registry import RegistryEntry


@attrs.frozen
class ArgumentInfo:
    """One argument.

    Args:
        name: its name.
        type: its annotation.
        range: what it allows.
        default: its value where none is given; None too where it is required.
        is_required: whether it must be given.
        doc: what it means.
    """

    name: str
    type: str
    range: str
    default: Any
    is_required: bool
    doc: str = ""


@attrs.frozen
class FactoryDescription:
    """What is known about a schedule or an averaging, as plain values."""

    name: str
    kind: str
    summary: str
    arguments: tuple[ArgumentInfo, ...]
    takes_others: bool
    page: str
    distribution: str
    version: str
    location: str

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}"]
        lines += [_line(item) for item in self.arguments]
        lines += [f"documentation: {self.page}"] if self.page else []
        owner = f"{self.distribution} {self.version}".rstrip()
        lines.append(f"provided by {owner} ({self.location})")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return dicts, lists and values, as ``optkit show --json`` has them.

        >>> import optkit
        >>> optkit.describe("ema", kind="averaging").as_dict()["arguments"][0]["default"]
        0.999
        """
        return attrs.asdict(self)


def _line(item: ArgumentInfo) -> str:
    default = "" if item.is_required else f" = {item.default!r}"
    return f"  {item.name}{f': {item.type}' if item.type else ''}{default}, {item.range}"


def describe_factory(
    entry: RegistryEntry, kind: str, factory: Callable[..., Any]
) -> FactoryDescription:
    """Describe a schedule or an averaging from its signature and what it declares.

    Args:
        entry: of its registry.
        kind: what it is.
        factory: the class or function that makes it.
    """
    arguments = arguments_taken(kind, factory)
    return FactoryDescription(
        name=entry.name,
        kind=kind,
        summary=summary_of(factory),
        arguments=tuple(map(_info, arguments.by_name.values())),
        takes_others=arguments.is_open,
        page=page_of(factory),
        distribution=entry.provider,
        version=entry.version,
        location=entry.location,
    )


def arguments_taken(kind: str, factory: Callable[..., Any]) -> Arguments:
    """Return what optkit's own call takes for a factory: for a schedule a warm-up too.

    Args:
        kind: of the factory.
        factory: the class or function.
    """
    from optkit_core.schedules.schedule_request import schedule_arguments

    return schedule_arguments(factory) if kind == "schedule" else arguments_of(factory)


def summary_of(factory: Callable[..., Any]) -> str:
    """Return what a factory makes, in a line.

    >>> from torch.optim.lr_scheduler import StepLR
    >>> summary_of(StepLR)
    'multiplies the rate every few steps'
    """
    if isinstance(factory, type) and factory in TORCH:
        return TORCH[factory].summary
    lines = (inspect.getdoc(factory) or "").splitlines()
    named = f"{getattr(factory, '__name__', '')}: "
    return lines[0].removeprefix(named).removesuffix(".") if lines else ""


def _info(argument: Argument) -> ArgumentInfo:
    return ArgumentInfo(
        argument.name,
        argument.type,
        "not declared" if argument.range is None else str(argument.range),
        None if argument.is_required else argument.default,
        argument.is_required,
        argument.doc,
    )
