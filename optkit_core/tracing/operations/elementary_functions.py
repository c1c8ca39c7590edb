"""Exponentials, logarithms, trigonometric and hyperbolic functions."""

from __future__ import annotations

from optkit_core.tracing.operations.operation import Operation, Rounding


def _unary(name: str, cpp: str, triton: str) -> Operation:
    return Operation(name, cpp=cpp, triton=triton, rounding=Rounding.LIBRARY)


def _binary(name: str, cpp: str, triton: str) -> Operation:
    return Operation(name, ("other",), cpp=cpp, triton=triton, rounding=Rounding.LIBRARY)


# Triton's own tl.exp and the like are approximate in float32; those of libdevice aren't.
FUNCTIONS = (
    _unary("exp", "exponential({x})", "libdevice.exp({x})"),
    _unary("exp2", "exponential2({x})", "libdevice.exp2({x})"),
    _unary("expm1", "exponential_m1({x})", "libdevice.expm1({x})"),
    _unary("log", "logarithm({x})", "libdevice.log({x})"),
    _unary("log2", "logarithm2({x})", "libdevice.log2({x})"),
    _unary("log10", "logarithm10({x})", "libdevice.log10({x})"),
    _unary("log1p", "logarithm_1p({x})", "libdevice.log1p({x})"),
    _unary("sin", "sine({x})", "libdevice.sin({x})"),
    _unary("cos", "cosine({x})", "libdevice.cos({x})"),
    _unary("tanh", "hyperbolic_tangent({x})", "libdevice.tanh({x})"),
    _unary("atan", "arc_tangent({x})", "libdevice.atan({x})"),
    _binary("atan2", "arc_tangent2({x}, {other})", "libdevice.atan2({x}, {other})"),
    _unary("sigmoid", "C(1) / (C(1) + exponential(-{x}))", "sigmoid({x})"),
    _unary("erf", "error_function({x})", "libdevice.erf({x})"),
    _binary("hypot", "hypotenuse({x}, {other})", "libdevice.hypot({x}, {other})"),
)
