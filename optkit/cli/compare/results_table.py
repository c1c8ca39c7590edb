"""What ``compare`` prints: a bar while it trains, then its tables and how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as ProgressBars
from rich.table import Table

from optkit.cli.compare.records import ComparisonReport, OptimizerResult, Progress, StepTime
from optkit.cli.compare.report_notes import notes
from optkit.cli.tables import console, pairs, plain_table


def print_report(report: ComparisonReport) -> None:
    """Print the tables of a comparison, and below them how to read them.

    Args:
        report: the finished comparison.
    """
    out = console()
    out.print(_results(report.outcomes))
    out.print()
    if report.against:
        out.print(_beside_torch(report.against))
        out.print()
    out.print(pairs(notes(report)))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar for what trains on standard error, if that is a terminal.

    Yields:
        A function to tell what trains, its number of passes, and how many there will be.
    """
    out = console(stderr=True)
    with _bars(out) as bars:
        tasks: dict[str, Any] = {}

        def report(title: str, passes: float, total: float) -> None:
            if title not in tasks:
                for finished in tasks.values():
                    bars.update(finished, visible=False)
                tasks[title] = bars.add_task(title, total=total)
            # The last step of a closure may spend more than was left.
            bars.update(tasks[title], completed=min(passes, total))

        yield report


def _bars(out: Console) -> ProgressBars:
    return ProgressBars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} passes"),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    )


def _results(outcomes: Sequence[OptimizerResult]) -> Table:
    table = plain_table()
    table.add_column("Optimizer", overflow="fold", style="bold")
    for title in ("lr", "Loss", "Accuracy", "Per step", "Passes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Ran as", overflow="fold")
    for outcome in outcomes:
        table.add_row(*_result(outcome))
    return table


def _result(outcome: OptimizerResult) -> tuple[str, ...]:
    loss, accuracy = outcome.train_loss, outcome.test_accuracy
    return (
        outcome.name,
        "-" if outcome.rate.lr is None else f"{outcome.rate.lr:.2g}",
        "diverged" if loss is None else f"{loss:.3g}",
        "-" if accuracy is None else f"{accuracy:.1%}",
        f"{outcome.seconds_per_step * 1000:.2f} ms",
        f"{outcome.passes:.0f}",
        outcome.implementation,
    )


def _beside_torch(times: Sequence[StepTime]) -> Table:
    table = plain_table()
    table.add_column("Update", overflow="fold", style="bold")
    for title in ("optkit", "torch.optim", "Ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("optkit's, torch's", overflow="fold")
    for item in times:
        seconds = (f"{value * 1000:.3f} ms" for value in (item.seconds, item.torch_seconds))
        ran = f"{item.implementation}, {item.torch_implementation}"
        table.add_row(item.name, *seconds, f"{item.ratio:.2f}", ran)
    return table
