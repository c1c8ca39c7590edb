"""Installs with pip by constraints.txt, but for torch and for what its releases ask for themselves.

tox installs other releases of torch with it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
ASKED_FOR = ("torch==", "triton==", "setuptools==")

lines = CONSTRAINTS.read_text().splitlines()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "constraints.txt"
    path.write_text("\n".join(line for line in lines if not line.startswith(ASKED_FOR)))
    command = [sys.executable, "-I", "-m", "pip", "install", *sys.argv[1:]]
    sys.exit(subprocess.call(command, env={**os.environ, "PIP_CONSTRAINT": str(path)}))
