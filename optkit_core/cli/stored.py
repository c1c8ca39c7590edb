"""The files that ``inspect`` and ``migrate`` take: those of optkit.save and of torch.save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from optkit_core.checkpoint import files, saved, shapes, torchfile
from optkit_core.checkpoint.files import Checkpoint
from optkit_core.cli.errors import OptionError


@attrs.frozen(eq=False)
class Stored:
    """A checkpoint and the file that it was found in."""

    path: Path
    kind: str
    checkpoint: Checkpoint

    @property
    def is_torchs(self) -> bool:
        """Whether torch.save wrote the file."""
        return self.kind == TORCH

    @property
    def schema(self) -> str:
        """The schema that the groups carry, such as ``"adamax/1"``; ``""`` if none."""
        identity = saved.identity(self.checkpoint.state_dict)
        return f"{identity[0]}/{identity[1]}" if identity else ""


OPTKIT, TORCH = "optkit.save", "torch.save"


def open_stored(path: Path, key: str | None, with_content: bool) -> Stored:
    """Read a file of either kind.

    Args:
        path: the file.
        key: where in a file of torch.save the state is; None: where it's certain.
        with_content: whether the tensors are read and checked, not only described.

    Raises:
        CheckpointFileError: it can't be read, is damaged, or holds no optimizer's state.
        OptionError: a key is given for a file of optkit.save.
    """
    if torchfile.is_one(path):
        found = torchfile.read(path, key, "cpu" if with_content else "meta")
        return Stored(path, TORCH, Checkpoint("", _checked(found)))
    if key is not None:
        raise OptionError(f"--key {key!r} is for files of torch.save, which {path} isn't.")
    checkpoint = files.read(path) if with_content else files.describe(path)
    _checked(checkpoint.state_dict)
    return Stored(path, OPTKIT, checkpoint)


def _checked(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Return a state whose outer shape is right.

    Raises:
        CheckpointError: it isn't.
    """
    own, _ = shapes.parted(state_dict)
    shapes.require(own)
    saved.identity(own)
    saved.read(own)
    return state_dict
