"""The command that trains as a configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optkit.cli.option_parsers import whole_number
from optkit.cli.training_options import MANY, Data, Figures, Hidden, Seed, Target, Theme, Threads


def add_to(app: typer.Typer) -> None:
    """Add this command to an app."""
    app.command("train", short_help="Train as a configuration says.")(train_command)


def train_command(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="A .toml, .yaml or .json file of from_config's."),
    ],
    data: Data = "digits",
    target: Target = None,
    epochs: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=whole_number(1, MANY),
            help="How many there are to be, those of a checkpoint included.",
        ),
    ] = 30,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=whole_number(1, MANY),
            help="Rows per mini-batch; an optimizer with a closure (lbfgs) steps on all rows.",
        ),
    ] = 32,
    hidden: Hidden = 64,
    seed: Seed = 0,
    threads: Threads = 1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Written at the end of an epoch, as a whole."),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=whole_number(1, MANY),
            help="After how many epochs it is written; after the last one always.",
        ),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the checkpoint, to the same numbers."),
    ] = False,
    picture: Annotated[
        Path, typer.Option(metavar="FILE", help="Losses and the rate, as .png, .svg or .pdf.")
    ] = Path("optkit-train.png"),
    theme: Theme = "light",
    json: Figures = Path("optkit-train.json"),
) -> None:
    """Train one network on real data as a configuration says.

    Optimizer, groups, schedule, averaging and clipping are those of CONFIG. Prints a line for
    each epoch, and writes a picture, a JSON file and, if asked for, a checkpoint that --resume
    goes on from to the numbers of an uninterrupted training, bit for bit.
    """
    from optkit.cli.train.live_progress import go_on_hint, live_progress, print_end
    from optkit.cli.train.run_training import train
    from optkit.cli.train.train_records import TrainSettings

    settings = TrainSettings(
        config=config,
        data=data,
        target=target,
        epochs=epochs,
        batch_size=batch_size,
        hidden=hidden,
        seed=seed,
        threads=threads,
        theme=theme,
        checkpoint=checkpoint,
        every=every,
        resume=resume,
        picture=picture,
        json=json,
    )
    with go_on_hint(settings), live_progress() as watch:
        report = train(settings, watch)
    print_end(report)
