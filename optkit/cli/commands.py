"""The commands and their options.

Each command imports what it needs when it runs, so that ``optkit --help`` comes without torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import optkit
from optkit.cli import (
    catalog_commands,
    checkpoint_commands,
    doctor_command,
    groups_command,
    kernel_commands,
    new_command,
    option_parsers,
    schema_command,
    train_command,
)
from optkit.cli.option_parsers import one_of, whole_number
from optkit.cli.training_options import MANY, Data, Figures, Hidden, Seed, Target, Theme, Threads

app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.add_typer(kernel_commands.app, name="kernels")

DEFAULT_NAMES = ("adagrad", "adamax", "lbfgs")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"optkit {optkit.__version__}")
        raise typer.Exit()


@app.callback()
def optkit_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Optimizers for PyTorch as plugins: list, show and compare them."""


catalog_commands.add_to(app)  # here, since help lists commands in the order of their coming


@app.command("compare", short_help="Compare optimizers on real data.")
def compare_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help=f"Names, or patterns such as 'ada*'. Default: {' '.join(DEFAULT_NAMES)}.",
        ),
    ] = None,
    data: Data = "digits",
    target: Target = None,
    epochs: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=whole_number(1, MANY),
            help="The budget: how many passes over the training rows each optimizer may spend.",
        ),
    ] = 30,
    batch_size: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number(1, MANY), help="Rows per mini-batch."),
    ] = 32,
    hidden: Hidden = 64,
    seed: Seed = 0,
    implementation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            parser=option_parsers.implementation,
            help="auto, forloop, foreach, fused, flat, or one that a plugin adds.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME.KEY=VALUE",
            help="A hyperparameter of one optimizer, such as adagrad.lr=0.05. Repeatable.",
        ),
    ] = None,
    rates: Annotated[
        str,
        typer.Option(
            metavar="searched|default",
            parser=one_of("searched", "default"),
            help="Learning rates: the best of a few in the range that an algorithm declares, "
            "tried with a sixth of the budget each, or the defaults.",
        ),
    ] = "searched",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="torch",
            parser=one_of("torch"),
            help="Measure updates beside those of torch.optim's classes of the same names.",
        ),
    ] = None,
    closure_batches: Annotated[
        str,
        typer.Option(
            metavar="full|mini",
            parser=one_of("full", "mini"),
            help="What an optimizer with a closure (lbfgs) steps on: all training rows, which "
            "its line search is made for, or the same mini-batches as the others.",
        ),
    ] = "full",
    threads: Threads = 1,
    picture: Annotated[
        Path, typer.Option(metavar="FILE", help="Loss curves, as .png, .svg or .pdf.")
    ] = Path("optkit-compare.png"),
    theme: Theme = "light",
    json: Figures = Path("optkit-compare.json"),
) -> None:
    """Train one network with several optimizers on real data, and compare them.

    Each starts from the same weights, sees the same batches in the same order and may
    spend the same number of passes over the training rows, with a learning rate that is
    searched. Prints a table and writes a picture of the loss curves and a JSON file.
    """
    from optkit.cli.compare.comparison import compare
    from optkit.cli.compare.entrants import expanded
    from optkit.cli.compare.records import ComparisonSettings
    from optkit.cli.compare.results_table import print_report, progress_bar
    from optkit.cli.set_option import parse_overrides

    chosen = expanded(names or DEFAULT_NAMES)
    comparison = ComparisonSettings(
        names=chosen,
        data=data,
        target=target,
        epochs=epochs,
        batch_size=batch_size,
        hidden=hidden,
        seed=seed,
        closure_batches=closure_batches,
        implementation=implementation,
        rates=rates,
        against=against,
        theme=theme,
        overrides=parse_overrides(settings or [], chosen),
        threads=threads,
        picture=picture,
        json=json,
    )
    with progress_bar() as report_progress:
        report = compare(comparison, report_progress)
    print_report(report)


@app.command("explain", short_help="Tell what would run, and why.")
def explain_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an algorithm.")],
    shapes: Annotated[
        list[str],
        typer.Option(
            "--shape",
            metavar="AxB",
            help="The shape of parameters: 1024x1024, 64, scalar. Repeatable.",
        ),
    ] = ["1024x1024"],  # noqa: B006 - typer copies it
    count: Annotated[
        int,
        typer.Option(
            metavar="N", parser=whole_number(1, MANY), help="How many there are of each shape."
        ),
    ] = 16,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32, bfloat16, ...")] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, ...")] = "cpu",
    implementation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            parser=option_parsers.implementation,
            help="What to ask for: auto, forloop, ..., or one that a plugin adds.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A hyperparameter or an option. Repeatable."
        ),
    ] = None,
    source: Annotated[
        bool, typer.Option("--source", help="Print the source of the fused kernels too.")
    ] = False,
) -> None:
    """Tell what would run parameters of some shapes, why, and why nothing else does."""
    from optkit.cli import explain
    from optkit.cli.set_option import parse_settings

    sizes = [explain.shape(text) for text in shapes]
    given = parse_settings(settings or [])
    optimizer = explain.optimizer_for(name, sizes, count, dtype, device, implementation, given)
    explanation = optimizer.explain()
    explain.print_explanation(explanation, explain.sources(optimizer) if source else ())


checkpoint_commands.add_to(app)
doctor_command.add_to(app)
groups_command.add_to(app)
new_command.add_to(app)
schema_command.add_to(app)
train_command.add_to(app)
