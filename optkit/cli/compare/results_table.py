"""What ``compare`` prints: a bar while it trains, then one table and how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as ProgressBars
from rich.table import Table

from optkit.cli.compare.records import ComparisonReport, OptimizerResult, Progress
from optkit.cli.tables import console, pairs, plain_table


def print_report(report: ComparisonReport) -> None:
    """Print the table of a comparison, and below it how to read it.

    Args:
        report: the finished comparison.
    """
    out = console()
    out.print(_results(report.outcomes))
    out.print()
    out.print(pairs(_notes(report)))


@contextmanager
def progress_bar(total: int) -> Iterator[Progress]:
    """Show a bar per optimizer on standard error, if that is a terminal.

    Args:
        total: the passes that each optimizer may spend.

    Yields:
        A function to tell the name of an optimizer and its number of passes.
    """
    out = console(stderr=True)
    with _bars(out) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, passes: float) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            # The last step of a closure may spend more than was left.
            bars.update(tasks[name], completed=min(passes, total))

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
    for title in ("Train loss", "Test accuracy", "Time per step", "Passes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Ran as", overflow="fold")
    for outcome in outcomes:
        table.add_row(*_result(outcome))
    return table


def _result(outcome: OptimizerResult) -> tuple[str, ...]:
    loss, accuracy = outcome.train_loss, outcome.test_accuracy
    return (
        outcome.name,
        "diverged" if loss is None else f"{loss:.3g}",
        "-" if accuracy is None else f"{accuracy:.1%}",
        f"{outcome.seconds_per_step * 1000:.2f} ms",
        f"{outcome.passes:.0f}",
        outcome.implementation,
    )


def _notes(report: ComparisonReport) -> Iterator[tuple[str, str]]:
    settings, data = report.settings, report.data
    classes = len(data.classes)
    yield (
        "Data",
        f"{data.name}: {data.train_rows} rows to train, {data.test_rows} to test, "
        f"{data.features} features, {classes} classes",
    )
    yield (
        "Network",
        f"{data.features}-{settings.hidden}-{classes} with ReLU, seed {settings.seed}, "
        f"batches of {settings.batch_size}, threads {report.threads}",
    )
    yield "Budget", f"{settings.epochs} passes over the training rows for each optimizer"
    yield "Time", "median over the steps, gradients included"
    for outcome in report.outcomes:
        remarks = "; ".join(_remarks(outcome))
        if remarks:
            yield outcome.name, remarks
    yield from _closure_notes(report)
    yield "Written", f"{settings.picture} (loss curves), {settings.json} (all figures)"


def _remarks(outcome: OptimizerResult) -> Iterator[str]:
    if outcome.hyperparameters:
        yield ", ".join(f"{key}={value}" for key, value in outcome.hyperparameters.items())
    if outcome.diverged:
        yield (
            f"diverged, {outcome.diverged}: try a smaller step, such as "
            f"--set {outcome.name}.lr=0.001"
        )


def _closure_notes(report: ComparisonReport) -> Iterator[tuple[str, str]]:
    names = ", ".join(outcome.name for outcome in report.outcomes if outcome.uses_closure)
    if names:
        full = report.settings.closure_batches == "full"
        rows = "all training rows" if full else "the same batches as the others"
        yield (
            "Closures",
            f"{names} steps on {rows}; every call of the closure is charged to the budget, "
            "and the step that spends the last of it is finished",
        )
