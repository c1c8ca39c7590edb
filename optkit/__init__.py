"""optkit: optimizers for PyTorch, by name, from plugins, each by its fastest implementation.

These are names only, and each is fetched from `optkit_core` or `optkit_plugins` when it is first
used, so that importing optkit costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

__all__ = [
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "SOAP",
    "AdEMAMix",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "ArgumentError",
    "CheckpointError",
    "CheckpointFileError",
    "ConfigFileError",
    "CopyWarning",
    "HyperparameterError",
    "ImplementationError",
    "Lion",
    "Muon",
    "NAdam",
    "OptimizerProtocol",
    "OptkitError",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SparseAdam",
    "TrainingSetup",
    "UnknownAlgorithmError",
    "UnknownAveragingError",
    "UnknownScheduleError",
    "UnusedGroupKeyWarning",
    "available",
    "create",
    "create_averaging",
    "create_schedule",
    "describe",
    "from_config",
    "get",
    "groups",
    "load",
    "register",
    "save",
    "unregister",
    "update_bn",
    "use",
]

if TYPE_CHECKING:
    from optkit_core import (
        ArgumentError,
        CheckpointError,
        CheckpointFileError,
        ConfigFileError,
        CopyWarning,
        HyperparameterError,
        ImplementationError,
        OptimizerProtocol,
        OptkitError,
        TrainingSetup,
        UnknownAlgorithmError,
        UnknownAveragingError,
        UnknownScheduleError,
        UnusedGroupKeyWarning,
        available,
        create,
        create_averaging,
        create_schedule,
        describe,
        from_config,
        get,
        groups,
        load,
        register,
        save,
        unregister,
        update_bn,
        use,
    )
    from optkit_plugins.adadelta import Adadelta
    from optkit_plugins.adafactor import Adafactor
    from optkit_plugins.adagrad import Adagrad
    from optkit_plugins.adam import Adam
    from optkit_plugins.adamax import Adamax
    from optkit_plugins.adamw import AdamW
    from optkit_plugins.adan import Adan
    from optkit_plugins.ademamix import AdEMAMix
    from optkit_plugins.asgd import ASGD
    from optkit_plugins.lamb import LAMB
    from optkit_plugins.lars import LARS
    from optkit_plugins.lbfgs import LBFGS
    from optkit_plugins.lion import Lion
    from optkit_plugins.muon import Muon
    from optkit_plugins.nadam import NAdam
    from optkit_plugins.prodigy import Prodigy
    from optkit_plugins.radam import RAdam
    from optkit_plugins.rmsprop import RMSprop
    from optkit_plugins.rprop import Rprop
    from optkit_plugins.schedulefree_adamw import ScheduleFreeAdamW
    from optkit_plugins.schedulefree_sgd import ScheduleFreeSGD
    from optkit_plugins.sgd import SGD
    from optkit_plugins.soap import SOAP
    from optkit_plugins.sparse_adam import SparseAdam

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """Fetch a name from where it is defined, once."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("optkit")
        elif name in __all__:
            import optkit_core

            value = getattr(optkit_core, name, None) or _algorithm(name)
        else:
            raise AttributeError(f"module 'optkit' has no attribute {name!r}")
        globals()[name] = value
        return value

    def _algorithm(name: str) -> Any:
        """Return the class that ships, by the metadata that names its module."""
        import optkit_core

        try:
            return optkit_core.get(f"optkit:{name}")
        except optkit_core.UnknownAlgorithmError as error:
            raise AttributeError(f"module 'optkit' has no {name}: {error}") from error

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, "__version__"})
