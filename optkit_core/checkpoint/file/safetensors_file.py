"""A safetensors file of named tensors and one text, with a checksum of everything.

The last tensor in the file, ``optkit.checksums``, holds one U32 for each tensor before it,
in the order of the file, and at its end the CRC-32 of the header.
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import torch
from torch import Tensor

from optkit_core.checkpoint.file.atomic_write import replacing
from optkit_core.checkpoint.file.checksums import BLOCK, checksum
from optkit_core.checkpoint.file.os_errors import opened, translate_errors
from optkit_core.checkpoint.file.safetensors_header import (
    Header,
    TensorEntry,
    compose,
    damaged,
    read_header,
)
from optkit_core.checkpoint.file.tensor_bytes import bytes_of, pieces

PIECE = 8 * BLOCK
LARGE = 2**20
THREADS = min(4, os.cpu_count() or 1)


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], text: str) -> None:
    """Write a file, or replace one as a whole; at no time is there a second copy of it all.

    Args:
        path: where to.
        tensors: by name; on any device, of any layout in memory, of a dtype in `DTYPES`.
        text: any text.

    Raises:
        CheckpointFileError: it can't be written.
    """
    # Larger elements come first, so that every tensor starts at a multiple of its element.
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    header = compose(ordered, text)
    with (
        replacing(path) as descriptor,
        translate_errors(path, "written"),
        os.fdopen(descriptor, "wb", buffering=BLOCK, closefd=False) as file,
    ):
        file.write(header)
        sums = [_write(file, tensor) for tensor in ordered.values()]
        file.write(struct.pack(f"<{len(sums) + 1}I", *sums, zlib.crc32(header)))


def read(path: str | os.PathLike[str]) -> tuple[str, dict[str, Tensor]]:
    """Return the text and the tensors of a file that `write` has written.

    Args:
        path: the file.

    Returns:
        The text, and new tensors on the CPU by name.

    Raises:
        CheckpointFileError: it is of another kind, damaged, or can't be read.
    """
    with opened(path) as descriptor:
        header = read_header(path, descriptor)
        # By one thread: what the last checkpoint took is given again only to the same thread.
        tensors = {
            p.name: torch.empty(p.shape, dtype=p.dtype, device="cpu") for p in header.tensors
        }
        fill = functools.partial(_fill, path, descriptor)
        jobs = list(
            zip(
                header.tensors, tensors.values(), _stored_checksums(descriptor, header), strict=True
            )
        )
        with ThreadPoolExecutor(THREADS) as pool:  # starts no thread that isn't needed
            pending = [pool.submit(fill, *job) for job in jobs if job[0].size >= LARGE]
            for job in jobs:
                if job[0].size < LARGE:
                    fill(*job)
            for done in pending:
                done.result()
    return header.text, tensors


def inspect(path: str | os.PathLike[str]) -> Header:
    """Return the header of a file that `write` has written; the tensors aren't read.

    Raises:
        CheckpointFileError: it is of another kind, its header is damaged, or it can't be read.
    """
    with opened(path) as descriptor:
        return read_header(path, descriptor)


def _write(file: BinaryIO, tensor: Tensor) -> int:
    """Write a tensor, a large one piece by piece, and return its checksum."""
    total = 0
    for piece in _pieces(tensor):
        on_cpu = piece.cpu()
        total = checksum(on_cpu, total)
        file.write(bytes_of(on_cpu))
    return total


def _stored_checksums(descriptor: int, header: Header) -> tuple[int, ...]:
    """Return the checksums at the end of a file, but for the header's."""
    count = len(header.tensors)
    stored = os.pread(descriptor, 4 * count, header.size - 4 * (count + 1))
    return struct.unpack(f"<{count}I", stored)


def _fill(
    path: str | os.PathLike[str], descriptor: int, entry: TensorEntry, tensor: Tensor, stored: int
) -> None:
    """Read a tensor piece by piece, each checked while it is in the processor's cache."""
    total, begin = 0, entry.begin
    for piece in _pieces(tensor):
        # A short read: the file was cut since its size was looked up.
        if os.preadv(descriptor, [bytes_of(piece)], begin) != piece.nbytes:
            raise damaged(path, "it got shorter while it was read")
        total = checksum(piece, total)
        begin += piece.nbytes
    if total != stored:
        raise damaged(path, f"the content of {entry.name!r:.80} has another checksum than noted")
    # Any other byte is undefined behavior wherever torch reads a bool.
    if entry.dtype == torch.bool and (tensor.view(torch.uint8) > 1).any():
        raise damaged(path, f"{entry.name!r:.80} holds values that are neither true nor false")


def _pieces(tensor: Tensor) -> Sequence[Tensor]:
    """Return contiguous tensors that hold the content of one; more than one are flat bytes."""
    whole = tensor.detach().contiguous()
    return [whole] if whole.nbytes < BLOCK else pieces(whole.view(-1).view(torch.uint8), PIECE)
