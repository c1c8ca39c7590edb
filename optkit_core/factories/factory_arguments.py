"""The arguments of a class or function that is made by name: what each allows, and checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin

import attrs

from optkit_core.declaration.annotations import annotation_text, resolved_annotation
from optkit_core.declaration.ranges import Range, converter
from optkit_core.errors import ArgumentError, did_you_mean
from optkit_core.factories.annotated_ranges import doc_of, range_of
from optkit_core.factories.torch_factories import TORCH

REQUIRED: Any = inspect.Parameter.empty
"""What stands for the default of an argument that has none."""


@attrs.frozen(eq=False)
class Argument:
    """One argument of a schedule or an averaging.

    Args:
        name: its name.
        type: its annotation, as it is written.
        range: what it allows; None where that isn't declared.
        default: its value where none is given; `REQUIRED` where there is none.
        doc: what it means.
    """

    name: str
    type: str
    range: Range | None
    default: Any = REQUIRED
    doc: str = ""

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    def complaint(self, value: Any, prefix: str = "") -> str:
        """Return what is wrong with a value, or an empty string.

        Args:
            value: what was given.
            prefix: what the name has before it in the message, ``"schedules[1]."`` for example.
        """
        # A default goes as it is, whatever an annotation says of it.
        if self.range is None or value is self.default:
            return ""
        return self.range.complaint(f"{prefix}{self.name}", value)

    def converted(self, value: Any) -> Any:
        """Return an allowed value as it is kept, one of Python's own types for example."""
        return value if self.range is None else converter(self.range)(value)


@attrs.frozen
class Fault:
    """What is wrong with arguments: with which one, and a sentence about it."""

    argument: str
    text: str


@attrs.frozen(eq=False)
class Arguments:
    """All arguments of a class or function, but for the first, which is what it's made for.

    Args:
        by_name: those that are known.
        is_open: whether it takes others too, by ``**``.
    """

    by_name: Mapping[str, Argument]
    is_open: bool = False

    def checked(self, owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments as they are handed on.

        Args:
            owner: for whom they are, for messages: ``"schedule 'step'"``.
            given: the arguments by name.

        Raises:
            ArgumentError: one is missing, unknown, or isn't allowed.
        """
        fault = self.fault(owner, given)
        if fault is not None:
            names_owner = fault.text.startswith(owner)
            text = fault.text if names_owner else f"{owner}: {fault.text}"
            raise ArgumentError(text, fault.argument)
        known = self.by_name
        return {k: known[k].converted(v) if k in known else v for k, v in given.items()}

    def fault(self, owner: str, given: Mapping[str, Any], prefix: str = "") -> Fault | None:
        """Return the first thing that is wrong with arguments, None where nothing is.

        Args:
            owner: for whom they are, for the sentence.
            given: the arguments by name.
            prefix: what their names have before them.
        """
        for name, value in given.items():
            if name in self.by_name:
                complaint = self.by_name[name].complaint(value, prefix)
                if complaint:
                    # It begins with the name, or with the path of something in the value.
                    return Fault(complaint.split(" ", 1)[0], complaint)
            elif not self.is_open:
                return Fault(f"{prefix}{name}", self._unknown(owner, name, value))
        missing = [a.name for a in self.by_name.values() if a.is_required and a.name not in given]
        if missing:
            return Fault(f"{prefix}{missing[0]}", f"{owner} needs {' and '.join(missing)}.")
        return None

    def _unknown(self, owner: str, name: object, value: Any) -> str:
        takes = f"It takes {', '.join(self.by_name)}." if self.by_name else "It takes none."
        hint = did_you_mean(str(name), self.by_name)
        return f"{owner} takes no {name!r} (got {name}={value!r:.80}).{hint} {takes}"


def arguments_of(factory: Callable[..., Any]) -> Arguments:
    """Return the arguments of a class or function from its signature.

    What it allows is declared for torch's own classes, and for others by annotations: types, or
    ``Annotated[int, optkit_core.whole(1), "how many steps"]``.

    Args:
        factory: the class or function; its first argument is left out.

    >>> import torch
    >>> known = arguments_of(torch.optim.lr_scheduler.StepLR).by_name
    >>> {name: str(argument.range) for name, argument in known.items()}
    {'step_size': 'whole, ≥ 1', 'gamma': '[0, inf)', 'last_epoch': 'whole, ≥ -1'}
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # a builtin function may have no signature
        return Arguments({}, is_open=True)
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = [p for p in parameters[1:] if p.kind in by_keyword]
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return Arguments({a.name: a for a in _arguments(factory, taken)}, is_open)


def _arguments(factory: Any, taken: Iterable[inspect.Parameter]) -> Iterable[Argument]:
    declared = TORCH[factory].arguments if _is_torchs(factory) else {}
    for parameter in taken:
        written = parameter.annotation
        resolved = resolved_annotation(written, _names_known_to(factory))
        range, doc = declared.get(parameter.name) or (range_of(resolved), doc_of(resolved))
        text = "" if written is parameter.empty else _type_text(written, resolved)
        yield Argument(parameter.name, text, range, parameter.default, doc)


def _is_torchs(factory: Any) -> bool:
    return isinstance(factory, type) and factory in TORCH


def _names_known_to(factory: Any) -> dict[str, Any]:
    function = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    names: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return names


def _type_text(written: Any, resolved: Any) -> str:
    # Of an annotation with a range in it the type alone is shown; the range comes beside it.
    shown = get_args(resolved)[0] if get_origin(resolved) is Annotated else written
    return annotation_text(shown)
