"""`Hyperparameters`, the attrs class of an algorithm: its hyperparameters, checked."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from optkit_core.declaration.fields import raise_for
from optkit_core.declaration.roles import Role


class CheckedClass:
    """A class attribute that becomes a frozen, keyword-only attrs class when first looked at.

    Its fields are the hyperparameters of the class it stands in, checked and converted as in
    the constructor. Most classes are never asked for theirs.
    """

    def __get__(self, instance: object, owner: Any) -> type[Any]:
        """Build the class, and put it in the place of this attribute."""
        fields = {
            name: attrs.field(default=item.default, converter=partial(item.check, name))
            for name, item in owner.declarations.items()
            if item.role is Role.HYPERPARAMETER
        }

        def require_together(self: Any) -> None:
            own = {name: getattr(self, name) for name in fields}
            raise_for(owner.values_complaint({**owner.default_values, **own}))

        name = f"{owner.__name__}Hyperparameters"
        body = {"__attrs_post_init__": require_together}
        built = attrs.make_class(
            name, fields, class_body=body, frozen=True, kw_only=True, slots=True
        )
        owner.Hyperparameters = built
        return built
