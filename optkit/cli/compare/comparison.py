"""The comparison: the same network, data and budget for each optimizer in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import attrs
import torch

from optkit.cli.compare.beside_torch import step_times
from optkit.cli.compare.contestants import Enter, entrance
from optkit.cli.compare.datasets import Split, load, split
from optkit.cli.compare.entrants import unsuited
from optkit.cli.compare.loss_curves import draw
from optkit.cli.compare.output_files import check_outputs, write_json
from optkit.cli.compare.rate_search import rate_of
from optkit.cli.compare.records import (
    SEARCHED,
    ComparisonReport,
    ComparisonSettings,
    OptimizerResult,
    Progress,
)
from optkit.cli.compare.training import train
from optkit.cli.user_errors import from_extra


def compare(settings: ComparisonSettings, progress: Progress) -> ComparisonReport:
    """Train with each optimizer in turn, and write the picture and the figures.

    Everything that can be refused is refused before the first training starts.

    Args:
        settings: what to compare, on what, and where to write.
        progress: told what trains and its number of passes, again and again.

    Returns:
        The finished comparison.

    Raises:
        OptkitError: an option, the data or an output path can't be used, or an
            optimizer failed.
    """
    check_outputs(settings.picture, settings.json)
    data = split(load(settings.data, settings.target), settings.seed)
    # Asked for now: after the training it would be too late to say that it is missing.
    from_extra("matplotlib.figure", "compare")
    left_out = unsuited(settings.names)
    names = [name for name in settings.names if name not in left_out]
    with _own_random_state(), _threads(settings.threads):
        enter = entrance(settings, data.facts)
        for name in names:
            enter(name, {})
        outcomes = tuple(_trained(name, enter, data, settings, progress) for name in names)
        beside = step_times(names, enter, data, settings) if settings.against else ()
        threads = torch.get_num_threads()
    report = ComparisonReport(settings, data.facts, threads, outcomes, left_out, beside)
    draw(report)
    write_json(report)
    return report


def _trained(
    name: str, enter: Enter, data: Split, settings: ComparisonSettings, progress: Progress
) -> OptimizerResult:
    rate = rate_of(enter(name, {}), enter, data, settings, progress)
    contestant = enter(name, {"lr": rate.lr} if rate.source == SEARCHED else {})
    progress(name, 0.0, settings.epochs)
    told = partial(_told, progress, name, settings.epochs)
    return attrs.evolve(train(contestant, data, settings, told), rate=rate)


def _told(progress: Progress, name: str, epochs: int, passes: float) -> None:
    progress(name, passes, epochs)


@contextmanager
def _own_random_state() -> Iterator[None]:
    # The caller's generator of the CPU, where the networks are, is as it was, should this run in
    # a notebook.
    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
