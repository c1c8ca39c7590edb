"""The commands below ``optkit kernels`` and their options."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    rich_markup_mode=None,
    short_help="List, build and clear the compiled kernels of fused on CPU.",
)


@app.callback(invoke_without_command=True)
def kernels_command(context: typer.Context) -> None:
    """Compiled kernels of fused on CPU: list, build and clear their cache."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list", short_help="List the compiled kernels.")
def list_command() -> None:
    """List the compiled kernels: what for, by which compiler, size and date."""
    from optkit.cli.kernels import cached_kernels, print_cached

    print_cached(cached_kernels())


@app.command("build", short_help="Compile kernels ahead of their use.")
def build_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Default: every registered algorithm."),
    ] = None,
    dtypes: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="Of the parameters. Repeatable. Default: float32 and bfloat16.",
        ),
    ] = None,
    portable: Annotated[
        bool,
        typer.Option(
            "--portable",
            help="For other machines of this architecture too, not for this processor alone.",
        ),
    ] = False,
) -> None:
    """Compile kernels ahead of their use, for an image that will have no compiler.

    For each algorithm and dtype these are the kernels for its defaults, with and without
    whatever is zero or off by default, such as weight decay, with and without maximize, and
    with gradients that are scaled or not. Anything else is compiled when first used.
    """
    from optkit.cli.kernels import DTYPES, build, print_built

    print_built(build(names or [], dtypes or DTYPES, portable))


@app.command("clear", short_help="Remove all compiled kernels.")
def clear_command() -> None:
    """Remove all compiled kernels; each is compiled anew when it is next needed."""
    from optkit.cli.kernels import clear

    count = clear()
    typer.echo(f"{count} compiled {'kernel' if count == 1 else 'kernels'} removed.")
