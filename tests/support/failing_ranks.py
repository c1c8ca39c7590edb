"""Ranks that fail while others wait for them, and what becomes of those."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from processes import PATIENCE
from sharded import as_sums, placed
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.distributed_c10d import _set_pg_timeout
from torch.distributed.tensor import Shard

import optkit

LIMIT = 10
"""Seconds after which a group gives up waiting; `PATIENCE` is far above it."""

SHAPE = (6, 4)


def outcomes(folder: Path) -> dict[str, str]:
    """Start two ranks, one of which fails in several ways; return what the other one says.

    Args:
        folder: an empty one, for the ranks to meet in.

    Raises:
        AssertionError: a rank is stuck.
    """
    context = torch.multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_rank, args=(rank, folder)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(PATIENCE)
    stuck = [process for process in ranks if process.is_alive()]
    for process in stuck:
        process.kill()
    assert not stuck, f"{len(stuck)} ranks hang"
    assert ranks[1].exitcode == -signal.SIGKILL
    return {path.stem: path.read_text() for path in folder.glob("*.said")}


def _rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    patience = timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=patience)
    cases = (in_its_closure, instead_of_creating, while_minimizing, killed)
    groups = [dist.new_group([0, 1], timeout=patience) for _ in cases]
    # What both have to do in time is done before there is a limit: a machine may be busy.
    params = [_parameter(group) for group in groups]
    names = ("adamax", None, "lbfgs", "adamax")
    named = zip(names, params, strict=True)
    optimizers = [None if name is None else optkit.create(name, [p]) for name, p in named]
    dist.barrier()
    for case, group, p, optimizer in zip(cases, groups, params, optimizers, strict=True):
        _set_pg_timeout(timedelta(seconds=LIMIT), group)
        said = _said(case, p, optimizer)
        (folder / f"{case.__name__} {rank}.said").write_text(said)
        if case is not killed:
            # Both stay until both have failed, so that neither notices the end of the other.
            store.set(f"{case.__name__} {rank}", "")
            store.wait([f"{case.__name__} {other}" for other in range(2)], patience)
    os._exit(0)  # groups in which something has failed may not end by themselves


def _parameter(group: Any) -> torch.nn.Parameter:
    mesh = DeviceMesh.from_group(group, "cpu")
    return torch.nn.Parameter(placed(torch.ones(SHAPE), mesh, [Shard(0)]))


def _said(case: Callable[..., None], p: torch.nn.Parameter, optimizer: Any) -> str:
    try:
        case(p, optimizer)
    except Exception:
        return traceback.format_exc()
    return ""


def in_its_closure(p: Any, optimizer: Any) -> None:
    """Raise in one rank's closure, before a step that has sums to make."""

    def closure() -> float:
        if dist.get_rank() == 1:
            raise ArithmeticError("this rank's loss isn't finite")
        p.grad = as_sums(torch.ones(SHAPE), p.device_mesh)
        return 0.0

    optimizer.step(closure)


def instead_of_creating(p: Any, optimizer: Any) -> None:
    """Raise on one rank where the others agree with it."""
    optkit.create("adamax", [p], lr=-1.0 if dist.get_rank() == 1 else 0.1)


def while_minimizing(p: Any, optimizer: Any) -> None:
    """Raise in one rank's closure when L-BFGS calls it for the third time."""
    calls: list[int] = []

    def closure() -> float:
        calls.append(1)
        if dist.get_rank() == 1 and len(calls) == 3:
            raise ArithmeticError("this rank's loss isn't finite")
        p.grad = p.detach() * placed(torch.arange(24.0).view(SHAPE), p.device_mesh, p.placements)
        return -float(len(calls))

    optimizer.step(closure)


def killed(p: Any, optimizer: Any) -> None:
    """Kill a rank before a step that has sums to make."""
    p.grad = as_sums(torch.ones(SHAPE), p.device_mesh)
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    optimizer.step()
