"""The reader's trial: whether it finds what torch itself says, and notices what changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffers import STEP
from optkit_core.implementations.fused.table import AddressTable
from optkit_core.native.reader import Reader
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.complex64)
BUFFER = "buffer"


def passes(reader: Reader) -> bool:
    """Return whether a reader can be relied on with this release of torch."""
    return all(_reads(reader, dtype) and _notices(reader, dtype) for dtype in DTYPES)


def _reads(reader: Reader, dtype: torch.dtype) -> bool:
    """Return whether it finds the elements of every tensor, once each has got other memory."""
    bucket = _bucket(dtype)
    table = AddressTable(bucket, (BUFFER,), reader)
    others = [_exchanged(p) for p in bucket.params[:2]]  # keeps what the reader has noted
    for p, state in zip(bucket.params, bucket.states, strict=True):
        p.data, p.grad = p.data.clone(), p.clone().detach()
        state[BUFFER].data = state[BUFFER].clone()
    wanted = [p.data_ptr() for p in bucket.params]
    wanted += [_gradient(p).data_ptr() for p in bucket.params]
    wanted += [state[name].data_ptr() for name in (BUFFER, STEP) for state in bucket.states]
    return len(others) == 2 and table.refresh() and table.memory.tolist() == wanted


def _exchanged(parameter: Tensor) -> Tensor:
    """Return the tensor that stood behind a parameter, in whose place is another one now."""
    other = torch.nn.Parameter(parameter.detach().clone())
    torch.utils.swap_tensors(parameter, other)  # type: ignore[no-untyped-call]
    return other


def _notices(reader: Reader, dtype: torch.dtype) -> bool:
    """Return whether it notices that something isn't as it was."""
    return not any(_stays(reader, dtype, change) for change in (_resize, _lose, _swap, _replace))


def _stays(reader: Reader, dtype: torch.dtype, change: Any) -> bool:
    bucket = _bucket(dtype)
    table = AddressTable(bucket, (BUFFER,), reader)
    if not table.refresh():
        return True
    change(bucket)
    return table.refresh()


def _resize(bucket: Bucket) -> None:
    bucket.params[1].data = bucket.params[1].data.new_zeros(3)


def _lose(bucket: Bucket) -> None:
    bucket.params[1].grad = None


def _swap(bucket: Bucket) -> None:
    other = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float16))
    torch.utils.swap_tensors(bucket.params[1], other)  # type: ignore[no-untyped-call]


def _replace(bucket: Bucket) -> None:
    bucket.states[1][BUFFER] = bucket.states[1][BUFFER].clone()


def _bucket(dtype: torch.dtype) -> Bucket:
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
