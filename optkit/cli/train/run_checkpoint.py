"""The file that a training goes on from: all that changes, and what it was started with."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch

from optkit.cli.train.train_records import EpochFigures
from optkit.cli.train.training_run import TrainingRun
from optkit.cli.user_errors import OptionError
from optkit_core.checkpoint.file import torch_save_file
from optkit_core.checkpoint.file.atomic_write import replacing
from optkit_core.config_file.key_paths import spelled
from optkit_core.errors import CheckpointError, CheckpointFileError

FORMAT = "optkit train 1"
KEYS = {"format", "config", "started_with", "network", "setup", "order", "random", "figures"}
OPTIONS = {
    "data": "--data",
    "target": "--target",
    "batch_size": "--batch-size",
    "hidden": "--hidden",
    "seed": "--seed",
}
"""The settings that have to stay as they were, and the options that give them."""

Missing = object()


def save(run: TrainingRun, path: Path) -> None:
    """Write a training to a file, or replace the file as a whole.

    Args:
        run: the training, between two epochs.
        path: the file; killed at any moment, the old or the new one is there whole.

    Raises:
        CheckpointFileError: it can't be written.
    """
    buffer = io.BytesIO()
    torch.save(_content(run), buffer)
    with replacing(path) as descriptor, open(descriptor, "wb", closefd=False) as file:
        file.write(buffer.getbuffer())


def resume(run: TrainingRun, path: Path) -> None:
    """Let a training that hasn't begun go on from a file.

    Args:
        run: one with the same configuration, data and options.
        path: what `save` wrote.

    Raises:
        CheckpointFileError: the file can't be read, or is none of these.
        CheckpointError: its state doesn't fit.
        OptionError: it was started with another configuration, other data or other options.
    """
    content = torch_save_file.loaded(path, "cpu")
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.keys() != KEYS:
        raise CheckpointFileError(
            f"{path} isn't a checkpoint of optkit train. Give the one that --checkpoint wrote."
        )
    if not (isinstance(content["started_with"], dict) and isinstance(content["config"], dict)):
        raise CheckpointError(f"{path} is damaged: it doesn't tell what it was started with.")
    _require_same(run, path, content)
    try:
        run.network.load_state_dict(content["network"])
        run.figures = [EpochFigures(**figures) for figures in content["figures"]]
        run.order.set_state(content["order"])
        torch.set_rng_state(content["random"])
    except Exception as error:  # damaged content fails in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(
            f"{path} is damaged: {reason:.200}. Take another copy, or start anew."
        ) from error
    run.setup.load_state_dict(content["setup"])


def _content(run: TrainingRun) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "config": run.setup.config(),
        "started_with": _started_with(run),
        "network": run.network.state_dict(),
        "setup": run.setup.state_dict(),
        "order": run.order.get_state(),
        "random": torch.get_rng_state(),
        "figures": [attrs.asdict(figures) for figures in run.figures],
    }


def _started_with(run: TrainingRun) -> dict[str, Any]:
    digest = hashlib.sha256()
    for part in (run.data.train_x, run.data.train_y, run.data.test_x, run.data.test_y):
        digest.update(part.numpy().tobytes())
    options = {name: getattr(run.settings, name) for name in OPTIONS}
    return {**options, "rows": digest.hexdigest()}


def _require_same(run: TrainingRun, path: Path, content: Mapping[str, Any]) -> None:
    before, now = content["started_with"], _started_with(run)
    for name, option in OPTIONS.items():
        if before.get(name) != now[name]:
            raise OptionError(
                f"{path} was started with {option} {before.get(name)}, and now it is {now[name]}. "
                "Give the same again, or start anew with another --checkpoint."
            )
    if before.get("rows") != now["rows"]:
        raise OptionError(
            f"{path} was started with other rows of {run.settings.data}. Restore them, or start "
            "anew with another --checkpoint."
        )
    for key, old, new in _differences(content["config"], run.setup.config()):
        if key[0] == "implementation":  # how to run is a choice of now
            continue
        raise OptionError(
            f"{path} was started with another configuration: {spelled(key)} was {_shown(old)}, and "
            f"is {_shown(new)} in {run.settings.config}. Restore it, or start anew with another "
            "--checkpoint."
        )


def _differences(
    old: Any, new: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """Yield where two configurations differ, with what each has there."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key, Missing), new.get(key, Missing), (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, (*path, index))
    elif old != new:
        yield path, old, new


def _shown(value: Any) -> str:
    return "not there" if value is Missing else f"{value!r:.60}"
