"""What ranks do in tests of L-BFGS under FSDP: each has rows of its own, and they train as one."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from sharded_minimization import OPTIONS, difference
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn import Parameter

from optkit_core import OptkitError
from optkit_plugins.lbfgs import LBFGS


def bare_parts(mesh: DeviceMesh) -> str:
    """Return what is said of plain tensors that turn out to be parts."""
    model = torch.nn.Linear(4, 3)
    fully_shard(model, mesh=mesh)
    sharded_ones: list[Any] = list(model.parameters())
    parts = [Parameter(p.to_local().detach()) for p in sharded_ones]
    optimizer = LBFGS(parts)
    try:
        optimizer.step(lambda: model(torch.ones(2, 4)).sum())
    except OptkitError as error:
        return str(error)
    return ""


def network() -> Any:
    """Return a model whose parameters don't divide evenly."""
    layers = torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
    model = torch.nn.Sequential(*layers).double()
    for p in model.parameters():
        p.data.copy_(torch.arange(1.0, 1.0 + p.numel()).cos().view_as(p))
    return model


def trained(model: torch.nn.Module, rows: slice, **options: Any) -> list[Any]:
    """Train a model on some rows of the data; return how each step went."""
    inputs = torch.linspace(-1, 1, 72, dtype=torch.float64).reshape(24, 3)
    targets = (3 * inputs).sin().sum(1, keepdim=True)
    optimizer = LBFGS(model.parameters(), line_search_fn="hager_zhang", **OPTIONS, **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = (model(inputs[rows]) - targets[rows]).square().mean()
        loss.backward()
        return loss

    results = []
    for _ in range(2):
        optimizer.step(closure)
        results.append(optimizer.result)
    return results


def own_rows() -> slice:
    """Return the rows of this rank."""
    share = 24 // dist.get_world_size()
    return slice(share * dist.get_rank(), share * (dist.get_rank() + 1))


def named(mesh: DeviceMesh) -> DeviceMesh:
    """Return a mesh like another whose dims have names, by which FSDP2 knows HSDP."""
    names = ("replicate", "shard")[-mesh.ndim :]
    return init_device_mesh("cpu", tuple(mesh.shape), mesh_dim_names=names)


def fully_sharded(mesh: DeviceMesh) -> str:
    """Train under FSDP2, over a square under HSDP, each rank on its own rows."""
    expected = trained(network(), slice(24))
    model = network()
    for layer in (model[0], model):
        fully_shard(layer, mesh=named(mesh))
    return difference(trained(model, own_rows()), expected)


def flat_parameters(mesh: DeviceMesh) -> list[str]:
    """Train under FSDP1, flat and with original parameters; return what was refused and differs."""
    expected, found = trained(network(), slice(24)), []
    for keeps_parameters in (False, True):
        model = FullyShardedDataParallel(
            network(), use_orig_params=keeps_parameters, device_id=torch.device("cpu")
        )
        try:
            LBFGS(model.parameters())
        except OptkitError as error:
            found.append(str(error))
        group = dist.group.WORLD
        found.append(difference(trained(model, own_rows(), process_group=group), expected))
    return found
