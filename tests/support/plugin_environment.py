"""An environment to install plugins into, beside what is installed here, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from processes import PATIENCE

COMMANDS = {"optkit": "optkit", "pytest": "pytest"}
"""Programs of this environment that tests call in the other one, and the modules that run them."""

OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as --no-build-isolation
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "COLUMNS": "80",
    "OMP_NUM_THREADS": "1",
}
UNSET = ("PIP_CONSTRAINT", "PIP_FIND_LINKS", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTHONWARNINGS")


@dataclass(frozen=True)
class PluginEnvironment:
    """A virtual environment over this one: what is installed into it changes nothing here.

    Args:
        root: where it lies.
    """

    root: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python"

    def variables(self) -> dict[str, str]:
        """Return the environment variables of its commands, in which ``python`` is its own."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET}
        path = os.pathsep.join([str(self.python.parent), kept.get("PATH", os.defpath)])
        return {**kept, **OFFLINE, "PATH": path, "VIRTUAL_ENV": str(self.root)}

    def sh(self, script: str, folder: Path, **settings: str) -> str:
        """Run shell commands as somebody types them, and return what they print.

        Args:
            script: the commands; the first that fails ends it, and fails the test.
            folder: where they run.
            **settings: further environment variables.
        """
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={**self.variables(), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout


def plugin_environment(root: Path) -> PluginEnvironment:
    """Create an environment that has all that this one has, pip among it.

    Args:
        root: where to create it.
    """
    venv.EnvBuilder(symlinks=True).create(root)
    made = PluginEnvironment(root)
    (packages,) = root.glob("lib/python*/site-packages")
    # Through `addsitedir`, so that .pth files of editable installations count there too.
    here = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in here]
    (packages / "beside.pth").write_text("".join(lines))
    for name, module in COMMANDS.items():
        script = root / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{made.python}" -m {module} "$@"\n')
        script.chmod(0o755)
    return made
