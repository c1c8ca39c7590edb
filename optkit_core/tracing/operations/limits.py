"""The larger, the smaller and the nearest number."""

from __future__ import annotations

from optkit_core.tracing.operations.operation import Operation

LIMITS = (
    Operation(
        # With NaN on either side torch returns NaN, C's fmax() and tl.maximum() the other number.
        "maximum",
        ("other",),
        cpp="larger({x}, {other})",
        triton="larger({x}, {other})",
        methods=("maximum", "max"),
    ),
    Operation(
        "minimum",
        ("other",),
        cpp="smaller({x}, {other})",
        triton="smaller({x}, {other})",
        methods=("minimum", "min"),
    ),
    Operation(
        "clamp_min",
        ("min",),
        cpp="at_least({x}, {min})",
        triton="at_least({x}, {min})",
        methods=("clamp_min", "clamp", "clip"),
    ),
    Operation(
        "clamp_max",
        ("max",),
        cpp="at_most({x}, {max})",
        triton="at_most({x}, {max})",
        methods=("clamp_max", "clamp", "clip"),
    ),
    Operation(
        "clamp_min_max",
        ("min", "max"),
        cpp="at_most(at_least({x}, {min}), {max})",
        triton="at_most(at_least({x}, {min}), {max})",
        methods=("clamp", "clip"),
        tensor=lambda x, least, most: x.clamp_min(least).clamp_max(most),
    ),
    Operation("floor", cpp="round_down({x})", triton="libdevice.floor({x})"),
    Operation("ceil", cpp="round_up({x})", triton="libdevice.ceil({x})"),
    Operation("trunc", cpp="cut_off({x})", triton="libdevice.trunc({x})"),
    # A tie goes to the even number, in C's round() away from zero.
    Operation("round", cpp="round_to_even({x})", triton="libdevice.rint({x})"),
)
