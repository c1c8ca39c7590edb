"""What a user calls to keep an optimizer's state in a file: save and load."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from optkit_core.checkpoint.load.load_report import LoadReport
    from optkit_core.checkpoint.load.renaming import Rename
    from optkit_core.config_file.training_setup import TrainingSetup


def save(optimizer: torch.optim.Optimizer | TrainingSetup, path: str | os.PathLike[str]) -> None:
    """Write an optimizer's state to a file, or replace the file as a whole.

    It becomes a safetensors file and holds no pickle. It is written beside `path`, brought to
    the disk, and renamed: killed at any moment, the old file or the new one is there whole.

    Args:
        optimizer: any ``torch.optim.Optimizer`` whose state is tensors, numbers, strings,
            booleans, None, torch's dtypes and devices, and lists, tuples and dicts of them; of a
            wrapper, Accelerate's for example, what it wraps is saved. A `TrainingSetup` is saved
            with all its parts.
        path: where to.

    Raises:
        CheckpointError: the state holds something else, or a parameter is a DTensor, whose state
            ``torch.distributed.checkpoint`` saves; nothing was written.
        CheckpointFileError: the file can't be written; also of the builtin kind.

    >>> import tempfile, torch, optkit
    >>> optimizer = optkit.create("adamax", [torch.nn.Parameter(torch.ones(3))], lr=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     optkit.save(optimizer, f"{folder}/optimizer.safetensors")
    ...     optimizer.param_groups[0]["lr"] = 0.1
    ...     _ = optkit.load(optimizer, f"{folder}/optimizer.safetensors")
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """
    from optkit_core.checkpoint.file import checkpoint_file  # imported when it is needed

    checkpoint_file.save(optimizer, path)


def load(
    optimizer: torch.optim.Optimizer | TrainingSetup,
    path: str | os.PathLike[str],
    strict: bool = True,
    rename: Rename | None = None,
) -> LoadReport | None:
    """Continue from the state in a file that `save` wrote.

    The whole file is read and checked, then the state against the optimizer, and only then
    does anything change.

    Args:
        optimizer: one of the algorithm that was saved, wrapped or not; or a `TrainingSetup` of
            the same parts, which is loaded whole.
        path: the file.
        strict: as for ``load_state_dict``; for optimizers that aren't optkit's, whether the
            file must come from a class of the same name.
        rename: as for ``load_state_dict`` of optkit's optimizers; others go by position.

    Returns:
        What was loaded, and what wasn't; None for optimizers that aren't optkit's.

    Raises:
        CheckpointFileError: the file is of another kind, damaged, or can't be read; also of
            the builtin kind.
        CheckpointError: the state doesn't fit the optimizer, or a parameter is a DTensor.
    """
    from optkit_core.checkpoint.file import checkpoint_file  # imported when it is needed

    return checkpoint_file.load(optimizer, path, strict, rename)
