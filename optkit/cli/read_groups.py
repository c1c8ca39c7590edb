"""Parameter groups from the section ``[optimizer]`` of a configuration file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

import optkit
from optkit.cli.user_errors import OptionError
from optkit_core.config_file import algorithm_options
from optkit_core.config_file.model_groups import model_groups
from optkit_core.config_file.read_source import read
from optkit_core.config_file.validation import validated
from optkit_core.group_rules.group_list import GroupList


def read_groups(path: Path, model: nn.Module) -> GroupList:
    """Return the groups that the rules of a configuration make of a model's parameters.

    Args:
        path: of the file.
        model: the model.

    Raises:
        ConfigFileError: the file is wrong, or doesn't fit the model.
        OptionError: it lists its groups, and has no rules.
    """
    document = read(path)
    section = validated(document)["optimizer"]
    own = algorithm_options.taken(optkit.get(section.name), section.hyperparameters)
    made = model_groups(document, section, own, model)
    if isinstance(made, GroupList):
        return made
    raise OptionError(
        f"{path} says grouping = {section.grouping!r}: its groups are those that stand there, and "
        "no rule makes them."
    )
