"""The header of a safetensors file, written and parsed: where which tensor stands, and a text."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.errors import CheckpointFileError

TEXT = "optkit"
CHECKSUMS = "optkit.checksums"
METADATA = "__metadata__"
LENGTH = struct.Struct("<Q")
U32 = struct.Struct("<I")
SNIFFED = LENGTH.size + 1
DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


@attrs.frozen
class TensorEntry:
    """Where a tensor stands: its name, dtype and shape, and its first byte in the file."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return math.prod(self.shape) * self.dtype.itemsize


@attrs.frozen
class Header:
    """What a file says about itself: a text, its tensors in their order, its size in bytes."""

    text: str
    tensors: tuple[TensorEntry, ...]
    size: int


def compose(tensors: Mapping[str, Tensor], text: str) -> bytes:
    """Return the first bytes of a file: the header of `tensors` and of their checksums.

    Args:
        tensors: by name, in the order in which they follow.
        text: any text.
    """
    entries: dict[str, Any] = {METADATA: {"format": "pt", TEXT: text}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = _entry(CODES[tensor.dtype], list(tensor.shape), begin, end)
    count = len(tensors) + 1
    entries[CHECKSUMS] = _entry("U32", [count], end, end + count * U32.size)
    content = json.dumps(entries, separators=(",", ":")).encode()
    # Spaces up to a multiple of 8 bytes, where the first tensor starts, as safetensors has it.
    content += b" " * (-len(content) % 8)
    return LENGTH.pack(len(content)) + content


def read_header(path: str | os.PathLike[str], descriptor: int) -> Header:
    """Return the header of an open file, checked; the tensors aren't read.

    Args:
        path: the file, for messages.
        descriptor: of the open file.

    Raises:
        CheckpointFileError: the file is of another kind, or its header is damaged.
    """
    size = os.fstat(descriptor).st_size
    start = os.pread(descriptor, SNIFFED, 0)
    length = LENGTH.unpack_from(start)[0] if len(start) == SNIFFED else size
    # Said before safetensors would call a pickle a header that is too large.
    if is_pickle(start) or LENGTH.size + length > size:
        raise _wrong_kind(path, start, size)
    _check_format(path, descriptor)
    content = os.pread(descriptor, length, LENGTH.size)
    # safetensors has accepted it, so types and offsets are as they must be.
    entries = json.loads(content)
    text = entries.pop(METADATA, {}).get(TEXT)
    if text is None:
        raise CheckpointFileError(
            f"{os.fspath(path)} holds {len(entries)} tensors, but no state of an optimizer: "
            "optkit.save didn't write it. Is it the model?"
        )
    if os.pread(descriptor, U32.size, size - U32.size) != U32.pack(
        zlib.crc32(start[: LENGTH.size] + content)
    ):
        raise damaged(path, "its header has another checksum than noted")
    return Header(text, _tensor_entries(path, entries, LENGTH.size + length), size)


def is_pickle(start: bytes) -> bool:
    """Whether the first `SNIFFED` bytes of a file are those of a zip or a pickle.

    A header's length may look like the start of a pickle; but then the header follows.
    """
    is_marked = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return start[:4] == b"PK\x03\x04" or (is_marked and start[LENGTH.size :] != b"{")


def damaged(path: str | os.PathLike[str], how: str) -> CheckpointFileError:
    """Return the error for a file that isn't as it was written.

    Args:
        path: the file.
        how: what is wrong, as a clause.
    """
    return CheckpointFileError(
        f"{os.fspath(path)} is damaged: {how}. Take another copy, or an earlier checkpoint."
    )


def _entry(code: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": code, "shape": shape, "data_offsets": [begin, end]}


def _check_format(path: str | os.PathLike[str], descriptor: int) -> None:
    """Let safetensors check the whole header: that tensors neither overlap nor leave holes."""
    from safetensors import SafetensorError, safe_open

    try:
        # By its descriptor, because the path may have got another file meanwhile.
        with safe_open(f"/dev/fd/{descriptor}", framework="pt"):
            pass
    except SafetensorError as error:
        raise CheckpointFileError(
            f"{os.fspath(path)} isn't a checkpoint, or is cut off or damaged: {error}. "
            "Take another copy, or an earlier checkpoint."
        ) from error


def _tensor_entries(
    path: str | os.PathLike[str], entries: Mapping[str, Any], start: int
) -> tuple[TensorEntry, ...]:
    tensors = []
    for name, entry in entries.items():
        dtype = DTYPES.get(entry["dtype"])
        if dtype is None:
            raise damaged(path, f"{name!r:.60} is of dtype {entry['dtype']!r}, which torch lacks")
        begin = start + entry["data_offsets"][0]
        tensors.append(TensorEntry(name, dtype, tuple(entry["shape"]), begin))
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.size))
    last = tensors[-1] if tensors else None
    if last is None or (last.name, last.dtype, last.shape) != (
        CHECKSUMS,
        torch.uint32,
        (len(tensors),),
    ):
        raise damaged(path, "its checksums are missing")
    return tuple(tensors[:-1])


def _wrong_kind(path: str | os.PathLike[str], start: bytes, size: int) -> CheckpointFileError:
    if is_pickle(start):
        return CheckpointFileError(
            f"{os.fspath(path)} is a zip or a pickle, as torch.save writes them, and no file of "
            "optkit.save. Convert it with 'optkit migrate', or pass "
            "torch.load(path, weights_only=True) to load_state_dict."
        )
    return CheckpointFileError(
        f"{os.fspath(path)}, of {size} bytes, isn't a checkpoint of optkit.save, or is cut off."
    )
