"""Optimizers from configurations: signatures as tools read them, names by keyword, classes."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import torch
from processes import python
from torch import Tensor

import optkit
from optkit_core import (
    HyperparameterError,
    Optimizer,
    ParametersError,
    UnknownHyperparameterError,
    at_least,
    hyperparameter,
)
from optkit_plugins.lbfgs.solve.line import LineSearch

OPTKIT = Path(optkit.__file__).parents[1]
CLASSES = ["Adagrad", "Adamax", "LBFGS"]


def params() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]


class Warm(optkit.Adamax):
    """Adamax with another hyperparameter and a constructor of its own."""

    warm: int = hyperparameter(default=3, range=at_least(0))

    def __init__(self, params: Any, doubled: int = 1, **options: Any) -> None:
        super().__init__(params, warm=2 * doubled, **options)


class Later(optkit.Adamax):
    """Adamax with types that can't be known while the class is made, or ever."""

    known: Named | None = hyperparameter(default=0.0, range=at_least(0.0))  # noqa: F821  that is the point
    gain: float = hyperparameter(default=[1, 2][0], range=at_least(0.0))


TYPES = {
    "Adamax": {
        "lr": float | Tensor,
        "betas": tuple[float, float],
        "eps": float,
        "weight_decay": float,
        "foreach": bool | None,
        "implementation": str | Mapping[str, str] | None,
        "maximize": bool,
    },
    "LBFGS": {
        "max_iter": int,
        "max_eval": int | None,
        "line_search_fn": str | LineSearch | None,
        "history_dtype": str | torch.dtype | None,
        "maximize": bool,
    },
    "Adagrad": {"lr": float | Tensor, "initial_accumulator_value": float, "eager_state": bool},
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_constructor_has_the_arguments_that_are_declared(name: str) -> None:
    cls = getattr(optkit, name)
    shown = inspect.signature(cls.__init__)
    assert list(shown.parameters)[:2] == ["self", "params"]
    assert {key: shown.parameters[key].default for key in cls.declarations} == cls.default_values
    assert not {a.kind for a in shown.parameters.values()} & {
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }
    assert list(inspect.signature(cls).parameters) == list(shown.parameters)[1:]
    assert inspect.getfullargspec(cls.__init__).args[1:] == ["params", *cls.positional]
    hints = typing.get_type_hints(cls.__init__)
    assert hints.keys() == {*shown.parameters, "return"}
    assert TYPES[name].items() <= hints.items()
    assert typing.get_args(hints["params"])[0] == Iterable[Tensor]
    assert cls.__init__.__qualname__ == f"{name}.__init__"
    assert cls.__init__.__module__.startswith(cls.__module__)


def test_a_type_that_cant_be_known_is_any() -> None:
    hints = typing.get_type_hints(Later.__init__)
    assert (hints["known"], hints["gain"]) == (Any, float)


def test_a_subclass_keeps_its_own_constructor_and_hands_on_what_it_declares() -> None:
    assert list(inspect.signature(Warm).parameters) == ["params", "doubled", "options"]
    assert Warm(params(), 4, lr=0.5).defaults["warm"] == 8
    assert type("Sub", (Warm,), {})(params()).defaults["warm"] == 2
    with pytest.raises(UnknownHyperparameterError, match="Did you mean 'lr'"):
        Warm(params(), lrr=0.5)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "words"),
    [
        ((), {"lrr": 3}, UnknownHyperparameterError, "takes no 'lrr'.*Did you mean 'lr'"),
        ((0.1,), {"lr": 0.1}, ParametersError, "got lr twice"),
        ((0.1, (0.9, 0.9), 1e-8, 0.0, None, False), {}, ParametersError, "at most 6 positional"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_wrong_call_is_told_in_words_of_optkit(
    arguments: Any, keywords: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        optkit.Adamax(params(), *arguments, **keywords)
    with pytest.raises(error, match=words):
        Optimizer.__init__(object.__new__(optkit.Adamax), params(), *arguments, **keywords)


def parsed(*arguments: str) -> Any:
    """Return the optimizer that jsonargparse makes of arguments."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(torch.optim.Optimizer, "optimizer", skip={"params"})
    chosen = parser.parse_args(["--optimizer", *arguments]).optimizer
    module, _, name = chosen.class_path.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    return cls(params(), **chosen.init_args.as_dict())


def test_jsonargparse_reads_the_arguments() -> None:
    given = ("--optimizer.lr", "0.5", "--optimizer.betas", "[0.5, 0.9]")
    optimizer = parsed("optkit_plugins.adamax.Adamax", *given)
    assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (0.5, (0.5, 0.9))
    optimizer = parsed("optkit.LBFGS", "--optimizer.max_iter", "3", "--optimizer.lr=1e-1")
    assert isinstance(optimizer, optkit.LBFGS)
    assert (optimizer.defaults["max_iter"], optimizer.defaults["lr"]) == (3, 0.1)
    given = ("--optimizer.lr", "0.5", "--optimizer.doubled", "5")
    assert parsed(f"{__name__}.Warm", *given).defaults["warm"] == 10


@pytest.mark.parametrize(
    ("option", "words"),
    [("lrr=0.1", "'lrr' is not accepted"), ("lr=fast", "float"), ("maximize=3", "bool")],
)
def test_jsonargparse_refuses_typos_and_wrong_types(option: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        parsed("optkit_plugins.adamax.Adamax", f"--optimizer.{option}")


CALLS: dict[str, Callable[[Any], Any]] = {
    "both by position": lambda p: optkit.create("adamax", p, lr=0.5),
    "both by keyword": lambda p: optkit.create(name="adamax", params=p, lr=0.5),
    "the name by keyword": lambda p: optkit.create(p, name="adamax", lr=0.5),
    "a partial by keyword": lambda p: functools.partial(optkit.create, name="adamax", lr=0.5)(p),
    "a partial by position": lambda p: functools.partial(optkit.create, "adamax", lr=0.5)(p),
    "a partial of params": lambda p: functools.partial(optkit.create, name="adamax", lr=0.5)(
        params=p
    ),
}


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("kind", [torch.optim.Optimizer, optkit.Adamax])
def test_create_takes_the_name_by_position_and_by_keyword(way: str, kind: type) -> None:
    optimizer = CALLS[way](params())
    assert isinstance(optimizer, kind)
    assert optimizer.defaults["lr"] == 0.5


def test_the_name_by_keyword_serves_optimizers_of_other_origin(registered: Any) -> None:
    registered("theirs", torch.optim.SGD)
    assert isinstance(optkit.create(params(), name="theirs", lr=0.5), torch.optim.SGD)


def test_create_shows_its_signature_and_refuses_a_second_name() -> None:
    assert list(inspect.signature(optkit.create).parameters)[:2] == ["name", "params"]
    with pytest.raises(TypeError, match="multiple values for argument 'name'"):
        optkit.create("adamax", params(), name="adagrad")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'params'"):
        optkit.create("adamax")


@pytest.mark.parametrize("name", CLASSES)
def test_the_classes_that_ship_are_names_of_optkit(name: str) -> None:
    assert getattr(optkit, name) is optkit.get(name)
    assert name in dir(optkit)
    assert name in optkit.__all__


@pytest.mark.slow
def test_a_class_is_imported_when_it_is_first_asked_for() -> None:
    printed = python(
        """
import sys
def loaded(): return sorted(n for n in sys.modules if n.partition(".")[0].startswith("optkit"))
import optkit
dir(optkit)
print(loaded())
from optkit import Adamax
print("optkit_plugins.adamax" in loaded(), "optkit_plugins.adagrad" in loaded())
try:
    optkit.Adams
except AttributeError as error:
    print(error)
""",
        OPTKIT,
    )
    assert printed.splitlines() == [
        "['optkit']",
        "True False",
        "module 'optkit' has no attribute 'Adams'",
    ]


def test_text_from_a_configuration_is_refused_by_the_class_too() -> None:
    with pytest.raises(HyperparameterError, match=r"write 1\.0e-3"):
        functools.partial(optkit.Adamax, lr="1e-3")(params())
