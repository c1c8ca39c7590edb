"""What distributions ask for, beside what is installed."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, version

import attrs
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

SHOWN = ("optkit", "torch")
"""Whose versions are shown even where they fit."""


@attrs.frozen
class AskedVersion:
    """One requirement of a distribution.

    Args:
        name: of the distribution that it asks for.
        versions: which ones it takes, as it says so; ``""`` for any.
        installed: the version that is installed, None if there is none.
        is_met: whether that is one of them.
    """

    name: str
    versions: str
    installed: str | None
    is_met: bool

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"

    @property
    def is_shown(self) -> bool:
        """Whether it says something: it is about torch or optkit, or isn't met."""
        return self.name in SHOWN or not self.is_met


def asked(distribution: Distribution) -> tuple[list[AskedVersion], list[str]]:
    """Return what a distribution asks for in this environment, without its extras.

    Args:
        distribution: whose metadata says it.

    Returns:
        Requirements; and the lines of its metadata that aren't any.
    """
    found, wrong = [], []
    for line in distribution.requires or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            wrong.append(line)
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.append(_asked(requirement))
    return found, wrong


def _asked(requirement: Requirement) -> AskedVersion:
    name, text = canonicalize_name(requirement.name), str(requirement.specifier)
    try:
        present = version(name)
        # A release before 1.0 that is installed has been chosen: nobody asks whether it may be.
        is_met = requirement.specifier.contains(present, prereleases=True)
    except PackageNotFoundError:
        return AskedVersion(name, text, None, False)
    except InvalidVersion:
        return AskedVersion(name, text, present, not text)
    return AskedVersion(name, text, present, is_met)
