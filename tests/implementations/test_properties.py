"""Any shapes, hyperparameters and missing gradients: as torch's for-loop, bit for bit."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from algorithms import TORCH
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT

import optkit
from optkit_core.testing import assert_agree

numbers = st.floats(0.0, 1.0, allow_subnormal=False)
shapes = st.lists(st.lists(st.integers(0, 9), max_size=3).map(tuple), min_size=1, max_size=5)
BY_NAME = {
    "eps": st.floats(1e-8, 1e-2),
    "betas": st.tuples(*[st.floats(0.0, 0.999)] * 2),
    "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 2.0)),
    "step_sizes": st.tuples(st.floats(0.0, 0.1), st.floats(0.1, 1.0)),
    # It needs a momentum and no dampening.
    "nesterov": st.just(False),
    # The root of a difference between numbers that may be equal: any rounding may make it NaN.
    "centered": st.just(False),
}
BY_TYPE = {bool: st.booleans()}


def options(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw every hyperparameter that torch has too, by its name or by the type of its default."""
    ours, theirs = (cls([torch.ones(1)]).defaults for cls in (optkit.get(name), TORCH[name]))
    names = [*optkit.get(name).hyperparameter_names, "maximize"]
    taken = inspect.signature(TORCH[name]).parameters
    types = {key: type(ours[key]) for key in names if key in theirs and key in taken}
    return st.fixed_dictionaries(
        {key: BY_NAME.get(key, BY_TYPE.get(kind, numbers)) for key, kind in types.items()}
    )


# torch.optim.Adafactor divides by the number of elements, which may be 0 here.
problems = st.sampled_from(sorted(set(TORCH) - {"adafactor"})).flatmap(
    lambda name: st.tuples(st.just(name), options(name))
)


def trajectory(optimizer: Any, params: list[torch.nn.Parameter], gaps: int) -> list[Any]:
    generator = torch.Generator().manual_seed(gaps)
    for step in range(5):
        for position, p in enumerate(params):
            missing = gaps >> (step * len(params) + position) & 1
            g = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.grad = None if missing else g
        optimizer.step()
    return [p.detach() for p in params]


def parameters(wanted: list[tuple[int, ...]], dtype: torch.dtype) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype))
        for s in wanted
    ]


@settings(max_examples=150, **PATIENT)
@given(
    problem=problems,
    wanted=shapes,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    gaps=st.integers(0, 2**25 - 1),
)
def test_equals_torch(problem: Any, wanted: Any, dtype: torch.dtype, gaps: int) -> None:
    name, given_options = problem
    params = {side: parameters(wanted, dtype) for side in ("torch", "forloop", "foreach", "fused")}
    theirs = TORCH[name](params["torch"], foreach=False, **given_options)
    reference = trajectory(theirs, params["torch"], gaps)
    for implementation in ("forloop", "foreach", "fused"):
        mine = params[implementation]
        ours = optkit.create(name, mine, implementation=implementation, **given_options)
        found = trajectory(ours, mine, gaps)
        if implementation == "forloop":
            for p, q in zip(found, reference, strict=True):
                torch.testing.assert_close(p, q, rtol=0, atol=0, equal_nan=True)
        else:
            assert_agree(found, reference)
