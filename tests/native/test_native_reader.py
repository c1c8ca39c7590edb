"""The native reader: when it is used, what it says of itself, and what it shares with Python."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import python

import optkit
from optkit_core import ConfigError, UnavailableError, torch_private
from optkit_core.implementations.fused import cpp_kernel, cpp_source
from optkit_core.native import (
    cache,
    shared_structures,
    tensor_reader_loader,
    tensor_reader_self_test,
)
from optkit_core.native.tensor_reader import STRUCTURES, Reader

FOLDER = Path(tensor_reader_loader.__file__).parent


def optimizer_of(count: int = 3) -> Any:
    params = [torch.nn.Parameter(torch.ones(9)) for _ in range(count)]
    for p in params:
        p.grad = torch.ones(9)
    return optkit.create("adamax", params)


@pytest.fixture
def anew() -> Any:
    """Load the reader anew in this test, and after it."""
    tensor_reader_loader.forget()
    yield
    tensor_reader_loader.forget()


def test_it_is_used_here_and_says_so() -> None:
    assert (
        isinstance(tensor_reader_loader.reader_or_reason(), Reader)
        and tensor_reader_loader.unavailable_reason() is None
    )
    optimizer = optimizer_of()
    assert str(optimizer.explain()).endswith("noticed by the native reader")


@pytest.mark.parametrize("value", ["0", "off", "False"])
def test_the_environment_switches_it_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tensor_reader_loader.SWITCH, value)
    optimizer = optimizer_of()
    assert str(optimizer.explain()).endswith(
        "not by the native reader: OPTKIT_NATIVE_READER switches it off"
    )
    for _ in range(3):
        optimizer.step()
    assert tensor_reader_loader.reader() is None
    assert optimizer.plan[0].name == "fused"


@pytest.mark.parametrize("value", ["", "1", "on", "TRUE"])
def test_it_stays_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tensor_reader_loader.SWITCH, value)
    assert tensor_reader_loader.reader() is not None


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tensor_reader_loader.SWITCH, "maybe")
    with pytest.raises(ConfigError, match="OPTKIT_NATIVE_READER must be 1 or 0, got 'maybe'"):
        optimizer_of().step()


@pytest.mark.usefixtures("anew")
def test_python_without_its_lock_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert (
        tensor_reader_loader.unavailable_reason()
        == "this Python runs without the lock that it relies on"
    )
    optimizer_of().step()


@pytest.mark.usefixtures("anew")
def test_a_reader_that_fails_its_self_test_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_reader_self_test, "passes", lambda reader: False)
    assert (
        tensor_reader_loader.unavailable_reason()
        == "it failed its self-test with this release of torch"
    )
    optimizer_of().step()


def shifted(reader: Any) -> None:
    refresh = reader.refresh

    def wrong(api: int, place: int) -> int:
        plan = shared_structures.PlanStruct.from_address(place)
        result: int = refresh(api, place)
        (ctypes.c_uint64 * 1).from_address(plan.memory)[0] += 4
        return result

    reader.refresh = wrong


def blind(reader: Any) -> None:
    refresh = reader.refresh
    reader.refresh = lambda api, place: refresh(api, place) or 1


@pytest.mark.parametrize("fault", [shifted, blind], ids=lambda fault: fault.__name__)
def test_the_self_test_finds_a_fault(fault: Callable[[Any], None]) -> None:
    reader = Reader(ctypes.PyDLL(str(tensor_reader_loader.compile_reader())))
    assert tensor_reader_self_test.passes(reader)
    fault(reader)
    assert not tensor_reader_self_test.passes(reader)


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("version", [0, 2])
def test_another_version_of_dlpacks_table_is_not_used(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = shared_structures.ExchangeTable(major=version)
    monkeypatch.setattr(torch_private, "exchange_api", lambda: ctypes.addressof(table))
    assert (
        tensor_reader_loader.unavailable_reason()
        == f"torch's table of DLPack's functions is of version {version}"
    )
    optimizer_of().step()


def reader_source() -> str:
    return "".join((FOLDER / name).read_text() for name in tensor_reader_loader.SOURCES)


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.cpp_name)
def test_a_structure_that_differs_is_noticed(structure: Any) -> None:
    """The compiled library is asked: one whose source has a further field is refused."""
    name = structure.cpp_name
    source = reader_source().replace(f"struct {name} {{", f"struct {name} {{ Index further;")
    assert source != reader_source()
    library = ctypes.PyDLL(str(cache.library(source, f"changed {name}")))
    with pytest.raises(UnavailableError, match=f"structure {name} isn't laid out as expected"):
        Reader(library)


def test_fields_that_changed_places_are_noticed() -> None:
    source = reader_source()
    changed = source.replace("Index rows, buffers;", "Index buffers, rows;")
    assert changed != source
    library = ctypes.PyDLL(str(cache.library(changed, "exchanged")))
    with pytest.raises(UnavailableError, match="structure Plan"):
        Reader(library)


def test_a_kernels_structure_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = cpp_source._text
    monkeypatch.setattr(
        cpp_source,
        "_text",
        lambda name: text(name).replace("struct Job {", "struct Job { Index x;"),
    )
    cpp_kernel.load_kernel.cache_clear()
    optimizer = optimizer_of()
    optimizer.step()
    cpp_kernel.load_kernel.cache_clear()
    assert optimizer.plan[0].name == "forloop"
    assert "structure Job isn't laid out" in dict(optimizer.plan[0].rejected)["fused"]


def test_no_step_leaks_references() -> None:
    optimizer = optimizer_of()
    (p, *_) = optimizer.param_groups[0]["params"]
    objects = (p, p.grad, None, torch.Tensor, torch.nn.Parameter, *optimizer.state[p].values())
    for _ in range(5):
        optimizer.step()
    before = list(map(sys.getrefcount, objects))
    for _ in range(2000):
        optimizer.step()
    after = list(map(sys.getrefcount, objects))
    assert all(abs(one - other) < 100 for one, other in zip(before, after, strict=True))


@pytest.mark.slow
def test_a_gradient_is_freed_when_it_goes() -> None:
    """Nothing keeps a gradient, or a parameter, alive."""
    code = """
import gc, weakref, torch, optkit
p = torch.nn.Parameter(torch.ones(9))
optimizer = optkit.create("adamax", [p])
for _ in range(3):
    p.grad = torch.ones(9)
    optimizer.step()
gradient = weakref.ref(p.grad)
p.grad = None
print(gradient() is None)
held = weakref.ref(p)
del optimizer, p
gc.collect()
print(held() is None)
"""
    assert python(code, OPTKIT_CACHE_DIR=os.environ["OPTKIT_CACHE_DIR"]).split() == ["True"] * 2
