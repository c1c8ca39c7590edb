"""Sums, products and signs.

Where torch multiplies and adds in one rounding (``alpha=``, ``addcmul``), so do the forms.
"""

from __future__ import annotations

from optkit_core.tracing.operations.operation import Operation, Rounding

ARITHMETIC = (
    # No method: a recording makes it of fill_(), type_as(), and copy_() of a number.
    Operation("constant", cpp="{x}", triton="{x}", methods=(), tensor=lambda x: x),
    Operation("add", ("other",), cpp="{x} + {other}", triton="{x} + {other}"),
    Operation(
        "add_alpha",
        ("other", "alpha"),
        cpp="multiply_add({other}, {alpha}, {x})",
        triton="tl.fma({other}, {alpha}, {x})",
        methods=("add",),
        # As `alpha` torch takes numbers only, which the compiler would make part of its code.
        tensor=lambda x, other, alpha: x + other * alpha,
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "sub",
        ("other",),
        cpp="{x} - {other}",
        triton="{x} - {other}",
        methods=("sub", "subtract"),
    ),
    Operation(
        "sub_alpha",
        ("other", "alpha"),
        cpp="multiply_add({other}, -{alpha}, {x})",
        triton="tl.fma({other}, negative({alpha}), {x})",
        methods=("sub", "subtract"),
        tensor=lambda x, other, alpha: x - other * alpha,
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "mul",
        ("other",),
        cpp="{x} * {other}",
        triton="{x} * {other}",
        methods=("mul", "multiply"),
    ),
    Operation(
        "div",
        ("other",),
        cpp="{x} / {other}",
        # Triton's / isn't correctly rounded in float32; quotient() is tl.div_rn there.
        triton="quotient({x}, {other})",
        methods=("div", "divide", "true_divide"),
    ),
    # Triton computes -x as 0 - x, which gives a zero the wrong sign.
    Operation("neg", cpp="-{x}", triton="negative({x})", methods=("neg", "negative")),
    Operation("abs", cpp="absolute({x})", triton="tl.abs({x})", methods=("abs", "absolute")),
    Operation("sign", cpp="C({x} > 0) - C({x} < 0)", triton="sign({x})"),
    Operation(
        "copysign",
        ("other",),
        cpp="with_sign({x}, {other})",
        triton="libdevice.copysign({x}, {other})",
    ),
    Operation(
        "lerp",
        ("end", "weight"),
        cpp="interpolated({x}, {end}, {weight})",
        triton="interpolated({x}, {end}, {weight})",
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "addcmul",
        ("tensor1", "tensor2"),
        cpp="multiply_add({tensor1}, {tensor2}, {x})",
        triton="tl.fma({tensor1}, {tensor2}, {x})",
        tensor=lambda x, tensor1, tensor2: x + tensor1 * tensor2,
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "addcmul_value",
        ("tensor1", "tensor2", "value"),
        # torch rounds the product with the value, then the other one and the sum at once.
        cpp="multiply_add({value} * {tensor1}, {tensor2}, {x})",
        triton="tl.fma({value} * {tensor1}, {tensor2}, {x})",
        methods=("addcmul",),
        tensor=lambda x, tensor1, tensor2, value: x + tensor1 * value * tensor2,
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "addcdiv",
        ("tensor1", "tensor2"),
        cpp="{x} + {tensor1} / {tensor2}",
        triton="{x} + quotient({tensor1}, {tensor2})",
        tensor=lambda x, tensor1, tensor2: x + tensor1 / tensor2,
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "addcdiv_value",
        ("tensor1", "tensor2", "value"),
        cpp="{x} + {value} * {tensor1} / {tensor2}",
        triton="{x} + quotient({value} * {tensor1}, {tensor2})",
        methods=("addcdiv",),
        tensor=lambda x, tensor1, tensor2, value: x + tensor1 * value / tensor2,
        rounding=Rounding.ROUNDED,
    ),
)
