"""The commands for checkpoints: inspect and migrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import typer

from optkit.cli.option_parsers import whole_number

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file of optkit.save or of torch.save.")
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Where in a file of torch.save the state is, such as optimizer or optimizers.0.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to an app."""
    app.command("inspect", short_help="Show what a checkpoint holds.")(inspect_command)
    app.command("migrate", short_help="Bring a checkpoint to the present version.")(migrate_command)


def inspect_command(
    file: File,
    key: Key = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show long lists whole; otherwise 20 rows.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read the whole file and compare its checksums.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what a checkpoint holds: algorithm, version, groups, state, shapes, dtypes, size."""
    from optkit.cli.checkpoint_input import open_checkpoint
    from optkit.cli.inspect_checkpoint import print_contents, read_contents
    from optkit.cli.json_values import print_json

    contents = read_contents(open_checkpoint(file, key, with_content=check))
    if json:
        print_json(attrs.asdict(contents))
    else:
        print_contents(contents, everything)


def migrate_command(
    file: File,
    key: Key = None,
    algorithm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which algorithm saved it, where the file doesn't say."),
    ] = None,
    to: Annotated[
        int | None,
        typer.Option(
            metavar="VERSION",
            parser=whole_number(1, 10**9),
            help="The version of the schema; by default the present one.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write; by default in place of FILE."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Rewrite a checkpoint in the present version of its schema and of the file format."""
    from optkit.cli.checkpoint_input import open_checkpoint
    from optkit.cli.migrate_checkpoint import prepare, write

    migration = prepare(open_checkpoint(file, key, with_content=True), algorithm, to, output)
    if not dry_run:
        write(migration)
    # After the write: where that fails, nothing is told as if it had been done.
    for step in migration.steps:
        typer.echo(step)
    typer.echo(f"{'would write' if dry_run else 'wrote'} {migration.output}")
