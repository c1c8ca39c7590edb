"""The command for parameter groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add this command to an app."""
    app.command("groups", short_help="Show the parameter groups of a model.")(groups_command)


def groups_command(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A configuration file: .toml, .yaml or .json.")
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            help="A function without arguments that returns the model, package.module:build; the "
            "working directory is looked through too.",
        ),
    ],
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Show each parameter in a line of its own.")
    ] = False,
) -> None:
    """Show which parameter of a model lands in which group, with which options, and why."""
    from optkit.cli.build_model import build_model
    from optkit.cli.read_groups import read_groups

    made = read_groups(config, build_model(model))
    typer.echo(made.table(parameters=parameters))
