"""The registrar: what a whole plugin registers its algorithms and conversions with."""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from optkit_core.checkpoint import conversion_registry


class Add(Protocol):
    """Registers an algorithm in the registry, under the name of who provides it."""

    def __call__(self, name: str, algorithm: type, *, provider: str, replace: bool) -> None:
        """Add it, or raise `RegistrationError`."""


@attrs.frozen(eq=False, repr=False)
class Registrar:
    """What a whole plugin registers its algorithms with; it signs with the plugin's name."""

    add: Add
    provider: str
    conversions: list[tuple[str, Any]] = attrs.Factory(list)

    def register(self, name: str, algorithm: type, *, replace: bool = False) -> None:
        """Register an algorithm; see `optkit.register`.

        Args:
            name: the name to create it by.
            algorithm: a subclass of ``torch.optim.Optimizer``.
            replace: whether the name may be taken already.

        Raises:
            RegistrationError: the name is taken, or `algorithm` isn't an optimizer class.
        """
        self.add(name, algorithm, provider=self.provider, replace=replace)

    def migration(self, schema: str, version: int, function: Any) -> None:
        """Register a migration; see `optkit_core.migration`.

        Args:
            schema: the name of the algorithm's schema.
            version: the version that it migrates from.
            function: takes the saved state and changes it.
        """
        conversion_registry.migration(schema, version)(function)
        self.conversions.append((schema, version))

    def importer(self, schema: str, source: str, function: Any) -> None:
        """Register an importer; see `optkit_core.importer`.

        Args:
            schema: the name of the algorithm's schema.
            source: what wrote the state that it imports.
            function: takes the saved state and changes it.
        """
        conversion_registry.importer(schema, source)(function)
        self.conversions.append((schema, source))
