"""What a user calls with a configuration: `from_config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from optkit_core.config_file.read_source import Source
    from optkit_core.config_file.training_setup import TrainingSetup


def from_config(source: Source, model: torch.nn.Module) -> TrainingSetup:
    """Return the optimizer that a configuration describes, and what goes with it.

    Everything is checked before anything is built; where something is wrong, the model is as it
    was.

    Args:
        source: a mapping, or the path of a ``.toml``, ``.yaml``, ``.yml`` or ``.json`` file.
        model: whose parameters are optimized.

    Returns:
        The parts: ``.optimizer``, ``.schedule``, ``.averaging`` and ``.clipping``, None where they
        weren't asked for; one ``step()`` and one ``state_dict()`` for all of them.

    Raises:
        ConfigFileError: the configuration is wrong, or doesn't fit the model; names each mistake
            by file, line and path.

    >>> import torch, optkit
    >>> model = torch.nn.Linear(2, 1)
    >>> setup = optkit.from_config(
    ...     {"optimizer": {"name": "adamw", "lr": 1e-3, "groups": [
    ...         {"match": "*.bias", "weight_decay": 0.0},
    ...     ]}},
    ...     torch.nn.Sequential(model),
    ... )
    >>> [group["weight_decay"] for group in setup.optimizer.param_groups]
    [0.01, 0.0]
    """
    from optkit_core.config_file.build_setup import setup_from  # imported when it is needed

    return setup_from(source, model)
