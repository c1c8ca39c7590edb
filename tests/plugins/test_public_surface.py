"""The public surface changes with an entry in the changelog, and loses nothing unannounced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import record_surface
from public_surface import DEFINED_BY_AUTHORS, surface
from record_surface import CHANGELOG, COMMAND, FIRST, RECORD, ROOT, Recorded, Section

import optkit
from optkit_core.deprecation import FORMER_NAMES

GUIDES = ("write-algorithm.md", "write-algorithm-further.md")
STABILITY = ROOT / "docs" / "reference" / "stability.md"


def test_the_surface_is_the_recorded_one() -> None:
    before, now = record_surface.parse(RECORD.read_text()), surface()
    changed = [
        f"{name}{before[name].text if name in before else ': new'} -> {now.get(name, 'gone')}"
        for name in record_surface.changes(before, now)
    ]
    assert not changed, (
        "the public surface has changed: mention each name in the newest section of CHANGELOG.md, "
        f"then run `{COMMAND}`.\n" + "\n".join(changed)
    )


def test_the_changelog_mentions_what_was_recorded_for_a_section() -> None:
    history = {
        section.version: section for section in record_surface.sections(CHANGELOG.read_text())
    }
    record = record_surface.parse(RECORD.read_text())
    missing = [
        f"{name}: {entry.section}"
        for name, entry in record.items()
        if entry.section != FIRST and not history[entry.section].mentions(name)
    ]
    assert not missing, f"sections of CHANGELOG.md don't mention {missing}"


def test_a_record_is_read_as_it_was_written() -> None:
    now = {
        "optkit_core.each": "(range, length=2)",
        "deprecated Offer(refuse=...)": ": x, until 0.3",
    }
    record = record_surface.recorded({}, now, "0.1.0")
    assert record_surface.parse(record_surface.written(record)) == record
    conflict = "<<<<<<< HEAD\n0.1.0 a(x)\n=======\n0.1.0 b\n>>>>>>> other\n"
    assert record_surface.parse(conflict) == {
        "a": Recorded("0.1.0", "(x)"),
        "b": Recorded("0.1.0", ""),
    }


BEFORE = {"optkit.create": Recorded("0.1.0", "(name)"), "optkit.get": Recorded("0.1.0", "(name)")}
NOW = {name: entry.text for name, entry in BEFORE.items()}
RELEASED = Section("0.1.0", True, "`create`, `get`")
NEWEST = Section("0.2.0", False, "`optkit.create(name, *, lr)`, `groups` and `Offer.refuse`.")


def complaints(
    now: dict[str, str], *history: Section, before: dict[str, Recorded] = BEFORE
) -> list[str]:
    """Return what stands against a surface, after 0.1.0 was released."""
    return record_surface.complaints(before, now, history or (NEWEST, RELEASED))


def test_what_has_not_changed_needs_no_entry() -> None:
    assert complaints(NOW) == []
    assert record_surface.recorded(BEFORE, NOW, "0.2.0") == BEFORE


@pytest.mark.parametrize(
    ("name", "text"), [("optkit.create", "(name, *, lr)"), ("optkit.groups", "(model)")]
)
def test_a_change_that_the_changelog_mentions_is_recorded_for_its_section(
    name: str, text: str
) -> None:
    assert complaints({**NOW, name: text}) == []
    record = record_surface.recorded(BEFORE, {**NOW, name: text}, "0.2.0")
    assert record[name] == Recorded("0.2.0", text)
    assert record["optkit.get"].section == "0.1.0"


@pytest.mark.parametrize(
    ("name", "text"), [("optkit.get", "(name, version)"), ("optkit.group", "(model)")]
)
def test_a_change_without_an_entry_is_not(name: str, text: str) -> None:
    (line,) = complaints({**NOW, name: text})
    assert line.startswith(f"{name}: section 0.2.0 of CHANGELOG.md doesn't mention it")


def test_what_was_released_goes_only_after_its_deprecation() -> None:
    without = {"optkit.get": "(name)"}
    assert complaints(without) == [
        "optkit.create: deprecate it first, see docs/reference/stability.md."
    ]
    assert complaints({**without, "deprecated optkit.create": ": make, until 0.4"}) == []
    unreleased = Section("0.1.0", False, RELEASED.text)
    assert complaints(without, unreleased) == []
    first = {name: Recorded(FIRST, entry.text) for name, entry in BEFORE.items()}
    assert complaints(without, unreleased, before=first) == []
    assert len(complaints(without, before=first)) == 1


@pytest.mark.parametrize(("gone", "may_go"), [("0.2", True), ("0.3", False), ("0.10", False)])
def test_a_former_name_goes_when_its_time_has_come(gone: str, may_go: bool) -> None:
    former = {"deprecated Offer.refuse": Recorded("0.1.0", f": unsupported_reason, until {gone}")}
    assert (complaints({}, before=former) == []) is may_go


@pytest.mark.parametrize(
    ("name", "mentions"),
    [
        ("optkit.create", True),
        ("optkit_core.Offer.refuse", True),
        ("deprecated Offer.refuse", True),
        ("deprecated Offer(refuse=...)", True),
        ("optkit.lr", True),
        ("optkit.and", False),  # prose doesn't count
        ("optkit.crea", False),
        ("optkit.Offer(prepare=...)", False),
    ],
)
def test_a_mention_is_a_word_in_backticks(name: str, mentions: bool) -> None:
    assert NEWEST.mentions(name) is mentions


def test_sections_of_a_changelog() -> None:
    text = "# C\n\n## 0.2.0 (unreleased)\n\n- `b`\n\n## 0.1.0 (2026-12-01)\n\n- `a`\n"
    newest, oldest = record_surface.sections(text)
    assert (newest.version, newest.is_released) == ("0.2.0", False)
    assert (oldest.version, oldest.is_released, oldest.text.strip()) == ("0.1.0", True, "- `a`")


@pytest.mark.parametrize("text", ["", "`create`, `make`"])
def test_the_command_records_only_what_the_changelog_mentions(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record, changelog = tmp_path / "record.txt", tmp_path / "CHANGELOG.md"
    monkeypatch.setattr(record_surface, "RECORD", record)
    monkeypatch.setattr(record_surface, "CHANGELOG", changelog)
    changelog.write_text(f"## 9.0.0 (unreleased)\n{text}\n")
    before = record_surface.recorded({}, {**surface(), "optkit.create": "(other)"}, FIRST)
    record.write_text(record_surface.written(before))
    assert record_surface.main() == (0 if text else 1)
    found = record_surface.parse(record.read_text())["optkit.create"]
    if text:
        assert found == Recorded("9.0.0", surface()["optkit.create"])
    else:
        assert found == before["optkit.create"]
        assert "optkit.create: section 9.0.0" in capsys.readouterr().err


def test_no_former_name_has_outlived_its_time() -> None:
    present = tuple(map(int, optkit.__version__.split(".")[:2]))
    overdue = [n for n, f in FORMER_NAMES.items() if tuple(map(int, f.gone.split("."))) <= present]
    assert not overdue, f"remove {overdue} from optkit_core.deprecation and from where they warn"


@pytest.mark.parametrize("name", FORMER_NAMES)
def test_a_former_name_works_for_a_whole_minor_version_more(name: str) -> None:
    former = FORMER_NAMES[name]
    (major, minor), gone = map(int, former.since.split(".")), former.gone
    assert gone == (f"0.{minor + 2}" if major == 0 else f"{major + 1}.0")
    assert f"| `{name}` | `{former.present}`".replace(" or ", "` or `") in STABILITY.read_text()


@pytest.mark.parametrize("members", DEFINED_BY_AUTHORS.values(), ids=DEFINED_BY_AUTHORS)
def test_the_guides_tell_of_what_authors_define(members: tuple[str, ...]) -> None:
    guides = "".join((ROOT / "docs" / "how-to" / name).read_text() for name in GUIDES)
    told = {
        word for code in re.findall(r"`([^`\n]+)`", guides) for word in re.findall(r"\w+", code)
    }
    assert set(members) <= told
