"""Which implementation is wanted, and who says so.

Order of authority: the call's argument, ``with optkit.use(...)``,
``OPTKIT_IMPLEMENTATION``, the TOML file named by ``OPTKIT_CONFIG``, the device's default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs
import torch

from optkit_core.errors import ConfigError, ImplementationError, did_you_mean
from optkit_core.param_groups.builtin_values import plain
from optkit_core.param_groups.spelling import shown
from optkit_core.selection import collect_offers

AUTO = "auto"
ANY_DEVICE = "*"
NAMES = ("auto", "forloop", "foreach", "fused")

ENVIRONMENT = "OPTKIT_IMPLEMENTATION"
CONFIG_FILE = "OPTKIT_CONFIG"

FLAGS = ("foreach", "fused")
"""torch's options for an implementation; they and ``implementation`` set each other aside."""


@attrs.frozen(eq=False)
class Request:
    """What was asked for, by device type (``"*"`` for any), and where it was said."""

    by_device: Mapping[str, str]
    source: str

    @property
    def is_explicit(self) -> bool:
        """Whether anybody asked for anything in particular."""
        return any(name != AUTO for name in self.by_device.values())

    def on(self, device_type: str) -> str:
        """Return what is requested for a device type: a name or ``"auto"``."""
        return self.by_device.get(device_type, self.by_device.get(ANY_DEVICE, AUTO))


DEFAULT = Request({}, "the device's default")

RequestKey = tuple[str, bool | None, bool | None]
"""A group's ``implementation`` as text, and torch's two flags."""

# Not a global: each thread and each asyncio task has the `use` of its own.
_used: ContextVar[Request | None] = ContextVar("optkit_used", default=None)


def parse(value: Any, source: str) -> Request:
    """Turn a name or a mapping by device type into a request.

    Args:
        value: ``"auto"``, ``"forloop"``, ``"foreach"``, ``"fused"``, or a mapping such as
            ``{"cpu": "foreach", "cuda": "fused"}``.
        source: who said so, for messages; ``""`` where they say it otherwise.

    Raises:
        ConfigError: the value is neither, or names an unknown implementation.

    >>> parse({"cpu": "foreach"}, "a test").on("cuda")
    'auto'
    """
    value = plain(value)
    if isinstance(value, dict):
        return Request({_device(d, source): _name(n, source) for d, n in value.items()}, source)
    return Request({ANY_DEVICE: _name(value, source)}, source)


def ambient() -> Request:
    """Return what holds where the call itself gives no implementation."""
    used = _used.get()
    if used is not None:
        return used
    if os.environ.get(ENVIRONMENT, "").strip():
        return parse(os.environ[ENVIRONMENT].strip(), f"the environment variable {ENVIRONMENT}")
    return from_file(os.environ.get(CONFIG_FILE, ""))


@contextmanager
def use(implementation: str | Mapping[str, str]) -> Iterator[None]:
    """Ask for an implementation for every optimizer created inside the block.

    Args:
        implementation: as for the constructor's ``implementation=`` argument, which
            has the last word.

    Raises:
        ConfigError: the name isn't known.

    >>> import torch, optkit
    >>> with optkit.use("foreach"):
    ...     optimizer = optkit.create("adagrad", [torch.zeros(3)])
    >>> optimizer.request.on("cpu")
    'foreach'
    """
    token = _used.set(parse(implementation, "optkit.use"))
    try:
        yield
    finally:
        _used.reset(token)


def from_flags(foreach: bool | None, fused: bool | None) -> str | None:
    """Return the implementation that torch's two flags mean, None when neither is given.

    Args:
        foreach: torch's flag; None where it isn't given.
        fused: likewise.
    """
    if foreach and fused:
        raise ImplementationError(
            "`fused` and `foreach` cannot be `True` together: each asks for another "
            "implementation. Give one of them, or implementation='auto'."
        )
    if foreach is None and fused is None:
        return None
    # As in torch, one False is enough for the for-loop: foreach=False, or fused=False alone.
    return "fused" if fused else "foreach" if foreach else "forloop"


def requested(options: Mapping[str, Any]) -> Request | None:
    """Return what the options of a constructor or group ask for, None when they don't.

    Args:
        options: with ``implementation`` and, where the algorithm has them, torch's
            ``foreach`` and ``fused``.

    Raises:
        ConfigError: no implementation is called that.
        ImplementationError: the flags contradict each other or `implementation`.
    """
    value = require_consistent(options)
    is_flag = options.get("implementation") is None
    source = "the foreach= or fused= flag" if is_flag else "the argument implementation="
    return None if value is None else parse(value, source)


