"""Files that aren't checkpoints, or claim what can't be: one error each, and little memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import damage
import pytest
import safetensors.torch
import torch
from processes import completed

import optkit
from optkit_core.checkpoint.file import checkpoint_file


def optimizer() -> Any:
    return optkit.create("adamax", [torch.nn.Parameter(torch.ones(300))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def torch_saved() -> bytes:
    buffer = io.BytesIO()
    torch.save(optimizer().state_dict(), buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    return buffer.getvalue()


def claiming(entry: Any, data: bytes = b"") -> bytes:
    header = json.dumps({"__metadata__": {"optkit": "{}"}, "a": entry}).encode()
    return len(header).to_bytes(8, "little") + header + data


def place(dtype: str, shape: Any, offsets: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


WRONG = {
    "empty": (b"", "of 0 bytes, isn't a checkpoint"),
    "short": (b"\0" * 7, "of 7 bytes, isn't a checkpoint"),
    "zeros": (b"\0" * 1000, "isn't a checkpoint"),
    "text": (b"lr: 0.1\nmomentum: 0.9\n" * 50, "isn't a checkpoint"),
    "json": (b'{"state": {}, "param_groups": []}', "isn't a checkpoint"),
    "torch.save": (torch_saved(), "optkit migrate"),
    "zip": (zipped(), "optkit migrate"),
    "pickle": (pickle.dumps({"state": {}}), "optkit migrate"),
    "old pickle": (pickle.dumps({"state": {}}, protocol=2), "optkit migrate"),
    "a model": (safetensors.torch.save({"weight": torch.ones(3)}), "Is it the model"),
    "another's": (
        safetensors.torch.save({"w": torch.ones(3)}, {"optkit": "{}"}),
        "checksum",
    ),
    "huge header": ((2**60).to_bytes(8, "little") + b"{}" * 50, "isn't a checkpoint"),
    "huge tensor": (claiming(place("F32", [2**40], [0, 2**42])), "cut off"),
    "overflow": (claiming(place("F32", [2**62, 2**62], [0, 4]), b"1234"), "overflow"),
    "hole": (claiming(place("F32", [1], [4, 8]), b"12345678"), "invalid offset"),
    "deep": (b"\xff\xff\0\0\0\0\0\0" + b"[" * 0xFFFF, "cut off or damaged"),
    "not utf-8": (b"\x04\0\0\0\0\0\0\0{\xff\xfe}", "UTF-8"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_files_of_another_kind(kind: str, path: Path) -> None:
    content, words = WRONG[kind]
    path.write_bytes(content)
    with pytest.raises(optkit.CheckpointFileError) as caught:
        optkit.load(optimizer(), path)
    message = str(caught.value)
    assert words in message and message.startswith(str(path)) and "\n" not in message


def test_a_flipped_bit_anywhere_is_noticed(path: Path) -> None:
    """Torch reads the same damage as numbers."""
    target = optimizer()
    target.init_state()
    optkit.save(target, path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(optkit.CheckpointFileError):
            optkit.load(target, path)
    torch.save(target.state_dict(), path)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"\0" * 1024) + 600] ^= 0x40  # within exp_avg
    path.write_bytes(damaged)
    torch.load(path, weights_only=True)


@pytest.mark.parametrize("nested", ["[" * 300_000 + "]" * 300_000, "[{}," * 50_000, "9" * 10**6])
def test_a_forged_description_is_refused(nested: str, path: Path) -> None:
    optkit.save(optimizer(), path)
    header, rest = damage.split(path.read_bytes())
    entries = json.loads(header)
    entries["__metadata__"]["optkit"] = nested
    path.write_bytes(damage.joined(json.dumps(entries).encode(), rest, signed=True))
    with pytest.raises(optkit.CheckpointFileError, match="its description"):
        optkit.load(optimizer(), path)


def test_a_forged_boolean_is_refused(path: Path) -> None:
    """A bool that is neither 0 nor 1 in memory is true for one operation, false for another."""
    state = {"state": {0: {"flag": torch.tensor([True])}}, "param_groups": [{"params": [0]}]}
    checkpoint_file.write(checkpoint_file.Checkpoint("Toy", state), path)
    content = bytearray(path.read_bytes())
    content[-9] = 2
    content[-8:-4] = zlib.crc32(bytes([2])).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(optkit.CheckpointFileError, match="neither true nor false"):
        checkpoint_file.read(path)


@pytest.mark.slow
def test_what_a_file_claims_costs_no_memory(tmp_path: Path) -> None:
    """A process that has 256 MiB left refuses files that claim an exabyte."""
    names = ("huge header", "huge tensor", "overflow", "deep")
    for name in names:
        (tmp_path / name).write_bytes(WRONG[name][0])
    code = """
import os, resource, sys, torch, optkit
optimizer = optkit.create("adamax", [torch.nn.Parameter(torch.ones(3))])
optkit.save(optimizer, sys.argv[1] + "/whole")
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for name in sys.argv[2:]:
    try:
        optkit.load(optimizer, sys.argv[1] + "/" + name)
    except optkit.CheckpointFileError as error:
        print("refused", name)
optkit.load(optimizer, sys.argv[1] + "/whole")
"""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    done = completed("-c", code, str(tmp_path), *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"refused {name}" for name in names]
