"""The tables of all algorithms: what each does, and what each can do by which implementation."""

from __future__ import annotations

from collections.abc import Sequence

import optkit
from docs.extensions.markup import heading, table
from optkit_core.selection.capabilities import DEVICES

COLUMNS = (
    *("algorithm", "default on CPU", "on CUDA", "for-loop", "foreach", "fused"),
    *("sparse", "complex", "capturable", "differentiable", "parameters"),
)

CELLS = """\
*Default* is what ``implementation="auto"`` takes where it is installed: *fused* needs a C++
compiler on CPU, and Triton on CUDA. *For-loop*, *foreach* and *fused* say on which of the two
devices they run, *sparse* and *complex* which gradients and parameters are taken. *Capturable*
means that a CUDA graph can capture the step, *differentiable* that autograd can record it. All of
it holds for the default hyperparameters. Tests run each cell: what says yes runs and what says no
refuses, on CUDA in Triton's interpreter and by the choice of the implementation where there is no
GPU.
""".splitlines()


def overview(names: Sequence[str]) -> list[str]:
    """Return the lines of the tables of all algorithms."""
    summaries = [(link(name), *summary(name)) for name in names]
    return [
        *table(("algorithm", "what it does", "publication"), summaries),
        *heading("What each can do", "-"),
        *CELLS,
        "",
        *table(COLUMNS, [(link(name), *cells(name)) for name in names]),
    ]


def cells(name: str) -> tuple[str, ...]:
    """Return the row of an algorithm in the table of what each can do."""
    able = optkit.describe(name).capabilities
    dims = able.parameter_dims
    return (
        *(f"``{able.default[device]}``" for device in DEVICES),
        *map(able.devices_of, ("forloop", "foreach", "fused")),
        able.sparse_cell,
        *map(str, (able.complex, able.capturable, able.differentiable)),
        "any" if dims is None else f"of {' or '.join(map(str, dims))} dimensions",
    )


def link(name: str) -> str:
    """Return a reference to the page of an algorithm."""
    return f":doc:`{title(name)} <{name}>`"


def title(name: str) -> str:
    """Return the name of an algorithm's class."""
    return optkit.get(name).__name__


def summary(name: str) -> tuple[str, str]:
    """Return what an algorithm does in a line, and a link to where it was published."""
    described = optkit.describe(name)
    words = described.summary
    return f"{words[:1].upper()}{words[1:]}", linked(described.paper)


def linked(paper: str) -> str:
    """Return a publication as a link, which a narrow column can break, unlike an address.

    >>> linked("Kingma & Ba 2015, https://arxiv.org/abs/1412.6980")
    '`Kingma & Ba 2015 <https://arxiv.org/abs/1412.6980>`__'
    """
    words, _, address = paper.rpartition(", http")
    return f"`{words} <http{address}>`__" if words else paper
