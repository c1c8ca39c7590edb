"""What torch's own tests give to its optimizers, as groups of one optimizer."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from algorithms import COUNTERPARTS, TORCH_OPTIM
from problems import INFOS, parameters

GROUPED = [name for name in COUNTERPARTS if INFOS[name].supports_param_groups]
"""The counterparts of torch.optim that take groups: all but L-BFGS."""

DENSE = [name for name in GROUPED if not INFOS[name].only_supports_sparse_grads]
SPARSE = [
    name
    for name in GROUPED
    if INFOS[name].supports_sparse or INFOS[name].only_supports_sparse_grads
]
DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.complex64,
    torch.complex128,
]
CASES = [
    (name, dtype)
    for name in DENSE
    for dtype in DTYPES
    if INFOS[name].supports_complex or not dtype.is_complex
]
"""Each algorithm with each dtype of a parameter that torch's class takes."""


def suited(name: str, dtype: torch.dtype, seed: int = 0) -> list[torch.nn.Parameter]:
    """Return those of the shared parameters that torch's class of a name takes."""
    params = parameters(dtype, seed)
    if name == "muon":
        return [p for p in params if p.dim() == 2 and p.numel()]
    if name == "adafactor":  # torch divides by the number of elements
        return [p for p in params if p.numel()]
    return params


def options_of(name: str, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return the options of each input that torch's tests list for the CPU."""
    inputs = INFOS[name].optim_inputs_func(device="cpu", dtype=dtype)
    return [{**_eps(name, dtype), **_widened(item.kwargs)} for item in inputs]


def _widened(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with float64 tensors, with which torch reckons as with numbers."""
    return {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in options.items()}


def _eps(name: str, dtype: torch.dtype) -> dict[str, Any]:
    """Return an eps that float16 has: torch's defaults are zero there, and all would be NaN."""
    default = COUNTERPARTS[name]([torch.ones(1, 1)]).defaults.get("eps")
    return {"eps": 1e-3} if dtype == torch.float16 and isinstance(default, float) else {}


def groups(name: str, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return a group with parameters of its own for each input."""
    return [
        {"params": suited(name, dtype, seed), **options}
        for seed, options in enumerate(options_of(name, dtype))
    ]


def groups_for_both(name: str, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return those of them that torch's class takes as groups: it has faults (9) of its own."""
    ignored = "initial_accumulator_value"
    return [group for group in groups(name, dtype) if ignored not in group]


def params_of(*optimizers: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """Return the parameters of all groups of all optimizers, in order."""
    return [p for one in optimizers for group in one.param_groups for p in group["params"]]


def of_torch(name: str, params: Any, **options: Any) -> torch.optim.Optimizer:
    """Return an optimizer of torch's class, by its for-loop where it has others."""
    cls = TORCH_OPTIM[name]
    takes = inspect.signature(cls).parameters
    return cls(params, **({"foreach": False} if "foreach" in takes else {}), **options)


def all_of_torch(name: str, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """Return an optimizer of torch's class for each input: its groups have faults of their own."""
    return [of_torch(name, group.pop("params"), **group) for group in groups(name, dtype)]
