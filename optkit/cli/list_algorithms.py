"""``optkit list``: a row for each algorithm, one that can't be imported included."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from io import StringIO
from typing import Any

import attrs

import optkit
from optkit.cli.isolation import PATIENCE, IsolatedOutcome, isolated
from optkit.cli.tables import console, pairs, plain_table
from optkit.cli.user_errors import OptionError
from optkit_core.errors import OptkitError, did_you_mean
from optkit_core.plugins.description import Description
from optkit_core.plugins.hook_calls import DISABLED
from optkit_core.plugins.registry import registry

COLUMNS = (
    "Name",
    "CPU",
    "CUDA",
    "for-\nloop",
    "fore-\neach",
    "fused",
    "sparse",
    "com-\nplex",
    "captur-\nable",
    "differ-\nentiable",
)

LEGEND = (
    ("CPU, CUDA", "what 'auto' takes there, where it is installed"),
    ("for-loop to fused", "yes, or the devices on which there is one"),
    ("sparse", "takes sparse gradients; only: no others"),
    ("complex", "takes complex parameters"),
    ("capturable", "CUDA graphs can capture its step, with capturable=True"),
    ("differentiable", "autograd can record its step, with differentiable=True"),
)


@attrs.frozen
class Listed:
    """An algorithm in the list: what is known about it, or why nothing is."""

    name: str
    description: Description | None
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints about it."""
        if self.description is None:
            return {"name": self.name, "error": self.error}
        kept = ("name", "summary", "paper", "distribution", "version", "capabilities")
        described = self.description.as_dict()
        return {key: described[key] for key in kept}


def listed(pattern: str) -> list[Listed]:
    """Describe every algorithm whose name matches.

    Args:
        pattern: a shell pattern, such as ``ada*``.

    Raises:
        OptionError: nothing matches.
    """
    names = optkit.available(pattern)
    if not names:
        raise OptionError(
            f"no algorithm matches {pattern!r}.{did_you_mean(pattern, optkit.available())} "
            f"Try '*{pattern.strip('*')}*', or 'optkit list' for all."
        )
    ended = _ending(names)
    return [Listed(n, None, ended[n]) if n in ended else _listed(n) for n in names]


def print_table(algorithms: Sequence[Listed]) -> None:
    """Print what each algorithm can do, and below it what the columns mean.

    Args:
        algorithms: as `listed` returns them.
    """
    table = plain_table(padding=0)  # so that long names fit into 80 columns
    for title in COLUMNS:
        table.add_column(title, overflow="fold")
    table.columns[0].style = "bold"
    described = [item.description for item in algorithms if item.description is not None]
    for description in described:
        table.add_row(*_row(description))
    out = console()
    if described:
        out.print(table)
        out.print()
    out.print(pairs(_notes(algorithms, described)))


def print_summaries(algorithms: Sequence[Listed]) -> None:
    """Print what each algorithm does in a line, and where it comes from.

    Args:
        algorithms: as `listed` returns them.
    """
    table = plain_table()
    table.add_column("Name", no_wrap=True, style="bold")
    table.add_column("Summary", overflow="fold")
    table.add_column("From", overflow="fold")
    for item in algorithms:
        known = item.description
        table.add_row(
            item.name,
            known.summary if known else f"not available: {item.error}",
            _provider(known) if known else "",
        )
    console().print(table)


def _ending(names: Sequence[str]) -> dict[str, str]:
    """Return which algorithms of others crash, hang or exit when they are imported."""
    others = [name for name in names if registry.find(name).is_of_others]
    if not others:
        return {}
    with isolated(_import, others, PATIENCE) as outcomes:
        tried = zip(others, outcomes, strict=True)
        return {name: _told(name, outcome) for name, outcome in tried if outcome.failure}


def _told(name: str, outcome: IsolatedOutcome) -> str:
    entry = registry.find(name)
    return (
        f"{entry.location} of distribution {entry.provider} {entry.version}: {outcome.failure}. "
        f"Repair or remove that distribution, or set {DISABLED}={entry.qualified}."
    )


def _import(name: str) -> None:
    # What fails in good order does so again in this process, where its message is told.
    _listed(name)


def _listed(name: str) -> Listed:
    try:
        # What a plugin prints while it is imported belongs neither into a table nor into JSON.
        with contextlib.redirect_stdout(StringIO()):
            return Listed(name, optkit.describe(name))
    except Exception as error:
        # One broken plugin doesn't hide the others.
        kind = "" if isinstance(error, OptkitError) else f"{type(error).__name__}: "
        return Listed(name, None, f"{kind}{error}")


def _row(description: Description) -> tuple[str, ...]:
    able = description.capabilities
    return (
        description.name,
        able.default["cpu"],
        able.default["cuda"],
        *map(able.devices_of, ("forloop", "foreach", "fused")),
        able.sparse_cell,
        str(able.complex),
        str(able.capturable),
        str(able.differentiable),
    )


def _notes(algorithms: Sequence[Listed], described: Sequence[Description]) -> list[tuple[str, str]]:
    providers: dict[str, list[str]] = {}
    for description in described:
        providers.setdefault(_provider(description), []).append(description.name)
    return [
        *((item.name, f"not available: {item.error}") for item in algorithms if item.error),
        *((known.name, _dims(known)) for known in described if _dims(known)),
        *(LEGEND if described else ()),
        *((f"From {provider}", ", ".join(names)) for provider, names in providers.items()),
    ]


def _dims(description: Description) -> str:
    dims = description.capabilities.parameter_dims
    return "" if dims is None else f"takes parameters of {' or '.join(map(str, dims))} dimensions"


def _provider(description: Description) -> str:
    return f"{description.distribution} {description.version}".strip()
