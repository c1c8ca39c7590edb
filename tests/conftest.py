"""Every test starts from the same place: no settings from outside, a fixed seed, one thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import importable_benchmarks  # noqa: F401
import pytest
import torch
from processes import PATIENCE

import optkit
from optkit_core import torch_private
from optkit_core.native import tensor_reader_loader

LACKING = {
    "all of torch's functions": (),
    "no function for gradients": ("gradient_function",),
    "no allocator of handles": ("handles",),
    "no functions for handles": ("exported",),
    "DLPack alone": ("handles", "exported", "gradient_function", "implementation_of"),
    "Python": ("exchange_api",),
}
"""Ways in which changes are noticed from step to step: what torch is made to lack in each."""

SETTINGS = (
    "OPTKIT_IMPLEMENTATION",
    "OPTKIT_CONFIG",
    "OPTKIT_DISABLE_PLUGINS",
    "OPTKIT_FOREACH_BYTES",
    "OPTKIT_NATIVE_READER",
)


def pytest_report_header() -> str:
    return f"optkit {optkit.__version__} from {optkit.__file__}; torch {torch.__version__}"


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let all tests, and all workers of pytest-xdist, share compiled kernels with nobody else."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTKIT_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def clean_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPTKIT_COMPILER_TIMEOUT", str(PATIENCE))  # a busy machine isn't a fault
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def registered() -> Iterator[Callable[[str, type], None]]:
    """Register algorithms for one test."""
    names: list[str] = []

    def register(name: str, algorithm: type) -> None:
        optkit.register(name, algorithm)
        names.append(name)

    yield register
    for name in names:
        optkit.unregister(name)


@pytest.fixture(params=LACKING)
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Notice changes by each way there is."""
    for name in LACKING[request.param]:
        nothing = 0 if name == "implementation_of" else None
        monkeypatch.setattr(torch_private, name, lambda *_, nothing=nothing: nothing)
    tensor_reader_loader.forget()
    assert (tensor_reader_loader.reader() is None) == (request.param == "Python"), (
        tensor_reader_loader.unavailable_reason()
    )
    yield request.param
    tensor_reader_loader.forget()
