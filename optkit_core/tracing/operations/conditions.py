"""Comparisons, what is computed of their results, and the choice between two values.

In a kernel a condition is a Boolean, not a number; where a number is expected it is 0 or 1.
"""

from __future__ import annotations

from optkit_core.tracing.operations.operation import Operation


def _comparison(name: str, form: str) -> Operation:
    return Operation(name, ("other",), cpp=form, triton=form, is_condition=True)


CONDITIONS = (
    _comparison("lt", "{x} < {other}"),
    _comparison("le", "{x} <= {other}"),
    _comparison("gt", "{x} > {other}"),
    _comparison("ge", "{x} >= {other}"),
    _comparison("eq", "{x} == {other}"),
    _comparison("ne", "{x} != {other}"),
    # It holds because nothing is compiled with -ffast-math, which knows no NaN.
    Operation("isnan", cpp="{x} != {x}", triton="{x} != {x}", is_condition=True),
    Operation(
        "isinf",
        cpp="absolute({x}) == C(__builtin_inf())",
        triton='tl.abs({x}) == float("inf")',
        is_condition=True,
    ),
    Operation(
        "isfinite",
        cpp="absolute({x}) < C(__builtin_inf())",
        triton='tl.abs({x}) < float("inf")',
        is_condition=True,
    ),
    Operation(
        "logical_not",
        cpp="{x} == 0",
        triton="{x} == 0",
        methods=("logical_not", "bitwise_not"),
        is_condition=True,
        condition_operands=(0,),
    ),
    Operation(
        "logical_and",
        ("other",),
        # & and not &&, whose second side is a branch that could keep a loop from vector code.
        cpp="({x} != 0) & ({other} != 0)",
        triton="{x} & {other}",
        methods=("logical_and", "bitwise_and"),
        is_condition=True,
        condition_operands=(0, 1),
    ),
    Operation(
        "logical_or",
        ("other",),
        cpp="({x} != 0) | ({other} != 0)",
        triton="{x} | {other}",
        methods=("logical_or", "bitwise_or"),
        is_condition=True,
        condition_operands=(0, 1),
    ),
    Operation(
        "where",
        ("condition", "other"),
        cpp="{condition} ? {x} : {other}",
        triton="tl.where({condition}, {x}, {other})",
        condition_operands=(1,),
    ),
    Operation(
        "masked_fill",
        ("mask", "value"),
        cpp="{mask} ? {value} : {x}",
        triton="tl.where({mask}, {value}, {x})",
        condition_operands=(1,),
    ),
)
