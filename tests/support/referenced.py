"""The algorithms that have references, and the cases in which they are compared."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
from algorithms import ALGORITHMS, TORCH_OPTIM
from references import REFERENCES
from references.cases import cases

WITHOUT = {"lbfgs": "its steps depend on a closure: tests/lbfgs compares it with torch and papers"}
NAMES = {name: cls for name, cls in ALGORITHMS.items() if name not in WITHOUT}
OF_TORCH = {name: cls for name, cls in TORCH_OPTIM.items() if name in REFERENCES}
WITH_MODES = {name: cls for name, cls in NAMES.items() if hasattr(cls, "eval")}


def each_case(classes: Mapping[str, Any]) -> list[Any]:
    return [
        pytest.param(name, options, id=f"{name}-{position}")
        for name, cls in classes.items()
        for position, options in enumerate(cases(name))
        if options.keys() <= inspect.signature(cls).parameters.keys()
    ]
