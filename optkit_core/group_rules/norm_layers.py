"""Which modules are norm layers: torch's by their classes, others by what they are made of."""

from __future__ import annotations

from torch import nn

from optkit_core.group_rules.forward_statistics import takes_statistic

TORCHS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.LazyBatchNorm1d,
    nn.LazyBatchNorm2d,
    nn.LazyBatchNorm3d,
    nn.LazyInstanceNorm1d,
    nn.LazyInstanceNorm2d,
    nn.LazyInstanceNorm3d,
    nn.RMSNorm,
    nn.SyncBatchNorm,
)
"""Norm layers of torch that have parameters; their subclasses are such too."""


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is a norm layer.

    It is one if its class derives from one of torch's. It is one too if all its parameters are its
    own and vectors, of at most one dimension longer than 1, and it normalizes: its ``forward``
    takes a statistic (a mean, a variance, a norm), or it holds one of torch's norm layers. Names of
    classes and of attributes don't count, and no code of the module is run.

    Args:
        module: any module.

    >>> is_norm(nn.GroupNorm(2, 4)), is_norm(nn.PReLU(4))
    (True, False)
    """
    if isinstance(module, TORCHS):
        return True
    if not has_vectors_only(module):
        return False
    return takes_statistic(module) or any(isinstance(child, TORCHS) for child in module.children())


def has_vectors_only(module: nn.Module) -> bool:
    """Return whether a module has parameters, all its own, of one dimension longer than 1."""
    own = list(module.parameters(recurse=False))
    if len(own) != len(list(module.parameters())) or any(map(nn.parameter.is_lazy, own)):
        return False
    return bool(own) and all(sum(size > 1 for size in p.shape) <= 1 for p in own)
