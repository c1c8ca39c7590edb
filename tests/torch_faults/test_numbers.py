"""Each fault that a test is named after stands in the list, and each of the list has its test."""

from __future__ import annotations

import re
from pathlib import Path

from torch_faults import FAULTS, REPAIRED, UNTESTED

TESTS = Path(__file__).parents[1]
HERE = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]


def numbers(pattern: str, *paths: Path) -> set[int]:
    return {int(found) for path in paths for found in re.findall(pattern, path.read_text())}


def test_the_tests_and_the_list_have_the_same_numbers() -> None:
    assert numbers(r"def test_fault_(\d+)_", *HERE) == FAULTS.keys() - UNTESTED.keys()
    assert REPAIRED.keys() <= FAULTS.keys()


def test_every_number_that_is_asked_for_is_that_of_the_test() -> None:
    """So that a test of one fault doesn't go by whether torch has another."""
    for path in HERE:
        for body in re.split(r"^def test_fault_", path.read_text(), flags=re.M)[1:]:
            asked = re.findall(r"(?:in_torch|both_verdicts|has_fault)\((\d+)", body)
            assert set(asked) <= {body.partition("_")[0]}, f"{path.name}: {body.splitlines()[0]}"


def test_faults_are_shown_in_this_folder_only() -> None:
    others = set(TESTS.rglob("test_*.py")) - set(HERE)
    assert not numbers(r"(?:def test_fault_|assert_in_torch\()(\d+)", *others)
