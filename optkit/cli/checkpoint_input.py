"""The files that ``inspect`` and ``migrate`` take: those of optkit.save and of torch.save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from optkit.cli.user_errors import OptionError
from optkit_core.checkpoint.file import checkpoint_file, torch_save_file
from optkit_core.checkpoint.file.checkpoint_file import Checkpoint
from optkit_core.checkpoint.load import parsing, structure
from optkit_core.config_file.training_setup import TrainingSetup


@attrs.frozen(eq=False)
class CheckpointInput:
    """A checkpoint and the file that it was read from."""

    path: Path
    kind: str
    checkpoint: Checkpoint

    @property
    def is_torchs(self) -> bool:
        """Whether torch.save wrote the file."""
        return self.kind == TORCH

    @property
    def is_setups(self) -> bool:
        """Whether it is the optimizer's part of the state of a training setup."""
        return self.kind == SETUP

    @property
    def schema(self) -> str:
        """The schemas that the groups carry, such as ``"adamax/1"``; ``""`` if none."""
        return ", ".join(filter(None, parsing.schema_tags(self.checkpoint.state_dict)))


OPTKIT, TORCH, SETUP = "optkit.save", "torch.save", "optkit.save, of a training setup"


def open_checkpoint(path: Path, key: str | None, with_content: bool) -> CheckpointInput:
    """Read a file of either kind.

    Args:
        path: the file.
        key: where in a file of torch.save the state is; None: where it's certain.
        with_content: whether the tensors are read and checked, not only described.

    Raises:
        CheckpointFileError: it can't be read, is damaged, or holds no optimizer's state.
        OptionError: a key is given for a file of optkit.save.
    """
    # By its first bytes: names of files say nothing about who wrote them.
    if torch_save_file.is_one(path):
        state_dict = torch_save_file.read(path, key, "cpu" if with_content else "meta")
        return CheckpointInput(path, TORCH, Checkpoint("", _checked(state_dict)))
    if key is not None:
        raise OptionError(f"--key {key!r} is for files of torch.save, which {path} isn't.")
    checkpoint = checkpoint_file.read(path) if with_content else checkpoint_file.describe(path)
    if checkpoint.algorithm == TrainingSetup.__name__:
        state_dict = _checked(checkpoint.state_dict.get("optimizer", {}))
        part = attrs.evolve(checkpoint, algorithm="", state_dict=state_dict)
        return CheckpointInput(path, SETUP, part)
    _checked(checkpoint.state_dict)
    return CheckpointInput(path, OPTKIT, checkpoint)


def _checked(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Return a state whose outer shape is right.

    Raises:
        CheckpointError: it isn't.
    """
    parameters_state, _ = structure.split_user_entries(state_dict)
    structure.require(parameters_state)
    parsing.schema_tags(parameters_state)
    parsing.parse(parameters_state)
    return state_dict
