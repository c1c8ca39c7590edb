"""Every mutant of an update body is caught by the comparison with its NumPy reference."""

from __future__ import annotations

from functools import cache, partial
from inspect import getattr_static
from itertools import product
from types import FunctionType

import pytest
from equivalent_mutants import EQUIVALENT
from mutants import Mutant, mutants, reachable
from referenced import NAMES, WITH_MODES, each_case
from references.comparison import Trajectory
from runnable import create, implementations
from torch_inputs import DENSE, SPARSE

SPARSE_ALONE = {name for name in SPARSE if name not in DENSE}

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")


def users_by_function() -> dict[FunctionType, list[str]]:
    """Return each function that update bodies consist of, and the algorithms that call it."""
    users: dict[FunctionType, list[str]] = {}
    for name, cls in NAMES.items():
        bodies = static_methods(cls) - {"update" if name in SPARSE_ALONE else "update_sparse"}
        for body in sorted(bodies):  # every worker of a parallel run collects in one order
            for function in reachable(getattr(cls, body), "optkit_plugins"):
                users.setdefault(function, []).append(name)
    return users


def static_methods(cls: type) -> set[str]:
    """Return the names of what is called without an optimizer: update bodies and their like."""
    found = {key for key in dir(cls) if isinstance(getattr_static(cls, key), staticmethod)}
    return {key for key in found if getattr(cls, key).__module__.startswith("optkit_plugins")}


USERS = users_by_function()
trajectories = cache(
    lambda name: [Trajectory(*one.values) for one in each_case({name: NAMES[name]})]
)


def is_caught(mutant: Mutant) -> bool:
    """Whether some algorithm goes another way than its reference in some case, or nowhere."""
    with mutant.in_place():
        return any(map(is_wrong, USERS[mutant.function]))


def is_wrong(name: str) -> bool:
    """Return whether an algorithm differs from its reference, by its first implementations."""
    for by, one in product(implementations(name)[:2], trajectories(name)):
        try:
            optimizer = one.compare(partial(create, name, implementation=by, **one.options))
            one.compare_states(optimizer)
            if name in WITH_MODES:
                one.compare_modes(optimizer)
        except Exception:
            return True
    return False


@pytest.mark.parametrize("function", USERS, ids=lambda f: f"{f.__module__}.{f.__qualname__}")
def test_mutants_are_caught(function: FunctionType) -> None:
    assert not any(map(is_wrong, USERS[function]))
    survivors = {mutant.change for mutant in mutants(function) if not is_caught(mutant)}
    reasons = EQUIVALENT.get(f"{function.__module__}.{function.__qualname__}", {})
    assert survivors == reasons.keys()
