"""The generated Triton source, and the machine code that Triton makes of it for a GPU."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bodies import Mixed, Timed
from processes import completed

import optkit
from optkit_core.implementations.fused import device_table
from optkit_core.implementations.fused.triton_signature import CHUNK, Signature
from optkit_core.implementations.fused.triton_source import source
from optkit_core.tracing.trace import trace

needs_triton = pytest.mark.skipif(not find_spec("triton"), reason="needs Triton")
H = SimpleNamespace(lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)


def signature(algorithm: Any, t: Any = 3.0, h: Any = H, **more: Any) -> Signature:
    program, numbers = trace(algorithm, h, t)
    dtypes = (torch.float32,) * program.operands
    places = tuple(n.dtype if isinstance(n, torch.Tensor) else None for n in numbers)
    return Signature(program, more.pop("dtypes", dtypes), numbers=places, **more)


def test_nothing_is_specialized_on_a_value() -> None:
    text = source(signature(Timed, None, found_inf=torch.float32))
    head = next(line for line in text.splitlines() if line.startswith("def fused("))
    names = [part.split(":")[0].strip() for part in head[len("def fused(") : -2].split(",")]
    assert f"@triton.jit(do_not_specialize={names})" in text
    assert names[:5] == ["chunks", "total", "table", "rows", "found_inf"]


def test_numbers_arrive_in_double_precision() -> None:
    text = source(signature(optkit.get("adamax")))
    assert 'x1: "fp64"' in text and "tl.full((), x1, tl.float64)" in text
    on_device = SimpleNamespace(**{**vars(H), "lr": torch.tensor(0.1)})
    text = source(signature(optkit.get("adamax"), h=on_device))
    assert "n4 = tl.load(x4).to(tl.float64)" in text and 'x4: "fp64"' not in text


def test_offsets_of_chunks_have_64_bits() -> None:
    text = source(signature(Mixed))
    assert f"begin = tl.load(chunks + total + chunk).to(tl.int64) * {CHUNK}" in text
    assert "row = tl.load(chunks + chunk).to(tl.int64)" in text


def test_float64_never_passes_through_float32() -> None:
    dtypes = (torch.float32, torch.float64, torch.float64, torch.bfloat16)
    text = source(signature(Mixed, dtypes=dtypes))
    assert "v1 = tl.load(g_ + offsets).to(tl.float64)" in text
    assert "v0 = tl.load(p_ + offsets).to(tl.float64)" in text
    assert "tl.store(last_ + offsets, w3.to(tl.float32))" in text


def test_memory_counts_as_aligned_when_all_of_it_is() -> None:
    assert f"if (left == {CHUNK}) & ((p_at | g_at | mean_at | last_at) % 16 == 0):" in source(
        signature(Mixed)
    )


def test_what_depends_on_the_count_alone_is_computed_once_in_float64() -> None:
    kernel = source(signature(Timed, None)).split("def fused(")[1]
    assert "libdevice.pow" in kernel.split("for start")[0]
    assert "libdevice.pow" not in kernel.split("for start", 1)[1]


@pytest.mark.parametrize("sizes", [[1], [0, CHUNK, 0], [5, CHUNK + 1, 3 * CHUNK, 0, 7]], ids=str)
def test_every_chunk_of_every_row_has_a_program(sizes: list[int]) -> None:
    ends = torch.tensor([0, *accumulate(sizes)])
    wanted = [(row, k) for row, size in enumerate(sizes) for k in range(-(-size // CHUNK))]
    found = device_table.chunk_table(ends, len(wanted))
    assert found.dtype == torch.int32
    assert list(zip(*found.tolist(), strict=True)) == wanted
    content = ends.numpy().tobytes()
    assert device_table.chunk_count(content, len(sizes)) == len(wanted)


def test_a_table_in_a_graph_is_the_same_table() -> None:
    """Addresses beyond what float32 or float64 could hold arrive whole."""
    words = torch.tensor([0, 1, 2**47 - 1, 2**62 + 1, 140_000_000_000_016])
    content = words.numpy().tobytes()
    device = torch.device("cpu")
    assert torch.equal(device_table.write_on_device(content, device), words)
    assert torch.equal(device_table.copy_to_device(content, device), words)


def compiling(script: str, cache: Path) -> Any:
    """Return what a script beside this one prints as JSON, with Triton's compiler at work."""
    path = Path(__file__).parents[1] / "support" / script
    done = completed(str(path), TRITON_CACHE_DIR=str(cache), TRITON_INTERPRET=None)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Triton compiles each case of `machine_code.py` to, for a GPU that needn't be here."""
    return compiling("machine_code.py", tmp_path_factory.mktemp("triton"))


