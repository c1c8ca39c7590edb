"""L-BFGS: a quasi-Newton method that remembers a few steps instead of a matrix."""

from optkit_plugins.lbfgs.objective import ClosureError
from optkit_plugins.lbfgs.optimizer import LBFGS

# Pickles and documentation name the class by this package, wherever its module moves.
LBFGS.__module__ = __name__

__all__ = ["LBFGS", "ClosureError"]
