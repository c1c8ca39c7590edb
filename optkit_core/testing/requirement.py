"""A requirement: something that every algorithm must hold, and the function that checks it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.foreign_subject import ForeignSubject
from optkit_core.testing.subject import Subject


@attrs.frozen
class Requirement:
    """Something that algorithms must hold.

    Args:
        id: a short name in lower case, as it stands in a test's id.
        title: what holds, as half a sentence.
        check: raises AssertionError where it doesn't hold, and NotApplicableError with the reason
            where it says nothing about the subject.
        topic: what it is about, in one word.
        for_any_optimizer: whether any optimizer of torch's kind is to hold it (default False: those
            of optkit's).
        every_dtype: whether it is worth a run with each dtype (default False: with the first).
    """

    id: str
    title: str
    check: Callable[[Subject], None]
    topic: str
    for_any_optimizer: bool = False
    every_dtype: bool = False

    def require(self, subject: Subject) -> None:
        """Check that a subject holds it.

        Raises:
            AssertionError: it doesn't; the message begins with the algorithm and the title.
            NotApplicableError: the requirement says nothing about the subject.
        """
        name = subject.algorithm.__name__
        if isinstance(subject, ForeignSubject) and not self.for_any_optimizer:
            raise NotApplicableError(f"{name} isn't optkit's, and declares nothing of the kind")
        with prefix_failures(self.blame(subject)):
            if not subject.implementations:
                raise AssertionError(f"nothing can run it here: {subject.refusals}")
            self.check(subject)

    def blame(self, subject: Subject) -> str:
        """Return what the message of a failure begins with, up to the colon."""
        return f"{subject.algorithm.__name__} fails the requirement {self.title!r}"
