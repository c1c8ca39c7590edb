"""What torch's own tests say is an error is one here, of the same type and with torch's words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, COUNTERPARTS
from problems import INFOS
from torch.testing._internal.common_optimizers import OptimizerErrorEnum

INPUTS = [
    pytest.param(name, case, id=f"{name}-{case.optimizer_error_input.desc.replace(' ', '_')}")
    for name in COUNTERPARTS
    for case in INFOS[name].optim_error_inputs_func(device="cpu", dtype=torch.float32)
]


def fresh(params: Any) -> Any:
    """Return a list of its own, with dicts of its own: the first optimizer completes them."""
    if params is None or isinstance(params, torch.Tensor):
        return params
    return [dict(p) if isinstance(p, dict) else p for p in params]


@pytest.mark.parametrize(("name", "case"), INPUTS)
def test_fails_as_in_torch(name: str, case: Any) -> None:
    given = case.optimizer_error_input
    expect = pytest.warns if issubclass(case.error_type, Warning) else pytest.raises
    for cls in (ALGORITHMS[name], COUNTERPARTS[name]):
        if case.error_on == OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with expect(case.error_type, match=case.error_regex):
                cls(fresh(given.params), **given.kwargs)
        else:
            optimizer = cls(fresh(given.params), **given.kwargs)
            with expect(case.error_type, match=case.error_regex):
                optimizer.step()
