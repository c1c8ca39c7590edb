"""Powers and roots.

An exponent with an operation of its own is part of the kernel, as torch too computes ``x ** 2``
as ``x * x``; any other exponent is a number that the kernel is given.
"""

from __future__ import annotations

from optkit_core.tracing.operations.operation import Operation, Rounding

POWERS_AND_ROOTS = (
    Operation("square", cpp="{x} * {x}", triton="{x} * {x}", exponent=2),
    Operation(
        "cube",
        cpp="{x} * {x} * {x}",
        triton="{x} * {x} * {x}",
        methods=(),
        tensor=lambda x: x * x * x,
        exponent=3,
    ),
    Operation(
        "sqrt",
        cpp="square_root({x})",
        # tl.sqrt_rn in float32, where tl.sqrt is approximate; so is tl.rsqrt.
        triton="square_root({x})",
        exponent=0.5,
        rounding=Rounding.ROUNDED,  # torch's isn't correctly rounded on CPU where it is MKL's
    ),
    Operation(
        "rsqrt",
        cpp="C(1) / square_root({x})",
        triton="inverse(square_root({x}))",
        exponent=-0.5,
        rounding=Rounding.ROUNDED,
    ),
    Operation("reciprocal", cpp="C(1) / {x}", triton="inverse({x})", exponent=-1),
    Operation(
        "pow_minus_2",
        cpp="C(1) / ({x} * {x})",
        triton="inverse({x} * {x})",
        methods=(),
        tensor=lambda x: (x * x).reciprocal(),
        exponent=-2,
        rounding=Rounding.ROUNDED,
    ),
    Operation(
        "pow",
        ("exponent",),
        cpp="power({x}, {exponent})",
        triton="libdevice.pow({x}, {exponent})",
        rounding=Rounding.LIBRARY,
    ),
    Operation(
        "rpow",
        ("base",),
        cpp="power({base}, {x})",
        triton="libdevice.pow({base}, {x})",
        methods=("__rpow__",),
        tensor=lambda x, base: base.pow(x),
        rounding=Rounding.LIBRARY,
    ),
)
