"""Ranks that fail while others wait for them, and what becomes of those.

Each case has two ranks of its own, since what gives up waiting closes a process's connections.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing
from processes import PATIENCE, STARTED_FROM
from sharded import as_sums, mesh_of, placed
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.distributed_c10d import _set_pg_timeout
from torch.distributed.tensor import DTensor, Shard

import optkit
from optkit_core import Matrixwise

LIMIT = 2
"""Seconds after which a group gives up waiting, for what never comes; nothing has to be in time."""

PAUSE = 0.2
"""Seconds after which a rank is killed, so that the other one mostly waits in a collective."""

SHAPE = (6, 4)

Fail = Callable[[], None]


class Outcome(NamedTuple):
    """How a case has ended on one rank.

    Args:
        said: the error, ``""`` if there was none.
        is_as_before: whether parameters and state are as they were before.
        status: that of the process; minus the signal that has ended it.
    """

    said: str
    is_as_before: bool
    status: int | None


def outcomes(folder: Path) -> dict[str, list[Outcome]]:
    """Let the second of two ranks fail in each case, by an error and by being killed.

    Args:
        folder: an empty one, for the ranks to meet in.

    Returns:
        What has become of both ranks, by the way and the case.

    Raises:
        AssertionError: a rank is stuck.
    """
    ways = {f"{way.__name__} {case.__name__}": (way, case) for way, case in product(WAYS, CASES)}
    context = torch.multiprocessing.get_context(STARTED_FROM)
    started = {
        name: [
            context.Process(target=_rank, args=(dict(os.environ), rank, folder / name, *way))
            for rank in range(2)
        ]
        for name, way in ways.items()
    }
    for name, pair in started.items():
        (folder / name).mkdir()
        for process in pair:
            process.start()
    every = [process for pair in started.values() for process in pair]
    for process in every:
        process.join(PATIENCE)
    stuck = [process for process in every if process.is_alive()]
    for process in stuck:
        process.kill()
    assert not stuck, f"{len(stuck)} ranks hang"
    return {
        name: [_outcome(folder / name / str(rank), pair[rank].exitcode) for rank in range(2)]
        for name, pair in started.items()
    }


def _outcome(path: Path, status: int | None) -> Outcome:
    said, is_as_before = pickle.loads(path.read_bytes()) if path.exists() else ("", True)
    return Outcome(said, is_as_before, status)


def raising(store: dist.Store) -> None:
    """Fail by an error, and stay until the other rank has given up waiting."""
    raise ArithmeticError("this rank's loss isn't finite")


def killed(store: dist.Store) -> None:
    """Be killed while the other rank waits."""
    store.wait(["waiting"])
    time.sleep(PAUSE)
    os.kill(os.getpid(), signal.SIGKILL)


WAYS = (raising, killed)


def _rank(
    settings: dict[str, str],
    rank: int,
    folder: Path,
    way: Callable[[dist.Store], None],
    case: Callable[[DeviceMesh, Fail], tuple[Callable[[], Any], list[Any]]],
) -> None:
    os.environ.update(settings)
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    patience = timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=patience)
    mesh = mesh_of(2)

    def fail() -> None:
        if rank:
            way(store)
        _set_pg_timeout(timedelta(seconds=LIMIT), dist.group.WORLD)
        store.set("waiting", "")

    act, optimizers = case(mesh, fail)
    before, said = _bits(optimizers), ""
    try:
        act()
    except Exception:
        said = traceback.format_exc()
    (folder / str(rank)).write_bytes(pickle.dumps((said, _bits(optimizers) == before)))
    if way is raising:
        # Both stay until both have failed, so that neither notices the end of the other.
        store.set(f"failed {rank}", "")
        store.wait([f"failed {other}" for other in range(2)], patience)
    os._exit(0)  # groups in which something has failed may not end by themselves


def _bits(optimizers: list[Any]) -> list[Any]:
    """Return what this rank has of parameters and states, and the numbers of groups."""
    found: list[Any] = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            found.append([value for value in group.values() if isinstance(value, (int, float))])
            for p in group["params"]:
                state = dict.get(optimizer.state, p, {})
                found += [_local(value) for value in (p, *state.values())]
    return found


def _local(value: Any) -> Any:
    local = value.to_local() if isinstance(value, DTensor) else value
    return local.tolist() if isinstance(local, torch.Tensor) else local


def _stepping(
    name: Any, mesh: DeviceMesh, fail: Fail, as_parts: bool = True, **options: Any
) -> Any:
    """Return a second step whose closure fails on the last rank, and its optimizer."""
    values = [torch.ones(SHAPE), torch.ones(SHAPE) * 2]
    params = [torch.nn.Parameter(placed(value, mesh, [Shard(0)])) for value in values]
    # Nothing is compiled, which would take most of the time.
    options = {"implementation": "foreach", **options}
    make = name if isinstance(name, type) else optkit.get(name)
    optimizer: Any = make(params, **options)

    def closure(fails: bool = True) -> float:
        if fails:
            fail()
        for p in params:
            gradient = torch.ones(SHAPE)
            p.grad = placed(gradient, mesh, [Shard(0)]) if as_parts else as_sums(gradient, mesh)
        return 0.0

    optimizer.step(lambda: closure(fails=False))
    return lambda: optimizer.step(closure), [optimizer]


def redistributing(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for the sums of gradients, before a step of an elementwise algorithm."""
    return _stepping("adamax", mesh, fail, as_parts=False)


