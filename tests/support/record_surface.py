"""The record of the public surface, and the rules by which it changes.

    python tests/support/record_surface.py

writes `RECORD` anew. Each line has the section of CHANGELOG.md that brought the name or changed it
last, and that section must mention it; what the very first record found has `FIRST`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "tests" / "data" / "public_surface.txt"
CHANGELOG = ROOT / "CHANGELOG.md"
COMMAND = "python tests/support/record_surface.py"
LINE = re.compile(
    r"^(\d+\.\d+\.\d+) ((?:deprecated )?[\w.]+(?:\(\w+=\.\.\.\))?)(.*)$", re.MULTILINE
)
HEADING = re.compile(r"^## (\d+\.\d+\.\d+)(.*)$", re.MULTILINE)
DEPRECATED = "deprecated "
FIRST = "0.0.0"


@attrs.frozen
class Recorded:
    """A line of the record.

    Args:
        section: the version of the changelog that brought the name, or changed it last.
        text: how the name is called.
    """

    section: str
    text: str


@attrs.frozen
class Section:
    """A version in the changelog.

    Args:
        version: its number.
        is_released: whether the heading has a date.
        text: what it says.
    """

    version: str
    is_released: bool
    text: str

    def mentions(self, name: str) -> bool:
        """Whether it has a name in backticks, by itself or in a longer one.

        Args:
            name: as it is recorded; its last word counts.
        """
        word = re.findall(r"\w+", name.removesuffix("=...)"))[-1]
        return any(re.search(rf"\b{word}\b", code) for code in re.findall(r"`([^`]+)`", self.text))


def parse(record: str) -> dict[str, Recorded]:
    """Return what a record says by name; other lines, those of a merge for example, don't count."""
    return {name: Recorded(section, text) for section, name, text in LINE.findall(record)}


def sections(changelog: str) -> list[Section]:
    """Return the sections of a changelog, the newest first."""
    headings = list(HEADING.finditer(changelog))
    ends = [*(heading.start() for heading in headings[1:]), len(changelog)]
    return [
        Section(found[1], "unreleased" not in found[2], changelog[found.end() : end])
        for found, end in zip(headings, ends, strict=True)
    ]


def changes(before: Mapping[str, Recorded], now: Mapping[str, str]) -> list[str]:
    """Return the names that have come, gone, or are called otherwise."""
    was = {name: entry.text for name, entry in before.items()}
    return sorted(name for name in {**was, **now} if was.get(name) != now.get(name))


def complaints(
    before: Mapping[str, Recorded], now: Mapping[str, str], history: Sequence[Section]
) -> list[str]:
    """Return why the surface may not be recorded, a line for each name.

    Args:
        before: the record.
        now: the surface.
        history: the sections of the changelog; its changes belong to the first one.
    """
    newest, found = history[0], []
    for name in changes(before, now):
        if not newest.mentions(name):
            found.append(f"{name}: section {newest.version} of CHANGELOG.md doesn't mention it.")
        if name not in now and not _may_go(name, before[name], now, history):
            found.append(f"{name}: deprecate it first, see docs/reference/stability.md.")
    return found


def _may_go(name: str, entry: Recorded, now: Mapping[str, str], history: Sequence[Section]) -> bool:
    """Whether a name that was recorded needn't be there any more."""
    since = _numbers(entry.section)
    if not any(each.is_released and _numbers(each.version) >= since for each in history):
        return True  # nobody has had it
    if name.startswith(DEPRECATED):
        return _numbers(history[0].version) >= _numbers(entry.text.rpartition(" ")[2])
    # A deprecation names what it is about in full, or a member by its class alone.
    return any(DEPRECATED + each in now for each in (name, ".".join(name.split(".")[-2:])))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def recorded(
    before: Mapping[str, Recorded], now: Mapping[str, str], version: str
) -> dict[str, Recorded]:
    """Return the new record: what hasn't changed keeps its section, all else has `version`."""
    changed = set(changes(before, now))
    return {
        name: Recorded(version, text) if name in changed else before[name]
        for name, text in now.items()
    }


def written(record: Mapping[str, Recorded]) -> str:
    """Return a record as text."""
    head = (
        "# What is public: docs/reference/stability.md. Each line has the section of CHANGELOG.md\n"
        f"# that brought the name or changed it last. Written by: {COMMAND}\n"
    )
    lines = (f"{entry.section} {name}{entry.text}\n" for name, entry in sorted(record.items()))
    return head + "".join(lines)


def main() -> int:
    """Record the surface, or say what stands against it; returns the exit status."""
    from public_surface import surface  # brings optkit, which the rules above have no need of

    before, now = parse(RECORD.read_text()) if RECORD.exists() else {}, surface()
    history = sections(CHANGELOG.read_text())
    found = complaints(before, now, history) if before else []
    if found:
        print("\n".join(found), "Nothing was recorded.", sep="\n", file=sys.stderr)
        return 1
    version = history[0].version if before else FIRST
    RECORD.write_text(written(recorded(before, now, version)))
    print(f"recorded {len(now)} names, of which {len(changes(before, now))} are new or changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
