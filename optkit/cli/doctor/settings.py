"""Variables and files that say how optkit runs: which are in force, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from difflib import get_close_matches

import attrs

from optkit.cli.doctor.findings import Finding
from optkit_core.errors import OptkitError
from optkit_core.implementations import foreach
from optkit_core.native import cache_dirs, compiler, tensor_reader_loader
from optkit_core.plugins import hook_calls, import_limit, installed
from optkit_core.plugins.kinds import normalized
from optkit_core.selection import requests

PREFIX = "OPTKIT_"

CHECKS: dict[str, Callable[[], object]] = {
    requests.ENVIRONMENT: requests.ambient,
    requests.CONFIG_FILE: lambda: requests.from_file(os.environ[requests.CONFIG_FILE]),
    cache_dirs.VARIABLE: cache_dirs.candidates,
    compiler.TIMEOUT_VARIABLE: compiler.timeout,
    compiler.VARIABLE: compiler.command,
    foreach.LIMIT: lambda: foreach.limit("cpu"),
    hook_calls.DISABLED: lambda: None,
    import_limit.VARIABLE: import_limit.seconds,
    tensor_reader_loader.SWITCH: tensor_reader_loader.is_switched_off,
}
"""Every variable that is read, and what complains about its value."""


@attrs.frozen
class SetVariable:
    """A variable that is set.

    Args:
        name: of the variable.
        value: its text.
        error: what is wrong with it, ``""`` if nothing is.
    """

    name: str
    value: str
    error: str


def in_force(_: object) -> list[SetVariable]:
    """Return the variables that are set, each with the complaint about it."""
    names = sorted({*CHECKS, *(name for name in os.environ if name.startswith(PREFIX))})
    return [
        SetVariable(n, os.environ[n], _error(n)) for n in names if os.environ.get(n, "").strip()
    ]


def findings(settings: list[SetVariable]) -> Iterator[Finding]:
    """Yield what is wrong with variables, and which of them do nothing."""
    for setting in settings:
        if setting.error:
            yield Finding(setting.name, setting.error, f"Correct {setting.name}, or unset it.")
        elif setting.name not in CHECKS:
            # `did_you_mean` compares in lower case.
            close = [f" Did you mean {x}?" for x in get_close_matches(setting.name, CHECKS, n=1)]
            yield Finding(
                setting.name,
                f"optkit reads no variable of that name.{''.join(close)}",
                "Correct its name, or unset it.",
                is_problem=False,
            )
    yield from _without_effect()


def _without_effect() -> Iterator[Finding]:
    known = {PREFIX.lower().rstrip("_")}
    for plugin in installed.scan().plugins:
        names = (plugin.name, plugin.provider.name, f"{plugin.provider.name}:{plugin.name}")
        known |= set(map(normalized, names))
    for name in sorted(hook_calls.disabled()):
        if normalized(name) not in known:
            yield Finding(
                hook_calls.DISABLED,
                f"names {name!r}, and no distribution or plugin is called that.",
                "Correct the name, or leave it out.",
                is_problem=False,
            )


def _error(name: str) -> str:
    try:
        CHECKS.get(name, lambda: None)()
    except (OptkitError, ValueError) as error:  # shlex complains about quotes in CXX
        return str(error)
    return ""
