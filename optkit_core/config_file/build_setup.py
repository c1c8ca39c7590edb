"""From a configuration to a training setup: everything is checked, and then everything is built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import torch

from optkit_core.api import create, get
from optkit_core.averaging import create_averaging
from optkit_core.config_file import algorithm_options
from optkit_core.config_file.clipping import Clipping
from optkit_core.config_file.documents import Document
from optkit_core.config_file.intervals import Interval
from optkit_core.config_file.model_groups import model_groups
from optkit_core.config_file.read_source import Source, read
from optkit_core.config_file.sections import EPOCH, STEP, OptimizerSection
from optkit_core.config_file.training_setup import TrainingSetup
from optkit_core.config_file.validation import is_plateau, validated
from optkit_core.errors import ConfigError, OptkitError
from optkit_core.schedules.create_schedule import create_schedule


def setup_from(source: Source, model: torch.nn.Module) -> TrainingSetup:
    """Return what a configuration describes; see `optkit.from_config`.

    Args:
        source: a mapping, or the path of a file.
        model: whose parameters are optimized.
    """
    document = read(source)
    sections = validated(document)
    if not isinstance(model, torch.nn.Module):
        raise ConfigError(
            f"from_config needs the torch.nn.Module that is trained, got {model!r:.80}."
        )
    with _unchanged_on_error(model):
        return _built(document, sections, model)


def _built(document: Document, sections: dict[str, Any], model: torch.nn.Module) -> TrainingSetup:
    """Return the parts, each error with the path of the section that it comes from."""
    optimizer = _optimizer(document, sections["optimizer"], model)
    parts: dict[str, Any] = {}
    if "schedule" in sections:
        section = sections["schedule"]
        with _told_at(document, "schedule"):
            parts["schedule"] = create_schedule(section.name, optimizer, **section.arguments)
        unit = section.interval or (EPOCH if is_plateau(section.name) else STEP)
        parts["schedule_interval"] = Interval(unit)
    if "averaging" in sections:
        section = sections["averaging"]
        with _told_at(document, "averaging"):
            parts["averaging"] = create_averaging(section.name, model, **section.arguments)
        parts["averaging_interval"] = Interval(section.interval, section.every, section.start)
    if "clipping" in sections:
        parts["clipping"] = Clipping(**attrs.asdict(sections["clipping"]))
    return TrainingSetup(model, optimizer, document.data, **parts)


def _optimizer(
    document: Document, section: OptimizerSection, model: torch.nn.Module
) -> torch.optim.Optimizer:
    own = algorithm_options.taken(get(section.name), section.hyperparameters)
    params = model_groups(document, section, own, model)
    with _told_at(document, "optimizer"):
        return create(
            section.name, params, implementation=document.data.get("implementation"), **own
        )


@contextmanager
def _told_at(document: Document, *path: str | int) -> Iterator[None]:
    """Give an error of optkit's the place of the section that it comes from."""
    try:
        yield
    except OptkitError as error:
        raise document.error([document.fault(path, f"is refused: {error}")]) from error


@contextmanager
def _unchanged_on_error(model: torch.nn.Module) -> Iterator[None]:
    """Give parameters back as they were if the block raises, those that a rule froze above all."""
    before = [(p, p.requires_grad) for p in model.parameters()]
    try:
        yield
    except BaseException:
        for p, requires_grad in before:
            p.requires_grad_(requires_grad)
        raise
