"""What ranks do with networks under FSDP2, whose parameters are DTensors."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from algorithms import ELEMENTWISE, TORCH
from engines import (
    FEW,
    PIECEWISE,
    RATE,
    apart,
    as_replicas,
    backward,
    ends,
    lock_step,
    model,
    ours,
    replica,
    train,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import optkit

IN_BFLOAT16 = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
ON_CPU = CPUOffloadPolicy(pin_memory=False)

LACKING = ("rprop",)
"""Those of torch's that fail on DTensors: Rprop's sign[sign.gt(0)] has no sharding strategy."""

WORKING = [name for name in TORCH if name not in LACKING]


def sharded(net: torch.nn.Module, mesh: DeviceMesh, **options: Any) -> Any:
    """Shard each layer by itself, and what is left."""
    for layer in net.children():
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh, **options)
    fully_shard(net, mesh=mesh, **options)
    return net


def in_two_dims(net: torch.nn.Module, mesh: DeviceMesh) -> Any:
    """Split layers over one dim of a mesh, then shard what is left of each over the other."""
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    return sharded(parallelize_module(net, mesh["tp"], plan), mesh["dp"])


def shards_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train shards by all algorithms with a body; reductions are rounded in another order."""
    put = partial(sharded, mesh=mesh)
    others = [name for name in ELEMENTWISE if name not in PIECEWISE]
    return [
        *lock_step(put, WORKING),
        *as_replicas(put, PIECEWISE),
        *as_replicas(put, others, far=1e-6),
    ]


def policies_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train in lower precision, with shards that stay on the CPU, and in bfloat16 altogether."""
    mixed = partial(sharded, mesh=mesh, mp_policy=IN_BFLOAT16)
    offloaded = partial(sharded, mesh=mesh, offload_policy=ON_CPU)
    return [
        *lock_step(mixed, FEW),
        *lock_step(offloaded, FEW),
        *lock_step(lambda net: sharded(net.bfloat16(), mesh), FEW),
    ]


def accumulated_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Reduce gradients once for several batches."""

    def train(net: Any, optimizer: Any) -> None:
        for step in range(3):
            optimizer.zero_grad()
            for part in range(2):
                net.set_requires_gradient_sync(part == 1)
                backward(net, 2 * step + part)
            optimizer.step()

    return lock_step(partial(sharded, mesh=mesh), FEW, train=train)


def clipped_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Clip gradients by norm and by value, each way that torch has."""

    def train(net: Any, optimizer: Any, clip: Any) -> None:
        for step in range(3):
            optimizer.zero_grad()
            backward(net, step)
            clip(net.parameters())
            optimizer.step()

    clips = [partial(clip_grad_norm_, max_norm=0.01, foreach=way) for way in (None, True, False)]
    clips.append(partial(clip_grad_value_, clip_value=1e-3))
    put = partial(sharded, mesh=mesh)
    return [d for clip in clips for d in lock_step(put, FEW, train=partial(train, clip=clip))]


def averages_of_shards(mesh: DeviceMesh) -> list[str]:
    """Average weights under a schedule, sharded and not; both are made before the sharding.

    torch's AveragedModel copies the model, which FSDP2 refuses once it has sharded it.
    """
    found = []
    for averaging in ("ema", "swa"):
        ended = []
        for put in (partial(sharded, mesh=mesh), replica):
            net: Any = model()
            average = optkit.create_averaging(averaging, net)
            net = put(net)
            if put is not replica:
                average.module = put(average.module)
            optimizer = ours("adamw", net.parameters(), lr=0.1)
            schedule = optkit.create_schedule("cosineannealing", optimizer, T_max=8, warmup=2)
            for step in range(6):
                train(net, optimizer, 1, step)
                schedule.step()
                average.update_parameters(net if put is not replica else net.module)
            ended.append({**ends(net), **{f"{n} avg": p for n, p in ends(average.module).items()}})
        found += apart(averaging, *ended)
    return found


RULES = [{"match": "*.bias", "weight_decay": 0.0, "lr": 0.1}]
SEVERAL = [*RULES, {"match": "2.*", "algorithm": "lamb"}]
MATRICES = [*RULES, {"match": "*.weight", "algorithm": "muon", "lr": 0.02}]


def _by_rules(net: torch.nn.Module, rules: Any = RULES) -> Any:
    return optkit.create("adamw", optkit.groups(net, rules, default={}), lr=RATE)


def _by_configuration(net: torch.nn.Module) -> Any:
    section = {"name": "adamw", "lr": RATE, "groups": RULES}
    return optkit.from_config({"optimizer": section, "clipping": {"norm": 0.05}}, net)


WAYS = {
    "rules": _by_rules,
    "several algorithms": partial(_by_rules, rules=SEVERAL),
    "matrices": partial(_by_rules, rules=MATRICES),
    "a configuration": _by_configuration,
}


def grouped_shards(mesh: DeviceMesh) -> list[str]:
    """Train in groups by rules, with several algorithms as one, and by a configuration."""
    found = []
    for how, make in WAYS.items():
        ended = []
        for put in (partial(sharded, mesh=mesh), replica):
            net: Any = put(model())
            optimizer = make(net)
            for step in range(3):
                net.zero_grad()
                backward(net, step)
                optimizer.step()
            ended.append(ends(net))
        found += apart(how, *ended, far=1e-6)
    return found


CASES = [
    shards_in_lock_step,
    policies_in_lock_step,
    accumulated_in_lock_step,
    clipped_in_lock_step,
    averages_of_shards,
    grouped_shards,
]


def two_dims_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train layers that are split and sharded; rows lie in strides over two mesh dims."""
    named = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    return lock_step(partial(in_two_dims, mesh=named), FEW)


def rules_in_two_dims(mesh: DeviceMesh) -> tuple[list[str], list[str], int]:
    """Make groups by rules of layers in two dims; return their names, placements, collectives."""
    named = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    net = in_two_dims(model(), named)
    optimizer = _by_rules(net)
    train(net, optimizer, 2)
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    with CommDebugMode() as communication:
        optimizer.step()
    counted = int(communication.get_total_counts())
    return names, str(optimizer.explain()).splitlines()[2:3], counted


def hybrid_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train shards of which there are replicas."""
    named = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicas", "shards"))
    return lock_step(partial(sharded, mesh=named), FEW)


ON_FOUR = [two_dims_in_lock_step, rules_in_two_dims, hybrid_in_lock_step]
