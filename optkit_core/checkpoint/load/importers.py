"""States that don't say which algorithm saved them: torch's, and those of other programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from optkit_core.checkpoint.conversion_registry import importers
from optkit_core.checkpoint.load import parsing
from optkit_core.checkpoint.migrations import call_converter
from optkit_core.checkpoint.schema import TAG, Schema, schema_of
from optkit_core.declaration.base import Declared
from optkit_core.declaration.roles import ANNOTATIONS
from optkit_core.errors import CheckpointError
from optkit_core.param_groups.group_keys import torchs_arguments

TORCHS_KEYS = {"amsgrad", "foreach", "momentum_decay"}
"""Of a group that lacks something one must be there: many programs save ``betas`` and ``eps``."""


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
    if (schema, source) not in importers:
        known = ", ".join(sorted(s for name, s in importers if name == schema)) or "none"
        raise CheckpointError(f"no importer of {schema} from {source!r}; there are {known}.")
    result = _converted(schema, source, state_dict)
    if result is None:
        raise CheckpointError(f"this isn't state of {schema} as {source} saves it.")
    return dict(result)


def recognized(
    algorithm: type[Declared], state_dict: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return a state that doesn't say what it is as one of the algorithm, and where it is from.

    Args:
        algorithm: an optkit optimizer class.
        state_dict: a state whose groups carry no schema.

    Raises:
        CheckpointError: nobody knows it, or several do.
    """
    schema = schema_of(algorithm)
    release, completed = _completed(algorithm.later_in_torch, state_dict)
    candidates = {release: completed} if _is_torchs(schema, completed) else {}
    for name, source in list(importers):
        if name == schema.name:
            result = _converted(name, source, state_dict)
            candidates |= {} if result is None else {source: result}
    if not candidates:
        raise CheckpointError(_unknown(schema, state_dict))
    # No order among importers: a guess between two programs could load the wrong numbers.
    if len(candidates) > 1:
        raise CheckpointError(_ambiguous(schema, candidates))
    source, result = candidates.popitem()
    return result, [f"from {source}"] if source else []


def _converted(schema: str, source: str, state_dict: dict[str, Any]) -> Any:
    function = importers[schema, source]
    copy = parsing.copy_containers(state_dict)
    return call_converter(function, copy, f"the importer from {source}")


def _completed(later: Mapping[str, Any], state_dict: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a state with hyperparameters that torch's class hadn't when it was saved.

    Args:
        later: these hyperparameters, each with the value that says what was done without it.
        state_dict: as it was given; it isn't changed.

    Returns:
        Which release of torch's it is, ``""`` where nothing lacks, and the state.
    """
    groups = state_dict["param_groups"]
    lacking = [name for name in later if not any(name in group for group in groups)]
    if not lacking or not all(TORCHS_KEYS & group.keys() for group in groups):
        return "", state_dict
    known = {name: later[name] for name in lacking}
    completed = {**state_dict, "param_groups": [known | group for group in groups]}
    return f"torch before {' and '.join(lacking)}", completed


def _is_torchs(schema: Schema, state_dict: dict[str, Any]) -> bool:
    """Whether the keys are those that torch's class of the same name saves, or did once."""
    for group in state_dict["param_groups"]:
        keys = group.keys()
        if not set(schema.hyperparameters) <= keys or _others_keys(schema, keys):
            return False
    return all(
        schema.required <= state.keys() <= schema.buffers.keys()
        for state in filter(None, state_dict["state"].values())
    )


def _others_keys(schema: Schema, keys: Collection[str]) -> set[str]:
    """Return the group keys of another optimizer of torch's that has the same hyperparameters.

    The keys of other ones, ``rho`` beside ``betas`` for example, are a wrapper's.
    """
    undeclared = set(keys) - {*schema.hyperparameters, *schema.options, *ANNOTATIONS}
    takers = torchs_arguments()
    everyone = set().union(*takers.values())
    alike = everyone.intersection(*(takers.get(name, ()) for name in schema.hyperparameters))
    return {key for key in undeclared if not alike.isdisjoint(takers.get(key, ()))}


def _unknown(schema: Schema, state_dict: dict[str, Any]) -> str:
    group_keys = set().union(*state_dict["param_groups"]) - ANNOTATIONS
    state_keys = set().union(*state_dict["state"].values())
    lacking = [f"no {name}" for name in schema.hyperparameters if name not in group_keys]
    strange = sorted(state_keys - schema.buffers.keys()) + sorted(_others_keys(schema, group_keys))
    whose = [set(torchs_arguments()[key]) for key in group_keys & torchs_arguments().keys()]
    guess = " or ".join(sorted(set.intersection(*whose))) if whose else ""
    return (
        f"this state doesn't say what it is, and it isn't certain that it is of {schema.identity}: "
        f"it has {', '.join([*lacking, *strange]) or 'state that is not whole'}. "
        f"{f'Its groups are those of torch.optim.{guess}. ' if guess else ''}"
        f"Give its groups {TAG!r}: {schema.identity!r} if it is, or register an importer."
    )


def _ambiguous(schema: Schema, sources: Collection[str]) -> str:
    names = " or ".join(source or "torch.optim" for source in sources)
    return (
        f"this state doesn't say what it is; it may be of {schema.name} as {names} saves it. "
        f"Say which: load {imported.__module__}.imported({schema.name!r}, ..., state)."
    )
