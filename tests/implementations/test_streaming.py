"""What a kernel only overwrites: it isn't fetched, and in a large bucket goes past the caches."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

import optkit
from optkit_core import Buffer, Elementwise
from optkit_core.implementations.fused import cpp_source
from optkit_core.tracing.trace import trace

LARGE = 6_000_000  # elements, of three operands of four bytes each: more than 64 MiB


@pytest.mark.slow
def test_asgd_streams_its_average_to_tensors_of_any_size_and_alignment():
    memory = torch.randn(LARGE, generator=torch.Generator().manual_seed(0))
    ours = [torch.nn.Parameter(part) for part in (memory[3:-1_000_003], memory[-1_000_002:])]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    for p, q in zip(ours, theirs, strict=True):
        p.grad = q.grad = torch.full_like(p, 0.5)
    mine = optkit.create("asgd", ours, implementation="fused")
    other = optkit.create("asgd", theirs, implementation="forloop")
    for _ in range(2):
        mine.step(), other.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)
        assert torch.equal(mine.state[p]["ax"], other.state[q]["ax"])


class Partial(Elementwise):
    unused = Buffer()
    seen = Buffer()
    last = Buffer()

    @staticmethod
    def update(p, g, s, h, t):
        s.last.copy_(p)
        p.add_(s.seen)


def test_a_kernel_fetches_only_what_it_reads():
    program, _ = trace(Partial, SimpleNamespace(), 1.0)
    source = cpp_source.source(program, [torch.float32] * 5)
    assert re.search(r"READ\[OPERANDS\] = \{0, 3\}", source)
    assert "last_aside[BLOCK]" in source
