"""Checksums of tensors, quick enough to be computed whenever a file is read."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from optkit_core.checkpoint.file.tensor_bytes import bytes_of

ROWS, COLUMNS = 32, 1024
BLOCK = ROWS * COLUMNS * 8


def checksum(content: Tensor, start: int = 0) -> int:
    """Return the checksum of bytes, a number below 2**32.

    Each whole block of 256 KiB is taken as a matrix of 32 rows of 1024 little-endian int64;
    the sums of its columns and of its rows, modulo 2**64, stand for it, and the CRC-32 goes
    over these sums. What is left after the last whole block enters the CRC-32 as it is. So
    any change within one row, of one, two or three words, or of the order of rows or columns
    shows, at twice the speed of a CRC-32 of all bytes.

    Args:
        content: contiguous and on the CPU; flat bytes if it has a whole block.
        start: the checksum of what comes before, of whole blocks.

    >>> import torch
    >>> checksum(torch.arange(9, dtype=torch.uint8)) == zlib.crc32(bytes(range(9)))
    True
    """
    end = content.nbytes // BLOCK * BLOCK
    if not end:
        return zlib.crc32(bytes_of(content), start)
    words = _aligned(content[:end]).view(torch.int64).view(-1, ROWS, COLUMNS)
    sums = torch.cat([words.sum(1), words.sum(2)], dim=1)
    start = zlib.crc32(bytes_of(sums), start)
    return zlib.crc32(bytes_of(content[end:]), start)


def _aligned(content: Tensor) -> Tensor:
    # A view as int64 must start at a multiple of 8 bytes.
    return content.clone() if content.storage_offset() % 8 else content
