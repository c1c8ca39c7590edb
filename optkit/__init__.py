"""optkit: optimizers for PyTorch, by name, from plugins, each by its fastest implementation."""

from importlib.metadata import version as _version

from optkit_core import (
    Description,
    HyperparameterError,
    ImplementationError,
    OptimizerProtocol,
    OptkitError,
    UnknownAlgorithmError,
    available,
    create,
    describe,
    get,
    register,
    unregister,
    use,
)

__version__ = _version("optkit")

__all__ = [
    "Description",
    "HyperparameterError",
    "ImplementationError",
    "OptimizerProtocol",
    "OptkitError",
    "UnknownAlgorithmError",
    "available",
    "create",
    "describe",
    "get",
    "register",
    "unregister",
    "use",
]
