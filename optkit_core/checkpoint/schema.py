"""Schemas: what the saved state of an algorithm consists of, derived from its declaration."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import attrs

from optkit_core.declaration.base import Declared
from optkit_core.declaration.buffer_conditions import NamesOf, names_for
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.ranges import Savable
from optkit_core.errors import CheckpointError
from optkit_core.plugins.registry import registry

TAG = "schema"
"""The key inside each saved group that holds the schema's identity."""

WRITER = "writer"
"""The key inside each saved group that holds the distribution that wrote it."""

STATES = "states"
"""The key inside the first saved group that says how many parameters have state.

It is there for algorithms with joint state, of which a fresh optimizer has none that
``torch.distributed.checkpoint`` could fill.
"""


@attrs.frozen(eq=False)
class Schema:
    """What one version of an algorithm's saved state consists of.

    Args:
        name: the algorithm's name in checkpoints.
        version: counts from 1; raised when the state or the hyperparameters change.
        buffers: every entry of a parameter's state by name, ``step`` among them.
        hyperparameters: the group keys that the mathematics depends on.
        options: the other declared group keys.

    >>> import optkit
    >>> schema_of(optkit.get("adamax")).identity
    'adamax/1'
    """

    name: str
    version: int
    buffers: Mapping[str, Buffer]
    hyperparameters: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Name and version, as each saved group carries them."""
        return f"{self.name}/{self.version}"

    @property
    def required(self) -> frozenset[str]:
        """The state entries without which no parameter's state is whole."""
        return frozenset(
            name for name, item in self.buffers.items() if not item.optional and item.when is None
        )

    @property
    def set_by_body(self) -> frozenset[str]:
        """The state entries that come into being with what an update body writes."""
        return frozenset(name for name, item in self.buffers.items() if item.is_set_by_body)

    def names_for(self, group: Mapping[str, Any]) -> NamesOf:
        """Return what tells the state entries without which a parameter's state isn't whole.

        Args:
            group: the parameter's group, with a value for everything that is declared.
        """
        required = {name: item for name, item in self.buffers.items() if not item.optional}
        return names_for(required, group)


def schema_of(algorithm: type[Declared]) -> Schema:
    """Return the schema of an optkit optimizer class."""
    return Schema(
        algorithm.schema_name,
        algorithm.schema_version,
        algorithm.state_buffers,
        algorithm.hyperparameter_names,
        algorithm.option_names,
    )


@functools.cache
def savable(algorithm: type[Any]) -> dict[str, Savable]:
    """Return the ranges of those declared values that aren't saved as they are, by name."""
    ranges = {name: item.range for name, item in algorithm.declarations.items()}
    return {name: range for name, range in ranges.items() if isinstance(range, Savable)}


def parse_identity(identity: Any) -> tuple[str, int]:
    """Return name and version of an identity such as ``"adamax/1"``.

    Raises:
        CheckpointError: it isn't one.

    >>> parse_identity("adamax/1")
    ('adamax', 1)
    """
    # Bounded lengths: the text may come from a file that anybody has written.
    text = identity if isinstance(identity, str) else ""
    match = re.fullmatch(r"([\w.-]{1,100})/([1-9]\d{0,8})", text)
    if not match:
        raise CheckpointError(
            f"a group's {TAG!r} must be a name and a version such as 'adamax/1', "
            f"got {identity!r:.60}."
        )
    return match[1], int(match[2])


@functools.cache
def writer_of(algorithm: type[Any]) -> str:
    """Return name and version of the distribution that provides a class, or ``""``.

    It is known for classes that the registry knows.
    """
    location = f"{algorithm.__module__}:{algorithm.__qualname__}"
    for entry in registry.entries():
        if entry.location == location and entry.plugin is not None:
            return f"{entry.provider} {entry.version}".rstrip()
    return ""
