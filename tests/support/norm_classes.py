"""Norm layers as people write them, and layers that look like them and aren't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from grouped_models import GRN, LayerScale, RMSNorm
from torch import Tensor, nn
from torch.nn import functional


class T5Norm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        variance = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(variance + 1e-6)).to(x.dtype)


class GemmaNorm(nn.Module):
    """Of which a method normalizes, and the weight starts at zero."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def _scaled(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self._scaled(x.float()).type_as(x) * (1.0 + self.weight)


class NanoLayerNorm(nn.Module):
    """One that calls torch's function, with an optional bias."""

    def __init__(self, dim: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class LayerNorm2d(nn.LayerNorm):
    """A subclass of torch's for channels first, as in timm."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ChannelsFirstNorm(nn.Module):
    """With parameters of shape (C, 1, 1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim, 1, 1))
        self.b = nn.Parameter(torch.zeros(dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        return self.g * (x - mean) / (x.var(1, keepdim=True) + 1e-6).sqrt() + self.b


class ScaleNorm(nn.Module):
    """With one number for all channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.tensor(dim**0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.g * functional.normalize(x, dim=-1)


class L2Norm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rescale = nn.Parameter(torch.full((dim,), 20.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.rescale * x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)


class FilterResponseNorm(nn.Module):
    """With a threshold of its own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma, self.beta, self.tau = (nn.Parameter(torch.ones(1, dim, 1, 1)) for _ in "gbt")

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-6)
        return torch.maximum(self.gamma * scaled + self.beta, self.tau)


class RMSFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt() * weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise NotImplementedError


class FunctionNorm(nn.Module):
    """Whose arithmetic is an autograd function, as in libraries of kernels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Any:
        return RMSFunction.apply(x, self.weight)


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / x.std(-1, keepdim=True) * weight


class HelperNorm(nn.Module):
    """Whose arithmetic is a function of its module, under a decorator."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    @torch.autocast("cpu", enabled=False)
    def forward(self, x: Tensor) -> Tensor:
        return rms(x, self.scale)


class AdaptiveNorm(nn.Module):
    """Around a norm layer of torch's without parameters."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.inner = nn.LayerNorm(dim, elementwise_affine=False)
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x) * self.gain
        return y


class BatchNormAct(nn.BatchNorm2d):
    """With an activation inside, as in timm."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.act = nn.PReLU()


NORMS: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "BatchNorm3d": lambda: nn.BatchNorm3d(4),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(4),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4, affine=True),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm((2, 4)),
    "torch's RMSNorm": lambda: nn.RMSNorm(4),
    "LazyBatchNorm2d": nn.LazyBatchNorm2d,
    "LazyInstanceNorm1d": lambda: nn.LazyInstanceNorm1d(affine=True),
    "RMSNorm": lambda: RMSNorm(4),
    "GRN": lambda: GRN(4),
    "BatchNormAct": lambda: BatchNormAct(4),
    **{
        cls.__name__: (lambda cls=cls: cls(4))
        for cls in (
            *(T5Norm, GemmaNorm, NanoLayerNorm, LayerNorm2d, ChannelsFirstNorm, ScaleNorm),
            *(L2Norm, FilterResponseNorm, FunctionNorm, HelperNorm, AdaptiveNorm),
        )
    },
}
"""Makers of norm layers."""


class Affine(nn.Module):
    """Of ResMLP: stands where others have a norm layer, and normalizes nothing."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * x + self.beta


class DynamicTanh(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(0.5))
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.alpha * x) * self.weight + self.bias


class Positions(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(1, 7, dim))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.embedding


class ClassToken(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1)


class Bias(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Temperature(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(dim)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x * self.scale.exp(), -1)


class NormalizeImage(nn.Module):
    """Called a norm by all its names, of which none counts; the mean is a constant."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.norm = nn.Parameter(torch.ones(dim))
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * (self.norm + self.eps)


class StandardizedLinear(nn.Linear):
    """Which normalizes its weight."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(-1, keepdim=True)
        return functional.linear(x, weight / weight.std(-1, keepdim=True), self.bias)


class PooledGate(nn.Module):
    """Which takes a mean, and has a matrix."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.eye(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.mean(-2, keepdim=True) @ self.weight + self.bias).sigmoid()


class NormedLinear(nn.Module):
    """Whose own parameter is a vector, and which has more further in."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale, self.linear = nn.Parameter(torch.ones(dim)), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x / x.norm(dim=-1, keepdim=True)) * self.scale
        return y


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(4, 4),
    "Linear of one row": lambda: nn.Linear(4, 1),
    "Conv1d of one channel": lambda: nn.Conv1d(1, 1, 3),
    "Embedding": lambda: nn.Embedding(4, 4),
    "PReLU": lambda: nn.PReLU(4),
    "Identity": nn.Identity,
    "norm without parameters": lambda: nn.Sequential(nn.Softmax(-1)),
    "StandardizedLinear": lambda: StandardizedLinear(4, 4),
    **{
        cls.__name__: (lambda cls=cls: cls(4))
        for cls in (
            *(LayerScale, Affine, DynamicTanh, Positions, ClassToken, Bias, Temperature),
            *(NormalizeImage, PooledGate, NormedLinear),
        )
    },
}
"""Makers of layers that aren't norm layers."""