def resolve(options: Mapping[str, Any]) -> Request:
    """Return what holds for an optimizer with these options of its constructor.

    Raises:
        ConfigError: no implementation is called that.
        ImplementationError: the flags contradict each other or `implementation`.
    """
    return requested(options) or ambient()


def require_consistent(options: Mapping[str, Any]) -> Any:
    """Return what options ask for as it was given, a name or a mapping; None for nothing.

    Raises:
        ImplementationError: the flags contradict each other or `implementation`.
    """
    flag = from_flags(options.get("foreach"), options.get("fused"))
    given = options.get("implementation")
    if given is None:
        return flag
    # The same thing said twice, in either form, is no contradiction.
    if flag is not None and plain(given) not in (flag, {ANY_DEVICE: flag}):
        raise ImplementationError(
            f"implementation={given!r} contradicts the foreach= or fused= flag, which means "
            f"{flag!r}. Give one of them."
        )
    return given


def request_key(group: Mapping[str, Any]) -> RequestKey:
    """Return what tells apart what groups ask for: groups with equal ones step together."""
    # As text, since a mapping by device type has no hash.
    return (str(group.get("implementation")), group.get("foreach"), group.get("fused"))


def set_aside(own: Mapping[str, Any]) -> list[str]:
    """Return the options of the constructor that a group's own options replace."""
    replaced = list(FLAGS) if own.get("implementation") is not None else []
    if any(own.get(flag) is not None for flag in FLAGS):
        replaced.append("implementation")
    return [name for name in replaced if own.get(name) is None]


class ImplementationRange:
    """What ``implementation=`` may be: None, a name, or a mapping of names by device type."""

    def __str__(self) -> str:
        return " | ".join(map(repr, NAMES)) + " | mapping by device type"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string.

        Args:
            name: of the argument, for the message.
            value: what was given.
        """
        try:
            if value is not None:
                parse(value, f"the argument {name}=")
        except ConfigError as error:
            return str(error)
        return ""


def from_file(path: str) -> Request:
    """Return what a TOML file asks for.

    Args:
        path: of the file; ``""`` for none.

    Raises:
        ConfigError: it can't be read, isn't TOML, or has other keys than ``implementation``.
    """
    if not path:
        return DEFAULT
    from optkit_core.config_file.read_source import read_file  # needed only where there is a file

    source = f"{path} ({CONFIG_FILE})"
    try:
        table = read_file(path, ".toml").data
    except ConfigError as error:
        raise ConfigError(f"{CONFIG_FILE} names {error}") from error
    # A misspelled key would pass unnoticed, and the default would run.
    strange = [key for key in table if key != "implementation"]
    if strange:
        raise ConfigError(f"{source} has an unknown key {strange[0]!r}; it takes 'implementation'.")
    return parse(table["implementation"], source) if table else DEFAULT


def _name(value: Any, source: str) -> str:
    # Every algorithm is imported for a name that none of the imported ones knows.
    if isinstance(value, str) and (value in NAMES or _is_offered(value)):
        return value
    known = known_names()
    hint = did_you_mean(value, known) if isinstance(value, str) else ""
    raise ConfigError(
        f"implementation must be one of {', '.join(known)}, or a mapping of these by device "
        f"type, got {shown(value)}{_origin(source)}.{hint}"
    )


def _is_offered(name: str) -> bool:
    """Return whether some algorithm has an implementation of that name, a plugin's perhaps."""
    # Those that ship before those of others, whose import may take long, or end the process.
    ways = (
        collect_offers.names_of_loaded,
        collect_offers.names_of_own,
        collect_offers.names_of_all,
    )
    return any(name in names() for names in ways)


def known_names() -> list[str]:
    """Return the names of all implementations of algorithms that ship or are imported."""
    return list(dict.fromkeys([*NAMES, *collect_offers.names_of_own()]))


def _device(value: Any, source: str) -> str:
    if value == ANY_DEVICE or _is_device_type(value):
        return str(value)
    raise ConfigError(
        f"a device type must be a name such as 'cpu' or 'cuda', got {shown(value)}"
        f"{_origin(source)}."
    )


def _origin(source: str) -> str:
    return f" (from {source})" if source else ""


def _is_device_type(value: Any) -> bool:
    try:
        # "cuda:1" is a device and no type: requests don't tell devices of one type apart.
        return isinstance(value, str) and torch.device(value).type == value
    except RuntimeError:
        return False
