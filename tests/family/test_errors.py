"""What torch's own tests say is an error is one here, of the same type and with torch's words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, COUNTERPARTS
from problems import INFOS
from torch.testing._internal.common_optimizers import OptimizerErrorEnum

from optkit_core import Optimizer

INPUTS = [
    pytest.param(name, case, id=f"{name}-{case.optimizer_error_input.desc.replace(' ', '_')}")
    for name in COUNTERPARTS
    for case in INFOS[name].optim_error_inputs_func(device="cpu", dtype=torch.float32)
]


def fresh(params: Any) -> Any:
    """Return a list of its own, with dicts of its own: the first optimizer completes them."""
    if params is None or isinstance(params, (torch.Tensor, set)):
        return params
    return [dict(p) if isinstance(p, dict) else p for p in params]


def complains(cls: type, case: Any) -> Any:
    """Return a context in which a class has to complain as torch's does."""
    if not issubclass(case.error_type, Warning):
        return pytest.raises(case.error_type, match=case.error_regex)
    # torch 2.14 warns of a set that it will be an error; here it is one, with torch's words.
    if issubclass(case.error_type, FutureWarning) and issubclass(cls, Optimizer):
        return pytest.raises(TypeError, match=case.error_regex)
    return pytest.warns(case.error_type, match=case.error_regex)


@pytest.mark.parametrize(("name", "case"), INPUTS)
def test_fails_as_in_torch(name: str, case: Any) -> None:
    given = case.optimizer_error_input
    for cls in (ALGORITHMS[name], COUNTERPARTS[name]):
        if case.error_on == OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with complains(cls, case):
                cls(fresh(given.params), **given.kwargs)
        else:
            optimizer = cls(fresh(given.params), **given.kwargs)
            with complains(cls, case):
                optimizer.step()
