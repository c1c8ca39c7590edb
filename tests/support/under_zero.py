"""What ranks do with optimizers under ZeroRedundancyOptimizer."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch.distributed as dist
from algorithms import MATRIXWISE, NAMES, TORCH, with_state
from engines import JOINT, RATE, apart, backward, ends, model, ours, refusal, replica, theirs, train
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim.lr_scheduler import LambdaLR

import optkit


def zero(cls: type[Any], params: Any, **options: Any) -> Any:
    """Return ZeRO over optimizers of a class."""
    return ZeroRedundancyOptimizer(params, optimizer_class=cls, **options)


def zero_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train by each algorithm under ZeRO, and beside it by all ranks for all parameters."""
    found = []
    for name in NAMES:
        if name in JOINT:
            continue
        alone = replica(model())
        train(alone, (theirs if name in TORCH else ours)(name, alone.parameters()))
        for is_view in (False, True):
            net = replica(model())
            options: Any = with_state(name, lr=RATE, implementation="forloop")
            params = net.parameters()
            train(net, zero(optkit.get(name), params, parameters_as_bucket_view=is_view, **options))
            found += apart(name, ends(net), ends(alone))
    return found


def matrices_under_zero(mesh: DeviceMesh) -> list[str]:
    """Train the matrices of a network by algorithms that need them whole, as ZeRO leaves them."""
    found = []
    for name in MATRIXWISE:
        ended = []
        for make in (zero, lambda cls, params: cls(params)):
            net = replica(model())
            train(net, make(optkit.get(name), [p for p in net.parameters() if p.dim() == 2]))
            ended.append(ends(net))
        found += apart(name, *ended)
    return found


def refused_under_zero(mesh: DeviceMesh) -> dict[str, str]:
    """Return how algorithms are refused that need all parameters, and how overlapping is."""
    net = replica(model())
    made = {name: refusal(lambda n=name: zero(optkit.get(n), net.parameters())) for name in JOINT}
    overlapped = partial(zero, optkit.get("adam"), net.parameters(), overlap_with_ddp=True)
    return {**made, "overlapped": refusal(overlapped)}


def resumed_under_zero(mesh: DeviceMesh) -> list[str]:
    """Consolidate a state, load it into another optimizer under ZeRO, and go on with both."""
    net = replica(model())
    optimizer = zero(optkit.get("adamax"), net.parameters(), lr=RATE)
    train(net, optimizer, 2)
    optimizer.consolidate_state_dict(0)
    # A copy: torch sends its own rank the tensors themselves.
    sent = [copy.deepcopy(optimizer.state_dict()) if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(sent, 0)
    twin = replica(copy.deepcopy(net.module))
    fresh = zero(optkit.get("adamax"), twin.parameters(), lr=1.0)
    alone = replica(copy.deepcopy(net.module))
    whole = optkit.create("adamax", alone.parameters(), lr=1.0)
    whole.load_state_dict(copy.deepcopy(sent[0]))
    fresh.load_state_dict(sent[0])
    for each in ((net, optimizer), (twin, fresh), (alone, whole)):
        train(*each, 2, 2)
    return [
        *apart("under ZeRO again", ends(net), ends(twin)),
        *apart("without ZeRO", ends(net), ends(alone)),
    ]


def groups_under_zero(mesh: DeviceMesh) -> list[str]:
    """Add a group, and let a schedule change learning rates, which ZeRO is to hand on."""
    ended = []
    for make in (zero, lambda cls, params, **options: cls(params, **options)):
        net = replica(model())
        first, *others = net.parameters()
        optimizer = make(optkit.get("adam"), [first], lr=RATE, foreach=False)
        schedule = LambdaLR(optimizer, lambda step: 0.5**step)
        optimizer.add_param_group({"params": others, "lr": 2 * RATE})
        for step in range(3):
            optimizer.zero_grad()
            backward(net, step)
            optimizer.step()
            if len(schedule.base_lrs) == len(optimizer.param_groups):
                schedule.step()
            else:
                optimizer.param_groups[0]["lr"] *= 0.5
        ended.append(ends(net))
    return list(apart("groups", *ended))


CASES = [
    zero_in_lock_step,
    matrices_under_zero,
    refused_under_zero,
    resumed_under_zero,
    groups_under_zero,
]
