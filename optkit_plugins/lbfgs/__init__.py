"""L-BFGS: a quasi-Newton method that remembers a few steps instead of a matrix."""

from optkit_plugins.lbfgs.algorithm import LBFGS
from optkit_plugins.lbfgs.result import Progress, Result
from optkit_plugins.lbfgs.searches import (
    Backtracking,
    Exhausted,
    HagerZhang,
    Line,
    LineSearch,
    MoreThuente,
    StrongWolfe,
    Trial,
)
from optkit_plugins.lbfgs.solve.objective import ClosureError

# Pickles and documentation name the class by this package, wherever its module moves.
LBFGS.__module__ = __name__

__all__ = [
    "LBFGS",
    "Backtracking",
    "ClosureError",
    "Exhausted",
    "HagerZhang",
    "Line",
    "LineSearch",
    "MoreThuente",
    "Progress",
    "Result",
    "StrongWolfe",
    "Trial",
]
