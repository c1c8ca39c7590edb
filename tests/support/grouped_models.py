"""Small models of the kinds that people group parameters of, and the layers of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """As in LLaMA, without a base of torch's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.variance_epsilon = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        variance = x.pow(2).mean(-1, keepdim=True)
        return self.weight * x * torch.rsqrt(variance + self.variance_epsilon)


class GRN(nn.Module):
    """Global response normalization, as in ConvNeXt V2: parameters of shape (1, 1, 1, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        size = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        return self.gamma * (x * size / (size.mean(-1, keepdim=True) + 1e-6)) + self.beta + x


class LayerScale(nn.Module):
    """A factor for each channel, as in CaiT."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, dim: int, bias: bool = True) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        mixed: Tensor = self.proj(functional.scaled_dot_product_attention(q, k, v))
        return mixed


class MLP(nn.Module):
    def __init__(self, dim: int, bias: bool = True) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * dim, bias=bias)
        self.fc2 = nn.Linear(2 * dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return y


class ViTBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(dim), Attention(dim), LayerScale(dim)
        self.norm2, self.mlp = nn.LayerNorm(dim), MLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class ViT(nn.Module):
    """A vision transformer: a class token and positions that belong to the model itself."""

    def __init__(self, dim: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, dim))
        self.patch_embed = nn.Conv2d(1, dim, 2, stride=2)
        self.blocks = nn.ModuleList(ViTBlock(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image).flatten(2).mT
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        y: Tensor = self.head(self.norm(x)[:, 0])
        return y


class GPTBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ln_1, self.attn = RMSNorm(dim), Attention(dim, bias=False)
        self.ln_2, self.mlp = RMSNorm(dim), MLP(dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y


class GPT(nn.Module):
    """A language model: its own norm layers, and a head that is tied to the embedding."""

    def __init__(self, dim: int = 8, depth: int = 2, words: int = 11) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, dim), nn.Embedding(6, dim)
        self.h = nn.ModuleList(GPTBlock(dim) for _ in range(depth))
        self.ln_f = RMSNorm(dim)
        self.lm_head = nn.Linear(dim, words, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, words: Tensor) -> Tensor:
        x = self.wte(words) + self.wpe(torch.arange(words.shape[-1]))
        for block in self.h:
            x = block(x)
        y: Tensor = self.lm_head(self.ln_f(x))
        return y


class ConvBlock(nn.Module):
    """A block of ConvNeXt V2: depthwise, normalized, and two pointwise layers around a GRN."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = nn.BatchNorm2d(dim)
        self.pwconv1, self.grn = nn.Linear(dim, 2 * dim), GRN(2 * dim)
        self.pwconv2 = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x)).movedim(1, -1)
        y = self.pwconv2(self.grn(functional.gelu(self.pwconv1(y))))
        return x + y.movedim(-1, 1)


class ConvStage(nn.Module):
    def __init__(self, before: int, dim: int, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Conv2d(before, dim, 2, stride=2)
        self.blocks = nn.Sequential(*(ConvBlock(dim) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(self.downsample(x))
        return y


class ConvNet(nn.Module):
    """A convolutional model in two stages."""

    def __init__(self, dim: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim))
        self.stages = nn.Sequential(ConvStage(dim, dim, depth), ConvStage(dim, 2 * dim, depth))
        self.head = nn.Linear(2 * dim, 3)

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.head(self.stages(self.stem(image)).mean((-2, -1)))
        return y
