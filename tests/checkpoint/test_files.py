"""Checkpoints as files: everything comes back exactly, and files are replaced as a whole."""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from algorithms import NAMES, TORCH
from problems import DTYPES, gradients, parameters, set_gradients
from processes import python
from states import OTHERS, every_optimizer, fingerprint, saved_by, state_of, trained

import optkit
from optkit_core.checkpoint.file import checkpoint_file, safetensors_file
from optkit_core.checkpoint.file.checkpoint_file import Checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "optimizer.safetensors"


def round_trip(value: Any, path: Path) -> Any:
    checkpoint_file.write(Checkpoint("Toy", {"it": value}), path)
    return checkpoint_file.read(path).state_dict["it"]


NAN = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(10**300),
    0.1,
    -0.0,
    5e-324,
    math.inf,
    -math.inf,
    NAN,
    1 - 2j,
    complex(math.nan, -0.0),
    "",
    'naïve \ud800 \U0001f600 \0 "quoted" $tensor',
    (),
    (0.9, 0.999),
    [],
    [1, [2.0, (None, "x")], {}],
    {},
    {"$tensor": "state.0.exp_avg"},
    {"$": 1, "a.b": 2},
    {0: "int", "0": "str", -5: [True]},
    {"order": [0], "paired": True},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value!a:.30}")
def test_plain_values_come_back_with_type_and_every_bit(value: Any, path: Path) -> None:
    assert fingerprint(round_trip(value, path)) == fingerprint(value)


TENSOR_DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.int64,
    torch.uint64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex32,
    torch.complex64,
    torch.complex128,
]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (33, 65), (300, 401)])
@pytest.mark.parametrize("dtype", TENSOR_DTYPES, ids=str)
def test_tensors_come_back_with_every_bit(
    dtype: torch.dtype, shape: tuple[int, ...], path: Path
) -> None:
    """Random bytes: among them are NaNs with contents, infinities and subnormal numbers."""
    count = math.prod(shape) * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), dtype=torch.uint8)
    value = raw.view(dtype).view(shape)
    assert fingerprint(round_trip([value, {"x": value}], path)) == fingerprint(
        [value, {"x": value}]
    )


def views() -> dict[str, Any]:
    base = torch.randn(8, 6, 5, 4)
    return {
        "transposed": base[0, 0].t(),
        "channels_last": base.to(memory_format=torch.channels_last),
        "permuted": base.permute(3, 1, 0, 2),
        "strided": base[:, ::2],
        "offset": base.view(-1)[1:],
        "expanded": torch.ones(3, 1).expand(3, 7),
        "conjugated": torch.randn(5, dtype=torch.complex64).conj(),
        "negated": torch.randn(5, dtype=torch.complex64).conj().imag,
        "requires grad": torch.randn(5, requires_grad=True),
        "parameter": torch.nn.Parameter(torch.randn(5)),
        "complex transposed": torch.randn(3, 4, dtype=torch.complex128).t(),
    }


@pytest.mark.parametrize("name", views())
def test_views_come_back_by_value_and_dense_ones_with_their_strides(name: str, path: Path) -> None:
    value = views()[name]
    found = round_trip(value, path)
    assert fingerprint(found) == fingerprint(value)
    assert not found.requires_grad and type(found) is torch.Tensor
    if name not in ("strided", "expanded", "negated"):
        assert found.stride() == value.stride()


def test_tensors_that_share_memory_come_back_apart(path: Path) -> None:
    base = torch.arange(6.0)
    first, second, again = round_trip([base, base[2:], base], path)
    first.zero_()
    assert second.tolist() == [2, 3, 4, 5] and again.tolist() == base.tolist()


def test_names_that_collide_or_look_like_others_stay_apart(path: Path) -> None:
    value = {
        "a.b": torch.ones(1),
        "a": {"b": torch.zeros(2)},
        "\ud800": torch.ones(3),
        "\\ud800": torch.ones(4),
    }
    state = {**value, "__metadata__": torch.ones(5), "optkit.checksums": torch.ones(6)}
    checkpoint_file.write(Checkpoint("Toy", state), path)
    assert fingerprint(checkpoint_file.read(path).state_dict) == fingerprint(state)


class Odd:
    pass


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


