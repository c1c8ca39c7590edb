"""No gradient outlives its step: memory that ``zero_grad`` gives back is given back."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from algorithms import TORCH

import optkit
from optkit_core.native import tensor_reader_loader


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("implementation", ["fused", "foreach", "forloop", "auto"])
@pytest.mark.parametrize("name", TORCH)
def test_gradients_are_freed_after_each_step(
    name: str, implementation: str, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_read:
        monkeypatch.setenv(tensor_reader_loader.SWITCH, "0")
    params = [torch.nn.Parameter(torch.ones(6, 5)) for _ in range(4)]
    params[1] = torch.nn.Parameter(torch.ones(6, 10)[:, ::2])  # one that kernels copy
    groups = [{"params": [p], "lr": 0.1 * (i + 1)} for i, p in enumerate(params)]
    optimizer: Any = optkit.create(name, groups, implementation=implementation)
    for _ in range(3):
        storages = []
        for p in params:
            p.grad = torch.ones(6, 5)
            storages.append(weakref.ref(p.grad.untyped_storage()))
            storages.append(weakref.ref(p.grad))
        optimizer.step()
        optimizer.zero_grad()
        assert [storage() for storage in storages] == [None] * len(storages)
