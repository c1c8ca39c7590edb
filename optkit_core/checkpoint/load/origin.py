"""Origin: where a saved state comes from, and what makes it one of the algorithm's own schema."""

from __future__ import annotations

from typing import Any

from optkit_core.checkpoint.conversions import importers
from optkit_core.checkpoint.load import outer_shape, saved_state
from optkit_core.checkpoint.migrations import converted, migrated
from optkit_core.checkpoint.schema import TAG, Schema, schema_of
from optkit_core.declaration.roles import ANNOTATIONS
from optkit_core.errors import CheckpointError
from optkit_core.param_groups.group_keys import torchs_arguments


def understood(algorithm: Any, state_dict: Any) -> tuple[dict[str, Any], list[str]]:
    """Return a saved state in the present schema of an algorithm.

    Args:
        algorithm: an optkit optimizer class.
        state_dict: as it was given; it isn't changed.

    Returns:
        The state and what was done to it: the one that was given if that is nothing, else a
        copy that shares the tensors.

    Raises:
        CheckpointError: it belongs to another algorithm or to a later version, or what it is
            isn't certain.
    """
    outer_shape.require(state_dict)
    identity = saved_state.identity(state_dict)
    if identity is None:
        return _imported(algorithm, state_dict)
    name, version = identity
    if name != algorithm.schema_name:
        raise CheckpointError(
            f"this state is of {name}/{version}, this optimizer is {algorithm.__name__}, of "
            f"{algorithm.schema_name}/{algorithm.schema_version}. Create the optimizer that saved "
            "it, and load it there."
        )
    if version == algorithm.schema_version:
        return state_dict, []
    return migrated(saved_state.detached(state_dict), algorithm, name, version)


def imported(schema: str, source: str, state_dict: Any) -> dict[str, Any]:
    """Convert a saved state by the importer that is named, certain or not.

    Args:
        schema: the algorithm's name in checkpoints.
        source: the program that saved it, as the importer was registered.
        state_dict: what that program saved; it isn't changed.

    Returns:
        A state for ``load_state_dict``, sharing the tensors.

    Raises:
        CheckpointError: there is no such importer, or it doesn't know the state.

    >>> import torch, optkit
    >>> group = {"lr": 0.01, "eps": 1e-10, "weight_decay": 0.0, "amsgrad": False, "params": [0]}
    >>> state = {0: {"step": 3, "exp_avg_sq": torch.ones(2)}}
    >>> _ = optkit.get("adagrad")
    >>> imported("adagrad", "deepspeed", {"state": state, "param_groups": [group]})["state"]
    {0: {'step': 3, 'sum': tensor([1., 1.])}}
    """
    function = importers.get((schema, source))
    if function is None:
        known = ", ".join(sorted(s for name, s in importers if name == schema)) or "none"
        raise CheckpointError(f"no importer of {schema} from {source!r}; there are {known}.")
    result = converted(function, saved_state.detached(state_dict), f"the importer from {source}")
    if result is None:
        raise CheckpointError(f"this isn't state of {schema} as {source} saves it.")
    return dict(result)


def _imported(algorithm: Any, own: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Find the one way to understand a state that doesn't say what it is."""
    schema = schema_of(algorithm)
    found = {"": own} if _is_torchs(schema, own) else {}
    for (name, source), function in list(importers.items()):
        if name == schema.name:
            what = f"the importer from {source}"
            result = converted(function, saved_state.detached(own), what)
            found |= {} if result is None else {source: result}
    if len(found) == 1:
        source, result = found.popitem()
        return result, [f"from {source}"] if source else []
    raise CheckpointError(_unknown(schema, own) if not found else _ambiguous(schema, list(found)))


def _is_torchs(schema: Schema, own: dict[str, Any]) -> bool:
    """Whether the keys are those that torch's class of the same name saves, or did once."""
    for group in own["param_groups"]:
        keys = group.keys()
        if not set(schema.hyperparameters) <= keys or _foreign(schema, keys):
            return False
    for state in own["state"].values():
        if state and not schema.required <= state.keys() <= schema.buffers.keys():
            return False
    return True


def _foreign(schema: Schema, keys: Any) -> set[str]:
    """Return the group keys of another optimizer of torch's that has the same hyperparameters.

    The keys of other ones, ``rho`` beside ``betas`` for example, are a wrapper's.
    """
    strange = set(keys) - {*schema.hyperparameters, *schema.options, *ANNOTATIONS}
    takers = torchs_arguments()
    everyone = set().union(*takers.values())
    alike = everyone.intersection(*(takers.get(name, ()) for name in schema.hyperparameters))
    return {key for key in strange if not alike.isdisjoint(takers.get(key, ()))}


def _unknown(schema: Schema, own: dict[str, Any]) -> str:
    group_keys = set().union(*own["param_groups"]) - ANNOTATIONS
    state_keys = set().union(*own["state"].values())
    lacking = [f"no {name}" for name in schema.hyperparameters if name not in group_keys]
    strange = sorted(state_keys - schema.buffers.keys()) + sorted(_foreign(schema, group_keys))
    whose = [set(torchs_arguments()[key]) for key in group_keys & torchs_arguments().keys()]
    guess = " or ".join(sorted(set.intersection(*whose))) if whose else ""
    return (
        f"this state doesn't say what it is, and it isn't certain that it is of {schema.identity}: "
        f"it has {', '.join([*lacking, *strange]) or 'state that is not whole'}. "
        f"{f'Its groups are those of torch.optim.{guess}. ' if guess else ''}"
        f"Give its groups {TAG!r}: {schema.identity!r} if it is, or register an importer."
    )


def _ambiguous(schema: Schema, sources: list[str]) -> str:
    names = " or ".join(source or "torch.optim" for source in sources)
    return (
        f"this state doesn't say what it is; it may be of {schema.name} as {names} saves it. "
        f"Say which: load optkit_core.checkpoint.load.origin.imported({schema.name!r}, ..., state)."
    )
