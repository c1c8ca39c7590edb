"""The command's work: train, keep checkpoints, draw and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from optkit.cli.classification.datasets import load, split
from optkit.cli.compare.training import implementation_of
from optkit.cli.output_files import check_outputs, figures_of, require_writable, write_json
from optkit.cli.torch_settings import own_random_state, threads
from optkit.cli.train import run_checkpoint
from optkit.cli.train.run_picture import draw
from optkit.cli.train.train_records import EpochFigures, TrainReport, TrainSettings
from optkit.cli.train.training_run import TrainingRun, begin
from optkit.cli.user_errors import OptionError, OutputError, from_extra
from optkit_core.config_file.read_source import read


class Watch(Protocol):
    """Who is told how a training goes on."""

    def begin(self, run: TrainingRun) -> None:
        """See what is about to be trained, and which epochs are there already."""

    def step(self) -> None:
        """See that a step was made."""

    def epoch(self, figures: EpochFigures) -> None:
        """See the figures of an epoch."""


def train(settings: TrainSettings, watch: Watch) -> TrainReport:
    """Train as a configuration says, and write the picture, the figures and the checkpoint.

    Everything that can be refused is refused before the first step.

    Args:
        settings: what to train, on what, and where to write.
        watch: is told how it goes on.

    Returns:
        The finished training.

    Raises:
        OptkitError: an option, the configuration, the data, a checkpoint or an output path can't
            be used, or the optimizer failed.
    """
    _check_paths(settings)
    read(settings.config)  # before the data, which may take a while
    data = split(load(settings.data, settings.target), settings.seed)
    from_extra("matplotlib.figure", "train")
    with own_random_state(), threads(settings.threads):
        run = begin(settings, data)
        resumed_after = _resumed(run)
        watch.begin(run)
        _run_epochs(run, watch.step, watch.epoch)
        used = torch.get_num_threads()
    report = TrainReport(
        settings,
        data.facts,
        run.setup.config(),
        implementation_of(run.setup.optimizer),
        used,
        run.setup.steps,
        tuple(run.figures),
        resumed_after,
        run.diverged,
    )
    draw(report)
    write_json(settings.json, figures_of(report))
    return report


def _run_epochs(
    run: TrainingRun, stepped: Callable[[], None], told: Callable[[EpochFigures], None]
) -> None:
    settings = run.settings
    while len(run.figures) < settings.epochs and not run.diverged:
        figures = run.run_epoch(stepped)
        is_due = figures.epoch % settings.every == 0 or figures.epoch == settings.epochs
        # What has diverged can't go on: the last good one stays.
        if settings.checkpoint and is_due and not run.diverged:
            run_checkpoint.save(run, settings.checkpoint)
        told(figures)


def _resumed(run: TrainingRun) -> int:
    """Return after which epoch the training goes on, 0 for a new one."""
    settings = run.settings
    if not settings.resume or settings.checkpoint is None:
        return 0
    run_checkpoint.resume(run, settings.checkpoint)
    done = len(run.figures)
    if done > settings.epochs:
        raise OptionError(
            f"{settings.checkpoint} has {done} epochs; expected --epochs {done} or more, got "
            f"{settings.epochs}."
        )
    return done


def _check_paths(settings: TrainSettings) -> None:
    check_outputs(settings.picture, settings.json)
    path = settings.checkpoint
    if path is None:
        if settings.resume:
            raise OptionError("--resume needs --checkpoint FILE, the file to go on from.")
        return
    require_writable("--checkpoint", path)
    others = {"--picture": settings.picture, "--json": settings.json, "CONFIG": settings.config}
    for option, other in others.items():
        if path.absolute() == other.absolute():
            raise OutputError(f"--checkpoint and {option} are both {str(path)!r}.")
    if settings.resume and not path.exists():
        raise OptionError(f"--resume: there is no checkpoint {str(path)!r}. Leave --resume out.")
    if path.exists() and not settings.resume:
        raise OptionError(
            f"--checkpoint {str(path)!r} is there already. Add --resume to go on from it, or name "
            "another file."
        )
