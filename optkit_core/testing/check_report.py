"""Reports: what a check has covered, and what it hasn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs


@attrs.frozen(repr=False)
class CheckReport:
    """What `check` has covered; prints as text.

    Args:
        subject: the algorithm, and what it was checked with.
        implementations: what ran.
        refused: what can't run here, each with its reason.
        held: the requirements that hold.
        left_out: the requirements that don't apply, each with its reason.
        notes: what was noticed that is no failure.
    """

    subject: str
    implementations: Sequence[str]
    refused: Mapping[str, str]
    held: Sequence[str]
    left_out: Mapping[str, str]
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        ran = ", ".join(self.implementations)
        return f"<CheckReport {self.subject}: {ran}; {len(self.held)} requirements hold>"

    def __str__(self) -> str:
        lines = [self.subject, f"ran: {', '.join(self.implementations)}"]
        lines += [f"can't run: {name}: {reason}" for name, reason in self.refused.items()]
        lines += [f"holds: {title}" for title in self.held]
        lines += [f"left out: {title}: {reason}" for title, reason in self.left_out.items()]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)
