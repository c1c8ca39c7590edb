"""What one distribution offers, and whether its metadata, imports and registrations work."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from packaging.version import InvalidVersion, Version

from optkit.cli.doctor.asked_versions import AskedVersion, asked
from optkit.cli.doctor.findings import Finding
from optkit.cli.doctor.probe import Probed, Registered, probe
from optkit.cli.isolation import isolated
from optkit_core.plugins import hook_calls, installed
from optkit_core.plugins.installed import UNKNOWN, InstalledPlugin, Provider
from optkit_core.plugins.registry import is_disabled


@attrs.frozen
class PluginReport:
    """One entry point.

    Args:
        kind: what it offers, such as ``"algorithm"``.
        name: its name.
        value: where it leads.
        status: ``"works"``, ``"failed"``, or ``"disabled"`` by the variable for that.
        registers: what is available through it.
        hooks: those that it implements.
        implementations: of an algorithm.
        failure: what went wrong, ``""`` if nothing did.
        output: what it printed while it was imported and registered.
    """

    kind: str
    name: str
    value: str
    status: str
    registers: tuple[Registered, ...] = ()
    hooks: tuple[str, ...] = ()
    implementations: tuple[str, ...] = ()
    failure: str = ""
    output: str = ""


@attrs.frozen
class DistributionReport:
    """One distribution that offers plugins.

    Args:
        name: ``"unknown"`` where its metadata has none.
        version: ``""`` where its metadata has none.
        location: the folder that it is installed in.
        metadata: what is wrong with it, a line for each fault.
        requires: what it asks for.
        plugins: what it offers.
    """

    name: str
    version: str
    location: str
    metadata: tuple[str, ...]
    requires: tuple[AskedVersion, ...]
    plugins: tuple[PluginReport, ...]

    @property
    def title(self) -> str:
        """Its name and version; the folder too where the name is unknown."""
        named = f"{self.name} {self.version}".rstrip()
        return f"{named} in {self.location}" if self.name == UNKNOWN else named


def report(provider: Provider, seconds: float) -> DistributionReport:
    """Examine one distribution, in a process of its own.

    Args:
        provider: the distribution.
        seconds: how long the import of one plugin may take.
    """
    faults, requires = _metadata(provider)
    return DistributionReport(
        provider.name,
        provider.version,
        str(provider.distribution.locate_file("")),
        tuple(faults),
        tuple(requires),
        tuple(_plugins(provider, seconds)),
    )


def findings(report: DistributionReport) -> Iterator[Finding]:
    """Yield what is wrong with a distribution."""
    reinstall = f"Reinstall it: pip install --force-reinstall {report.name}"
    if report.name == UNKNOWN:
        reinstall = f"Remove what is left of it in {report.location}, and install it anew."
    for fault in report.metadata:
        yield Finding(report.title, fault, reinstall)
    for need in report.requires:
        if not need.is_met:
            yield _unmet(report, need)
    for plugin in report.plugins:
        name = f"{report.name}:{plugin.name}"
        if plugin.failure:
            yield Finding(
                report.title,
                f"{plugin.kind} {plugin.name!r} {plugin.failure}",
                f"Update, repair or remove {report.name}, or leave this out: "
                f"{hook_calls.DISABLED}={name}",
            )
        elif plugin.output:
            yield Finding(
                report.title,
                f"{plugin.kind} {plugin.name!r} prints while it is imported: {plugin.output!r:.80}",
                f"Ask its author, or leave it out: {hook_calls.DISABLED}={name}",
                is_problem=False,
            )


def _unmet(report: DistributionReport, need: AskedVersion) -> Finding:
    there = f"{need.installed} is installed" if need.installed else "it isn't installed"
    way_out = f"pip install '{need}', or another version of {report.name}."
    if need.name == "optkit":
        way_out = f"Install a version of {report.name} that is made for this optkit, or {need}."
    return Finding(report.title, f"asks for {need}, and {there}", way_out)


def _metadata(provider: Provider) -> tuple[list[str], list[AskedVersion]]:
    faults = [provider.fault] if provider.fault else []
    try:
        text = provider.distribution.read_text("METADATA")
        text = text or provider.distribution.read_text("PKG-INFO")
    except UnicodeDecodeError as error:
        return [*faults, f"its metadata isn't UTF-8: {error}"], []
    if not text:
        return [*faults, "it has no metadata (METADATA)"], []
    if provider.name == UNKNOWN:
        faults.append("its metadata says no name")
    faults += _version_faults(provider.version)
    requires, wrong = asked(provider.distribution)
    faults += [f"its metadata asks for {line!r}, which is no requirement" for line in wrong]
    return faults, requires


def _version_faults(version: str) -> list[str]:
    if not version:
        return ["its metadata says no version"]
    try:
        Version(version)
    except InvalidVersion:
        return [f"its version {version!r} isn't one"]
    return []


def _plugins(provider: Provider, seconds: float) -> Iterator[PluginReport]:
    mine = [
        (position, plugin)
        for position, plugin in enumerate(installed.scan().plugins)
        if plugin.provider is provider
    ]
    blocked = [plugin for _, plugin in mine if is_disabled(plugin.name, provider.name)]
    yield from (_plugin(plugin, "disabled") for plugin in blocked)
    tried = [(position, plugin) for position, plugin in mine if plugin not in blocked]
    if not tried:
        return
    with isolated(probe, [position for position, _ in tried], seconds) as outcomes:
        for (_, plugin), outcome in zip(tried, outcomes, strict=True):
            probed = outcome.value or Probed(failure=f"fails: {outcome.failure}")
            status = "failed" if probed.failure else "works"
            facts = attrs.asdict(probed, recurse=False)
            yield attrs.evolve(_plugin(plugin, status), **facts, output=outcome.output)


def _plugin(plugin: InstalledPlugin, status: str) -> PluginReport:
    entry_point = plugin.entry_point
    return PluginReport(kind_of(entry_point.group), plugin.name, entry_point.value, status)


def kind_of(group: str) -> str:
    """Return what a group of entry points offers.

    >>> kind_of("optkit.algorithms")
    'algorithm'
    """
    return group.removeprefix(installed.PREFIX).removesuffix("s")
