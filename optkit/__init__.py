"""optkit: optimizers for PyTorch, by name, from plugins, each by its fastest implementation.

These are names only, and each is fetched from `optkit_core` or `optkit_plugins` when it is first
used, so that importing optkit costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

__all__ = [
    "LBFGS",
    "Adagrad",
    "Adamax",
    "CheckpointError",
    "CheckpointFileError",
    "CopyWarning",
    "HyperparameterError",
    "ImplementationError",
    "OptimizerProtocol",
    "OptkitError",
    "UnknownAlgorithmError",
    "UnusedGroupKeyWarning",
    "available",
    "create",
    "describe",
    "get",
    "load",
    "register",
    "save",
    "unregister",
    "use",
]

CLASSES = {"Adagrad": "adagrad", "Adamax": "adamax", "LBFGS": "lbfgs"}
"""The classes that ship, and their modules, of which each is imported with its class."""

if TYPE_CHECKING:
    from optkit_core import (
        CheckpointError,
        CheckpointFileError,
        CopyWarning,
        HyperparameterError,
        ImplementationError,
        OptimizerProtocol,
        OptkitError,
        UnknownAlgorithmError,
        UnusedGroupKeyWarning,
        available,
        create,
        describe,
        get,
        load,
        register,
        save,
        unregister,
        use,
    )
    from optkit_plugins.adagrad import Adagrad
    from optkit_plugins.adamax import Adamax
    from optkit_plugins.lbfgs import LBFGS

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """Fetch a name from where it is defined, once."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("optkit")
        elif name in CLASSES:
            from importlib import import_module

            value = getattr(import_module(f"optkit_plugins.{CLASSES[name]}"), name)
        elif name in __all__:
            import optkit_core

            value = getattr(optkit_core, name)
        else:
            raise AttributeError(f"module 'optkit' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, "__version__"})
