"""The reader's self-test: whether it finds what torch itself says, and notices what changes.

The reader reads memory as it expects this release of torch to lay it out. Where torch does it
otherwise the test fails here, on tensors that nobody needs, and not in a step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optkit_core.declaration.buffers import STEP
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.native.tensor_reader import Reader
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.complex64)
BUFFER = "buffer"


def passes(reader: Reader) -> bool:
    """Return whether a reader can be relied on with this release of torch."""
    return all(
        _finds_addresses(reader, dtype) and _notices_changes(reader, dtype) for dtype in DTYPES
    )


def _finds_addresses(reader: Reader, dtype: torch.dtype) -> bool:
    """Return whether it finds the elements of every tensor, once each has got other memory."""
    bucket = _bucket(dtype)
    table = AddressTable(bucket, (BUFFER,), reader)
    replaced = [_swap_contents(p) for p in bucket.params[:2]]  # keeps what the reader has noted
    for p, state in zip(bucket.params, bucket.states, strict=True):
        p.data, p.grad = p.data.clone(), p.clone().detach()
        state[BUFFER].data = state[BUFFER].clone()
    expected = [p.data_ptr() for p in bucket.params]
    expected += [_gradient(p).data_ptr() for p in bucket.params]
    expected += [state[name].data_ptr() for name in (BUFFER, STEP) for state in bucket.states]
    return len(replaced) == 2 and table.refresh() and table.memory.tolist() == expected


def _swap_contents(parameter: Tensor) -> Tensor:
    """Let a parameter stand for a copy of itself; return what it stood for."""
    copy = torch.nn.Parameter(parameter.detach().clone())
    torch.utils.swap_tensors(parameter, copy)
    return copy


def _notices_changes(reader: Reader, dtype: torch.dtype) -> bool:
    changes = (_resize, _lose_gradient, _change_dtype, _replace_buffer)
    return not any(_overlooks(reader, dtype, change) for change in changes)


def _overlooks(reader: Reader, dtype: torch.dtype, change: Callable[[Bucket], None]) -> bool:
    bucket = _bucket(dtype)
    table = AddressTable(bucket, (BUFFER,), reader)
    # Who always sees a change has every step planned anew: a fault as well.
    if not table.refresh():
        return True
    change(bucket)
    return table.refresh()


def _resize(bucket: Bucket) -> None:
    bucket.params[1].data = bucket.params[1].data.new_zeros(3)


def _lose_gradient(bucket: Bucket) -> None:
    bucket.params[1].grad = None


def _change_dtype(bucket: Bucket) -> None:
    narrow = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float16))
    torch.utils.swap_tensors(bucket.params[1], narrow)


def _replace_buffer(bucket: Bucket) -> None:
    bucket.states[1][BUFFER] = bucket.states[1][BUFFER].clone()


def _bucket(dtype: torch.dtype) -> Bucket:
    # Of three, two and one dimensions, and one that is not contiguous.
    whole = torch.zeros(2, 3, 4, dtype=dtype, device="cpu")
    tensors = [whole.clone(), whole[1].clone(), whole[0, 0].clone(), whole[0].t().clone()]
    params: list[Tensor] = [torch.nn.Parameter(tensor) for tensor in tensors]
    for p in params:
        p.grad = torch.zeros_like(p)
    states = [
        {STEP: torch.zeros((), dtype=torch.float64, device="cpu"), BUFFER: torch.zeros_like(p.data)}
        for p in params
    ]
    grads = list(map(_gradient, params))
    return Bucket(BucketKey(whole.device, dtype), params=params, grads=grads, states=states)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
