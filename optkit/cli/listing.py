"""What ``list`` lists and ``show`` finds: descriptions by name, of whatever kind."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any, Generic, TypeVar

import attrs

import optkit
from optkit.cli.isolation import IsolatedOutcome, isolated
from optkit.cli.user_errors import OptionError
from optkit_core.errors import AmbiguousNameError, OptkitError, UnknownNameError, did_you_mean
from optkit_core.factories.factory_description import FactoryDescription
from optkit_core.plugins import entry_points, import_limit
from optkit_core.plugins.description import Description
from optkit_core.plugins.hook_calls import DISABLED
from optkit_core.plugins.kinds import DEFAULT, KINDS
from optkit_core.plugins.registry import registry_of

Known = TypeVar("Known", Description, FactoryDescription)


@attrs.frozen
class Listed(Generic[Known]):
    """One item of the list: what is known about it, or why nothing is."""

    name: str
    description: Known | None
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints about it."""
        if self.description is None:
            return {"name": self.name, "error": self.error}
        described = self.description.as_dict()
        left_out = ("hyperparameters", "buffers", "implementations", "location", "schema")
        return {key: value for key, value in described.items() if key not in left_out}


def listed(pattern: str, kind: str) -> list[Listed[Any]]:
    """Describe everything of a kind whose name matches.

    Args:
        pattern: a shell pattern, such as ``ada*``.
        kind: ``"algorithm"``, ``"schedule"`` or ``"averaging"``.

    Raises:
        OptionError: nothing matches.
    """
    names = optkit.available(pattern, kind=kind)
    if not names:
        command = "optkit list" if kind == DEFAULT else f"optkit list --kind {kind}"
        raise OptionError(
            f"no {kind} matches {pattern!r}.{did_you_mean(pattern, optkit.available(kind=kind))} "
            f"Try '*{pattern.strip('*')}*', or '{command}' for all."
        )
    ended = ending(names, kind)
    return [Listed(n, None, ended[n]) if n in ended else _listed(kind, n) for n in names]


def kind_of(name: str) -> str:
    """Return what a name is the name of: an algorithm, or else the only other that has it.

    Raises:
        OptionError: a schedule and an averaging have it; or nothing, and another kind has one
            that is much like it.
    """
    found = [kind for kind in KINDS if _is_known(name, kind)]
    if DEFAULT in found or len(found) == 1:
        return DEFAULT if DEFAULT in found else found[0]
    if found:
        what = " and of ".join(KINDS[kind].article for kind in found)
        options = " or ".join(f"--kind {kind}" for kind in found)
        raise OptionError(f"{name!r} is the name of {what}. Say {options}.")
    others = [other for kind in KINDS if kind != DEFAULT for other in optkit.available(kind=kind)]
    if did_you_mean(name, others):
        hint = did_you_mean(name, [*others, *optkit.available()])
        raise OptionError(
            f"no algorithm, schedule or averaging is called {name!r}.{hint} "
            "'optkit list', with --kind too, gives all names."
        )
    return DEFAULT


def provider_of(description: Description | FactoryDescription) -> str:
    """Return the distribution that something comes from, with its version."""
    return f"{description.distribution} {description.version}".strip()


def origins(
    described: Iterable[Description] | Iterable[FactoryDescription],
) -> list[tuple[str, str]]:
    """Return rows that say which names come from which distribution."""
    names: dict[str, list[str]] = {}
    for description in described:
        names.setdefault(provider_of(description), []).append(description.name)
    return [(f"From {provider}", ", ".join(brought)) for provider, brought in names.items()]


def _is_known(name: str, kind: str) -> bool:
    try:
        entry_points.find(name, kind)
    except AmbiguousNameError:
        return True
    except UnknownNameError:
        return False
    return True


def ending(names: Sequence[str], kind: str) -> dict[str, str]:
    """Return what of others crashes, hangs or exits when it is imported, each with what to do.

    Args:
        names: as `optkit.available` returns them.
        kind: of what they are the names.
    """
    registry = registry_of(kind)
    others = [name for name in names if registry.find(name).is_of_others]
    if not others:
        return {}
    work = functools.partial(_import, kind)
    with isolated(work, others, import_limit.seconds()) as outcomes:
        tried = zip(others, outcomes, strict=True)
        return {name: _told(kind, name, outcome) for name, outcome in tried if outcome.failure}


def _told(kind: str, name: str, outcome: IsolatedOutcome) -> str:
    entry = registry_of(kind).find(name)
    return (
        f"{entry.location} of distribution {entry.provider} {entry.version}: {outcome.failure}. "
        f"Repair or remove that distribution, or set {DISABLED}={entry.qualified}."
    )


def _import(kind: str, name: str) -> None:
    # What fails in good order does so again in this process, where its message is told.
    _listed(kind, name)


def _listed(kind: str, name: str) -> Listed[Any]:
    try:
        # What a plugin prints while it is imported belongs neither into a table nor into JSON.
        with contextlib.redirect_stdout(StringIO()):
            described: Any = optkit.describe(name, kind=kind)
        # As it is asked for, "distribution:name" where several have the name.
        return Listed(name, attrs.evolve(described, name=name))
    except Exception as error:
        # One broken plugin doesn't hide the others.
        said = "" if isinstance(error, OptkitError) else f"{type(error).__name__}: "
        return Listed(name, None, f"{said}{error}")
