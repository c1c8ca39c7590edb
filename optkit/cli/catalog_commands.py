"""The commands for what is registered: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from optkit.cli.option_parsers import one_of

# As in optkit_core.plugins.kinds, which would bring torch.
ALGORITHM = "algorithm"
KINDS = (ALGORITHM, "schedule", "averaging")


def add_to(app: typer.Typer) -> None:
    """Add these commands to an app."""
    app.command("list", short_help="List the registered algorithms.")(list_command)
    app.command("show", short_help="Show the facts of one algorithm.")(show_command)


def list_command(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Only names that match, such as 'ada*'.")
    ] = "*",
    kind: Annotated[
        str,
        typer.Option(
            metavar="|".join(KINDS),
            parser=one_of(*KINDS),
            help="What to list; schedules are of the learning rate, averagings of the weights.",
        ),
    ] = ALGORITHM,
    summaries: Annotated[
        bool, typer.Option("--summaries", help="What each does, instead of what it runs as.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List the algorithms that are registered, and what each can do; or schedules, averagings."""
    from optkit.cli import list_algorithms, list_factories
    from optkit.cli.json_values import print_json
    from optkit.cli.listing import listed

    items = listed(pattern, kind)
    if json:
        print_json([item.as_dict() for item in items])
    elif kind != ALGORITHM:
        list_factories.print_table(items)
    elif summaries:
        list_algorithms.print_summaries(items)
    else:
        list_algorithms.print_table(items)


def show_command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The name of an algorithm, schedule or averaging."),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(KINDS),
            parser=one_of(*KINDS),
            help="What the name is of; by default an algorithm, and where there is none, whatever "
            "has the name.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the facts of one algorithm: hyperparameters, buffers, implementations, origin.

    Of a schedule or an averaging, its arguments.
    """
    from optkit.cli.json_values import print_json
    from optkit.cli.listing import kind_of
    from optkit.cli.tables import print_any
    from optkit_core import describe

    description = describe(name, kind=kind or kind_of(name))
    if json:
        print_json(description.as_dict())
    else:
        print_any(description)