@pytest.mark.slow
@needs_triton
def test_launches_of_a_schedule(tmp_path: Path) -> None:
    """Three chunks a step, by one kernel, whose numbers are the body's in double precision."""
    launched = compiling("launches.py", tmp_path)
    assert [launch["grid"] for launch in launched] == [[3, 1, 1]] * 4
    assert {tuple(launch["types"]) for launch in launched} == {
        ("*i32", "i64", "*i64", "i64", "fp64", "fp64", "fp64", "fp64")
    }
    wanted = [[3, 3, 1 - 0.9, 0.999, 1e-8, -lr / (1 - 0.9 ** (lr + 1))] for lr in range(4)]
    assert [launch["plain"] for launch in launched] == wanted


@pytest.mark.slow
@needs_triton
def test_no_value_of_an_argument_makes_triton_compile_anew(machine_code: Any) -> None:
    """Not even those that Triton treats on their own: 1, multiples of 16, unaligned memory."""
    distinct = set(machine_code["specializations"])
    assert len(distinct) == 1
    assert distinct.pop().count("('fp64', None)") == 3


@needs_triton
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_compiles(machine_code: Any, dtype: str) -> None:
    """And what stands behind a function of CUDA's library keeps denormal numbers."""
    code = machine_code[f"every operation {dtype}"]
    assert code["size"] > 0
    assert code["flushing"] == []


@needs_triton
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_aligned_memory_is_read_and_written_16_bytes_at_once(machine_code: Any, dtype: str) -> None:
    """For a whole chunk that is every access; each thread has eight elements of a block."""
    code = machine_code[f"adamax {dtype}"]
    times = {"float32": 2, "float64": 4, "bfloat16": 1, "float16": 1}[dtype]
    assert code["wide loads"] == 4 * times
    assert code["wide stores"] == 3 * times


@needs_triton
def test_only_what_torch_rounds_once_is_rounded_once(machine_code: Any) -> None:
    """Of adamax lerp multiplies and adds at once, of adagrad addcmul, and nothing else does.

    The counts are of eight elements in each of two loops.
    """
    adamax, adagrad = machine_code["adamax float32"], machine_code["adagrad float32"]
    assert [adamax[key] / 16 for key in ("fma", "mul", "div", "sqrt")] == [1, 2, 1, 0]
    assert [adagrad[key] / 16 for key in ("fma", "mul", "div", "sqrt")] == [1, 1, 1, 1]
    assert [machine_code["x * y + z"][key] / 16 for key in ("fma", "mul")] == [0, 1]


@needs_triton
def test_any_mixture_of_dtypes_compiles(machine_code: Any) -> None:
    assert machine_code["mixed"]["size"] > 0


@needs_triton
@pytest.mark.parametrize("name", ["adamax float32", "adamax float64", "adagrad float32"])
def test_nothing_is_approximate_and_denormal_numbers_stay(machine_code: Any, name: str) -> None:
    assert machine_code[name]["approximate"] == []


@needs_triton
@pytest.mark.parametrize("name", ["adamax float32", "adamax bfloat16"])
def test_the_same_on_older_devices(machine_code: Any, name: str) -> None:
    found = machine_code[f"{name} on 7.5"]
    assert found | {"size": 0} == machine_code[name] | {"size": 0}
