"""Checkpoints as files: the state of one optimizer, whole and checked, or not at all."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from typing import Any

import attrs
import torch

from optkit_core.checkpoint.file import distributed_parameters, safetensors_file
from optkit_core.checkpoint.file.json_decoding import UnknownMarkError, decode
from optkit_core.checkpoint.file.json_encoding import encode
from optkit_core.checkpoint.file.safetensors_header import damaged
from optkit_core.checkpoint.load.into_torch_optimizer import restore
from optkit_core.checkpoint.load.load_report import LoadReport
from optkit_core.checkpoint.load.optimizer_wrappers import layers, renew
from optkit_core.checkpoint.load.parsing import Owned
from optkit_core.checkpoint.load.renaming import Rename
from optkit_core.checkpoint.save import save as save_state
from optkit_core.config_file.training_setup import TrainingSetup
from optkit_core.errors import CheckpointError, CheckpointFileError
from optkit_core.optimizer import Optimizer

FORMAT = 1
"""The version of the file format; that of the state in it is each group's schema."""

FIELDS = {"algorithm": str, "state_dict": dict, "writer": str}


@attrs.frozen(eq=False)
class Checkpoint:
    """What a file holds.

    Args:
        algorithm: the name of the optimizer's class, ``""`` where it isn't known.
        state_dict: the state and the groups, as `load_state_dict` takes them.
        writer: the program that wrote the file, with its version.
    """

    algorithm: str
    state_dict: dict[str, Any]
    writer: str = ""


def save(optimizer: torch.optim.Optimizer | TrainingSetup, path: str | os.PathLike[str]) -> None:
    """Write an optimizer's state to a file; see `optkit.save`.

    Args:
        optimizer: of optkit, of torch, or a wrapper of one; or a setup, with all its parts.
        path: where to.
    """
    distributed_parameters.require_none_to_save(_stepping(optimizer))
    if isinstance(optimizer, TrainingSetup):
        write(Checkpoint(type(optimizer).__name__, optimizer.state_dict()), path)
        return
    *_, own = layers(optimizer)
    # A state_dict that was replaced, on the instance too, has the last word on what is saved.
    is_plain = getattr(own.state_dict, "__func__", None) is Optimizer.state_dict
    state_dict = save_state(own, shared=True) if is_plain else own.state_dict()
    write(Checkpoint(type(own).__name__, state_dict), path)


def load(
    optimizer: torch.optim.Optimizer | TrainingSetup,
    path: str | os.PathLike[str],
    strict: bool = True,
    rename: Rename | None = None,
) -> LoadReport | None:
    """Continue from the state in a file; see `optkit.load`.

    Args:
        optimizer: of optkit, of torch, or a wrapper of one; or a setup, with all its parts.
        path: the file.
        strict: whether everything must match (default True).
        rename: what saved parameters are called now; None (default): the same.
    """
    distributed_parameters.require_none_to_load(_stepping(optimizer))
    if isinstance(optimizer, TrainingSetup):
        if not strict or rename is not None:
            raise CheckpointError("a training setup is loaded whole: without strict and rename.")
        return optimizer.load_state_dict(read(path).state_dict)
    *wrappers, own = layers(optimizer)
    checkpoint = read(path)
    if isinstance(own, Optimizer):
        given: dict[str, Any] = {} if strict else {"strict": False}
        given |= {} if rename is None else {"rename": rename}
        return own.load_state_dict(Owned(checkpoint.state_dict), **given)
    restore(own, checkpoint.algorithm, checkpoint.state_dict, strict, rename)
    renew(wrappers, own)
    return None


def _stepping(optimizer: torch.optim.Optimizer | TrainingSetup) -> torch.optim.Optimizer:
    return optimizer.optimizer if isinstance(optimizer, TrainingSetup) else optimizer


def write(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint to a file, or replace the file as a whole.

    Args:
        checkpoint: what the file is to hold.
        path: where to.

    Raises:
        CheckpointError: the state holds what a file can't; nothing was written.
        CheckpointFileError: the file can't be written.
    """
    state, tensors = encode(checkpoint.state_dict)
    record = {
        "format": FORMAT,
        "writer": f"optkit {version('optkit')}",
        "algorithm": checkpoint.algorithm,
        "state_dict": state,
    }
    safetensors_file.write(
        path, tensors, json.dumps(record, separators=(",", ":"), allow_nan=False)
    )


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Return what a file holds that `save` wrote; its tensors are new, and on the CPU.

    Raises:
        CheckpointFileError: the file is of another kind, damaged, or can't be read.
    """
    text, tensors = safetensors_file.read(path)
    return _checkpoint(path, text, tensors)


def describe(path: str | os.PathLike[str]) -> Checkpoint:
    """Return what `read` does, from the header alone: the tensors have no content.

    Raises:
        CheckpointFileError: the file is of another kind, its header is damaged, or it can't
            be read.
    """
    header = safetensors_file.inspect(path)
    tensors = {
        entry.name: torch.empty(entry.shape, dtype=entry.dtype, device="meta")
        for entry in header.tensors
    }
    return _checkpoint(path, header.text, tensors)


def _checkpoint(
    path: str | os.PathLike[str], text: str, tensors: dict[str, torch.Tensor]
) -> Checkpoint:
    try:
        record = decode(text, tensors)
    except UnknownMarkError as mark:
        raise CheckpointFileError(
            f"{os.fspath(path)} holds {str(mark)!r:.40}, which this version doesn't know; it was "
            f"written by {_writer(text)}. Install that one, or a later one."
        ) from mark
    except ValueError as error:
        raise damaged(path, f"its description can't be read: {error}") from error
    if not isinstance(record, dict) or type(record.get("format")) is not int:
        raise damaged(path, "its description has no format")
    # Told before the fields are looked at, which may have changed with the format.
    if record["format"] > FORMAT:
        raise CheckpointFileError(
            f"{os.fspath(path)} is of format {record['format']}, written by "
            f"{record.get('writer')!s:.40}; this version knows formats up to {FORMAT}. "
            "Install that one, or a later one."
        )
    content: dict[str, Any] = {key: record.get(key) for key in FIELDS}
    if {key: type(value) for key, value in content.items()} != FIELDS:
        raise damaged(path, "its description isn't whole")
    return Checkpoint(**content)


def _writer(text: str) -> str:
    record = json.loads(text)
    return str(record.get("writer"))[:40] if isinstance(record, dict) else "nobody knows what"
