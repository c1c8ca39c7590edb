"""The operations that an update body may consist of, each written down once.

Every implementation walks these records: a trace names the operations, the kernel for CPU is
written of their C++ forms, the one for CUDA of their Triton forms, and a compiled step of their
tensor forms. They stand in one module per family: `arithmetic`, `powers_and_roots`,
`elementary_functions`, `limits` and `conditions`.

Adding an operation, ``asinh`` for example:

1. Add its record to the family's tuple::

       _unary("asinh", "area_sine({x})", "libdevice.asinh({x})"),

2. A function that a form calls has to be there: in C++ add ``BOTH(area_sine, __builtin_asinh)``
   to `kernel.cpp`; `arithmetic.triton` has those of Triton that aren't in ``tl`` or ``libdevice``.
   Compute what torch's method computes for not-a-number, infinities, denormal numbers and zeros.
3. Add a use of it to ``CALLS`` in ``tests/support/bodies.py``. The tests compare every form with
   the tensor method, and fail while one is missing without a reason. In Triton's interpreter the
   function of torch that has the name stands for that of ``libdevice``.
4. Name the method in ``docs/extending.md``.

An operation that one language can't express leaves that form out and says why in ``lacking``: a
body that uses it runs on the other implementations, and the plan gives that reason.
"""

from __future__ import annotations

from optkit_core.tracing.operations.arithmetic import ARITHMETIC
from optkit_core.tracing.operations.conditions import CONDITIONS
from optkit_core.tracing.operations.elementary_functions import FUNCTIONS
from optkit_core.tracing.operations.limits import LIMITS
from optkit_core.tracing.operations.operation import Operation, Rounding
from optkit_core.tracing.operations.powers_and_roots import POWERS_AND_ROOTS

__all__ = ["OPERATIONS", "Operation", "Rounding"]

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (*ARITHMETIC, *POWERS_AND_ROOTS, *FUNCTIONS, *LIMITS, *CONDITIONS)
}
"""Every operation by its name in a trace."""
