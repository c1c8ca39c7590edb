"""The command for the JSON Schema of configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add this command to an app."""
    app.command("schema", short_help="Print the JSON Schema of configurations.")(schema_command)


def schema_command(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write; by default printed."),
    ] = None,
) -> None:
    """Print the JSON Schema of what from_config reads, with everything that is installed.

    Editors complete and check configuration files by it.
    """
    import json
    import warnings

    import optkit
    from optkit.cli.listing import ending
    from optkit.cli.output_files import writing
    from optkit_core.config_file.json_schema.config_schema import config_schema
    from optkit_core.errors import PluginWarning
    from optkit_core.plugins.kinds import KINDS

    left_out = {kind: ending(optkit.available(kind=kind), kind) for kind in KINDS}
    for kind, names in left_out.items():
        for name, reason in names.items():
            message = f"the schema goes without {kind} {name!r}: {reason}"
            warnings.warn(message, PluginWarning, stacklevel=2)
    text = json.dumps(config_schema(left_out), indent=2, ensure_ascii=False, allow_nan=False)
    if output is None:
        typer.echo(text)
    else:
        with writing("--output", output):
            output.write_text(f"{text}\n", encoding="utf-8")
        typer.echo(f"wrote {output}")
