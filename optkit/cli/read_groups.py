"""Parameter groups from the section ``[optimizer]`` of a configuration file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from torch import nn

import optkit
from optkit.cli.user_errors import OptionError
from optkit_core.group_rules.group_list import GroupList


def read_groups(path: Path, model: nn.Module) -> GroupList:
    """Return the groups that a configuration makes of a model's parameters.

    Args:
        path: of the file, .toml or .json.
        model: the model.

    Raises:
        OptionError: the file can't be read, or has no section ``[optimizer]`` with ``name``.
        RuleError: a rule in it is wrong, or doesn't fit the model.
    """
    section = _section(path)
    rules = section.pop("groups", [])
    return optkit.groups(model, rules, default={"algorithm": section.pop("name"), **section})


def _section(path: Path) -> dict[str, Any]:
    parse = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix)
    if parse is None:
        raise OptionError(f"{path} must be a .toml or .json file.")
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} can't be read: {error}.") from error
    section = content.get("optimizer") if isinstance(content, dict) else None
    if not isinstance(section, dict) or "name" not in section:
        raise OptionError(f"{path} needs a section [optimizer] with name, 'adamw' for example.")
    return dict(section)
