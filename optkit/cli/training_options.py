"""The options that all commands have which train on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optkit.cli.option_parsers import LARGEST_SEED, one_of, whole_number

MANY = 10**6
"""The most that an option counts of anything."""

Data = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE.csv",
        help="digits, iris, wine, breast_cancer; or a CSV file: a header row, numeric "
        "features, a column of class labels.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The column of class labels, for a CSV file."),
]
Hidden = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number(1, MANY),
        help="Width of the network's one hidden layer.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number(0, LARGEST_SEED),
        help="Decides the split, the first weights and the order of the batches.",
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole_number(1, 1024),
        help="Threads for torch; a network this small gains nothing from more than one.",
    ),
]
Theme = Annotated[
    str,
    typer.Option(
        metavar="light|dark",
        parser=one_of("light", "dark"),
        help="The colors of the picture.",
    ),
]
Figures = Annotated[Path, typer.Option(metavar="FILE", help="All figures, settings and versions.")]
