"""Processes that tests start: a program of its own, or ranks that work on one thing."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn  # while there is no group, which its functions' defaults would keep
import torch.multiprocessing
from torch.multiprocessing.spawn import ProcessException, start_processes

PATIENCE = 600
"""Seconds after which a process counts as stuck; none needs a tenth, on a busy machine either."""

TASKS = Path("/proc/self/task")
GLOO = "pt_gloo_runloop"

STARTED_FROM = "forkserver"
"""Ranks are forked from a process that has imported what takes them most of their time."""

# torch.distributed.optim also since the defaults of averagers that it imports would keep a group.
IMPORTED = [
    "torch.distributed.checkpoint.state_dict",
    "torch.distributed.fsdp",
    "torch.distributed.nn",
    "torch.distributed.optim",
    "torch.distributed.tensor.debug",
    "torch.distributed.tensor.parallel",
    "optkit_plugins.lbfgs",
]
torch.multiprocessing.get_context(STARTED_FROM).set_forkserver_preload(IMPORTED)


def completed(*words: str, **settings: str | None) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own until it ends.

    Args:
        *words: its arguments.
        **settings: environment variables; one that is None isn't set.
    """
    given = {**os.environ, **settings}
    return subprocess.run(
        [sys.executable, *words],
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def python(code: str, *roots: Path, **settings: str | None) -> str:
    """Run Python code in a process of its own and return what it printed.

    Args:
        code: the program; an exception in it fails the test.
        *roots: folders that its ``sys.path`` starts with.
        **settings: environment variables; one that is None isn't set.
    """
    path = os.pathsep.join([*map(str, roots), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    done = completed("-c", code, PYTHONPATH=path, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def torchrun(count: int, *words: object) -> str:
    """Run a script on several ranks, as torchrun does, and return what they printed.

    Args:
        count: how many ranks.
        *words: the script, and its arguments.
    """
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count))
    runner = str(Path(__file__).with_name("scripts_on_ranks.py"))
    done = completed(*launcher, runner, *map(str, words), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_ranks(work: Callable[..., Any], count: int, folder: Path, *arguments: Any) -> list[Any]:
    """Run a function on several ranks of one process group, and return what each returned.

    Args:
        work: a function of an importable module, called with the rank and the arguments.
        count: how many ranks.
        folder: an empty one, for the ranks to meet in and to leave their results.
        *arguments: for all ranks the same.

    Raises:
        AssertionError: one failed, and the others were ended; tells of all that failed, since
            others than the first may only have missed it.
    """
    try:
        start_processes(
            _rank,
            (dict(os.environ), work, count, folder, arguments),
            nprocs=count,
            start_method=STARTED_FROM,
        )
    except ProcessException as error:
        told = [path.read_text() for path in sorted(folder.glob("*.failure"))]
        raise AssertionError("\n".join([str(error), *told])) from error
    return [pickle.loads(_result(folder, rank).read_bytes()) for rank in range(count)]


def _rank(
    rank: int,
    settings: Mapping[str, str],
    work: Callable[..., Any],
    count: int,
    folder: Path,
    arguments: tuple[Any, ...],
) -> None:
    os.environ.clear()
    os.environ.update(settings)  # those of now, and not of when the first ranks were started
    torch.set_num_threads(1)
    try:
        with _process_group(rank, count, folder):
            result = work(rank, *arguments)
    except BaseException:
        _result(folder, rank).with_suffix(".failure").write_text(traceback.format_exc())
        raise
    _result(folder, rank).write_bytes(pickle.dumps(result))


def _result(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.pickle"


@contextmanager
def _process_group(rank: int, count: int, folder: Path) -> Iterator[None]:
    """Join a group, and leave it once nobody needs anybody any more.

    After an operation the group's threads let go of its tensors, for which they need Python's
    lock. A thread that waits for it while Python shuts down is ended in the middle of that, and
    aborts the process. So the threads are joined first, which a group does when it goes.
    """
    store = dist.FileStore(str(folder / "store"), count)
    limit = timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=limit)
    yield
    gc.collect()
    store.set(f"done{rank}", "")
    store.wait([f"done{other}" for other in range(count)], limit)
    dist.destroy_process_group()
    if GLOO in _threads():
        raise RuntimeError("something still holds the process group, whose threads go on")


def _threads() -> set[str]:
    return {(task / "comm").read_text().strip() for task in TASKS.iterdir()}
