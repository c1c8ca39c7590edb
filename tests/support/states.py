"""States of optimizers that the tests of checkpoints share, and comparing them bit for bit."""

from __future__ import annotations

import struct
from typing import Any

import torch
from algorithms import NAMES, with_state
from problems import gradients, parameters, set_gradients
from torch import Tensor

import optkit

OTHERS = {
    "Adam": torch.optim.Adam,
    "NAdam": torch.optim.NAdam,
    "ASGD": torch.optim.ASGD,
    "Rprop": torch.optim.Rprop,
    "SGD": torch.optim.SGD,
    "LBFGS": torch.optim.LBFGS,
}
"""Classes of torch that are used as they are."""


def trained(make: Any, dtype: torch.dtype = torch.float32, steps: int = 3) -> Any:
    """Return an optimizer that `make` makes of parameters, with the state of a few steps."""
    params = parameters(dtype)
    optimizer = make(params)
    for grads in gradients(params, steps):
        set_gradients(params, grads)
        optimizer.step(lambda: torch.ones(()))
    return optimizer


def every_optimizer() -> dict[str, Any]:
    """Return for each name a function from parameters to an optimizer."""
    ours = {
        name: lambda params, name=name: optkit.create(name, params, **with_state(name))
        for name in NAMES
    }
    theirs = {name: lambda params, cls=cls: cls(params, lr=0.1) for name, cls in OTHERS.items()}
    return {**ours, **theirs}


def fingerprint(value: Any) -> Any:
    """Return something that is equal for equal values only: types, keys, order, every bit."""
    if isinstance(value, Tensor) and (value.is_meta or value.layout != torch.strided):
        return "tensor without bytes", id(value)
    if isinstance(value, Tensor):
        plain = value.detach().resolve_conj().resolve_neg().contiguous()
        flat = torch.view_as_real(plain) if plain.is_complex() else plain
        content = flat.view(-1).view(torch.uint8).numpy().tobytes()
        return "tensor", str(value.dtype), tuple(value.shape), content
    if isinstance(value, dict):
        return "dict", [(key, fingerprint(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [fingerprint(item) for item in value]
    if isinstance(value, float):
        return "float", struct.pack(">d", value)
    if isinstance(value, complex):
        return "complex", fingerprint(value.real), fingerprint(value.imag)
    return type(value).__name__, value


def saved_by(optimizer: Any) -> Any:
    """Return the fingerprint of what an optimizer saves, its parameters in their order."""
    saved = optimizer.state_dict()
    return fingerprint({**saved, "state": dict(sorted(saved["state"].items()))})


def state_of(optimizer: Any) -> Any:
    """Return the fingerprint of everything that loading may change."""
    states = [(id(p), fingerprint(state)) for p, state in optimizer.state.items()]
    groups = [
        {key: fingerprint(item) for key, item in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    params = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    return sorted(states), groups, params
