"""What ``train`` prints: a bar and a line for each epoch, and at the end what was trained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as ProgressBars

from optkit.cli.tables import console, pairs
from optkit.cli.train.train_records import EpochFigures, TrainReport, TrainSettings
from optkit.cli.train.training_run import TrainingRun

TITLES = ("Epoch", "Loss", "Test loss", "Accuracy", "lr")
AVERAGED = "Averaged"
WIDTH = 9


class LiveProgress:
    """Prints a line for each epoch, and moves a bar with each step."""

    def __init__(self, bars: ProgressBars) -> None:
        """Keep the bars.

        Args:
            bars: of rich; switched off where there is no terminal.
        """
        self.bars, self.task = bars, bars.add_task("", total=None)
        self.is_averaged = False

    def begin(self, run: TrainingRun) -> None:
        """Print the titles, and the epochs that are there already."""
        self.is_averaged = run.setup.averaging is not None
        total, done = run.settings.epochs * run.batches, len(run.figures) * run.batches
        self.bars.update(self.task, total=total, completed=done, description="training")
        print("  ".join(title.rjust(WIDTH) for title in self._titles()), flush=True)
        for figures in run.figures:
            self._print(figures)

    def step(self) -> None:
        """Move the bar."""
        self.bars.advance(self.task)

    def epoch(self, figures: EpochFigures) -> None:
        """Print the figures of an epoch."""
        self.bars.update(self.task, description=f"loss {figures.train_loss:.4g}")
        self._print(figures)

    def _titles(self) -> tuple[str, ...]:
        return (*TITLES, AVERAGED) if self.is_averaged else TITLES

    def _print(self, figures: EpochFigures) -> None:
        cells = [
            str(figures.epoch),
            f"{figures.train_loss:.4g}",
            f"{figures.test_loss:.4g}",
            f"{figures.accuracy:.1%}",
            "-" if figures.lr is None else f"{figures.lr:.4g}",
        ]
        if self.is_averaged:
            averaged = figures.averaged_accuracy
            cells.append("-" if averaged is None else f"{averaged:.1%}")
        print("  ".join(cell.rjust(WIDTH) for cell in cells), flush=True)


@contextmanager
def live_progress() -> Iterator[LiveProgress]:
    """Show a bar on standard error while a training goes on, if that is a terminal.

    Yields:
        What to tell of the training.
    """
    with _bars(console(stderr=True)) as bars:
        yield LiveProgress(bars)


@contextmanager
def go_on_hint(settings: TrainSettings) -> Iterator[None]:
    """Say on standard error, where a training is interrupted, how to go on.

    Args:
        settings: of the training.
    """
    try:
        yield
    except KeyboardInterrupt:
        if settings.checkpoint and settings.checkpoint.exists():
            print(f"{settings.checkpoint} is whole; go on from it by --resume.", file=sys.stderr)
        raise


def print_end(report: TrainReport) -> None:
    """Print what was trained and where the figures are.

    Args:
        report: the finished training.
    """
    settings = report.settings
    data, ran = report.data, f"{report.steps} steps, by {report.implementation}"
    rows = [
        ("Trained", f"{', '.join(_parts(report))}; {ran}"),
        ("Data", f"{data.name}: {data.train_rows} rows, and {data.test_rows} for the test"),
        ("Written", ", ".join(map(str, _written(report)))),
    ]
    if report.diverged:
        rows.append(("Diverged", f"{report.diverged}: try a smaller optimizer.lr"))
    elif settings.checkpoint:
        rows.append(("Go on", f"--checkpoint {settings.checkpoint} --resume, with more --epochs"))
    print()
    console().print(pairs(rows))


def _parts(report: TrainReport) -> Iterator[str]:
    """Yield what the sections of the configuration name."""
    for section in ("optimizer", "schedule", "averaging"):
        if section in report.config:
            yield report.config[section]["name"]
    if "clipping" in report.config:
        yield "clipping"


def _written(report: TrainReport) -> list[object]:
    settings = report.settings
    return [path for path in (settings.picture, settings.json, settings.checkpoint) if path]


def _bars(out: Console) -> ProgressBars:
    return ProgressBars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total} steps"),
        console=out,
        transient=True,
        disable=not out.is_terminal,
        # Lines of a terminal go above the bar; those of a file or a pipe go there.
        redirect_stdout=sys.stdout.isatty(),
    )
