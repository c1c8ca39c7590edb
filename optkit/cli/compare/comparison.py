"""The comparison: the same network, data and budget for each optimizer in turn."""

from __future__ import annotations

from functools import partial

import attrs
import torch

from optkit.cli.classification.datasets import Split, load, split
from optkit.cli.compare.beside_torch import step_times
from optkit.cli.compare.contestants import Enter, entrance
from optkit.cli.compare.entrants import unsuited
from optkit.cli.compare.loss_curves import draw
from optkit.cli.compare.rate_search import rate_of
from optkit.cli.compare.records import (
    SEARCHED,
    ComparisonReport,
    ComparisonSettings,
    OptimizerResult,
    Progress,
)
from optkit.cli.compare.training import train
from optkit.cli.output_files import check_outputs, figures_of, write_json
from optkit.cli.torch_settings import own_random_state, threads
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
    with own_random_state(), threads(settings.threads):
        enter = entrance(settings, data.facts)
        for name in names:
            enter(name, {})
        outcomes = tuple(_trained(name, enter, data, settings, progress) for name in names)
        beside = step_times(names, enter, data, settings) if settings.against else ()
        used = torch.get_num_threads()
    report = ComparisonReport(settings, data.facts, used, outcomes, left_out, beside)
    draw(report)
    write_json(settings.json, figures_of(report))
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
