"""The framework under optkit: what plugin authors import, and all of it is here."""

from optkit_core.api import (
    available,
    create,
    describe,
    get,
    load,
    register,
    save,
    unregister,
)
from optkit_core.checkpoint.conversion_registry import importer, migration
from optkit_core.declaration.buffer_kinds.joint_kind import joint_dtype
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.fields import hyperparameter, option
from optkit_core.declaration.ranges import Range, at_least, boolean, each, one_of, whole, within
from optkit_core.elementwise import Elementwise
from optkit_core.errors import (
    AmbiguousAlgorithmError,
    CheckpointError,
    CheckpointFileError,
    ConfigError,
    CopyWarning,
    DeclarationError,
    GradientError,
    GroupError,
    HyperparameterError,
    ImplementationError,
    OptkitError,
    ParametersError,
    PluginError,
    PluginWarning,
    RegistrationError,
    ShapeError,
    UnavailableError,
    UnknownAlgorithmError,
    UnknownHyperparameterError,
    UnusedGroupKeyWarning,
)
from optkit_core.native.elements import Elements
from optkit_core.native.libraries import compiled_library
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups.groups import refuse_overlap
from optkit_core.plugins.entry_points import register_plugin, unregister_plugin
from optkit_core.plugins.hookspecs import hookimpl
from optkit_core.plugins.torch_optimizers import watch
from optkit_core.protocols import OptimizerProtocol
from optkit_core.selection.requests import use
from optkit_core.selection.selector import Choice, Offer
from optkit_core.step.buckets import Kind, kind_of

__all__ = [
    "AmbiguousAlgorithmError",
    "Buffer",
    "CheckpointError",
    "CheckpointFileError",
    "Choice",
    "ConfigError",
    "CopyWarning",
    "DeclarationError",
    "Elements",
    "Elementwise",
    "GradientError",
    "GroupError",
    "HyperparameterError",
    "ImplementationError",
    "Kind",
    "Offer",
    "Optimizer",
    "OptimizerProtocol",
    "OptkitError",
    "ParametersError",
    "PluginError",
    "PluginWarning",
    "Range",
    "RegistrationError",
    "ShapeError",
    "UnavailableError",
    "UnknownAlgorithmError",
    "UnknownHyperparameterError",
    "UnusedGroupKeyWarning",
    "at_least",
    "available",
    "boolean",
    "compiled_library",
    "create",
    "describe",
    "each",
    "get",
    "hookimpl",
    "hyperparameter",
    "importer",
    "joint_dtype",
    "kind_of",
    "load",
    "migration",
    "one_of",
    "option",
    "refuse_overlap",
    "register",
    "register_plugin",
    "save",
    "unregister",
    "unregister_plugin",
    "use",
    "watch",
    "whole",
    "within",
]
