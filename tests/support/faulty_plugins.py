"""Distributions with one fault each, and what is to be told about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributions
from distributions import OPTIMIZER, PLUGIN


@dataclass(frozen=True)
class Fault:
    """One distribution that isn't in order.

    Args:
        contents: as `distributions.install` takes them.
        told: what `optkit doctor` says about it, beside its name.
        name: of the algorithm or plugin that is at fault; None where the distribution is.
        hurts_list: whether `optkit list` has to say that it isn't available.
    """

    contents: dict[str, Any]
    told: tuple[str, ...]
    name: str | None = None
    hurts_list: bool = False


def algorithm(name: str, source: str, *told: str, value: str = "") -> Fault:
    """Return a fault of an algorithm called `name`, in a module called likewise."""
    contents = {
        "algorithms": {name: value or f"{name}_module:Lion"},
        "modules": {f"{name}_module": source},
    }
    return Fault(contents, told, name, hurts_list=True)


def plugin(name: str, source: str, *told: str) -> Fault:
    """Return a fault of a whole plugin."""
    contents = {"plugins": {name: f"{name}_module"}, "modules": {f"{name}_module": source}}
    return Fault(contents, told, name)


def described(told: str, name: str = "", **contents: Any) -> Fault:
    """Return a fault of the metadata of a distribution whose algorithm works."""
    module = f"{name}_module"
    works = {
        "algorithms": {name: f"{module}:Lion"},
        "modules": {module: OPTIMIZER.format(name="Lion")},
    }
    return Fault({**works, **contents}, (told,))


LION = OPTIMIZER.format(name="Lion")
CRASH = "import ctypes\nctypes.string_at(0)\n"
HANG = "import time\ntime.sleep(1e6)\n"
REGISTERS = "import optkit_core\n@optkit_core.hookimpl\ndef optkit_register(registrar):\n    "

FAULTS = {
    "raising": algorithm("f1", "raise RuntimeError('out of order')", "out of order", "line 1"),
    "unparsable": algorithm("f2", "def :", "SyntaxError"),
    "hanging": algorithm("f3", HANG, "didn't end within"),
    "leaving": algorithm("f4", "import os\nos._exit(7)", "exit status 7"),
    "crashing": algorithm("f5", CRASH, "SIGSEGV"),
    "quitting": algorithm("f6", "raise SystemExit('no license')", "SystemExit: no license"),
    "missing-module": algorithm("f7", "", "ModuleNotFoundError", value="not_there:Lion"),
    "missing-name": algorithm("f8", "", "has no attribute 'Lion'"),
    "no-class": algorithm("f9", "Lion = 3", "must be a subclass of torch.optim.Optimizer"),
    "dependent": algorithm("f10", "import no_such_thing", "No module named 'no_such_thing'"),
    "wrong-group": Fault(
        {"entry_points": "[optkit.algorithm]\nf11 = f11_module:Lion\n"},
        ("is of the group 'optkit.algorithm'", "optkit.algorithms"),
        "f11",
    ),
    "raising-plugin": plugin("p1", "raise KeyError('x')", "KeyError: 'x'"),
    "hanging-plugin": plugin("p2", HANG, "didn't end within"),
    "quitting-plugin": plugin("p3", "import sys\nsys.exit(1)", "SystemExit: 1"),
    "unregistered": plugin("p4", REGISTERS + "raise ValueError('half way')", "half way"),
    "unknown-hook": plugin("p5", REGISTERS.replace("register", "bogus") + "pass", "optkit_bogus"),
    "taking": plugin("p6", PLUGIN.format(name="Mine", algorithm="adamax"), "'adamax' is taken"),
    "no-metadata": described("it has no metadata", "m1", metadata=""),
    "no-name": described("says no name", "m2", metadata="Version: 1.0\n"),
    "no-version": described("says no version", "m3", metadata="Name: no-version\n"),
    "odd-version": described("isn't one", "m4", metadata="Name: odd-version\nVersion: soon\n"),
    "no-requirement": described("is no requirement", "m5", requires=["torch >>> 1"]),
    "new-torch": described("torch>=99", "m6", requires=["torch>=99"]),
    "old-torch": described("torch==1.0", "m7", requires=["torch==1.0"]),
    "new-optkit": described("optkit>=99", "m8", requires=["optkit>=99"]),
    "lonely": described("it isn't installed", "m9", requires=["no-such-distribution>=1"]),
}
"""By the name of the distribution."""

CRASHES_WHOLE = {
    "leaving-plugin": plugin("p7", "import os\nos._exit(7)", "exit status 7"),
    "crashing-plugin": plugin("p8", CRASH, "SIGSEGV"),
}
"""Whole plugins that end the process that loads them, which only `optkit doctor` survives."""

CLASHES = {
    "rival": described("", "adamax"),
    "savanna": described("", "tiger"),
    "zoo": described("", "Tiger"),
}
"""Distributions that claim names which others have too."""


def install_all(root: Path, faults: dict[str, Fault]) -> list[Path]:
    """Install distributions, each into a folder of its own, and return the folders."""
    for name, fault in faults.items():
        distributions.install(root / name, name, **fault.contents)
    return [root / name for name in faults]
