"""Make the pictures: ``python -m docs.pictures [NAME ...]``; all of them by default.

Those of the landing page and of the benchmarks are kept in ``docs/images``. Those of the
algorithms are made by every build that lacks them; a NAME makes those of one algorithm anew.
"""

from __future__ import annotations

import sys

import optkit
from docs.extensions.algorithm_pages import PICTURES
from docs.pictures import algorithm, benchmarks, landing


def main(names: list[str]) -> None:
    """Draw the pictures of the algorithms named, or all there are."""
    if not names:
        landing.draw()
        benchmarks.draw()
    for name in names or filter(algorithm.is_drawn, optkit.available()):
        algorithm.draw(name, PICTURES)
        print(f"drew {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
