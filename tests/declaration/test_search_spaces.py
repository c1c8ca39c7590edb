"""Where hyperparameters are searched: what is declared, refused, and shown."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from algorithms import ALGORITHMS

import optkit
from optkit_core import (
    Elementwise,
    Optimizer,
    at_least,
    choice,
    each,
    hyperparameter,
    loguniform,
    uniform,
    whole,
    within,
)
from optkit_core.errors import DeclarationError, HyperparameterError

SPACES = [loguniform(1e-5, 1e-1), uniform(0.5, 0.99), choice([1, None, "name", True])]


def declaring(**body: Any) -> type[Optimizer]:
    """Return an algorithm that declares some hyperparameters."""
    return type("Searched", (Optimizer,), body)


def searches(name: str) -> dict[str, Any]:
    """Return where the hyperparameters of a registered algorithm are searched."""
    return {item.name: item.search for item in optkit.describe(name).hyperparameters}


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_quantile_is_within_the_bounds_and_reaches_them(space: Any) -> None:
    generator = random.Random(0)
    drawn = [space.ppf(generator.random()) for _ in range(200)]
    if space.distribution == "choice":
        assert set(map(repr, drawn)) == set(map(repr, space.choices))
        assert (space.ppf(0.0), space.ppf(1.0)) == (space.choices[0], space.choices[-1])
    else:
        assert (space.ppf(0.0), space.ppf(1.0)) == (space.low, space.high)
        assert all(space.low <= value <= space.high for value in drawn)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_it_prints_as_the_call_that_makes_it(space: Any) -> None:
    made = eval(repr(space), {"loguniform": loguniform, "uniform": uniform, "choice": choice})
    assert made == space


def test_the_scale_is_that_of_the_name() -> None:
    assert uniform(0.0, 1.0).ppf(0.25) == 0.25
    assert loguniform(1e-4, 1.0).ppf(0.25) == pytest.approx(1e-3)
    assert [choice("abcd").ppf(q) for q in (0, 0.24, 0.26, 0.99)] == ["a", "a", "b", "d"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: loguniform(0, 1), r"loguniform\(0.0, 1.0\): low must be above 0"),
        (lambda: loguniform(1, 1e-3), "low must be below high"),
        (lambda: uniform(1, 1), "low must be below high"),
        (lambda: uniform(float("nan"), 1), "low must be below high"),
        (lambda: choice([]), "there must be a value"),
    ],
)
def test_what_is_no_range_is_refused_in_its_own_line(make: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        make()


@pytest.mark.parametrize(
    ("default", "allowed", "search", "words"),
    [
        (0.1, within(0.0, 1.0), uniform(0.5, 1.0), r"leaves its range: x must be in \[0, 1\)"),
        (0.1, at_least(0.0), uniform(-1.0, 1.0), "got -1.0"),
        (5, whole(1), uniform(1, 9), "whole number"),
        (5, whole(1), choice([0, 5]), "got 0"),
        ((0.5, 0.9), each(within(0.0, 1.0)), (None, uniform(0.5, 1.0)), r"x\[1\] must be in"),
        ((0.5, 0.9), each(within(0.0, 1.0)), (uniform(0.5, 0.9),), "has 1 entries"),
        (0.5, within(0.0, 1.0), (uniform(0.5, 0.9),), "its default is 0.5"),
        (0.1, at_least(0.0), (1e-5, 1e-1), r"must be loguniform\(...\).*got 1e-05"),
        (0.1, at_least(0.0), [1e-5, 1e-1], r"got \[1e-05, 0.1\]"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused_with_its_class(
    default: Any, allowed: Any, search: Any, words: str
) -> None:
    with pytest.raises(DeclarationError, match=f"Searched can't declare x: its search .*{words}"):
        declaring(x=hyperparameter(default=default, range=allowed, search=search))


def test_an_entry_may_stay_and_a_default_may_lie_outside() -> None:
    cls = declaring(
        betas=hyperparameter(
            default=(0.5, 0.9), range=each(within(0.0, 1.0)), search=(None, uniform(0.9, 0.99))
        ),
        decay=hyperparameter(default=0.0, range=at_least(0.0), search=loguniform(1e-6, 1e-2)),
    )
    assert cls.declarations["betas"].search == (None, uniform(0.9, 0.99))
    assert cls.declarations["decay"].search == loguniform(1e-6, 1e-2)


def test_a_subclass_searches_where_its_base_does_until_it_declares_otherwise(
    registered: Any,
) -> None:
    adamax = ALGORITHMS["adamax"]
    narrower = hyperparameter(default=0.01, range=at_least(0.0), search=uniform(0.01, 0.02))
    registered("narrower", type("Narrower", (adamax,), {"lr": narrower}))
    expected = {**searches("adamax"), "lr": uniform(0.01, 0.02)}
    assert searches("narrower") == expected


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_says_where_to_search(name: str) -> None:
    assert any(searches(name).values()), f"{name} declares no search"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_searched_is_taken_by_the_constructor(name: str) -> None:
    checked = ALGORITHMS[name].Hyperparameters
    for key, search in searches(name).items():
        for q in (0.0, 0.3, 0.7, 1.0):
            if isinstance(search, tuple):
                default = ALGORITHMS[name].default_values[key]
                pairs = zip(search, default, strict=True)
                value: Any = tuple(space.ppf(q) if space else kept for space, kept in pairs)
            else:
                value = search.ppf(q) if search else ALGORITHMS[name].default_values[key]
            try:
                checked(**{key: value})
            except HyperparameterError as error:
                raise AssertionError(f"{key}={value!r}") from error


def test_a_class_of_torch_declares_nothing_to_search(registered: Any) -> None:
    import torch

    registered("house-sgd", torch.optim.SGD)
    assert not any(searches("house-sgd").values())


def test_descriptions_have_it_as_objects_text_and_json(registered: Any) -> None:
    class Two(Elementwise):
        """Two things to search."""

        lr: float = hyperparameter(default=0.1, range=at_least(0.0), search=loguniform(1e-3, 1.0))
        names: Any = hyperparameter(
            default=(1, 2), range=each(whole(0)), search=(None, choice([2, 3]))
        )

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.add_(g, alpha=-h.lr)

    registered("two", Two)
    description = optkit.describe("two")
    assert "lr: float = 0.1, [0, inf); search loguniform(0.001, 1.0)" in str(description)
    assert "search (None, choice([2, 3]))" in str(description)
    lr, names = json.loads(json.dumps(description.as_dict()))["hyperparameters"]
    assert lr["search"] == {"distribution": "loguniform", "low": 0.001, "high": 1.0}
    assert names["search"] == [None, {"distribution": "choice", "choices": [2, 3]}]
