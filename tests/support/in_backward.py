"""What ranks do with an optimizer for each parameter, which steps as soon as there's a gradient."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from algorithms import TORCH
from engines import FEW, STEPS, apart, backward, ends, model, ours, theirs
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.optim import _apply_optimizer_in_backward, _get_in_backward_optimizers
from under_fully_shard import sharded


def _hooked(net: torch.nn.Module, make: Any) -> list[Any]:
    """Give each parameter an optimizer of its own, called by a hook; return the hooks' handles."""
    optimizers = {p: make([p]) for p in net.parameters()}

    def step(p: Tensor) -> None:
        optimizers[p].step()
        p.grad = None

    return [p.register_post_accumulate_grad_hook(step) for p in net.parameters()]


def _applied(net: torch.nn.Module, make: Any) -> list[Any]:
    """Give each parameter an optimizer of its own, by torch's function for that."""
    _apply_optimizer_in_backward(make, net.parameters(), {})
    assert len(_get_in_backward_optimizers(net)) == 4
    return []


def _in_lock_step(put: Any, names: Iterable[str], hook: Any) -> list[str]:
    found = []
    for name in names:
        ended = []
        for make in (ours, theirs):
            net = put(model())
            handles = hook(net, partial(make, name))
            for step in range(STEPS):
                backward(net, step)
            found += [f"{name}: a gradient is left" for p in net.parameters() if p.grad is not None]
            ended.append(ends(net))
            for handle in handles:  # a hook keeps its parameter, and that the hook
                handle.remove()
        found += apart(name, *ended)
    return found


def in_backward_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Step within the backward pass, of a plain network and of shards."""
    return [
        *_in_lock_step(lambda net: net, TORCH, _hooked),
        *_in_lock_step(partial(sharded, mesh=mesh), FEW, _hooked),
    ]


def applied_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Step within the backward pass by torch's function for that."""
    return _in_lock_step(lambda net: net, TORCH, _applied)


CASES = [in_backward_in_lock_step, applied_in_lock_step]
