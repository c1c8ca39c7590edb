"""Validation of a whole configuration, before anything is built or a model is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch

from optkit_core.api import get
from optkit_core.config_file import algorithm_options, factory_options, rule_validation
from optkit_core.config_file.documents import Document
from optkit_core.config_file.sections import (
    STEP,
    TOP_KEYS,
    ClippingSection,
    OptimizerSection,
    ScheduleSection,
    settings_of,
)
from optkit_core.config_file.structuring import structured
from optkit_core.errors import ConfigError, ConfigFault, OptkitError
from optkit_core.plugins import entry_points
from optkit_core.selection import requests

IMPLEMENTATION = "implementation"


def validated(document: Document) -> dict[str, Any]:
    """Return the sections of a configuration by their keys.

    Args:
        document: what was read.

    Raises:
        ConfigFileError: naming everything that is wrong.
    """
    sections, faults = structured(document)
    faults += _implementation_faults(document)
    if "optimizer" in sections:
        faults += _optimizer_faults(document, sections["optimizer"])
    for kind in (factory_options.SCHEDULE, factory_options.AVERAGING):
        if kind in sections:
            section = sections[kind]
            faults += factory_options.faults(document, kind, section.name, section.arguments)
    if "schedule" in sections:
        faults += _interval_faults(document, sections["schedule"])
    if "clipping" in sections:
        faults += _clipping_faults(document, sections["clipping"])
    document.raise_for(faults)
    return sections


def is_plateau(name: str) -> bool:
    """Return whether a schedule watches a metric, and so can't advance by steps alone."""
    factory = entry_points.load(name, "schedule")
    return isinstance(factory, type) and issubclass(
        factory, torch.optim.lr_scheduler.ReduceLROnPlateau
    )


def _implementation_faults(document: Document) -> Iterator[ConfigFault]:
    value = document.data.get(IMPLEMENTATION)
    entries = value.items() if isinstance(value, Mapping) else [(None, value)]
    for device, name in entries:
        below = () if device is None else (str(device),)
        try:
            if value is not None:
                requests.parse(name if device is None else {device: name}, "")
        except ConfigError as error:
            words = str(error).removeprefix("implementation ")
            is_words = words.startswith("must be")
            path = (IMPLEMENTATION, *below)
            yield document.fault(path, words if is_words else f"is refused: {words}")


def _optimizer_faults(document: Document, section: OptimizerSection) -> Iterator[ConfigFault]:
    try:
        get(section.name)
    except OptkitError as error:
        yield document.fault(("optimizer", "name"), f"is refused: {error}")
        return
    misplaced = list(_misplaced(section))
    own = {key: value for key, value in section.hyperparameters.items() if key not in misplaced}
    also = settings_of(OptimizerSection)
    found = list(algorithm_options.faults(document, ("optimizer",), section.name, own, also=also))
    yield from found
    for key in misplaced:
        words = "has a section of its own: write it at the top of the configuration."
        yield document.fault(("optimizer", key), words)
    section = attrs.evolve(section, hyperparameters={}) if found else section
    for index, given in enumerate(section.groups):
        yield from rule_validation.faults(document, index, section, given)


def _misplaced(section: OptimizerSection) -> Iterator[str]:
    """Yield the keys in the optimizer's section that are sections, and none of the algorithm's."""
    known = algorithm_options.options(get(section.name))
    for key in section.hyperparameters:
        if key == IMPLEMENTATION or (key in TOP_KEYS and key not in known):
            yield key


def _interval_faults(document: Document, section: ScheduleSection) -> Iterator[ConfigFault]:
    try:
        is_wrong = section.interval == STEP and is_plateau(section.name)
    except OptkitError:  # told already
        return
    if is_wrong:
        words = f"must be 'epoch' for {section.name}, which watches a metric of each epoch."
        yield document.fault(("schedule", "interval"), words)


def _clipping_faults(document: Document, section: ClippingSection) -> Iterator[ConfigFault]:
    given = [key for key in ("norm", "value") if getattr(section, key) is not None]
    if len(given) != 1:
        what = "has both 'norm' and 'value'" if given else "has neither 'norm' nor 'value'"
        yield document.fault(("clipping",), f"{what}; it takes one of them.")
