"""Names that several distributions claim, by metadata or when they are registered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from optkit.cli.doctor.distribution_report import DistributionReport
from optkit.cli.doctor.findings import Finding
from optkit_core.plugins import hook_calls
from optkit_core.plugins.kinds import normalized
from optkit_core.plugins.registry import OWN

PLUGIN = "plugin"
"""The kind of whole plugins, of which one registers further names."""


@attrs.frozen
class Clash:
    """One name and those who claim it.

    Args:
        kind: of what it is the name.
        name: as the first of them spells it.
        claimed_by: distributions, with their versions.
        qualified: what each of them is called by in full, in the same order.
    """

    kind: str
    name: str
    claimed_by: tuple[str, ...]
    qualified: tuple[str, ...]

    @property
    def is_with_own(self) -> bool:
        """Whether optkit itself has the name."""
        return any(name.startswith(f"{OWN}:") for name in self.qualified)


def clashes(reports: Sequence[DistributionReport]) -> list[Clash]:
    """Return the names that more than one plugin claims, of those that aren't disabled."""
    claims: dict[tuple[str, str], list[tuple[str, DistributionReport]]] = {}
    for report in reports:
        for kind, name in _names(report):
            claims.setdefault((kind, normalized(name)), []).append((name, report))
    return [
        Clash(
            kind,
            claimed[0][0],
            tuple(report.title for _, report in claimed),
            tuple(f"{report.name}:{name}" for name, report in claimed),
        )
        for (kind, _), claimed in claims.items()
        if len(claimed) > 1
    ]


def _names(report: DistributionReport) -> Iterator[tuple[str, str]]:
    for plugin in report.plugins:
        if plugin.status != "disabled":
            yield plugin.kind, plugin.name
        if plugin.kind == PLUGIN:
            yield from ((item.kind, item.name) for item in plugin.registers)


def findings(found: Sequence[Clash]) -> Iterator[Finding]:
    """Yield what each clash means, and the way out."""
    for clash in found:
        others = [name for name in clash.qualified if not name.startswith(f"{OWN}:")]
        says = f"{clash.kind} {clash.name!r} is claimed by {' and '.join(clash.claimed_by)}"
        if clash.kind == PLUGIN:
            result, way_out = "only the first is loaded", "Remove all but one of them"
        elif clash.is_with_own:
            result = "the name stays optkit's"
            way_out = f"Ask for the other by {' or '.join(map(repr, others))}"
        else:
            result = "the name alone finds none of them"
            way_out = f"Ask for one of them by {' or '.join(map(repr, others))}"
        block = f"or leave one out: {hook_calls.DISABLED}={others[-1]}"
        yield Finding(clash.name, f"{says}; {result}", f"{way_out}, {block}")
