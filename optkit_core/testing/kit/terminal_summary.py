"""The summary at the end of a run: what each algorithm holds, what was skipped, what fails."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import pytest


@attrs.define
class Findings:
    """What the checks of one algorithm have found.

    Args:
        implementations: what ran, of all variants.
        refused: what couldn't run, with its reason.
        variants: what was checked.
        held: the checks that hold, in every variant that isn't named elsewhere.
        skipped: reasons, each with the checks that were skipped for it.
        failed: the first lines of failures, by check.
        notes: what was noticed that is no failure.
    """

    implementations: dict[str, None] = attrs.Factory(dict)
    refused: dict[str, None] = attrs.Factory(dict)
    variants: dict[str, None] = attrs.Factory(dict)
    held: dict[str, None] = attrs.Factory(dict)
    skipped: dict[str, list[str]] = attrs.Factory(dict)
    failed: dict[str, str] = attrs.Factory(dict)
    notes: dict[str, None] = attrs.Factory(dict)

    def add(self, outcome: str, properties: Sequence[tuple[str, Any]]) -> None:
        """Add a check's outcome, as pytest calls it."""
        about = dict(properties)
        check, variant = about["optkit_check"], about["optkit_variant"]
        reason = about.get("optkit_reason") or "it says nothing more; see above"
        self.variants[variant] = None
        self.implementations.update(_listed(about.get("optkit_implementations", "")))
        self.refused.update(_several(properties, "optkit_refusal"))
        self.notes.update(_several(properties, "optkit_note"))
        if outcome == "passed":
            self.held[check] = None
        elif outcome == "skipped":
            self.skipped.setdefault(reason, []).append(f"{check}[{variant}]")
        else:
            self.failed[f"{check}[{variant}]"] = reason.splitlines()[0]

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield lines of text, each with what it is about."""
        yield "checked", ", ".join(self.variants)
        yield "ran", ", ".join(self.implementations) or "nothing"
        yield from (("can't run", refusal) for refusal in self.refused)
        if self.held:
            yield "holds", f"{', '.join(self.held)} ({len(self.held)})"
        for reason, checks in self.skipped.items():
            yield "skipped", f"{', '.join(self._shortened(checks))}: {reason}"
        yield from (("noted", note) for note in self.notes)
        yield from (("FAILS", f"{check}: {line}") for check, line in self.failed.items())

    def _shortened(self, checks: Sequence[str]) -> list[str]:
        """Return checks each once, with the variants in brackets where others weren't skipped."""
        variants: dict[str, list[str]] = {}
        for check in checks:
            name, _, variant = check.rstrip("]").partition("[")
            variants.setdefault(name, []).append(variant)
        return [
            f"{name}[{', '.join(several)}]" if name in self.held else name
            for name, several in variants.items()
        ]


def write_summary(terminal: Any, reports: Iterable[pytest.TestReport]) -> None:
    """Write the section at the end of a run.

    Args:
        terminal: pytest's reporter.
        reports: of the kit's tests.
    """
    width = max(terminal.config.get_terminal_writer().fullwidth, 40)
    terminal.section("optkit conformance")
    for name, findings in _findings(reports).items():
        terminal.line(name, bold=True)
        for what, text in findings.rows():
            lines = textwrap.wrap(
                text,
                width=width,
                initial_indent=f"  {what:<10}",
                subsequent_indent=" " * 12,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in lines:
                terminal.line(line, red=what == "FAILS", yellow=what == "noted")


def _findings(reports: Iterable[pytest.TestReport]) -> dict[str, Findings]:
    found: dict[str, Findings] = {}
    for report in reports:
        about: dict[str, Any] = dict(report.user_properties)
        title = f"{about['optkit_algorithm']} on {about['optkit_device']}"
        options = about["optkit_options"]
        findings = found.setdefault(f"{title}, {options}".rstrip(", "), Findings())
        findings.add(report.outcome, report.user_properties)
    return found


def _several(properties: Sequence[tuple[str, Any]], name: str) -> dict[str, None]:
    return {value: None for key, value in properties if key == name}


def _listed(text: str) -> dict[str, None]:
    return dict.fromkeys(text.split(", ")) if text else {}
