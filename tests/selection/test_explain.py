"""explain(): every bucket, what runs it, why, and why nothing else; at the command line too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import ELEMENTWISE, FLAT
from thirdparty import Whole

import optkit
import optkit_core
from optkit.cli import main
from optkit_core import BucketKey, UnavailableError
from optkit_core.declaration.buffer_conditions import names_under
from optkit_core.implementations import fused
from optkit_core.implementations.fused.cpp_kernel import load_kernel


def parameters(*shapes: Any, dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in shapes]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_bucket_is_there_with_its_size(name: str) -> None:
    many, wide = parameters(*[(64, 64)] * 8), parameters((3,), dtype=torch.float64)
    groups = [{"params": [*many, *wide]}, {"params": parameters(5), "implementation": "foreach"}]
    first, second, third = optkit.create(name, groups).explain().buckets
    assert (first.group, first.dtype, first.tensors, first.elements) == (0, "float32", 8, 8 * 4096)
    assert (first.implementation, second.implementation) == ("fused", "fused")
    assert (second.group, second.dtype, second.tensors, second.elements) == (0, "float64", 1, 3)
    assert second.rejected == {"forloop": "not preferred", "foreach": "not preferred"}
    assert (third.group, third.implementation) == (1, "foreach")
    assert third.reason == "requested by the argument implementation="
    assert set(third.rejected) == {"forloop", "fused"}


def test_groups_that_step_together_are_one_row() -> None:
    groups = [{"params": parameters(3), "lr": 0.1 * i} for i in range(5)]
    groups[3]["maximize"] = True
    explained = optkit.create("adamax", groups).explain()
    assert [bucket.groups for bucket in explained.buckets] == [(0, 1, 2, 4), (3,)]
    assert "0-2, 4  cpu" in str(explained)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_what_is_explained_is_what_runs(name: str) -> None:
    params = parameters(*[(64, 64)] * 8, (3,))
    params[8] = torch.nn.Parameter(torch.zeros(3, dtype=torch.float16))
    optimizer = optkit.create(name, params)
    for p in params[:6]:
        p.grad = torch.ones_like(p)
    explained = {(b.dtype, b.implementation) for b in optimizer.explain().buckets}
    optimizer.step()
    kinds = {(str(c.key.dtype).removeprefix("torch."), c.name) for c in optimizer.plan}
    assert kinds == explained


def test_explaining_changes_nothing() -> None:
    params = parameters(*[(64, 64)] * 8)
    optimizer = optkit.create("adamax", params)
    optimizer.explain()
    assert len(optimizer.state) == 0
    assert all(p.grad is None for p in params)


def test_one_odd_tensor_leaves_the_others_fused() -> None:
    params = parameters(*[(64, 64)] * 8)
    odd = torch.nn.Parameter(torch.zeros(64, 64))
    odd.grad = torch.eye(64).to_sparse()
    optimizer = optkit.create("adagrad", [*params, odd])
    found = {b.layout: (b.tensors, b.implementation) for b in optimizer.explain().buckets}
    assert found == {"strided": (8, "fused"), "sparse_coo": (1, "forloop")}


def test_without_a_compiler_auto_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("OPTKIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    load_kernel.cache_clear()  # what this process has loaded needs no compiler
    optimizer = optkit.create("adamax", parameters(*[(64, 64)] * 8))
    (bucket,) = optimizer.explain().buckets
    assert bucket.implementation == "forloop"
    assert "CXX names 'no-such-compiler'" in bucket.rejected["fused"]
    with pytest.raises(optkit.ImplementationError, match="no-such-compiler"):
        optkit.create("adamax", parameters(3), implementation="fused")


def test_it_prints_as_a_table() -> None:
    text = str(optkit.create("adamax", parameters(3), implementation="foreach").explain())
    assert text.splitlines()[0] == "Adamax, as the argument implementation= has it"
    assert text.splitlines()[1].split() == (
        ["group", "device", "dtype", "layout", "tensors", "elements", "runs", "why"]
    )
    assert "group 0, cpu float32: not fused: not requested" in text


def test_an_algorithm_that_is_not_elementwise_explains_too() -> None:
    (bucket,) = optkit.create("lbfgs", parameters(3)).explain().buckets
    assert bucket.implementation == "fused"


def test_the_command_prints_the_table_and_the_kernel(capsys: Any) -> None:
    assert main(["explain", "adamax", "--shape", "64x64", "--count", "4", "--source"]) == 0
    out = capsys.readouterr().out
    assert "fused" in out.splitlines()[2]
    assert "exp_avg_" in out
    assert "interpolated(" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("adamx", "Did you mean 'adamax'"),
        ("adamax --shape 3xx", "--shape '3xx' isn't a shape such as"),
        ("adamax --dtype int8", "--dtype 'int8' isn't a dtype of parameters"),
        ("adamax --device nowhere", "on --device 'nowhere' here"),
        ("adamax --shape 99999999x999999", "can't be a parameter of shape"),
        ("adamax --count 0", "'0' isn't a whole number from 1"),
        ("adamax --set lr", "expected KEY=VALUE"),
        ("adamax --set lr=-1", "lr must be in [0, inf), got -1"),
        ("adamax --implementation fusd", "Did you mean 'fused'?"),
        ("adamax --implementation fused --set differentiable=true", "What could run: forloop"),
    ],
)
def test_a_mistake_at_the_command_line_is_one_line(words: str, complaint: str, capsys: Any) -> None:
    assert main(["explain", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_a_class_of_other_origin_is_told_apart(capsys: Any, registered: Any) -> None:
    registered("torch-sgd", torch.optim.SGD)
    assert main(["explain", "torch-sgd", "--set", "lr=0.1"]) == 2
    assert "only optkit's own algorithms explain" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "device"),
    [*((name, "cpu") for name in ELEMENTWISE), *((n, "cuda") for n in (*FLAT, "adafactor"))],
)
def test_the_source_is_there_without_the_device(name: str, device: str) -> None:
    algorithm = optkit.get(name)
    optimizer = algorithm(parameters(3), implementation="forloop")
    key = BucketKey(torch.device(device), torch.bfloat16)
    h = optimizer.values(optimizer.param_groups[0])
    reason = fused.impossible_reason(algorithm, key, h)
    if reason:
        with pytest.raises(UnavailableError):
            fused.source(algorithm, key, h)
        return
    text = fused.source(algorithm, key, h)
    names = names_under(algorithm.buffers, h)
    assert all(name in text for name in names if not algorithm.buffers[name].is_scalar)


def test_the_command_prints_what_an_algorithm_brings_along(capsys: Any) -> None:
    assert main(["explain", "lbfgs", "--shape", "64", "--count", "2", "--source"]) == 0
    assert "float Real;" in capsys.readouterr().out


def test_an_algorithm_without_offers_runs_its_own_step(registered: Any) -> None:
    registered("whole", Whole)
    optimizer = optkit.create("whole", [{"params": parameters((2, 3), 4)}])
    (bucket,) = optimizer.explain().buckets
    assert (bucket.implementation, bucket.tensors, bucket.rejected) == ("its own", 2, {})
    assert bucket.reason == "Whole defines its step and offers no other"
    assert "its own" in str(optimizer.explain())
    assert optkit.describe("whole").implementations == ("its own",)
    assert main(["explain", "whole"]) == 0
    assert main(["show", "whole"]) == 0


def test_no_implementation_can_be_asked_of_it() -> None:
    with pytest.raises(optkit.ImplementationError, match="What could run: its own step; or say"):
        Whole(parameters(3), implementation="fused")


def test_nothing_can_be_added_to_it() -> None:
    class Vendor:
        @optkit_core.hookimpl
        def optkit_offers(self, algorithm: Any) -> Any:
            return [optkit_core.Offer("vendor-x", print, lambda *_: "")]

    optkit_core.register_plugin(Vendor(), "vendor")
    try:
        (bucket,) = Whole(parameters(3)).explain().buckets
        with pytest.raises(optkit.ImplementationError, match="Whole has no vendor-x"):
            Whole(parameters(3), implementation="vendor-x")
    finally:
        optkit_core.unregister_plugin("vendor")
    assert bucket.implementation == "its own"
