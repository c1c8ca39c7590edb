"""Passes: in which of several walks over a tensor each value of a program is known.

A reduction is known only when all of its elements have been seen. What is computed of it is
therefore computed in a later pass; what isn't is computed anew in each pass that needs it, from
inputs that nothing overwrites before the last of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations.reductions import REDUCTIONS, Reduction
from optkit_core.tracing.program import Program

Store = tuple[int, int]
"""An input of a program, and the value that it takes."""


class Passes(NamedTuple):
    """The passes of a program.

    Args:
        program: what is computed.
        extents: over which dims each value varies.
        depths: the first pass in which each value is known.
        reductions: the values that a pass reduces to, one list for each pass; the last pass
            reduces nothing.
        stores: the stores of each pass: those of the program, as early as nothing after them
            needs what they overwrite, if they are of the parameter's shape; all others are last.
    """

    program: Program
    extents: dict[int, Extent]
    depths: dict[int, int]
    reductions: tuple[tuple[int, ...], ...]
    stores: tuple[tuple[Store, ...], ...] = ()

    def reduction(self, value: int) -> Reduction:
        """Return what reduces to a value."""
        return REDUCTIONS[self.program.definitions[value].operation]

    def source(self, value: int) -> int:
        """Return the value that is reduced to another one."""
        return self.program.definitions[value].operands[0]

    def extent(self, value: int) -> Extent:
        """Return over which dims a value varies; a number, -1 and so on, over none."""
        return self.extents.get(value, Extent.TENSOR)

    @property
    def has_matrices(self) -> bool:
        """Whether it matters which elements are in one row or column."""
        return any(e not in (Extent.ELEMENT, Extent.TENSOR) for e in self.extents.values())

    def needed(self, values: Iterable[int]) -> list[int]:
        """Return what has to be there for some values, they included, in order of computation.

        What a reduction results in is there; what it was computed of isn't needed for that.
        """
        definitions, found, open_values = self.program.definitions, set(), list(values)
        while open_values:
            value = open_values.pop()
            if value in found or value < 0:
                continue
            found.add(value)
            line = definitions.get(value)
            if line is not None and line.operation not in REDUCTIONS:
                open_values += line.operands
        return sorted(found)


@lru_cache(maxsize=1024)
def passes_of(program: Program) -> Passes:
    """Return the passes of a program."""
    depths: dict[int, int] = dict.fromkeys(range(len(program.inputs)), 0)
    for value, (operation, operands) in program.definitions.items():
        depth = max((depths[operand] for operand in operands if operand >= 0), default=0)
        reduction = REDUCTIONS.get(operation)
        depths[value] = 0 if reduction and reduction.is_count else depth + bool(reduction)
    found = [
        (value, depths[value] - 1)
        for value, (operation, _) in program.definitions.items()
        if operation in REDUCTIONS and not REDUCTIONS[operation].is_count
    ]
    last = max((index for _, index in found), default=-1) + 1
    reductions = tuple(
        tuple(value for value, index in found if index == number) for number in range(last + 1)
    )
    passes = Passes(program, extents_of(program), depths, reductions)
    return passes._replace(stores=_stores(passes))


def _stores(passes: Passes) -> tuple[tuple[Store, ...], ...]:
    """Return what each pass stores."""
    count = len(passes.reductions)
    when = dict.fromkeys(passes.program.stores, count - 1)
    for store in passes.program.stores:
        place, value = store
        if passes.extents[place] == Extent.ELEMENT:
            others = {other: number for other, number in when.items() if other != store}
            reads = [place in _read(passes, others, number) for number in range(count)]
            when[store] = next(
                n for n in range(passes.depths[value], count) if not any(reads[n + 1 :])
            )
    return tuple(tuple(s for s, n in when.items() if n == number) for number in range(count))


def _read(passes: Passes, when: Mapping[Store, int], number: int) -> list[int]:
    """Return the values that a pass needs for what it reduces, and for stores that it is to do."""
    sources = [passes.source(value) for value in passes.reductions[number]]
    return passes.needed([*sources, *(value for (_, value), n in when.items() if n == number)])


def extents_of(program: Program) -> dict[int, Extent]:
    """Return over which dims of the parameter each value of a program varies."""
    extents = dict.fromkeys(range(program.operands), Extent.ELEMENT)
    extents[program.step] = Extent.TENSOR
    extents.update(program.shaped)
    for value, (operation, operands) in program.definitions.items():
        extent = Extent.TENSOR
        for operand in operands:
            extent |= extents.get(operand, Extent.TENSOR)
        reduction = REDUCTIONS.get(operation)
        if reduction is not None:
            extent = extent.without(reduction.over)
        extents[value] = Extent.TENSOR if reduction and reduction.is_count else extent
    return extents
