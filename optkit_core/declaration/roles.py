"""Roles of the keys of a parameter group: what each says, and so who has to heed it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol


class Role(Enum):
    """What a key of a parameter group says.

    Attributes:
        HYPERPARAMETER: what the mathematics depends on; an update body is given its value, and a
            checkpoint without it isn't whole.
        ESTIMATE: what an algorithm finds out over all parameters as it goes. It is the same in all
            groups, an update body is given it, and a checkpoint without it isn't whole.
        STEP: what a step does beside that, ``maximize`` for example. Parameters step together
            only where their groups agree in it; a checkpoint restores it.
        EXECUTION: how a step is carried out, ``eager_state`` for example. It stays as it is when
            a checkpoint is loaded.
        REQUEST: which implementation is asked for, which is EXECUTION too. A group's own replaces
            what the constructor was given.
        ANNOTATION: something about the group for others to read, which no step depends on.
    """

    HYPERPARAMETER = "hyperparameter"
    ESTIMATE = "estimate"
    STEP = "step"
    EXECUTION = "execution"
    REQUEST = "request"
    ANNOTATION = "annotation"

    @property
    def is_restored(self) -> bool:
        """Whether the value in a checkpoint replaces the live one."""
        return self not in (Role.EXECUTION, Role.REQUEST)


VALUES = (Role.HYPERPARAMETER, Role.ESTIMATE)
"""What an update body is given."""

OPTIONS = (Role.STEP, Role.EXECUTION, Role.REQUEST)
"""What an option can be declared as."""

ANNOTATIONS = frozenset(
    {
        "params",
        "param_names",
        "name",
        "schema",
        "writer",
        "lr_scale",
        "initial_lr",
        "min_lr",
        "max_lr",
        "swa_lr",
        "base_momentum",
        "max_momentum",
    }
)
"""Keys that any group may have beside the declared ones: names, and what schedulers write."""

ALGORITHM = "algorithm"
"""The key that names the algorithm of a group; it stays as it is when a checkpoint is loaded."""

REQUESTS = frozenset({"implementation", "foreach", "fused"})
"""Keys that need no declaration: torch's flags say what runs even where a class has none."""


class HasRole(Protocol):
    """A declaration, as far as its role goes."""

    @property
    def role(self) -> Role:
        """What it says."""
        ...


def role_of(key: object, declared: Mapping[str, HasRole]) -> Role | None:
    """Return the role of a key of a parameter group, None for one that nobody knows.

    Args:
        key: the key.
        declared: the declarations of the optimizer's class by name.

    >>> import optkit
    >>> role_of("lr", optkit.get("adagrad").declarations)
    <Role.HYPERPARAMETER: 'hyperparameter'>
    """
    if isinstance(key, str) and key in declared:
        return declared[key].role
    if key in REQUESTS:
        return Role.REQUEST
    if key == ALGORITHM:
        return Role.EXECUTION
    return Role.ANNOTATION if key in ANNOTATIONS else None
