"""Taped bodies: what an update body does with sharded bundles, done later and in passes.

A body is a function, which can't stand still where it needs what other ranks have. So its calls
are noted first, and then done in the same order: before one that needs open reductions, the tape
leaves these to whoever completes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.implementations.bundle import Bundle
from optkit_core.implementations.operators import is_in_place, replaced
from optkit_core.implementations.sharded_bundle import Rows, bundles_in, must_complete
from optkit_core.shards.open_passes import Completions, OpenPasses


class Call(NamedTuple):
    """A call that a body has made.

    Args:
        result: what stands for what it returns.
        method: of a tensor; ``""`` for a function.
        function: takes the arguments.
        arguments: by position.
        keywords: by name.
    """

    result: Taped
    method: str
    function: Callable[..., Any]
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]


class Tape:
    """The calls of one body that aren't done yet.

    Args:
        rows: what it updates.
    """

    def __init__(self, rows: Rows) -> None:
        """Begin without a call."""
        self.rows = rows
        self._calls: list[Call] = []

    def note(self, method: str, function: Any, arguments: Sequence[Any], keywords: Any) -> Taped:
        """Note a call; return what stands for its result."""
        result = arguments[0] if is_in_place(method) else Taped(self)
        self._calls.append(Call(result, method, function, arguments, keywords))
        return result

    def passes(self) -> OpenPasses:
        """Do all calls."""
        calls, self._calls = self._calls, []
        for result, method, function, arguments, keywords in calls:
            own, named = replaced(arguments, _value), replaced(keywords, _value)
            if must_complete(method, own, named):
                with self.rows.reductions.completed_elsewhere() as opened:
                    yield [opened]
            result.value = function(*own, **named)


class Taped(Bundle):
    """A bundle that a body computes with before it is there.

    Args:
        tape: where calls are noted.
        value: the bundle; None where a call returns it.
    """

    takes_over = True

    def __init__(self, tape: Tape, value: Bundle | None = None) -> None:
        """Stand for a bundle."""
        self.tape = tape
        self.value = value

    @property
    def tensors(self) -> list[Tensor]:  # type: ignore[override]
        """The parts of now; what has been noted is done, and what is open completed alone."""
        Completions().run(self.tape.passes())
        assert self.value is not None
        return self.value.tensors

    def beside(self, other: Bundle) -> Taped:
        """Return numbers that don't depend on shards as a bundle of the same rows."""
        return Taped(self.tape, self.tape.rows.beside(other))

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Note that a tensor method is to be applied."""

        def function(own: Bundle, *others: Any, **named: Any) -> Any:
            return own.apply(method, *others, **named)

        return self.tape.note(method, function, (self, *arguments), keywords)

    @classmethod
    def call(
        cls, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Note that a function of torch is to be called.

        Args:
            function: ``torch.where``, for example.
            arguments: its positional arguments.
            keywords: its keyword arguments.
        """
        given = bundles_in((*arguments, *keywords.values()))
        tape = next(value.tape for value in given if isinstance(value, Taped))
        return tape.note("", function, arguments, keywords)

    def __rpow__(self, base: Any) -> Any:
        return self.tape.note("", torch.pow, (base, self), {})


def _value(argument: Any) -> Any:
    """Return arguments with what bundles stand for."""
    if isinstance(argument, (tuple, list, Mapping)):
        return replaced(argument, _value)
    return argument.value if isinstance(argument, Taped) else argument
