"""A plugin adds an implementation to an algorithm that isn't its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import optkit
import optkit_core
from optkit_core import Offer


def stepping(algorithm: Any, bucket: Any, h: Any) -> Any:
    def launch() -> None:
        for p, state in zip(bucket.params, bucket.states, strict=True):
            state["step"] += 1
            p.sub_(h.lr)

    return launch


def refusing(algorithm: Any, kind: Any, h: Any) -> str:
    return "the vendor's kernel takes float32" if kind.dtype != torch.float32 else ""


class Vendor:
    def __init__(self, *names: str) -> None:
        self.names = names

    @optkit_core.hookimpl
    def optkit_offers(self, algorithm: Any) -> Any:
        if algorithm.__name__ == "Adamax":
            return [Offer(name, stepping, refusing) for name in self.names]
        return None


@pytest.fixture
def vendor() -> Iterator[None]:
    optkit_core.register_plugin(Vendor("vendor-x"), "vendor")
    yield
    optkit_core.unregister_plugin("vendor")


def parameter(dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.ones(5, dtype=dtype))
    p.grad = torch.ones(5, dtype=dtype)
    return p


@pytest.mark.usefixtures("vendor")
def test_it_runs_where_it_is_asked_for() -> None:
    p = parameter()
    optimizer = optkit.create("adamax", [p], implementation="vendor-x", lr=0.25)
    optimizer.step()
    assert p.tolist() == [0.75] * 5
    assert [choice.name for choice in optimizer.plan] == ["vendor-x"]
    assert optimizer.explain().buckets[0].implementation == "vendor-x"


@pytest.mark.usefixtures("vendor")
def test_auto_does_not_prefer_it() -> None:
    optimizer = optkit.create("adamax", [parameter() for _ in range(9)])
    bucket = optimizer.explain().buckets[0]
    assert bucket.implementation != "vendor-x"
    assert bucket.rejected["vendor-x"] == "not preferred"


@pytest.mark.usefixtures("vendor")
def test_its_own_reason_is_told() -> None:
    with pytest.raises(optkit.ImplementationError, match="the vendor's kernel takes float32"):
        optkit.create("adamax", [parameter(torch.float64)], implementation="vendor-x")


@pytest.mark.usefixtures("vendor")
def test_other_algorithms_do_not_have_it() -> None:
    with pytest.raises(optkit.ImplementationError, match="Adagrad has no vendor-x implementation"):
        optkit.create("adagrad", [parameter()], implementation="vendor-x")
    assert "vendor-x" in optkit.describe("adamax").implementations
    assert "vendor-x" not in optkit.describe("adagrad").implementations


def test_without_the_plugin_the_name_is_unknown() -> None:
    with pytest.raises(optkit.OptkitError, match="implementation must be one of"):
        optkit.create("adamax", [parameter()], implementation="vendor-x")


@pytest.mark.parametrize("name", ["fused", "auto", "forloop"])
def test_a_taken_name_is_refused(name: str) -> None:
    optkit_core.register_plugin(Vendor(name), "vendor")
    try:
        with pytest.raises(optkit_core.PluginError, match="needs a name of its own"):
            optkit.create("adamax", [parameter()], implementation="forloop")
    finally:
        optkit_core.unregister_plugin("vendor")
