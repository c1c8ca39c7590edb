"""The conformance kit is proved by mutants: each is caught by the requirement that is for it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from kit_mutants import MUTANTS, OWN, KitMutant, subject_of
from mutant_algorithms import KEPT
from mutant_bases import Base, Corrected, Own, Reduced, Sparse, corrected

from optkit_core.testing.failures import NotApplicableError
from optkit_core.testing.requirements import REQUIREMENTS
from optkit_core.testing.subject import Subject

pytestmark = pytest.mark.slow

BY_ID = {requirement.id: requirement for requirement in REQUIREMENTS}


def failures_of(subject: Subject, without: str = "") -> dict[str, str]:
    """Return what each requirement says against a subject."""
    found = {}
    for requirement in REQUIREMENTS:
        if requirement.id != without:
            try:
                requirement.require(subject)
            except NotApplicableError:
                continue
            except AssertionError as error:
                found[requirement.id] = str(error)
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_is_caught(mutant: KitMutant, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=rf"(?s){mutant.words}") as caught:
        BY_ID[mutant.requirement].require(mutant.subject(tmp_path))
    assert str(caught.value).startswith(f"{mutant.algorithm.__name__} fails the requirement")
    KEPT.clear()
    gc.collect()


def test_every_requirement_has_a_mutant_of_its_own() -> None:
    assert sorted(mutant.requirement for mutant in OWN) == sorted(BY_ID)
    assert all(mutant.is_own for mutant in OWN)
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize("mutant", OWN, ids=lambda mutant: mutant.id)
def test_without_its_requirement_a_mutant_passes(mutant: KitMutant, tmp_path: Path) -> None:
    """So each requirement is needed: none is another one in other words."""
    assert failures_of(mutant.subject(tmp_path), without=mutant.requirement) == {}
    KEPT.clear()


@pytest.mark.parametrize("algorithm", [Base, Corrected, Own, Reduced, Sparse])
def test_what_mutants_are_made_of_holds(algorithm: type) -> None:
    reference = corrected if algorithm is Corrected else None
    assert failures_of(subject_of(algorithm, reference=reference)) == {}
