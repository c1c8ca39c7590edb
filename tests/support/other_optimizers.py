"""torch's optimizers around others: averaged now and then, or called from afar."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import torch.distributed as dist
from algorithms import TORCH
from engines import RATE, apart, ends, model, ours, theirs, train
from torch import Tensor
from torch.distributed import autograd, rpc
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import (
    PostLocalSGDState,
    post_localSGD_hook,
)
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.optim import DistributedOptimizer, PostLocalSGDOptimizer
from torch.nn.parallel import DistributedDataParallel

import optkit


def local_sgd_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Average parameters every other step after a warm-up; save, load, and go on."""
    found = []
    alone, _ = dist.new_subgroups(group_size=1)
    for name in TORCH:
        ended = []
        for make in (ours, theirs):
            net = DistributedDataParallel(model())
            net.register_comm_hook(PostLocalSGDState(None, alone, 1), post_localSGD_hook)
            optimizer = _averaged(make(name, net.parameters()))
            train(net, optimizer, 3)
            again = _averaged(make(name, net.parameters()))
            again.load_state_dict(optimizer.state_dict())
            train(net, again, 4, 3)
            ended.append(ends(net))
        found += apart(name, *ended)
    return found


def _averaged(optimizer: Any) -> Any:
    return PostLocalSGDOptimizer(optimizer, PeriodicModelAverager(period=2, warmup_steps=1))


def remote_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Step parameters of two ranks from one of them, by RPC."""
    rank, count = dist.get_rank(), dist.get_world_size()
    folder: list[str | None] = [tempfile.mkdtemp() if rank == 0 else None]
    dist.broadcast_object_list(folder, 0)
    options = rpc.TensorPipeRpcBackendOptions(init_method=f"file://{folder[0]}/store")
    rpc.init_rpc(f"rank{rank}", rank=rank, world_size=count, rpc_backend_options=options)
    try:
        found = _remote() if rank == 0 else []
    finally:
        rpc.shutdown()
    return found


def _parameter(at: int) -> Tensor:
    return torch.linspace(-1, 1, 7).add_(at).requires_grad_()


def _remote() -> list[str]:
    found = []
    for name, cls in TORCH.items():
        ended = []
        for algorithm in (optkit.get(name), cls):
            held = [rpc.remote(f"rank{rank}", _parameter, (rank,)) for rank in range(2)]
            optimizer = DistributedOptimizer(algorithm, held, lr=RATE)
            for _ in range(3):
                with autograd.context() as context:
                    loss = sum(h.to_here().square().sum() for h in held)
                    autograd.backward(context, [loss])
                    optimizer.step(context)
            ended.append({str(h.owner()): h.to_here().detach() for h in held})
        found += apart(name, *ended, far=1e-6)
    return found


CASES = [local_sgd_in_lock_step, remote_in_lock_step]
