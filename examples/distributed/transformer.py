"""A small transformer, and how it is distributed: tensor parallelism within fully sharded data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.functional import log_softmax, rms_norm, scaled_dot_product_attention, silu

VOCABULARY, LENGTH, WIDTH, HEAD = 24, 16, 32, 8

PLAN = {
    "tokens": ColwiseParallel(output_layouts=Replicate()),
    "positions": ColwiseParallel(output_layouts=Replicate()),
    **{f"blocks.*.{name}": ColwiseParallel() for name in ("query", "key", "value", "up")},
    **{f"blocks.*.{name}": RowwiseParallel() for name in ("out", "down")},
    "scores": ColwiseParallel(output_layouts=Replicate()),
}
"""Which matrix is split by columns, and which by rows; every parameter is in it."""


class Block(nn.Module):
    """Attention and a layer for each token, each added to what comes in."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)
        )
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the next layer's inputs."""
        seen = rms_norm(inputs, (WIDTH,))
        # A rank has the heads whose columns it has.
        query, key, value = (
            part(seen).unflatten(-1, (-1, HEAD)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        found = scaled_dot_product_attention(query, key, value, is_causal=True)
        inputs = inputs + self.out(found.transpose(1, 2).flatten(2))
        change: Tensor = self.down(silu(self.up(rms_norm(inputs, (WIDTH,)))))
        return inputs + change


class Transformer(nn.Module):
    """How likely each token is to come next."""

    def __init__(self, depth: int = 2) -> None:
        """Make the layers.

        Args:
            depth: how many blocks (default 2).
        """
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.scores = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logarithms of these probabilities after each token."""
        hidden: Tensor = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            hidden = block(hidden)
        return log_softmax(self.scores(rms_norm(hidden, (WIDTH,))), dim=-1)


def distribute(model: Transformer, mesh: DeviceMesh) -> None:
    """Give each rank its part of the parameters.

    Args:
        model: with the same parameters on all ranks.
        mesh: with the dims ``"data"`` and ``"tensor"``.
    """
    if mesh["tensor"].size() > 1:
        parallelize_module(model, mesh["tensor"], PLAN)
    for block in model.blocks:
        fully_shard(block, mesh=mesh["data"])
    fully_shard(model, mesh=mesh["data"])
