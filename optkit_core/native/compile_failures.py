"""Refusals: what couldn't be compiled in this process, so that nobody asks for it twice.

A compiler that failed fails again, and one that never ended takes its whole time limit again.
"""

from __future__ import annotations

from optkit_core.errors import UnavailableError

_reasons: dict[str, str] = {}


def remember(subject: str, reason: str) -> None:
    """Remember why there is no use in asking again.

    Args:
        subject: what was asked: a compiler, for a library, or to wait for a directory.
        reason: what came of it.
    """
    _reasons[subject] = reason


def raise_if_refused(*subjects: str) -> None:
    """Raise if one of the subjects was refused before.

    Raises:
        UnavailableError: with the reason of then.
    """
    for subject in subjects:
        if subject in _reasons:
            raise UnavailableError(_reasons[subject])


def forget_all() -> None:
    """Ask every compiler again."""
    _reasons.clear()