def reducing(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for what a body reduces."""
    return _stepping("lamb", mesh, fail)


def summing(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for sums over all parameters."""
    return _stepping("prodigy", mesh, fail)


def gathering(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for the parts of the matrices that a rank owns."""
    return _stepping("muon", mesh, fail)


FAILS: list[Fail] = []


class Failing(Matrixwise):
    """Fails in its second step, in which each of two ranks owns a matrix."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Step, or fail."""
        if t == 2:
            FAILS[-1]()
        p.sub_(g, alpha=0.5)


def owning(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for what the owner of a matrix has computed, whose body fails."""
    FAILS.append(fail)
    act, optimizers = _stepping(Failing, mesh, lambda: None)
    return act, optimizers


def minimizing(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for the numbers of an evaluation by L-BFGS, the second one in its line search."""
    p = torch.nn.Parameter(placed(torch.ones(SHAPE), mesh, [Shard(0)]))
    optimizer: Any = optkit.create("lbfgs", [p], implementation="foreach")
    calls: list[int] = []

    def closure() -> float:
        calls.append(1)
        if len(calls) == 2:
            fail()
        p.grad = p.detach() * placed(torch.arange(24.0).view(SHAPE), mesh, p.placements)
        return -float(len(calls))

    # The counts of evaluations and iterations go on, and the parameters go back.
    parameters = SimpleNamespace(param_groups=[{"params": [p]}], state={})
    return lambda: optimizer.step(closure), [parameters]


def creating(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for what another rank can run, which takes in other parameters."""
    p = torch.nn.Parameter(placed(torch.ones(SHAPE), mesh, [Shard(0)]))

    def create() -> None:
        fail()
        optkit.create("adamax", [p])

    return create, []


def skipping(mesh: DeviceMesh, fail: Fail) -> Any:
    """Wait for whether another rank has found gradients that aren't finite."""
    p = torch.nn.Parameter(placed(torch.ones(SHAPE), mesh, [Shard(0)]))
    optimizer: Any = optkit.create("adamax", [p], implementation="foreach")
    p.grad = placed(torch.ones(SHAPE), mesh, [Shard(0)])

    def step() -> None:
        fail()
        optimizer.found_inf = torch.zeros(())
        optimizer.step()

    return step, [optimizer]


CASES = (redistributing, reducing, summing, gathering, owning, minimizing, creating, skipping)
