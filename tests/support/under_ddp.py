"""What ranks do with replicas of a network under DistributedDataParallel."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from engines import FEW, RATE, backward, ends, lock_step, model, replica
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.distributed.device_mesh import DeviceMesh
from torch.nn.parallel import DistributedDataParallel

import optkit


def views_of_buckets(net: torch.nn.Module) -> torch.nn.Module:
    """Let gradients be views of what is communicated."""
    return DistributedDataParallel(net, gradient_as_bucket_view=True)


def static_graph(net: torch.nn.Module) -> torch.nn.Module:
    """Promise that each step uses the same parameters."""
    return DistributedDataParallel(net, static_graph=True)


def in_float16(net: torch.nn.Module) -> torch.nn.Module:
    """Communicate in float16, by a hook of torch's."""
    wrapped = DistributedDataParallel(net)
    wrapped.register_comm_hook(None, default_hooks.fp16_compress_hook)
    return wrapped


# No annotations as strings: torch reads them.
def _sum_in_bfloat16(_: Any, bucket):
    """Average gradients in bfloat16, as torch's hook does, which is for GPUs alone."""
    sums = bucket.buffer().to(torch.bfloat16).div_(dist.get_world_size())
    sent = dist.all_reduce(sums, async_op=True)
    assert sent is not None
    return sent.get_future().then(lambda done: bucket.buffer().copy_(done.value()[0]))


def in_bfloat16(net: torch.nn.Module) -> torch.nn.Module:
    """Communicate in bfloat16, by a hook that a user wrote."""
    wrapped = DistributedDataParallel(net)
    wrapped.register_comm_hook(None, _sum_in_bfloat16)
    return wrapped


def low_rank(net: torch.nn.Module) -> torch.nn.Module:
    """Communicate by PowerSGD from the third step on."""
    wrapped = DistributedDataParallel(net)
    state = powerSGD_hook.PowerSGDState(None, 1, start_powerSGD_iter=2)
    wrapped.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    return wrapped


WRAPS = (views_of_buckets, static_graph, in_float16, in_bfloat16, low_rank)


def replicas_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train replicas by all algorithms, and by few with each option and hook."""
    found = lock_step(replica)
    for wrap in WRAPS:
        found += [f"{wrap.__name__}, {difference}" for difference in lock_step(wrap, FEW)]
    return found


def replicas_by_lbfgs(mesh: DeviceMesh) -> dict[str, Any]:
    """Minimize with a line search, which needs the loss of all; return how and where that ended."""
    return {wrap.__name__: _minimized(wrap) for wrap in (replica, views_of_buckets, static_graph)}


def _minimized(wrap: Any) -> tuple[str, list[float]]:
    net = wrap(model(torch.float64))
    optimizer: Any = optkit.create(
        "lbfgs", net.parameters(), max_iter=15, line_search_fn="strong_wolfe"
    )
    _step_by_closure(net, optimizer)
    ended = [float(value) for p in ends(net).values() for value in p.flatten()]
    return f"{optimizer.result}", ended


def lbfgs_as_torchs(mesh: DeviceMesh) -> float:
    """Minimize without a line search, which torch can too; return how far it ends from torch's."""
    nets: list[Any] = []
    for cls in (optkit.get("lbfgs"), torch.optim.LBFGS):
        net = replica(model(torch.float64))
        optimizer = cls(net.parameters(), lr=RATE, max_iter=6)
        _step_by_closure(net, optimizer)
        nets.append(ends(net))
    return max(float((p - nets[1][name]).abs().max()) for name, p in nets[0].items())


def _step_by_closure(net: Any, optimizer: Any) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        return backward(net, 0)

    for _ in range(2):
        optimizer.step(closure)


CASES = [replicas_in_lock_step, replicas_by_lbfgs, lbfgs_as_torchs]
