"""optkit: optimizers for PyTorch, by name, from plugins, each by its fastest implementation.

These are names only, and each is fetched from `optkit_core` when it is first used, so that
importing optkit costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

__all__ = [
    "CheckpointError",
    "CheckpointFileError",
    "CopyWarning",
    "HyperparameterError",
    "ImplementationError",
    "OptimizerProtocol",
    "OptkitError",
    "UnknownAlgorithmError",
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

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """Fetch a name from `optkit_core`, once."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("optkit")
        elif name in __all__:
            import optkit_core

            value = getattr(optkit_core, name)
        else:
            raise AttributeError(f"module 'optkit' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, "__version__"})
