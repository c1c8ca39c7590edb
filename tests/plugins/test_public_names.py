"""The classes that ship, by the names under which type checkers and users find them."""

from __future__ import annotations

import pytest
from algorithms import ALGORITHMS

import optkit


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_class_that_ships_is_a_name_of_the_package(name: str) -> None:
    cls = ALGORITHMS[name]
    # Type checkers read no metadata: for them the name stands in optkit/__init__.py too.
    assert cls.__name__ in optkit.__all__
    assert getattr(optkit, cls.__name__) is cls


def test_a_disabled_algorithm_is_no_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(optkit), "Lion", raising=False)
    monkeypatch.setenv("OPTKIT_DISABLE_PLUGINS", "lion")
    with pytest.raises(AttributeError, match=r"no Lion: .* is blocked by the variable"):
        getattr(optkit, "Lion")  # noqa: B009
