"""Every test starts from the same place: no settings from outside, a fixed seed, one thread."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import optkit
from optkit_core.implementations.fused import native

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FIELDS, FUNCTIONS, PYTHON = "tensors' fields", "torch's functions", "Python"
"""Ways in which changes are noticed from step to step."""

SETTINGS = (
    "OPTKIT_IMPLEMENTATION",
    "OPTKIT_CONFIG",
    "OPTKIT_DISABLE_PLUGINS",
    "OPTKIT_FOREACH_BYTES",
    "OPTKIT_COMPILER_TIMEOUT",
)


def pytest_configure() -> None:
    """Make the benchmarks' problems importable, and none of the packages that lie beside them."""
    spec = importlib.util.spec_from_file_location("benchmarks", BENCHMARKS / "__init__.py")
    assert spec is not None and spec.loader is not None
    sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["benchmarks"])


def pytest_report_header() -> str:
    return f"optkit {optkit.__version__} from {optkit.__file__}; torch {torch.__version__}"


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let all tests share compiled kernels with each other, and with nobody else."""
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTKIT_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def clean_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
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


@pytest.fixture(params=[FIELDS, FUNCTIONS, PYTHON])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Notice changes by each way there is."""
    if request.param == PYTHON:
        monkeypatch.setattr(native, "TESTED", ())
    if request.param == FUNCTIONS:  # a tensor of six dimensions isn't what was expected
        monkeypatch.setattr(native, "examples", lambda dtype: [torch.empty(6 * (1,), dtype=dtype)])
    native.reader.cache_clear()
    found = native.reader()
    assert (found is None) == (request.param == PYTHON)
    assert found is None or found.knows_fields == (request.param == FIELDS)
    yield request.param
    native.reader.cache_clear()
