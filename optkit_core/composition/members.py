"""The members of a composite optimizer: one for each algorithm, made and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from optkit_core.errors import GroupError
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import parameters
from optkit_core.plugins import entry_points


def name_of(given: str) -> str:
    """Return an algorithm's name as the registry has it, ``"adagrad"`` for ``"AdaGrad"``.

    Raises:
        UnknownAlgorithmError: no algorithm is called that.
        AmbiguousAlgorithmError: several distributions claim the name.
    """
    entry = entry_points.find(given)
    return entry.qualified if ":" in given else entry.name


def class_of(name: str) -> type[Optimizer]:
    """Return the class of an algorithm that can be one of several.

    Raises:
        GroupError: it can't be.
    """
    algorithm: type[Any] = entry_points.load(name)
    if not issubclass(algorithm, Optimizer):
        raise GroupError(
            f"{name!r} is {algorithm.__module__}.{algorithm.__qualname__}, which isn't of optkit "
            "and can't be one of several algorithms."
        )
    # Each step of it calls the closure as often as it likes, which changes other groups' gradients.
    if algorithm.requires_closure or algorithm.is_joint:
        raise GroupError(
            f"{name!r} steps all parameters together, by a closure, and can't be one of several "
            "algorithms. Create an optimizer of its own for its parameters."
        )
    return algorithm


def create(algorithm: type[Optimizer], group: dict[str, Any], options: Mapping[str, Any]) -> Any:
    """Return a member with its first group.

    Args:
        algorithm: its class.
        group: the parameter group, which is completed and becomes the member's.
        options: arguments of the class.
    """
    member = algorithm.__new__(algorithm)
    member.is_member = True  # before plugins would be told that it has been created
    member.__init__([group], **options)  # type: ignore[misc]
    return member


def require_new(param_groups: Sequence[Mapping[str, Any]], group: dict[str, Any]) -> None:
    """List the parameters of a group, and raise unless it can be one more beside others.

    Args:
        param_groups: the others, of whatever algorithms.
        group: the group as it was given.

    Raises:
        GroupError: a parameter is in one of the others, or has a name where those have none.
        ParametersError: ``"params"`` isn't what can be optimized.
    """
    group["params"] = parameters.entries(group["params"])
    tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in group["params"]]
    taken = set(map(id, chain.from_iterable(other["params"] for other in param_groups)))
    if any(isinstance(entry, Tensor) and id(entry) in taken for entry in tensors):
        raise GroupError(
            "a parameter stands in two groups, and two algorithms would update it. Leave it out of "
            "one of them. [some parameters appear in more than one parameter group]"
        )
    named = "param_names" in group or any(isinstance(entry, tuple) for entry in group["params"])
    if any(named != ("param_names" in other) for other in param_groups):
        raise GroupError(
            "either all groups have the names of their parameters, or none has: pass "
            "(name, tensor) pairs in all of them. "
            "[all optimizer param groups should be with/without names]"
        )
