"""What a user calls to average a model's weights: `create_averaging`."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch.optim.swa_utils import AveragedModel, update_bn

from optkit_core.errors import ArgumentError, OptkitError, PluginError
from optkit_core.factories.factory_arguments import arguments_of
from optkit_core.plugins import entry_points
from optkit_core.plugins.name_by_keyword import name_by_keyword

__all__ = ["create_averaging", "update_bn"]


@overload
def create_averaging(name: str, model: torch.nn.Module, **arguments: Any) -> AveragedModel: ...


@overload
def create_averaging(model: torch.nn.Module, *, name: str, **arguments: Any) -> AveragedModel: ...


@name_by_keyword
def create_averaging(name: str, model: torch.nn.Module, **arguments: Any) -> AveragedModel:
    """Return a model whose weights are an average of those that another one has had.

    ``update_parameters(model)`` takes the weights of now in, after each step for example.

    Args:
        name: ``"ema"``, ``"swa"``, or one that a plugin brings; without regard to case, ``-`` and
            ``_``.
        model: what is trained; the average starts as a copy of it.
        **arguments: the averaging's own; ``optkit.describe(name, kind="averaging")`` lists them.

    Returns:
        A ``torch.optim.swa_utils.AveragedModel``.

    Raises:
        UnknownAveragingError: no averaging is called that.
        AmbiguousNameError: several distributions claim the name.
        ArgumentError: an argument is missing, unknown, or of a value that isn't allowed.

    >>> import torch, optkit
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> average = optkit.create_averaging("ema", model, decay=0.75)
    >>> for weight in (1.0, 3.0):
    ...     _ = torch.nn.init.constant_(model.weight, weight)
    ...     average.update_parameters(model)
    >>> average.module.weight.item()
    1.5
    """
    factory = entry_points.load(name, "averaging")
    checked = check_averaging(name, arguments)
    if not isinstance(model, torch.nn.Module):
        raise ArgumentError(
            f"averaging {name!r} needs a torch.nn.Module, got {model!r:.80}.", "model"
        )
    try:
        average: AveragedModel = factory(model, **checked)
    except OptkitError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"averaging {name!r} can't be made: {type(error).__name__}: {error}"
        ) from error
    if not callable(getattr(average, "update_parameters", None)):
        raise PluginError(
            f"averaging {name!r} has no update_parameters(): {factory!r} returned {average!r:.80}."
        )
    return average


def check_averaging(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an averaging as they are handed on, without making one.

    Args:
        name: of the averaging.
        given: its arguments.

    Raises:
        UnknownAveragingError: no averaging is called that.
        AmbiguousNameError: several distributions claim the name.
        ArgumentError: an argument is missing, unknown, or isn't allowed.
    """
    factory = entry_points.load(name, "averaging")
    return arguments_of(factory).checked(f"averaging {name!r}", given)
