"""The configuration of an optimizer: what `from_config` makes an equal one of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from optkit_core.api import available, get
from optkit_core.composition.composite_optimizer import CompositeOptimizer
from optkit_core.config_file.algorithm_options import NONE
from optkit_core.config_file.key_paths import KeyPath, spelled
from optkit_core.config_file.rule_validation import LABELS
from optkit_core.config_file.sections import AS_LISTED
from optkit_core.declaration.ranges import Savable
from optkit_core.declaration.roles import ALGORITHM
from optkit_core.errors import ConfigError, OptkitError
from optkit_core.param_groups.builtin_values import BUILTIN_TYPES
from optkit_core.stateful_optimizer import StatefulOptimizer

INITIAL = {"lr": "initial_lr"}
"""What schedulers change, and where a group has what it was before."""


def config_of(optimizer: StatefulOptimizer) -> dict[str, Any]:
    """Return the configuration of an optimizer; see `Optimizer.config`.

    Args:
        optimizer: of optkit.

    Raises:
        ConfigError: something can't be written: parameters without names, a function, a class
            that isn't registered.
    """
    name, algorithm = _algorithm(optimizer)
    defaults = optimizer.defaults
    # The implementation has a section of its own.
    said = {**_said(algorithm, {}), "implementation": defaults.get("implementation")}
    section = dict(_differing(("optimizer",), algorithm, defaults, said))
    groups = [_rule(optimizer, name, index) for index in range(len(optimizer.param_groups))]
    implementation = defaults.get("implementation")
    return {
        "optimizer": {"name": name, **section, "grouping": AS_LISTED, "groups": groups},
        **({} if implementation is None else {"implementation": implementation}),
    }


def registered_name(algorithm: type[torch.optim.Optimizer]) -> str:
    """Return the name that an algorithm's class is registered by.

    Args:
        algorithm: the class.

    Raises:
        ConfigError: it isn't registered.

    >>> import optkit
    >>> registered_name(optkit.SparseAdam)
    'sparseadam'
    """
    names = available()
    # Its own name first: others would have to be imported to be compared.
    alike = [
        n for n in names if n.rpartition(":")[2].replace("_", "") == algorithm.__name__.lower()
    ]
    for name in [*alike, *names]:
        try:
            if get(name) is algorithm:
                return name
        except OptkitError:  # a broken plugin is another's
            continue
    raise ConfigError(
        f"a configuration names an algorithm, and {algorithm.__name__} isn't registered: "
        f"optkit.register(name, {algorithm.__name__})."
    )


def _algorithm(optimizer: StatefulOptimizer) -> tuple[str, type[StatefulOptimizer]]:
    """Return the name and the class of the algorithm whose hyperparameters the defaults are."""
    if isinstance(optimizer, CompositeOptimizer):
        return optimizer.algorithm, get(optimizer.algorithm)
    return registered_name(type(optimizer)), type(optimizer)


def _rule(optimizer: StatefulOptimizer, name: str, index: int) -> dict[str, Any]:
    """Return the rule that makes one group: the names, and what differs from the defaults."""
    group, path = optimizer.param_groups[index], ("optimizer", "groups", index)
    if "param_names" not in group:
        raise ConfigError(
            f"group {index} has no names for its parameters, by which a configuration selects "
            "them. Make the optimizer of model.named_parameters()."
        )
    algorithm, defaults = optimizer.algorithm_of(group), optimizer.defaults
    is_own = algorithm is get(name)
    annotations = {key: group[key] for key in (*LABELS, ALGORITHM) if key in group}
    values = {**group, **{key: group[INITIAL[key]] for key in INITIAL if INITIAL[key] in group}}
    own = _differing(path, algorithm, values, defaults if is_own else _said(algorithm, defaults))
    return {"names": list(group["param_names"]), **annotations, **dict(own)}


def _said(algorithm: type[StatefulOptimizer], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that go without saying: options, and hyperparameters that are None.

    The other hyperparameters are written, since a later release may have other defaults.

    Args:
        algorithm: whose they are.
        options: those that hold for all algorithms.
    """
    said = {}
    for name, item in algorithm.declarations.items():
        if item.is_option:
            said[name] = options.get(name, item.default)
        elif item.default is None:
            said[name] = None
    return said


def _differing(
    path: KeyPath,
    algorithm: type[StatefulOptimizer],
    values: Mapping[str, Any],
    said: Mapping[str, Any],
) -> Iterator[tuple[str, Any]]:
    """Yield the values of a table, as they are written, that aren't said elsewhere."""
    for name, item in algorithm.declarations.items():
        if item.is_argument and name in values:
            value = _written((*path, name), item.range, values[name])
            if name not in said or value != _written((*path, name), item.range, said[name]):
                yield name, value


def _written(path: KeyPath, range: Any, value: Any) -> Any:
    """Return a value as TOML and JSON have it: None by its word, a tensor by its number."""
    complaint = range.complaint
    if isinstance(range, Savable):
        saved = range.saved(value)
        if complaint("value", saved):
            raise ConfigError(f"{spelled(path)} is {value!r:.80}, which a configuration can't say.")
        value = saved
    return _plain(path, value)


def _plain(path: KeyPath, value: Any) -> Any:
    if value is None:
        return NONE
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain((*path, key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain((*path, i), item) for i, item in enumerate(value)]
    if type(value) not in BUILTIN_TYPES or isinstance(value, bytes | complex):
        raise ConfigError(f"{spelled(path)} is {value!r:.80}, which a configuration can't say.")
    return value
