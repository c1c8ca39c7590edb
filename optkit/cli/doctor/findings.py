"""Findings: what isn't in order, and the way out."""

from __future__ import annotations

import attrs


@attrs.frozen
class Finding:
    """Something to be told about.

    Args:
        subject: a distribution, variable, program or file.
        what: what is the matter with it.
        way_out: what to do about it.
        is_problem: whether something doesn't work; otherwise it is worth a note.
    """

    subject: str
    what: str
    way_out: str
    is_problem: bool = True

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"
