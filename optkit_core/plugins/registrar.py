"""The registrar: what a whole plugin registers what it offers, and its conversions, with."""

from __future__ import annotations

from typing import Any

import attrs

from optkit_core.checkpoint import conversion_registry
from optkit_core.plugins.kinds import DEFAULT
from optkit_core.plugins.registry import registry_of


@attrs.frozen(eq=False, repr=False)
class Registrar:
    """What a whole plugin registers with; it signs with the plugin's name."""

    provider: str
    conversions: list[tuple[str, Any]] = attrs.Factory(list)

    def register(
        self, name: str, factory: Any, *, kind: str = DEFAULT, replace: bool = False
    ) -> None:
        """Register an algorithm, a schedule or an averaging; see `optkit.register`.

        Args:
            name: the name to create it by.
            factory: a subclass of ``torch.optim.Optimizer``; or a class or function that makes a
                schedule or an average.
            kind: what it is: ``"algorithm"``, ``"schedule"`` or ``"averaging"``.
            replace: whether the name may be taken already.

        Raises:
            RegistrationError: the name is taken, or `factory` isn't what the kind allows.
        """
        registry_of(kind).add(name, factory, provider=self.provider, replace=replace)

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
