"""The command ``optkit doctor`` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from optkit.cli.option_parsers import seconds

UNHEALTHY = 1


def add_to(app: typer.Typer) -> None:
    """Add this command to an app."""
    app.command("doctor", short_help="Check plugins, compilers, devices and settings.")(
        doctor_command
    )


def doctor_command(
    limit: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            parser=seconds,
            help="How long one plugin may take. Default: OPTKIT_PLUGIN_TIMEOUT, or 30.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Check what is installed: plugins, name clashes, versions, compilers, devices, settings.

    Every plugin is imported and registered in a process of its own. The exit status is 0 where
    nothing is wrong, 1 where something is.
    """
    from optkit.cli.doctor.diagnosis import diagnose
    from optkit.cli.doctor.print_diagnosis import print_diagnosis
    from optkit.cli.json_values import print_json

    diagnosis = diagnose(limit)
    if json:
        print_json(diagnosis.as_dict())
    else:
        print_diagnosis(diagnosis)
    if diagnosis.problems:
        raise typer.Exit(UNHEALTHY)
