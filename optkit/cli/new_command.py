"""The command that starts a plugin: new."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from optkit.cli.option_parsers import one_of

BASES = ("elementwise", "layerwise", "matrixwise")
"""Those of the base classes that have a template, which is called by its lower-case name."""


def add_to(app: typer.Typer) -> None:
    """Add this command to an app."""
    app.command("new", short_help="Write a plugin project.")(new_command)


def new_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the algorithm is called: lion-cub.")
    ],
    base: Annotated[
        str,
        typer.Option(
            metavar="|".join(BASES),
            parser=one_of(*BASES),
            help="What an update looks at: elements, norms of a tensor, or products of matrices.",
        ),
    ] = BASES[0],
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The directory to create; by default ./optkit-NAME.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a project for an algorithm of your own, which installs and passes its tests as it is.

    Whoever installs what it builds has the algorithm by optkit.create. Change the update body.
    """
    from optkit.cli.new.project_files import COMMANDS, algorithm_path, project_files
    from optkit.cli.new.project_names import project_names
    from optkit.cli.new.write_project import write_project

    names = project_names(name)
    target = Path(names.distribution) if directory is None else directory
    files = project_files(names, base)
    write_project(files, target)
    typer.echo(f"wrote {target}")
    for path in sorted(files):
        typer.echo(f"  {path}")
    typer.echo(f"The update body of {names.class_name} is in {algorithm_path(names)}.")
    typer.echo("Go there, install it, and run its tests:")
    for command in (f"cd {shlex.quote(str(target))}", *COMMANDS.values()):
        typer.echo(f"  {command}")
