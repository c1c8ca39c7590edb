"""The key ``"algorithm"`` of a parameter group: which algorithm its parameters are optimized by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optkit_core.declaration.roles import ALGORITHM
from optkit_core.errors import GroupError
from optkit_core.plugins import entry_points


def are_several(algorithm: type[Any], params: Any) -> bool:
    """Return whether groups among the ``params`` of a constructor name another algorithm.

    Args:
        algorithm: the class that the constructor is called for.
        params: a list, if it's one of groups.

    Raises:
        UnknownAlgorithmError: no algorithm is called what a group names.
    """
    groups = params if isinstance(params, (list, tuple)) else ()
    named = [group[ALGORITHM] for group in groups if isinstance(group, dict) and ALGORITHM in group]
    return any(_class(name) is not algorithm for name in named)


def require_own(owner: type[Any], group: Mapping[str, Any]) -> None:
    """Raise where a group names another algorithm than that of its optimizer.

    Args:
        owner: the optimizer's class.
        group: a parameter group.

    Raises:
        GroupError: it does.
        UnknownAlgorithmError: no algorithm is called that.
    """
    if ALGORITHM not in group or issubclass(owner, _class(group[ALGORITHM])):
        return
    raise GroupError(
        f"a parameter group names the algorithm {group[ALGORITHM]!r}, and this optimizer is of "
        f"{owner.__name__} alone. optkit.create(name, groups) makes one of several algorithms."
    )


def _class(name: Any) -> type[Any]:
    algorithm: type[Any] = entry_points.load(name)
    return algorithm
