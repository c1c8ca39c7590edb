"""Checksums of tensors: what they notice."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from optkit_core.checkpoint.file.checksums import BLOCK, COLUMNS, ROWS, checksum

SIZE = 2 * BLOCK + 1000


def content(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (SIZE,), dtype=torch.uint8, generator=generator)


def words(changed: Tensor) -> Tensor:
    """Return the whole blocks of some bytes, as matrices of numbers."""
    return changed[: 2 * BLOCK].view(torch.int64).view(2, ROWS, COLUMNS)


def swap(matrix: Tensor, first: int, second: int, dim: int) -> None:
    order = torch.arange(matrix.shape[dim])
    order[first], order[second] = second, first
    matrix.copy_(matrix.index_select(dim, order))


def lose(row: Tensor) -> None:
    row.zero_()


def add(*changes: tuple[int, int, int, int]) -> Callable[[Tensor], None]:
    def change(matrix: Tensor) -> None:
        for block, row, column, number in changes:
            matrix[block, row, column] += number

    return change


CHANGES: dict[str, Callable[[Tensor], None]] = {
    "one word": add((0, 3, 5, 1)),
    "the highest bit": add((1, 31, 1023, -(2**63))),
    "two of a row that cancel": add((0, 3, 5, 7), (0, 3, 9, -7)),
    "two of a column that cancel": add((0, 3, 5, 7), (0, 8, 5, -7)),
    "the highest bits of two": add((0, 3, 5, -(2**63)), (0, 8, 9, -(2**63))),
    "three in an angle": add((0, 3, 5, 7), (0, 3, 9, -7), (0, 8, 5, -7)),
    "the same in two blocks": add((0, 3, 5, 7), (1, 3, 5, -7)),
    "rows exchanged": lambda matrix: swap(matrix, 4, 20, dim=1),
    "columns exchanged": lambda matrix: swap(matrix, 4, 20, dim=2),
    "blocks exchanged": lambda matrix: swap(matrix, 0, 1, dim=0),
    "a row lost": lambda matrix: lose(matrix[0, 7]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_within_whole_blocks_are_noticed(name: str) -> None:
    changed = content()
    CHANGES[name](words(changed))
    assert not torch.equal(changed, content())
    assert checksum(changed) != checksum(content())


def test_every_flipped_bit_is_noticed() -> None:
    whole, wanted = content(), checksum(content())
    for place in [*range(0, SIZE, 4099), SIZE - 1]:
        for bit in range(8):
            whole[place] ^= 1 << bit
            assert checksum(whole) != wanted
            whole[place] ^= 1 << bit


@pytest.mark.parametrize("offset", [0, 1, 4, 8])
@pytest.mark.parametrize("cut", [BLOCK, 2 * BLOCK])
def test_pieces_of_whole_blocks_give_the_checksum_of_the_whole(cut: int, offset: int) -> None:
    shifted = torch.cat([torch.zeros(offset, dtype=torch.uint8), content()])[offset:]
    assert checksum(shifted[cut:], checksum(shifted[:cut])) == checksum(content())


@pytest.mark.parametrize("size", [0, 1, 7, 1000, BLOCK - 1])
def test_less_than_a_block_has_the_usual_checksum(size: int) -> None:
    assert checksum(content()[:size]) == zlib.crc32(bytes(content()[:size].tolist()))


def test_the_checksum_is_the_one_that_the_documentation_describes() -> None:
    """Computed there by Python's own whole numbers."""
    raw, total = bytes(content().tolist()), 0
    for begin in (0, BLOCK):
        numbers = struct.unpack(f"<{ROWS * COLUMNS}q", raw[begin : begin + BLOCK])
        columns = [sum(numbers[column::COLUMNS]) for column in range(COLUMNS)]
        rows = [sum(numbers[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS)]
        sums = [number % 2**64 for number in (*columns, *rows)]
        total = zlib.crc32(struct.pack(f"<{len(sums)}Q", *sums), total)
    assert checksum(content()) == zlib.crc32(raw[2 * BLOCK :], total)


def test_files_of_this_format_keep_their_checksums() -> None:
    counted = torch.arange(SIZE, dtype=torch.int64).to(torch.uint8)
    assert checksum(counted) == 1503161647
