"""One check under pytest: it passes, fails with its message alone, or is skipped with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version

import attrs
import pytest
import torch

from optkit_core.testing.failures import NotApplicableError
from optkit_core.testing.kit.variants import Variant
from optkit_core.testing.requirement import Requirement
from optkit_core.testing.requirements import REQUIREMENTS
from optkit_core.testing.subject import Subject


@attrs.frozen(eq=False)
class Check:
    """A requirement, and the variant that is to hold it."""

    requirement: Requirement
    variant: Variant

    @property
    def id(self) -> str:
        """What tells it from the algorithm's other checks."""
        return f"{self.requirement.id}-{self.variant.label}"

    def run(self, config: pytest.Config, properties: list[tuple[str, object]]) -> None:
        """Run it as a test.

        Args:
            config: pytest's.
            properties: of the test's report; what is said about the check is added.
        """
        __tracebackhide__ = True
        properties += _about(self)
        failure, reason = self._outcome(config, properties)
        if reason:
            properties.append(("optkit_reason", reason))
        if failure and config.getoption("fulltrace", default=False):
            raise failure
        # Outside of any `except`: pytest would show the exceptions that the kit has chained.
        if failure:
            pytest.fail(f"{reason}\n\nrequired: {self.requirement.title}", pytrace=False)
        if reason:
            pytest.skip(reason)

    def _outcome(
        self, config: pytest.Config, properties: list[tuple[str, object]]
    ) -> tuple[AssertionError | None, str]:
        """Return the failure, if there is one, and the reason for it or for leaving it out."""
        try:
            subject = self._subject(config)
            properties += _about_subject(subject)
        except NotApplicableError as error:
            return None, str(error)
        except AssertionError as error:
            return error, str(error)
        try:
            self.requirement.require(subject)
        except NotApplicableError as error:
            return None, str(error)
        except AssertionError as error:
            return error, str(error).removeprefix(f"{self.requirement.blame(subject)}: ")
        finally:
            properties += [("optkit_note", note) for note in subject.notes]
        return None, ""

    def _subject(self, config: pytest.Config) -> Subject:
        """Return the subject.

        Raises:
            NotApplicableError: nothing runs a further variant here.
            AssertionError: nothing runs the main one.
        """
        try:
            subject = self.variant.subject
        # Of whatever class: a constructor may be anybody's.
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise self._unable(message) from error
        if subject.unsupported_reason or not subject.implementations:
            refusals = subject.unsupported_reason or "; ".join(subject.refusals.values())
            raise self._unable(refusals)
        subject.write_golden = bool(config.getoption("--optkit-write-golden", default=False))
        return subject

    def _unable(self, message: str) -> Exception:
        if self.variant.is_main:
            name = self.variant.algorithm.__name__
            return AssertionError(f"{name} can't be checked: {message}")
        return NotApplicableError(message)


def checks_of(
    variants: Sequence[Variant], requirements: Sequence[Requirement] = REQUIREMENTS
) -> Iterator[Check]:
    """Yield all checks of an algorithm's variants, requirement by requirement."""
    for requirement in requirements:
        for variant in variants:
            if variant.is_checked_for(requirement):
                yield Check(requirement, variant)


def _about(check: Check) -> list[tuple[str, object]]:
    """Return what a report says of a check; the values are text, as JUnit XML has it."""
    variant = check.variant
    options = ", ".join(f"{name}={value!r}" for name, value in variant.options.items())
    return [
        ("optkit_algorithm", variant.name),
        ("optkit_check", check.requirement.id),
        ("optkit_variant", variant.label),
        ("optkit_options", options),
        ("optkit_device", str(variant.device)),
        ("optkit_version", version("optkit")),
        ("torch_version", str(torch.__version__)),
    ]


def _about_subject(subject: Subject) -> list[tuple[str, object]]:
    refusals = [f"{name}: {reason}" for name, reason in subject.refusals.items()]
    return [
        ("optkit_implementations", ", ".join(subject.implementations)),
        *(("optkit_refusal", refusal) for refusal in refusals),
    ]
