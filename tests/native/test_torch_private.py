"""A private name of torch that is missing costs speed or a comfort, and never a result."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS
from renaming import rename
from torch.optim import lr_scheduler
from uses import USES

import optkit
import optkit_core
import optkit_plugins
from optkit_core import torch_hooks, torch_private
from optkit_core.native import tensor_reader, tensor_reader_loader

HERE = Path(__file__).parents[1] / "support"

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
    pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning"),  # of a copy's
]


def without_callback(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(torch._C._dynamo.eval_frame, "get_eval_frame_callback")
    patch.setattr(
        torch_private, "_eval_frame_callback", torch_private._eval_frame_callback.__wrapped__
    )


def without_attribute(patch: pytest.MonkeyPatch) -> None:
    def missing(_: Any) -> int:
        raise AttributeError

    patch.setattr(torch.Tensor, "_cdata", property(missing), raising=False)


def without_tables(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch_hooks, "IS_TOLD", False)
    for place in ("PRE", "POST", "GLOBAL_PRE", "GLOBAL_POST"):
        patch.setattr(torch_hooks, place, "")


def renamed(name: str, owner: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: rename(name, "_of_another_name", owner, patch=patch.setattr)


GRADIENT = torch_private.GRADIENT
MISSING: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "get_eval_frame_callback": without_callback,
    "_is_profiler_enabled": lambda m: m.setattr(torch_private, "profiler", SimpleNamespace()),
    "_step_supports_amp_scaling": renamed("_step_supports_amp_scaling", torch.amp.grad_scaler),
    "_wrapped_by_lr_sched": renamed("_wrapped_by_lr_sched", lr_scheduler),
    "_opt_called": renamed("_opt_called", lr_scheduler),
    "tables of step hooks": without_tables,
    "_aoti": lambda m: m.delattr(torch._C, "_aoti"),
    "unsafe_alloc_void_ptrs_from_tensors": lambda m: m.delattr(
        torch._C._aoti, "unsafe_alloc_void_ptrs_from_tensors"
    ),
    "aoti_torch_get_layout": lambda m: m.setattr(
        tensor_reader, "SHIMS", ["missing"] * len(tensor_reader.SHIMS)
    ),
    "_schedulers": renamed("_schedulers", lr_scheduler),
    "_milestones": renamed("_milestones", lr_scheduler),
    "_spec": lambda m: m.setattr(torch_private, "PART_AND_SPEC", attrgetter("missing")),
    "_fsdp_flattened": lambda m: m.setattr(torch_private, "FLATTENED", "missing"),
    "_local_tensor": lambda m: m.setattr(torch_private, "LOCAL_PART", "missing"),
    GRADIENT: lambda m: m.setattr(torch_private, "GRADIENT", "missing"),
    "_cdata": without_attribute,
    "__dlpack_c_exchange_api__": lambda m: m.delattr(torch.Tensor, "__dlpack_c_exchange_api__"),
}
"""How each name that is looked up while a program runs goes missing."""


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forget what has been looked up and compiled."""
    torch._dynamo.list_backends()  # imports what compiling needs, with all names
    tensor_reader_loader.forget()
    torch._dynamo.reset()
    yield
    tensor_reader_loader.forget()
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", MISSING)
def test_every_use_goes_well_without_a_name(
    name: str, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MISSING[name](monkeypatch)
    USES[use]()


@pytest.mark.slow
def test_every_use_goes_well_where_no_name_is_what_it_was() -> None:
    """From the import of optkit on, which looks for the tables of hooks."""
    paths = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    found = subprocess.run(
        [sys.executable, HERE / "other_torch.py"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert [line for line in found.stdout.splitlines() if line in USES] == list(USES)


def identifiers(tree: ast.AST) -> set[str]:
    """Return the private names that code uses as attributes, imports, or strings."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.alias):
            found += node.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            found += (node.module or "").split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return {name for name in found if name.startswith("_") and name.isidentifier()}


def definitions(tree: ast.AST) -> set[str]:
    """Return the names that code gives to functions, classes, variables and attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return found


def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text())


PRIVATE = Path(torch_private.__file__)
PACKAGES = [Path(package.__path__[0]) for package in (optkit, optkit_core, optkit_plugins)]
OTHERS = {
    "_": "a part of other names",
    "_hook": "likewise",
    "_fields_": "of ctypes",
    "_getframe": "of sys",
    "_is_gil_enabled": "of sys",
    "_orig_mod": "a part of the names of parameters in saved files",
    "_fsdp_wrapped_module": "likewise",
    "_checkpoint_wrapped_module": "likewise",
    "_forward_module": "likewise",
    "_over_rows": "a part of the names of reductions",
    "_over_columns": "likewise",
    "_replace": "of named tuples",
    "_must_rewrite": "of pytest",
    "_python_dispatch": "the module in which torch documents TorchDispatchMode",
}
"""Private names that aren't torch's, or that stand in files."""


def test_no_other_module_uses_a_private_name_of_torch() -> None:
    """But for the ``torch._foreach_*`` functions, which it documents."""
    paths = [path for package in PACKAGES for path in package.rglob("*.py") if path != PRIVATE]
    known = set(OTHERS).union(*(definitions(tree_of(path)) for path in paths))
    used = {(path.name, name) for path in paths for name in identifiers(tree_of(path)) - known}
    assert not [at for at in used if not at[1].startswith(("__", "_foreach_"))]


def test_no_optimizer_gives_a_private_name_of_torch_another_meaning() -> None:
    theirs = torch.optim.SGD([torch.ones(1)])
    private = {key for key in dir(theirs) if key.startswith("_") and not key.startswith("__")}
    for algorithm in ALGORITHMS.values():
        classes = [cls for cls in algorithm.__mro__ if cls.__module__.startswith("optkit")]
        assert not private.intersection(*(vars(cls) for cls in classes))
        assert private.intersection(vars(algorithm([torch.ones(1, 1)]))) <= vars(theirs).keys()


def test_every_private_name_of_torch_goes_missing_in_a_test() -> None:
    tree = tree_of(PRIVATE)
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    public = {"__future__", "__file__", "_C", "_dynamo"}
    assert identifiers(tree) - functions - public <= MISSING.keys()
