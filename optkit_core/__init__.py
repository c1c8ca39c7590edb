"""The framework under optkit: what plugin authors import, and all of it is here."""

import sys
from typing import Any

from optkit_core import scalar_math
from optkit_core.api import (
    available,
    create,
    describe,
    get,
    register,
    unregister,
)
from optkit_core.averaging import create_averaging, update_bn
from optkit_core.checkpoint.conversion_registry import importer, migration
from optkit_core.composition.composite_optimizer import CompositeOptimizer
from optkit_core.config_file.from_config import from_config
from optkit_core.config_file.training_setup import TrainingSetup
from optkit_core.declaration.buffer_kinds.joint_kind import joint_dtype
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.collection_ranges import function, per_group, rising
from optkit_core.declaration.estimates import estimate
from optkit_core.declaration.fields import hyperparameter, option
from optkit_core.declaration.ranges import (
    Range,
    at_least,
    boolean,
    each,
    one_of,
    tuple_of,
    whole,
    within,
)
from optkit_core.declaration.search_spaces import choice, loguniform, uniform
from optkit_core.declaration.totals import Total
from optkit_core.deprecation import FORMER_NAMES, warn_of_former_name
from optkit_core.elementwise import Elementwise
from optkit_core.errors import (
    AmbiguousAlgorithmError,
    AmbiguousNameError,
    ArgumentError,
    CheckpointError,
    CheckpointFileError,
    ConfigError,
    ConfigFault,
    ConfigFileError,
    CopyWarning,
    DeclarationError,
    GradientError,
    GroupError,
    HyperparameterError,
    ImplementationError,
    ModeError,
    OptkitError,
    ParametersError,
    PluginError,
    PluginWarning,
    RegistrationError,
    RuleError,
    ShapeError,
    UnavailableError,
    UnknownAlgorithmError,
    UnknownAveragingError,
    UnknownHyperparameterError,
    UnknownNameError,
    UnknownScheduleError,
    UnusedGroupKeyWarning,
)
from optkit_core.group_rules.build_groups import groups
from optkit_core.layerwise import Layerwise
from optkit_core.matrix_products import addmm, symmetric_matmul
from optkit_core.matrixwise import Matrixwise
from optkit_core.modes import WithModes
from optkit_core.native.elements import Elements
from optkit_core.native.libraries import compiled_library
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups.groups import require_no_overlap
from optkit_core.plugins.entry_points import register_plugin, unregister_plugin
from optkit_core.plugins.hookspecs import hookimpl
from optkit_core.plugins.torch_optimizers import watch
from optkit_core.protocols import OptimizerProtocol
from optkit_core.save_and_load import load, save
from optkit_core.schedules.create_schedule import create_schedule
from optkit_core.schedules.schedule_list import schedule_list
from optkit_core.selection import requests as _requests
from optkit_core.selection.offer import Offer
from optkit_core.selection.requests import use
from optkit_core.selection.select_implementation import Choice
from optkit_core.shards.local_part import LocalPart
from optkit_core.shards.placements import has_plain_part, is_flattened
from optkit_core.step.bucket_key import BucketKey, bucket_key_of
from optkit_core.with_totals import WithTotals

__all__ = [
    "AmbiguousAlgorithmError",
    "AmbiguousNameError",
    "ArgumentError",
    "BucketKey",
    "Buffer",
    "CheckpointError",
    "CheckpointFileError",
    "Choice",
    "CompositeOptimizer",
    "ConfigError",
    "ConfigFault",
    "ConfigFileError",
    "CopyWarning",
    "DeclarationError",
    "Elements",
    "Elementwise",
    "GradientError",
    "GroupError",
    "HyperparameterError",
    "ImplementationError",
    "Layerwise",
    "LocalPart",
    "Matrixwise",
    "ModeError",
    "Offer",
    "Optimizer",
    "OptimizerProtocol",
    "OptkitError",
    "ParametersError",
    "PluginError",
    "PluginWarning",
    "Range",
    "RegistrationError",
    "RuleError",
    "ShapeError",
    "Total",
    "TrainingSetup",
    "UnavailableError",
    "UnknownAlgorithmError",
    "UnknownAveragingError",
    "UnknownHyperparameterError",
    "UnknownNameError",
    "UnknownScheduleError",
    "UnusedGroupKeyWarning",
    "WithModes",
    "WithTotals",
    "addmm",
    "at_least",
    "available",
    "boolean",
    "bucket_key_of",
    "choice",
    "compiled_library",
    "create",
    "create_averaging",
    "create_schedule",
    "describe",
    "each",
    "estimate",
    "from_config",
    "function",
    "get",
    "groups",
    "has_plain_part",
    "hookimpl",
    "hyperparameter",
    "importer",
    "is_flattened",
    "joint_dtype",
    "load",
    "loguniform",
    "migration",
    "one_of",
    "option",
    "per_group",
    "register",
    "register_plugin",
    "require_no_overlap",
    "rising",
    "save",
    "scalar_math",
    "schedule_list",
    "symmetric_matmul",
    "tuple_of",
    "uniform",
    "unregister",
    "unregister_plugin",
    "update_bn",
    "use",
    "watch",
    "whole",
    "within",
]

RENAMED = {
    name.partition(".")[2]: former.present
    for name, former in FORMER_NAMES.items()
    if name.startswith(f"{__name__}.")
}
"""What names of before are called now."""

# Pickles that were written before modules moved name this one by its place of then.
sys.modules[f"{__name__}.config"] = _requests


def __getattr__(name: str) -> Any:
    """Return what a name of before stands for, with a warning."""
    if name not in RENAMED:
        raise AttributeError(f"module 'optkit_core' has no attribute {name!r}")
    warn_of_former_name(f"{__name__}.{name}")
    return globals()[RENAMED[name]]
