"""How many collectives a step takes under each engine, as torch counts them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from engines import backward, model, replica, train
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.debug import CommDebugMode
from under_flat_fsdp import flat
from under_fully_shard import sharded
from under_zero import zero

import optkit


def collectives_of_steps(mesh: DeviceMesh) -> dict[str, int]:
    """Return how many collectives a step of an elementwise algorithm takes."""
    adamax = optkit.get("adamax")
    shards = partial(sharded, mesh=mesh)
    views = partial(zero, parameters_as_bucket_view=True)
    ways: dict[str, tuple[Any, Any]] = {
        "replicas": (replica, adamax),
        "ZeRO": (replica, partial(zero, adamax)),
        "ZeRO with views": (replica, partial(views, adamax)),
        "flat pieces": (flat, adamax),
        "pieces": (partial(flat, has_originals=True), adamax),
        "shards": (shards, adamax),
    }
    return {how: collectives(put(model()), make) for how, (put, make) in ways.items()}


def collectives(net: torch.nn.Module, make: Callable[[Any], Any]) -> int:
    """Return how many collectives a step takes once it is planned.

    Args:
        net: under an engine.
        make: returns an optimizer of its parameters.
    """
    optimizer = make(net.parameters())
    train(net, optimizer, 2)
    backward(net, 2)
    with CommDebugMode() as communication:
        optimizer.step()
    return int(communication.get_total_counts())


CASES = [collectives_of_steps]
