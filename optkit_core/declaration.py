"""Declarations: what an algorithm says about itself, once, in its class body.

An annotated attribute ``lr: float = hyperparameter(default=1e-2, range=at_least(0.0))``
declares a hyperparameter; the keywords are those that type checkers look for, so that
they know the constructor's signature too. `read` gathers the declarations, from which
come frozen attrs classes whose validators check the constructor's arguments, each
parameter group and every later one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter as Argument
from typing import Any

import attrs

from optkit_core.errors import HyperparameterError, UnknownHyperparameterError, did_you_mean
from optkit_core.ranges import Range


@attrs.frozen(eq=False, repr=False)
class Declaration:
    """What one attribute of a class body declares."""

    default: Any
    range: Range
    doc: str
    is_option: bool
    kw_only: bool
    type: str = ""


def hyperparameter(*, default: Any, range: Range, doc: str = "", kw_only: bool = False) -> Any:
    """Declare a hyperparameter: something that the mathematics depends on.

    Args:
        default: the value used when neither the constructor nor a group gives one.
        range: what is allowed; see `at_least`, `within`, `each`, `whole`, `one_of`.
        doc: one phrase, shown by `optkit.describe` and ``optkit show``.
        kw_only: whether the constructor takes it by keyword only.

    Returns:
        A declaration that the class consumes when it is created.

    >>> import optkit
    >>> optkit.get("adagrad").Hyperparameters(lr=0.5).lr
    0.5
    """
    return Declaration(default, range, doc, is_option=False, kw_only=kw_only)


def option(
    *,
    default: Any,
    range: Range,
    doc: str = "",
    kw_only: bool = True,
    by_position: bool = False,
) -> Any:
    """Declare an option: how a step is carried out.

    Args:
        default: the value used when neither the constructor nor a group gives one.
        range: what is allowed.
        doc: one phrase, for the reader of the class.
        kw_only: whether type checkers allow it by keyword only; options are declared on
            base classes, whose fields would come before the hyperparameters.
        by_position: whether the constructor takes it by position after the
            hyperparameters all the same, as torch does with ``foreach``.

    Returns:
        A declaration that the class consumes when it is created.
    """
    by_keyword = kw_only and not by_position
    return Declaration(default, range, doc, is_option=True, kw_only=by_keyword)


def take(cls: type) -> dict[str, Declaration]:
    """Take the declarations out of the body of `cls`, with their types."""
    types = inspect.get_annotations(cls)
    own = {
        name: attrs.evolve(item, type=_spelled(types.get(name)))
        for name, item in vars(cls).items()
        if isinstance(item, Declaration)
    }
    for name in own:
        delattr(cls, name)
    return own


def collect(cls: type) -> dict[str, Declaration]:
    """Return the declarations of `cls` and of all its bases, bases first."""
    found: dict[str, Declaration] = {}
    for base in reversed(cls.__mro__):
        mixed_in = {k: v for k, v in vars(base).items() if isinstance(v, Declaration)}
        found.update(vars(base).get("own_declarations", mixed_in))
    return found


class CheckedClass:
    """A class attribute that becomes a frozen, keyword-only attrs class when first looked at.

    Its fields are the hyperparameters of the class it stands in, or its options; their
    validators are the declared ranges. Most base classes are never asked for theirs.
    """

    def __init__(self, name: str, options: bool) -> None:
        """Stand in for the class called `name`, of the hyperparameters or of the options."""
        self.name = name
        self.options = options

    def __get__(self, instance: object, owner: Any) -> type[Any]:
        """Build the class, and put it in the place of this attribute."""
        fields = {
            key: attrs.field(default=item.default, validator=_validator(item.range))
            for key, item in owner.declarations.items()
            if item.is_option is self.options
        }
        name = f"{owner.__name__}{self.name}"
        built = attrs.make_class(name, fields, frozen=True, kw_only=True, slots=True)
        setattr(owner, self.name, built)
        return built


def signature(declared: Mapping[str, Declaration]) -> inspect.Signature:
    """Return the constructor's signature: params, hyperparameters, options."""
    return inspect.Signature(
        [Argument("params", Argument.POSITIONAL_OR_KEYWORD)]
        + [
            Argument(
                name,
                Argument.KEYWORD_ONLY if item.kw_only else Argument.POSITIONAL_OR_KEYWORD,
                default=item.default,
                annotation=item.type,
            )
            for name, item in in_order(declared)
        ]
    )


def without_self(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a method as its callers see it."""
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def in_order(declared: Mapping[str, Declaration]) -> list[tuple[str, Declaration]]:
    """Return the declarations in the order of the constructor's arguments."""
    return sorted(declared.items(), key=lambda pair: (pair[1].kw_only, pair[1].is_option))


def positional(declared: Mapping[str, Declaration]) -> tuple[str, ...]:
    """Return the names that the constructor takes by position after params, in order."""
    return tuple(name for name, item in in_order(declared) if not item.kw_only)


def refuse_unknown(owner: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise for the first key of `given` that isn't among `known`.

    Raises:
        UnknownHyperparameterError: naming the key, its value, the close matches and all names.
    """
    for name, value in given.items():
        if name not in known:
            raise UnknownHyperparameterError(
                f"{owner} takes no {name!r} (got {name}={value!r}).{did_you_mean(name, known)} "
                f"It takes {', '.join(known)}."
            )


def _validator(allowed: Range) -> Callable[[Any, Any, Any], None]:
    def check(instance: Any, attribute: Any, value: Any) -> None:
        complaint = allowed.complaint(attribute.name, value)
        if complaint:
            raise HyperparameterError(complaint)

    return check


def _spelled(annotation: Any) -> str:
    if annotation is None or isinstance(annotation, str):
        return annotation or ""
    return inspect.formatannotation(annotation)
