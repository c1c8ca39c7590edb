"""What ranks do with networks under FullyShardedDataParallel, whose parameters are flat."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from engines import (
    PIECEWISE,
    WHOLE,
    apart,
    as_replicas,
    backward,
    lock_step,
    model,
    ours,
    refusal,
    theirs,
    train,
)
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    OptimStateKeyType,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    StateDictType,
)

import optkit

FSDP: Any = FullyShardedDataParallel
KINDS: Any = {
    "full": (
        StateDictType.FULL_STATE_DICT,
        FullStateDictConfig(rank0_only=False),
        FullOptimStateDictConfig(rank0_only=False),
    ),
    "sharded": (
        StateDictType.SHARDED_STATE_DICT,
        ShardedStateDictConfig(),
        ShardedOptimStateDictConfig(),
    ),
}


def flat(net: torch.nn.Module, has_originals: bool = False) -> Any:
    """Put a network under FSDP, with one flat parameter or with pieces of it."""
    return FSDP(net, device_id=torch.device("cpu"), use_orig_params=has_originals)


def unflattened(net: Any) -> dict[str, Tensor]:
    """Return all elements of a network's parameters by name."""
    with FSDP.summon_full_params(net):
        return {name: p.detach().clone() for name, p in net.named_parameters()}


def pieces_in_lock_step(mesh: DeviceMesh) -> list[str]:
    """Train on flat shards by all algorithms to which pieces will do."""
    found = []
    for has_originals in (False, True):
        put = partial(flat, has_originals=has_originals)
        found += lock_step(put, ends=unflattened)
        found += as_replicas(put, PIECEWISE, ends_of=unflattened)
    return found


def refused_on_pieces(mesh: DeviceMesh) -> dict[str, str]:
    """Return how algorithms are refused that need whole parameters."""
    nets = {"flat": flat(model()), "originals": flat(model(), has_originals=True)}
    return {
        f"{name}, {how}": refusal(lambda n=name, net=net: optkit.create(n, net.parameters()))
        for how, net in nets.items()
        for name in WHOLE
    }


def refused_once_flat(mesh: DeviceMesh) -> str:
    """Return how an optimizer is refused whose parameters have become pieces meanwhile."""
    net: Any = model()
    optimizer = optkit.create("lamb", net.named_parameters())
    net = flat(net, has_originals=True)
    backward(net, 0)
    return refusal(optimizer.step)


def resumed_on_pieces(mesh: DeviceMesh) -> dict[str, list[str]]:
    """Save, load into others, and go on; return what differs, and where torch fails.

    In a full state with original parameters, ``FSDP.optim_state_dict`` returns an ``exp_avg`` that
    isn't that of the state, of torch.optim's state too.
    """
    found: dict[str, list[str]] = {"resumed": [], "torch fails": []}
    ways = {"by FSDP": _carried_by_fsdp, "by DCP": _carried_by_dcp}
    for kind in KINDS:
        for has_originals in (False, True):
            for how, carry in ways.items():
                case = f"{kind}, {how}, originals {has_originals}"
                mine, differs = _resumed(ours, kind, has_originals, carry)
                torchs, fails = _resumed(theirs, kind, has_originals, carry)
                if fails:
                    found["torch fails"].append(case)
                else:
                    found["resumed"] += [
                        f"{case}, {d}" for d in (*differs, *apart("", mine, torchs))
                    ]
    return found


def _resumed(
    make: Any, kind: str, has_originals: bool, carry: Callable[..., None]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return where a resumed training ends, and how that differs from the one it came from."""
    nets = [flat(model(), has_originals) for _ in range(2)]
    first, second = (make("adamax", net.parameters()) for net in nets)
    train(nets[0], first, 2)
    for net in nets:
        FSDP.set_state_dict_type(net, *KINDS[kind])
    nets[1].load_state_dict(nets[0].state_dict())
    with warnings.catch_warnings(action="ignore"):  # torch's own, of functions that it calls
        carry(nets, first, second)
    train(nets[0], first, 2, 2)
    train(nets[1], second, 2, 2)
    ended = [unflattened(net) for net in nets]
    return ended[1], list(apart(make.__name__, *ended))


def _carried_by_fsdp(nets: list[Any], first: Any, second: Any) -> None:
    saved = copy.deepcopy(FSDP.optim_state_dict(nets[0], first))
    second.load_state_dict(FSDP.optim_state_dict_to_load(nets[1], second, saved))


def _carried_by_dcp(nets: list[Any], first: Any, second: Any) -> None:
    saved = copy.deepcopy(get_optimizer_state_dict(nets[0], first))
    set_optimizer_state_dict(nets[1], second, saved)


def rekeyed(mesh: DeviceMesh) -> list[str]:
    """Carry a state from a flat shard to plain tensors and back, by FSDP's helpers of before."""
    net, again, plain = flat(model()), flat(model()), model()
    optimizer, back, alone = (ours("adamax", m.parameters()) for m in (net, again, plain))
    train(net, optimizer, 2)
    with warnings.catch_warnings(action="ignore"):  # they are deprecated
        full = FSDP.full_optim_state_dict(net, optimizer, rank0_only=False)
        alone.load_state_dict(FSDP.rekey_optim_state_dict(full, OptimStateKeyType.PARAM_ID, plain))
        named = FSDP.rekey_optim_state_dict(alone.state_dict(), OptimStateKeyType.PARAM_NAME, plain)
        back.load_state_dict(FSDP.shard_full_optim_state_dict(named, again))
        ended = FSDP.full_optim_state_dict(again, back, rank0_only=False)
    # Not the shards themselves, at whose ends is what torch happened to find in memory.
    states = full["state"], ended["state"]
    assert states[0].keys() == states[1].keys() and len(states[0]) == 4
    return [
        f"{name}.{key}"
        for name, state in states[0].items()
        for key, value in state.items()
        if not torch.equal(value, states[1][name][key])
    ]


CASES = [
    pieces_in_lock_step,
    refused_on_pieces,
    refused_once_flat,
    resumed_on_pieces,
    rekeyed,
]
