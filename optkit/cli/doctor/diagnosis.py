"""The whole diagnosis: everything is looked at, and the verdict drawn from it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import torch

import optkit
from optkit.cli.doctor import clashes, distribution_report, hardware, settings
from optkit.cli.doctor.clashes import Clash
from optkit.cli.doctor.distribution_report import DistributionReport
from optkit.cli.doctor.findings import Finding
from optkit.cli.doctor.hardware import Hardware
from optkit.cli.doctor.settings import SetVariable
from optkit.cli.isolation import IsolatedOutcome, isolated
from optkit_core.errors import ConfigError
from optkit_core.plugins import import_limit, installed

LIMIT = 60.0
"""Seconds for the machine to be examined, in which a compiler runs, and for the settings."""


@attrs.frozen
class Diagnosis:
    """Everything that was found.

    Args:
        versions: of optkit, Python, torch and the system.
        distributions: those that offer plugins.
        clashes: names that several of them claim.
        hardware: what there is for kernels; None where looking at it failed.
        settings: variables that are in force.
        findings: what isn't in order, problems first.
    """

    versions: dict[str, str]
    distributions: tuple[DistributionReport, ...]
    clashes: tuple[Clash, ...]
    hardware: Hardware | None
    settings: tuple[SetVariable, ...]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What doesn't work."""
        return tuple(finding for finding in self.findings if finding.is_problem)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing."""
        return tuple(finding for finding in self.findings if not finding.is_problem)

    @property
    def verdict(self) -> str:
        """The diagnosis in one line."""
        count = len(self.distributions)
        offer = f"{count} distribution{'' if count == 1 else 's'} with plugins"
        number = len(self.problems)
        if not number:
            return f"Healthy: {offer}, nothing wrong."
        return f"Unhealthy: {number} problem{'' if number == 1 else 's'}, {offer}."

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        facts = attrs.asdict(self, filter=lambda field, _: field.name != "findings")
        return {
            "healthy": not self.problems,
            "problems": [_told(finding) for finding in self.problems],
            "notes": [_told(finding) for finding in self.notes],
            **facts,
        }


def diagnose(seconds: float | None = None) -> Diagnosis:
    """Look at everything that is installed, in processes of their own.

    Args:
        seconds: how long the import of one plugin may take; None (default): as long as where an
            optimizer is created.
    """
    limit = seconds or _usual_limit()
    with (
        isolated(hardware.examine, [None], LIMIT) as examined,
        isolated(settings.in_force, [None], LIMIT) as read,
    ):
        reports = [
            distribution_report.report(provider, limit) for provider in installed.scan().providers
        ]
        hardware_outcome, settings_outcome = next(examined), next(read)
    claimed = clashes.clashes(reports)
    in_force: list[SetVariable] = settings_outcome.value or []
    found = [
        *(finding for report in reports for finding in distribution_report.findings(report)),
        *clashes.findings(claimed),
        *_of_hardware(hardware_outcome),
        *settings.findings(in_force),
        *_of_failure("variables", settings_outcome),
    ]
    return Diagnosis(
        _versions(),
        tuple(reports),
        tuple(claimed),
        hardware_outcome.value,
        tuple(in_force),
        tuple(sorted(found, key=lambda finding: not finding.is_problem)),
    )


def _usual_limit() -> float:
    try:
        return import_limit.seconds()
    except ConfigError:  # told of with the other variables
        return import_limit.DEFAULT


def _told(finding: Finding) -> dict[str, str]:
    return attrs.asdict(finding, filter=lambda field, _: field.name != "is_problem")


def _versions() -> dict[str, str]:
    return {
        "optkit": optkit.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _of_failure(subject: str, outcome: IsolatedOutcome) -> Iterator[Finding]:
    if outcome.failure:
        yield Finding(subject, f"can't be examined: {outcome.failure}", "See what it printed.")


def _of_hardware(outcome: IsolatedOutcome) -> Sequence[Finding]:
    if outcome.value is None:
        return list(_of_failure("hardware", outcome))
    return list(hardware.findings(outcome.value))
