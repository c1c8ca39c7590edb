"""Every mutant of an update body is caught by the comparison with its NumPy reference."""

from __future__ import annotations

from functools import cache, partial
from itertools import product
from types import FunctionType

import pytest
from mutants import Mutant, mutants, reachable
from referenced import NAMES, each_case
from references.comparison import Trajectory
from runnable import create, implementations
from torch_inputs import DENSE, SPARSE

CHEAPER = "either product gives the same direction; which one is smaller is a matter of speed"
PRECISION = "more bits than bfloat16 has are within the tolerance of the comparison"
EQUIVALENT: dict[str, dict[str, str]] = {
    "optkit_plugins.asgd.ASGD.update": {
        "if scalar_math.known_true(s.mu == 1): -> if scalar_math.known_true(s.mu == 2):": (
            "averaging with a weight of 1 is copying, but for the rounding"
        ),
    },
    "optkit_plugins.muon.orthogonalized": {
        "is_tall = u.shape[-2] > u.shape[-1] -> is_tall = u.shape[-2] <= u.shape[-1]": CHEAPER,
        "is_tall = u.shape[-2] > u.shape[-1] -> is_tall = u.shape[-2] > u.shape[1]": CHEAPER,
        "is_tall = u.shape[-2] > u.shape[-1] -> is_tall = u.shape[-2] > u.shape[-2]": CHEAPER,
        "x = u.bfloat16().mT if is_tall else u.bfloat16() -> "
        "x = u.bfloat16().mT if is_tall else u": PRECISION,
        "x = u.bfloat16().mT if is_tall else u.bfloat16() -> "
        "x = u.mT if is_tall else u.bfloat16()": PRECISION,
        "x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps) -> "
        "x = x / torch.linalg.vector_norm(x, dim=(-1, -2), keepdim=True).clamp(min=eps)": (
            "a norm over two dimensions is the same in either order"
        ),
    },
    "optkit_plugins.rprop.Rprop.update": {
        "agreement = g.mul(s.prev).sign_() -> agreement = g.mul(s.prev)": (
            "only the sign of the product is asked for"
        ),
    },
}
"""Changes of each function that no result shows, each with the reason."""
SPARSE_ALONE = {name for name in SPARSE if name not in DENSE}

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")


def users_by_function() -> dict[FunctionType, list[str]]:
    """Return each function that update bodies consist of, and the algorithms that call it."""
    users: dict[FunctionType, list[str]] = {}
    for name, cls in NAMES.items():
        body = cls.update_sparse if name in SPARSE_ALONE else cls.update
        for function in reachable(body, "optkit_plugins"):
            users.setdefault(function, []).append(name)
    return users


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
            one.compare_states(one.compare(partial(create, name, implementation=by, **one.options)))
        except Exception:
            return True
    return False


@pytest.mark.parametrize("function", USERS, ids=lambda f: f"{f.__module__}.{f.__qualname__}")
def test_mutants_are_caught(function: FunctionType) -> None:
    assert not any(map(is_wrong, USERS[function]))
    survivors = {mutant.change for mutant in mutants(function) if not is_caught(mutant)}
    reasons = EQUIVALENT.get(f"{function.__module__}.{function.__qualname__}", {})
    assert survivors == reasons.keys()
