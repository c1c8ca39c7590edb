"""What a kernel on a device reads to find its work: the rows' addresses, and their chunks.

Both are made anew only where something has changed, and are never written to afterwards: a
kernel that still runs, on whatever stream, keeps what it was given. The copies are kept per
stream, since another stream could read them before they have arrived.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.triton_signature import CHUNK
from optkit_core.native.shared_structures import WORD

CACHED_TABLES = 64
"""How many tables are kept; a bucket needs one, or one for each count of steps in it."""


def launch_tables(
    table: AddressTable, ends: array[int], sets: array[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the two tables of a launch on the current stream.

    While a graph is captured they are part of the graph, with no memory of the host behind
    them: a later replay reads what stands here now.

    Args:
        table: where the rows lie.
        ends: how many elements there are up to the end of each row, counting only the
            rows that are to be stepped.
        sets: for each row which set of numbers it takes, if there are several.

    Returns:
        The addresses as the kernel expects them, int64; and for each chunk its row and its
        number within the row, int32 of shape ``(2, chunks)``.
    """
    content = bytes(WORD) + ends.tobytes() + table.kernel_memory.tobytes()
    content += array("q", sets or ()).tobytes()
    device, rows = table.bucket.key.device, table.rows
    if is_captured(device):
        words = write_on_device(content, device)
        return words, chunk_table(words[: rows + 1], chunk_count(content, rows))
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    return _words(content, device, stream), _chunks(content[: WORD * (rows + 1)], device, stream)


def numbers_on_device(numbers: array[float], device: torch.device) -> Tensor:
    """Return numbers on the device, float64; part of the graph while one is captured.

    Args:
        numbers: those of the host.
        device: where they are to be.
    """
    put = write_on_device if is_captured(device) else copy_to_device
    return put(numbers.tobytes(), device).view(torch.float64)


def is_captured(device: torch.device) -> bool:
    """Return whether what is done on a device now becomes part of a graph."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def copy_to_device(content: bytes, device: torch.device) -> Tensor:
    """Return words on the device, copied without waiting for it.

    Args:
        content: 64-bit words.
        device: where they are to be.
    """
    words = torch.frombuffer(bytearray(content), dtype=torch.int64)
    if device.type == "cuda":
        words = words.pin_memory()  # from pageable memory a copy waits for the device
    return words.to(device, non_blocking=True)


def write_on_device(content: bytes, device: torch.device) -> Tensor:
    """Return words on the device that kernels write, each word an argument of one.

    A graph that is captured keeps arguments of kernels, while it would read the host's memory
    anew in each replay.

    Args:
        content: 64-bit words.
        device: where they are to be.
    """
    words = torch.zeros(len(content) // WORD, dtype=torch.int64, device=device)
    # As integers: a float64 holds 53 bits of an address, a float32 24.
    torch._foreach_add_(list(words.unbind()), array("q", content).tolist())
    return words


def chunk_table(ends: Tensor, total: int) -> Tensor:
    """Return the row of each chunk, and its number within the row.

    Args:
        ends: zero, then the elements up to the end of each row.
        total: how many chunks there are.
    """
    each = (ends.diff() + (CHUNK - 1)).div(CHUNK, rounding_mode="floor")
    # Without `output_size` torch would wait for the device to tell the sum.
    row = torch.repeat_interleave(each, output_size=total)
    first = each.cumsum(0) - each
    number = torch.arange(total, device=ends.device) - first[row]
    return torch.stack([row, number]).to(torch.int32)


def chunk_count(content: bytes, rows: int) -> int:
    """Return how many chunks there are.

    Args:
        content: zero, then the elements up to the end of each row, as 64-bit words.
        rows: how many rows there are.
    """
    ends = array("q", content[: WORD * (rows + 1)])
    return sum(-(-(end - begin) // CHUNK) for begin, end in pairwise(ends))


# The content is the key: whatever has moved, another table is made.
@lru_cache(maxsize=CACHED_TABLES)
def _words(content: bytes, device: torch.device, stream: int) -> Tensor:
    return copy_to_device(content, device)


@lru_cache(maxsize=CACHED_TABLES)
def _chunks(ends: bytes, device: torch.device, stream: int) -> Tensor:
    return chunk_table(copy_to_device(ends, device), chunk_count(ends, len(ends) // WORD - 1))
