"""What ``compare`` prints below its tables: on what they stand, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator

from optkit.cli.compare.rate_search import TRIALS, passes_of_a_trial
from optkit.cli.compare.records import SEARCHED, ComparisonReport, OptimizerResult


def notes(report: ComparisonReport) -> Iterator[tuple[str, str]]:
    """Yield titles and texts.

    Args:
        report: the finished comparison.
    """
    yield from _task(report)
    yield "lr", _rates(report)
    if report.against:
        yield (
            "Update",
            "median time of a step without its gradients, in turn with that of the class of "
            "torch.optim of the same name by its quickest implementation",
        )
    for name, reason in report.left_out.items():
        yield name, f"left out: it {reason}"
    for outcome in report.outcomes:
        remarks = "; ".join(_remarks(outcome))
        if remarks:
            yield outcome.name, remarks
    yield from _closures(report)
    settings = report.settings
    yield "Written", f"{settings.picture} (loss curves), {settings.json} (all figures)"


def _task(report: ComparisonReport) -> Iterator[tuple[str, str]]:
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
    yield "Columns", "loss on training rows, accuracy on test rows, median time of a step"


def _rates(report: ComparisonReport) -> str:
    searched = {item.name for item in report.outcomes if item.rate.source == SEARCHED}
    others = [item.name for item in report.outcomes if item.name not in searched]
    if not searched:
        return "as given, or the default"
    passes = passes_of_a_trial(report.settings)
    rule = (
        f"of {TRIALS} in the declared range the one with the lowest loss on held-out training rows "
        f"after {passes} {'pass' if passes == 1 else 'passes'}"
    )
    return f"{rule}; of {', '.join(others)} as given, or the default" if others else rule


def _remarks(outcome: OptimizerResult) -> Iterator[str]:
    if outcome.hyperparameters:
        yield ", ".join(f"{key}={value}" for key, value in outcome.hyperparameters.items())
    if outcome.diverged:
        yield (
            f"diverged, {outcome.diverged}: try a smaller step, such as "
            f"--set {outcome.name}.lr=0.001"
        )


def _closures(report: ComparisonReport) -> Iterator[tuple[str, str]]:
    names = ", ".join(outcome.name for outcome in report.outcomes if outcome.uses_closure)
    if names:
        full = report.settings.closure_batches == "full"
        rows = "all training rows" if full else "the same batches as the others"
        yield (
            "Closures",
            f"{names} steps on {rows}; every call of the closure is charged to the budget, "
            "and the step that spends the last of it is finished",
        )