UNSAVABLE = {
    "object": (Odd(), "it is <"),
    "function": (len, "builtin_function_or_method"),
    "set": ({1}, "of type set"),
    "key": ({(1, 2): 3}, r"key \(1, 2\)"),
    "boolean key": ({True: 3}, "key True"),
    "within": ({"a": [1, {"b": Odd()}]}, r"it\.a\.1\.b is"),
    "endless": (endless(), "nested deeper than 100"),
    "sparse": (torch.eye(3).to_sparse(), "sparse_coo; make it dense"),
    "meta": (torch.empty(3, device="meta"), "meta; make it dense, on a device"),
    "subclass": (torch.ones(3).as_subclass(type("Mine", (torch.Tensor,), {})), "class Mine"),
    "digits": (10**5000, "more than 10000 bits"),
}


@pytest.mark.parametrize("name", UNSAVABLE)
def test_what_a_file_cant_hold_is_refused_before_anything_is_written(name: str, path: Path) -> None:
    value, words = UNSAVABLE[name]
    with pytest.raises(optkit.CheckpointError, match=words):
        checkpoint_file.write(Checkpoint("Toy", {"it": value}), path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", every_optimizer())
def test_every_optimizer_continues_from_a_file(name: str, path: Path) -> None:
    make = every_optimizer()[name]
    first = trained(make)
    optkit.save(first, path)
    second = make(parameters(torch.float32))
    report = optkit.load(second, path)
    assert (report is None) == (name in OTHERS)
    assert saved_by(second) == saved_by(first)
    params = [optimizer.param_groups[0]["params"] for optimizer in (first, second)]
    with torch.no_grad():
        for p, q in zip(*params, strict=True):
            q.copy_(p)
    for grads in gradients(params[0], 4, seed=9):
        for optimizer, mine in zip((first, second), params, strict=True):
            set_gradients(mine, grads)
            optimizer.step(lambda: torch.ones(()))
    assert fingerprint(params[0]) == fingerprint(params[1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_every_dtype_of_parameters(name: str, dtype: torch.dtype, path: Path) -> None:
    first = trained(lambda params: optkit.create(name, params), dtype)
    optkit.save(first, path)
    second = optkit.create(name, parameters(dtype))
    optkit.load(second, path)
    assert saved_by(second) == saved_by(first)


@pytest.mark.parametrize("name", TORCH)
def test_files_go_both_ways_with_torchs_class_of_the_name(name: str, path: Path) -> None:
    ours = trained(lambda params: optkit.create(name, params, lr=0.25))
    theirs = TORCH[name](parameters(torch.float32))
    optkit.save(ours, path)
    optkit.load(theirs, path)
    assert theirs.param_groups[0]["lr"] == 0.25
    theirs.param_groups[0]["lr"] = 0.5
    optkit.save(theirs, path)
    optkit.load(ours, path)
    assert ours.param_groups[0]["lr"] == 0.5


def test_a_tensor_learning_rate_stays_one(path: Path) -> None:
    ours = optkit.create("adamax", parameters(torch.float32), lr=torch.tensor(0.25))
    optkit.save(ours, path)
    optkit.load(ours, path)
    assert torch.equal(ours.param_groups[0]["lr"], torch.tensor(0.25))


def test_what_is_loaded_shares_nothing_with_another_optimizer(path: Path) -> None:
    first = trained(every_optimizer()["Adam"])
    before = state_of(first)
    optkit.save(first, path)
    second = torch.optim.Adam(first.param_groups[0]["params"])
    optkit.load(second, path)
    for state in second.state.values():
        state["exp_avg"].zero_()
    assert state_of(first) == before


@pytest.mark.parametrize("name", NAMES)
def test_two_optimizers_of_one_file_share_nothing(name: str, path: Path) -> None:
    first, second = (trained(every_optimizer()[name], steps=steps) for steps in (3, 2))
    optkit.save(first, path)
    optkit.load(first, path)
    optkit.load(second, path)
    before = state_of(second)
    for value in first.state.values():
        for tensor in value.values():
            if isinstance(tensor, torch.Tensor):
                tensor.fill_(7)
    assert state_of(second) == before


def test_state_that_processes_share_stays_shared(path: Path) -> None:
    optimizer = trained(every_optimizer()["adagrad"])
    optkit.save(optimizer, path)
    optimizer.share_memory()
    sums = [state["sum"] for state in optimizer.state.values()]
    for value in sums:
        value.zero_()
    optkit.load(optimizer, path)
    assert all(
        state["sum"] is value and value.is_shared()
        for state, value in zip(optimizer.state.values(), sums, strict=True)
    )
    assert any(value.count_nonzero() for value in sums)


def test_hooks_see_the_state_that_is_saved_and_loaded(path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda _: seen.append("before saving"))
    optimizer.register_state_dict_post_hook(
        lambda _, state_dict: {**state_dict, "note": "from a hook"}
    )
    optimizer.register_load_state_dict_pre_hook(
        lambda _, state_dict: seen.append(state_dict.pop("note"))
    )
    optkit.save(optimizer, path)
    optkit.load(optimizer, path)
    assert seen == ["before saving", "from a hook"]


@pytest.mark.parametrize("name", [*NAMES, "Adam"])
def test_another_algorithm_is_refused_and_nothing_changes(name: str, path: Path) -> None:
    optkit.save(trained(every_optimizer()["SGD" if name.lower() == "adam" else "Adam"]), path)
    optimizer = trained(every_optimizer()[name])
    before = state_of(optimizer)
    with pytest.raises(optkit.CheckpointError):
        optkit.load(optimizer, path)
    assert state_of(optimizer) == before


@pytest.mark.parametrize("name", OTHERS)
def test_torchs_own_class_is_as_before_when_loading_fails(name: str, path: Path) -> None:
    optimizer = trained(every_optimizer()[name])
    optkit.save(optimizer, path)
    smaller = OTHERS[name](parameters(torch.float32)[:3], lr=0.7)
    before = state_of(smaller)
    with pytest.raises(optkit.CheckpointError, match=f"{name} refuses this state: ValueError"):
        optkit.load(smaller, path)
    assert state_of(smaller) == before


def test_a_class_that_fails_half_way_is_as_before(path: Path) -> None:
    class Fragile(torch.optim.Adam):
        def __setstate__(self, state: dict[str, Any]) -> None:
            super().__setstate__(state)
            self.param_groups[0]["lr"] = 77.0
            raise KeyError("half way")

    optkit.save(trained(lambda params: Fragile(params, lr=0.5), steps=5), path)
    optimizer = trained(lambda params: Fragile(params, lr=0.3))
    before = state_of(optimizer)
    with pytest.raises(optkit.CheckpointError, match="KeyError"):
        optkit.load(optimizer, path)
    assert state_of(optimizer) == before


def test_the_file_is_a_plain_safetensors_file(path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    optkit.save(optimizer, path)
    found = safetensors.torch.load_file(path)
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            assert torch.equal(found[f"state.{index}.{key}"], value)
    with safetensors.safe_open(path, "pt") as file:
        text = file.metadata()["optkit"]
    record = json.loads(text)
    assert record["algorithm"] == "Adamax" and record["format"] == 1
    assert record["writer"] == f"optkit {optkit.__version__}"
    assert record["state_dict"]["param_groups"][0]["schema"] == "adamax/1"


def test_tensors_start_at_multiples_of_their_elements(path: Path) -> None:
    optkit.save(trained(every_optimizer()["adamax"], torch.bfloat16), path)
    tensors = safetensors_file.inspect(path).tensors
    assert len({tensor.dtype for tensor in tensors}) > 1
    assert all(tensor.begin % tensor.dtype.itemsize == 0 for tensor in tensors)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480])
def test_a_header_whose_length_reads_like_a_pickle(path: Path, length: int) -> None:
    checkpoint_file.write(Checkpoint("Toy", {"it": ""}), path)
    missing = length - int.from_bytes(path.read_bytes()[:8], "little")
    checkpoint_file.write(Checkpoint("Toy", {"it": "x" * missing}), path)
    assert path.read_bytes()[:2] == length.to_bytes(2, "little")
    assert checkpoint_file.read(path).state_dict == {"it": "x" * missing}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(path: Path, umask: int) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    before = os.umask(umask)
    try:
        optkit.save(optimizer, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_permissions_of_a_file_that_is_replaced_stay(path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    optkit.save(optimizer, path)
    path.chmod(0o640)
    optkit.save(optimizer, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    link = path.parent / "latest"
    for target in (elsewhere / "first", elsewhere / "second"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)  # where nothing is yet
        optimizer = trained(every_optimizer()["adamax"])
        for _ in range(2):
            optkit.save(optimizer, link)
            assert link.is_symlink() and target.is_file()
        optkit.load(optimizer, link)


def refused_for(kind: type[OSError], action: Callable[[], Any]) -> str:
    with pytest.raises(optkit.CheckpointFileError) as caught:
        action()
    assert isinstance(caught.value, kind)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_errors_of_the_system_name_the_file_and_stay_of_their_kind(path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    nowhere = path.parent / "nowhere" / "file"
    for action in (optkit.load, optkit.save):
        message = refused_for(FileNotFoundError, lambda action=action: action(optimizer, nowhere))
        assert str(nowhere) in message and "No such file" in message
        message = refused_for(
            IsADirectoryError, lambda action=action: action(optimizer, path.parent)
        )
        assert "is a directory" in message


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    optkit.save(optimizer, path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            message = refused_for(OSError, lambda: optkit.save(optimizer, path))
        assert "No space left on device" in message
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.slow
def test_a_disk_that_is_full_is_one_clear_error() -> None:
    """A process that may write 64 KiB only, as if the disk had no more."""
    code = """
import resource, signal, sys, torch, optkit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(100_000))], lr=0.1, momentum=0.9)
optimizer.param_groups[0]["params"][0].grad = torch.ones(100_000)
optimizer.step()
import os, tempfile
with tempfile.TemporaryDirectory() as folder:
    try:
        optkit.save(optimizer, folder + "/x")
    except optkit.CheckpointFileError as error:
        print(isinstance(error, OSError), os.listdir(folder), error)
"""
    printed = python(code)
    assert printed.startswith("True []") and "File too large" in printed


def test_what_isnt_an_ordinary_file_is_refused_without_waiting(path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    os.mkfifo(path)
    for action in (optkit.load, optkit.save):
        with pytest.raises(optkit.CheckpointFileError, match="isn't an ordinary file"):
            action(optimizer, path)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_leftovers_of_killed_processes_are_removed_and_others_work_is_not(path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    code = f"""
import os, sys, time
from optkit_core.checkpoint.file.atomic_write import replacing
with replacing({str(path)!r}) as descriptor:
    os.write(descriptor, b"half")
    print("writing", flush=True)
    sys.stdin.readline()
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdin is not None and writer.stdout is not None
    with writer:
        writer.stdout.readline()
        optkit.save(optimizer, path)
        assert len(list(path.parent.iterdir())) == 2  # the other's work
        writer.kill()
        writer.wait()
    assert len(list(path.parent.iterdir())) == 2  # now abandoned
    optkit.save(optimizer, path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "name",
    [
        ".{0}.optkit-tmp",
        ".{0}.notes.optkit-tmp",
        ".{0}.0123456.optkit-tmp",
        ".{0}.0123456789.optkit-tmp",
        ".{0}.0123ABCD.optkit-tmp",
        ".{0}.best.01234567.optkit-tmp",
        ".{0}.01234567.optkit-tmp.bak",
        ".{0}x01234567.optkit-tmp",
        "{0}.01234567.optkit-tmp",
        "{0}.tmp",
    ],
)
def test_what_only_looks_like_a_leftover_stays(path: Path, name: str) -> None:
    mine = path.with_name(name.format(path.name))
    mine.write_text("of mine")
    optkit.save(trained(every_optimizer()["adamax"]), path)
    assert mine.read_text() == "of mine"
    left = path.with_name(f".{path.name}.01234567.optkit-tmp")
    left.touch()
    optkit.save(trained(every_optimizer()["adamax"]), path)
    assert not left.exists()


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "with space\nand line", "-"])
def test_any_name_that_the_system_allows(name: str, path: Path) -> None:
    optimizer = trained(every_optimizer()["adamax"])
    for _ in range(2):
        optkit.save(optimizer, path.parent / name)
    optkit.load(optimizer, path.parent / name)
    assert [found.name for found in path.parent.iterdir()] == [name]


def test_state_on_the_default_device_of_somebody_else(path: Path) -> None:
    optimizer = trained(every_optimizer()["Adam"])
    before = state_of(optimizer)
    with torch.device("meta"):
        optkit.save(optimizer, path)
        optkit.load(optimizer, path)
    assert state_of(optimizer)[1:] == before[1:]
    assert all(v.device.type == "cpu" for s in optimizer.state.values() for v in s.values())
