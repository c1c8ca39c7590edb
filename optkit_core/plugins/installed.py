"""What is installed: one scan of the entry points of all distributions, for every kind of plugin.

The scan opens ``entry_points.txt`` of each distribution once, and the metadata of those that
offer something to optkit. `importlib.metadata.entry_points` would parse all of them, once for
each group, and a distribution whose file can't be parsed would leave none of the others.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions
from importlib.metadata import distribution as first_on_path

import attrs

PREFIX = "optkit."
"""What the names of optkit's groups of entry points begin with."""

UNKNOWN = "unknown"
"""The name of a distribution whose metadata doesn't have one."""


@attrs.frozen(eq=False)
class Provider:
    """A distribution that offers plugins.

    Args:
        distribution: as importlib.metadata has it.
        name: as its metadata has it; ``"unknown"`` where they lack it.
        version: likewise; ``""`` where they lack it.
        fault: why its entry points can't be read; ``""`` where they can.
    """

    distribution: Distribution
    name: str
    version: str
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


@attrs.frozen(eq=False)
class InstalledPlugin:
    """One entry point, and the distribution that offers it."""

    entry_point: EntryPoint
    provider: Provider

    @property
    def name(self) -> str:
        """The name of the entry point."""
        return self.entry_point.name


@attrs.frozen(eq=False)
class Scan:
    """What a scan has found, in the order of ``sys.path``."""

    plugins: tuple[InstalledPlugin, ...]
    providers: tuple[Provider, ...]

    def of(self, group: str) -> list[InstalledPlugin]:
        """Return the plugins of a group of entry points."""
        return [plugin for plugin in self.plugins if plugin.entry_point.group == group]


_lock = threading.Lock()
_last: tuple[tuple[str, ...], Scan] | None = None


def plugins(group: str) -> list[InstalledPlugin]:
    """Return what installed distributions offer, importing nothing.

    Args:
        group: of entry points, such as ``"optkit.algorithms"``.
    """
    return scan().of(group)


def scan() -> Scan:
    """Return what is installed; looked up anew when ``sys.path`` has changed."""
    global _last
    path = tuple(sys.path)  # what is installed depends on it, and a notebook may extend it
    with _lock:
        if _last is None or _last[0] != path:
            _last = (path, look_up())
        return _last[1]


def look_up() -> Scan:
    """Return what is installed now, without asking what was found before."""
    found: list[InstalledPlugin] = []
    providers: list[Provider] = []
    for distribution in distributions():
        entries, fault = _entries(distribution)
        if not (entries or fault):
            continue
        provider = Provider(distribution, *_name_and_version(distribution), fault)
        if not _is_hidden(provider):
            providers.append(provider)
            found += [InstalledPlugin(entry_point, provider) for entry_point in entries]
    return Scan(tuple(found), tuple(providers))


def _entries(distribution: Distribution) -> tuple[list[EntryPoint], str]:
    """Return a distribution's entry points for optkit, and why they can't be read."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        # Most distributions offer nothing here, and needn't be parsed.
        return (list(_parsed(text)) if PREFIX in text else []), ""
    except ValueError as error:
        return [], f"entry_points.txt can't be read: {error}"


def _parsed(text: str) -> Iterator[EntryPoint]:
    """Yield the entry points of optkit's groups.

    Those of `Distribution.entry_points`, which would open the file again and parse the groups of
    others too: that took a quarter of the scan.
    """
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif group.startswith(PREFIX) and line and not line.startswith("#"):
            name, equals, value = (part.strip() for part in line.partition("="))
            if not (name and equals and value):
                raise ValueError(f"{line!r} of group {group!r} isn't of the form name = value")
            yield EntryPoint(name, value, group)


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Return two headers; to parse them all would take longer than the rest of the scan."""
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except UnicodeDecodeError:
        text = ""
    lines = text.partition("\n\n")[0].splitlines()
    headers = {key.lower(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    return headers.get("name") or UNKNOWN, headers.get("version", "")


def _is_hidden(provider: Provider) -> bool:
    """Whether another distribution of the same name comes before it on ``sys.path``."""
    if provider.name == UNKNOWN:
        return False
    try:
        first = first_on_path(provider.name)
    except PackageNotFoundError:  # its metadata has another name than its folder
        return False
    return first.locate_file("") != provider.distribution.locate_file("")
