"""Small networks whose parameters are one vector: a regression, and a differential equation."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.lbfgs.problem import Problem

Layers = list[tuple[Tensor, Tensor]]
POINTS = 64


def regression(seed: int) -> Problem:
    """A network of two hidden tanh layers of 16, fitted to a wavy surface at 256 points.

    A weight decay of 1e-4 keeps the minimum at a finite distance.
    """
    sizes = (2, 16, 16, 1)
    places = 2 * torch.rand(256, 2, dtype=torch.float64, generator=_generator(100 + seed)) - 1
    heights = torch.sin(3 * places[:, :1]) * torch.cos(2 * places[:, 1:])

    def loss(x: Tensor) -> Tensor:
        fit = network(places, layers(x, sizes))
        return (fit - heights).square().mean() + 1e-4 * x.square().mean()

    return Problem(f"MLP fit, seed {seed}", lambda: initial(sizes, seed), loss, target=3e-4)


def poisson(seed: int) -> Problem:
    """A physics-informed network for -u'' = pi^2 sin(pi x) on (0, 1), u = 0 at both ends.

    Two hidden tanh layers of 16; the loss is the mean squared residual at 64 points plus
    the squares at the ends. u'' comes from differentiating the network twice.

    Source: M. Raissi, P. Perdikaris and G. E. Karniadakis, Physics-informed neural networks,
    J. Comput. Phys. 378 (2019), https://doi.org/10.1016/j.jcp.2018.10.045
    """
    sizes = (1, 16, 16, 1)
    places = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None]
    force = math.pi**2 * torch.sin(math.pi * places)

    def loss(x: Tensor) -> Tensor:
        value, second = with_second_derivative(places, layers(x, sizes))
        ends = value[0].square() + value[-1].square()
        return (second + force).square().mean() + ends.sum()

    return Problem(f"PINN Poisson, seed {seed}", lambda: initial(sizes, seed), loss, target=1e-3)


def initial(sizes: tuple[int, ...], seed: int) -> Tensor:
    """Return Glorot-scaled normal weights and zero biases, as one vector."""
    generator, parts = _generator(seed), []
    for inputs, outputs in pairwise(sizes):
        weight = torch.randn(outputs, inputs, dtype=torch.float64, generator=generator)
        parts += [weight.flatten() * math.sqrt(2 / (inputs + outputs)), weight.new_zeros(outputs)]
    return torch.cat(parts)


def layers(x: Tensor, sizes: tuple[int, ...]) -> Layers:
    """Return views of the vector as the weight and bias of each layer."""
    shapes = list(pairwise(sizes))
    lengths = [length for i, o in shapes for length in (i * o, o)]
    parts = x.split(lengths)
    return [
        (weight.view(outputs, inputs), bias)
        for weight, bias, (inputs, outputs) in zip(parts[::2], parts[1::2], shapes, strict=True)
    ]


def network(inputs: Tensor, stack: Layers) -> Tensor:
    """Return the outputs for a row of inputs each; tanh between layers."""
    for weight, bias in stack[:-1]:
        inputs = torch.tanh(inputs @ weight.T + bias)
    weight, bias = stack[-1]
    return inputs @ weight.T + bias


def with_second_derivative(inputs: Tensor, stack: Layers) -> tuple[Tensor, Tensor]:
    """Return the outputs for scalar inputs, and their second derivatives by the input.

    Both derivatives are carried forward through the layers: where z = tanh(a),
    z' = (1 - z^2) a' and z'' = (1 - z^2) a'' - 2 z z' a'.
    """
    first, second = torch.ones_like(inputs), torch.zeros_like(inputs)
    for weight, bias in stack[:-1]:
        z = torch.tanh(inputs @ weight.T + bias)
        slope, before, bend = 1 - z.square(), first @ weight.T, second @ weight.T
        inputs, first = z, slope * before
        second = slope * bend - 2 * z * first * before
    weight, bias = stack[-1]
    return inputs @ weight.T + bias, second @ weight.T


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
