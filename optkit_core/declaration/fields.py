"""Declarations: what an algorithm says about itself, once, in its class body.

An annotated attribute ``lr: float = hyperparameter(default=1e-2, range=at_least(0.0))``
declares a hyperparameter; the keywords are those that type checkers look for, so that
they know the constructor's signature too. `collect` gathers the declarations, from which
come the constructor's signature and the checks of its arguments and of every group.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from optkit_core.declaration.annotations import annotation_text, resolved_annotation
from optkit_core.declaration.ranges import Range, converter
from optkit_core.declaration.roles import OPTIONS, Role
from optkit_core.declaration.search_spaces import Search, search_complaint
from optkit_core.errors import (
    DeclarationError,
    HyperparameterError,
    UnknownHyperparameterError,
    did_you_mean,
)
from optkit_core.param_groups.spelling import shown


@attrs.frozen(eq=False, repr=False)
class Declaration:
    """What one attribute of a class body declares.

    Args:
        default: the value used when neither the constructor nor a group gives one.
        range: what is allowed.
        doc: one phrase about it.
        role: what it says.
        kw_only: whether the constructor takes it by keyword only.
        inherits_role: whether a base's option of the same name gives it its role.
        search: where good values are searched.
        type: the annotation as it was written.
        annotation: the type that the annotation names.
    """

    default: Any
    range: Range
    doc: str
    role: Role
    kw_only: bool
    inherits_role: bool = False
    search: Search = None
    type: str = ""
    annotation: Any = Any

    @property
    def is_option(self) -> bool:
        """Whether no update body is given it."""
        return self.role in OPTIONS

    @property
    def maker(self) -> str:
        """The name of the function that makes such a declaration."""
        return "option" if self.is_option else self.role.value

    @property
    def is_argument(self) -> bool:
        """Whether a constructor takes it."""
        return self.role is not Role.ESTIMATE

    def complaint(self, name: str) -> str:
        """Return what is wrong with the declaration itself, or an empty string.

        Args:
            name: the attribute that it stands for.
        """
        wrong_default = self.range.complaint(name, self.default)
        return wrong_default or search_complaint(name, self.search, self.default, self.range)

    def check(self, name: str, value: Any) -> Any:
        """Return the value as it is kept, one of Python's own types for example.

        Args:
            name: what the value is called in messages.
            value: what was given.

        Raises:
            HyperparameterError: it isn't allowed.
        """
        raise_for(self.range.complaint(name, value))
        return converter(self.range)(value)


def raise_for(complaint: str) -> None:
    """Raise for a complaint that isn't empty.

    Raises:
        HyperparameterError: with the complaint as its text.
    """
    if complaint:
        raise HyperparameterError(complaint)


def hyperparameter(
    *,
    default: Any,
    range: Range,
    doc: str = "",
    kw_only: bool = False,
    search: Search = None,
) -> Any:
    """Declare a hyperparameter: something that the mathematics depends on.

    Args:
        default: the value used when neither the constructor nor a group gives one.
        range: what is allowed; see `at_least`, `within`, `each`, `whole`, `one_of`.
        doc: one phrase, shown by `optkit.describe` and ``optkit show``.
        kw_only: whether the constructor takes it by keyword only.
        search: where good values are searched: `loguniform`, `uniform` or `choice`, for a
            tuple one for each entry, or None for an entry that stays. None (default): nowhere.

    Returns:
        A declaration that the class consumes when it is created.

    >>> import optkit
    >>> optkit.get("adagrad").Hyperparameters(lr=0.5).lr
    0.5
    """
    kept = _converted(default, range)
    return Declaration(kept, range, doc, Role.HYPERPARAMETER, kw_only, search=search)


def option(
    *,
    default: Any,
    range: Range,
    doc: str = "",
    kw_only: bool = True,
    by_position: bool = False,
    role: str | None = None,
) -> Any:
    """Declare an option: something about a step that no update body is given.

    Args:
        default: the value used when neither the constructor nor a group gives one.
        range: what is allowed.
        doc: one phrase, for the reader of the class.
        kw_only: whether type checkers allow it by keyword only; options are declared on
            base classes, whose fields would come before the hyperparameters.
        by_position: whether the constructor takes it by position after the
            hyperparameters all the same; those that a class declares anew come in its order. A
            class that only has other options of its base by position names them in
            ``options_by_position``.
        role: ``"step"``: what a step does; parameters step together only where their groups
            agree in it, and a checkpoint restores it. ``"execution"``: how a step is carried out,
            which a checkpoint leaves as it is. ``"request"``: the same, for what asks for an
            implementation. None (default): that of a base class's option of the same name, and
            ``"step"`` where there is none.

    Returns:
        A declaration that the class consumes when it is created.

    Raises:
        DeclarationError: there is no such role.

    >>> from optkit_core import boolean
    >>> option(default=False, range=boolean(), role="execution").role
    <Role.EXECUTION: 'execution'>
    """
    roles = {item.value: item for item in OPTIONS}
    if role is not None and role not in roles:
        raise DeclarationError(
            f"an option's role must be one of {', '.join(map(repr, roles))}, got {role!r:.40}."
        )
    return Declaration(
        _converted(default, range),
        range,
        doc,
        Role.STEP if role is None else roles[role],
        kw_only and not by_position,
        inherits_role=role is None,
    )


def take(cls: type) -> dict[str, Declaration]:
    """Take the declarations out of the body of `cls`, with their types."""
    own = _with_types(cls)
    for name in own:
        # Left in the body, it would be the value of the attribute on every instance.
        delattr(cls, name)
    return own


def collect(cls: type) -> dict[str, Declaration]:
    """Return the declarations of `cls` and of all its bases, bases first."""
    declared: dict[str, Declaration] = {}
    for base in reversed(cls.__mro__):
        # None for a mixin that isn't `Declared`, whose declarations nobody has taken out.
        own = vars(base).get("own_declarations")
        for name, item in (_with_types(base) if own is None else own).items():
            inherited = declared.get(name)
            if inherited is not None and inherited.is_option and item.is_option:
                # Those by position come in the order of the class that declares them anew.
                del declared[name]
                role = inherited.role if item.inherits_role else item.role
                item = attrs.evolve(item, role=role, doc=item.doc or inherited.doc)
            declared[name] = item
    return declared


def require_known_names(owner: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise for the first key of `given` that isn't among `known`.

    Args:
        owner: the class, for the message.
        given: the arguments by name.
        known: the names that are declared.

    Raises:
        UnknownHyperparameterError: naming the key, its value, the close matches and all names.
    """
    for name, value in given.items():
        if name not in known:
            raise unknown(owner, name, value, did_you_mean(name, known), known)


def unknown(
    owner: str, name: str, value: Any, hint: str, known: Iterable[str]
) -> UnknownHyperparameterError:
    """Return the error for a name that isn't among those that are known.

    Args:
        owner: the class, or whatever takes the names.
        name: the one that isn't known.
        value: what was given for it.
        hint: a sentence that says what was probably meant, or ``""``.
        known: all names that are.
    """
    return UnknownHyperparameterError(
        f"{owner} takes no {name!r} (got {name}={shown(value)}).{hint} It takes {', '.join(known)}."
    )


def _converted(default: Any, range: Range) -> Any:
    """Return a default as it is kept; one that isn't allowed is refused with its class."""
    return default if range.complaint("the default", default) else converter(range)(default)


def _with_types(cls: type) -> dict[str, Declaration]:
    """Return the declarations in the body of `cls`, with their types."""
    types = inspect.get_annotations(cls)
    names = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    declared = {name: item for name, item in vars(cls).items() if isinstance(item, Declaration)}
    return {
        name: attrs.evolve(
            item,
            type=annotation_text(types.get(name)),
            annotation=resolved_annotation(types.get(name, Any), names),
        )
        for name, item in declared.items()
    }
