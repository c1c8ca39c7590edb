"""``python -m optkit_core.cli``: the same as the command ``optkit``."""

import sys

from optkit_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
