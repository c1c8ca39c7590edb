"""Make the pictures: ``python -m docs.pictures [NAME ...]``; all of them by default.

The landing page's are kept in ``docs/images``. Those of the algorithms are made by every build
that lacks them; a NAME makes those of one algorithm anew.
"""

from __future__ import annotations

import sys

import optkit
from docs.extensions.algorithm_pages import PICTURES
from docs.pictures import algorithm, landing


def main(names: list[str]) -> None:
    """Draw the pictures of the algorithms named, or all there are."""
    if not names:
        landing.draw()
    for name in names or optkit.available():
        algorithm.draw(name, PICTURES)
        print(f"drew {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
