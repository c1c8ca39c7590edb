"""Line searches: records of their constants, called with a line and the first step to try."""

from __future__ import annotations

from collections.abc import Mapping

from optkit_plugins.lbfgs.searches.backtracking import Backtracking
from optkit_plugins.lbfgs.searches.hager_zhang import HagerZhang
from optkit_plugins.lbfgs.searches.more_thuente import MoreThuente
from optkit_plugins.lbfgs.searches.strong_wolfe import StrongWolfe
from optkit_plugins.lbfgs.solve.line import Exhausted, Line, LineSearch, Trial

SEARCHES: Mapping[str, LineSearch] = {
    "strong_wolfe": StrongWolfe(),
    "hager_zhang": HagerZhang(),
    "more_thuente": MoreThuente(),
    "backtracking": Backtracking(),
}
"""What ``line_search_fn`` may name."""

__all__ = [
    "SEARCHES",
    "Backtracking",
    "Exhausted",
    "HagerZhang",
    "Line",
    "LineSearch",
    "MoreThuente",
    "StrongWolfe",
    "Trial",
]
