"""``python -m optkit``: the same as the command ``optkit``."""

import sys

from optkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
