"""What a user calls by an algorithm's name: create, get, available, describe, register."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

import torch
from torch.optim.optimizer import ParamsT

from optkit_core.composition import group_algorithms
from optkit_core.composition.composite_optimizer import CompositeOptimizer
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import parameters
from optkit_core.plugins import entry_points, torch_optimizers
from optkit_core.plugins.registry import AlgorithmEntry, check_name, normalized, registry

if TYPE_CHECKING:
    from optkit_core.plugins.description import Description

Class = TypeVar("Class", bound=type[torch.optim.Optimizer])
Result = TypeVar("Result")


def _name_by_keyword(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let the one positional argument be the second where the keyword ``name`` has the first."""

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Result:
        # Python would bind the one argument to `name`, and complain that it came twice.
        if len(arguments) == 1 and "name" in keywords:
            arguments = (keywords.pop("name"), *arguments)
        return function(*arguments, **keywords)

    return call


@overload
def create(
    name: str,
    params: ParamsT,
    *,
    implementation: str | Mapping[str, str] | None = None,
    **hyperparameters: Any,
) -> torch.optim.Optimizer: ...


@overload
def create(
    params: ParamsT,
    *,
    name: str,
    implementation: str | Mapping[str, str] | None = None,
    **hyperparameters: Any,
) -> torch.optim.Optimizer: ...


@_name_by_keyword
def create(
    name: str,
    params: ParamsT,
    *,
    implementation: str | Mapping[str, str] | None = None,
    **hyperparameters: Any,
) -> torch.optim.Optimizer:
    """Return a new optimizer of the algorithm called `name`.

    Where `name` is given by keyword, as configurations and ``functools.partial`` do, `params`
    may be the only positional argument.

    Args:
        name: without regard to case, ``-`` and ``_``; ``"distribution:name"`` where several
            distributions claim it.
        params: ``model.named_parameters()``, ``model.parameters()``, or group dicts. Where groups
            name algorithms of their own under ``"algorithm"``, the result is a
            `CompositeOptimizer` of all of them.
        implementation: ``"auto"``, ``"forloop"``, ``"foreach"``, ``"fused"``, or a mapping such as
            ``{"cpu": "foreach", "cuda": "fused"}``; None asks `use`, the environment and the
            configuration file.
        **hyperparameters: the algorithm's own; ``optkit.describe(name)`` lists them.

    Returns:
        A ``torch.optim.Optimizer``.

    Raises:
        UnknownAlgorithmError: no algorithm is called that.
        AmbiguousAlgorithmError: several distributions claim the name.
        HyperparameterError: a value is out of its range, or a name isn't declared.
        ImplementationError: the implementation asked for can't run here.

    >>> import torch, optkit
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = optkit.create("adamax", model.named_parameters(), lr=2e-3)
    >>> optimizer.param_groups[0]["param_names"]
    ['weight', 'bias']
    >>> make = functools.partial(optkit.create, name="adamax", lr=0.5)
    >>> make(model.parameters()).defaults["lr"]
    0.5
    """
    algorithm, params = get(name), parameters.as_listed(params)
    if group_algorithms.are_several(algorithm, params):
        return CompositeOptimizer(params, name, implementation=implementation, **hyperparameters)
    if issubclass(algorithm, Optimizer):
        return algorithm(params, implementation=implementation, **hyperparameters)
    return torch_optimizers.create(algorithm, params, implementation, hyperparameters)


def get(name: str) -> type[Any]:
    """Return the class of the algorithm called `name`, imported on first use.

    Args:
        name: as for `create`.

    Returns:
        A subclass of ``torch.optim.Optimizer``, to be called as torch's own.

    Raises:
        UnknownAlgorithmError: no algorithm is called that.
        PluginError: its distribution is broken.

    >>> import optkit
    >>> optkit.get("Ada-Max").__name__
    'Adamax'
    """
    return registry.algorithm(entry_points.find(name))


def available(pattern: str = "*", *, exclude: str | Iterable[str] = ()) -> list[str]:
    """Return the names of all algorithms that fit, importing none of them.

    Args:
        pattern: a shell pattern, ``"ada*"`` for example; case, ``-`` and ``_`` don't matter.
        exclude: one or more patterns of names to leave out.

    Returns:
        Sorted names; as ``"distribution:name"`` where several distributions claim one. Names
        that whole plugins register appear once those plugins are loaded.

    >>> import optkit
    >>> optkit.available("adam*")
    ['adam', 'adamax', 'adamw']
    >>> optkit.available("adam*", exclude=["*w", "adam"])
    ['adamax']
    """
    unwanted = [exclude] if isinstance(exclude, str) else list(exclude)
    entries = list(registry.entries())
    keys = [normalized(entry.name) for entry in entries]
    return sorted(
        entry.qualified if keys.count(normalized(entry.name)) > 1 else entry.name
        for entry in entries
        if _fits(entry, pattern) and not any(_fits(entry, item) for item in unwanted)
    )


def describe(name: str) -> Description:
    """Return what is known about the algorithm called `name`.

    Args:
        name: as for `create`.

    Returns:
        Summary, paper, hyperparameters with types, ranges and defaults, buffers,
        implementations, and the distribution that provides it; prints as text.

    Raises:
        UnknownAlgorithmError: no algorithm is called that.

    >>> import optkit
    >>> [h.name for h in optkit.describe("adamax").hyperparameters]
    ['lr', 'betas', 'eps', 'weight_decay']
    """
    # Imported when somebody asks: schemas of saved state come along.
    from optkit_core.plugins.description import describe as describe_entry

    entry = entry_points.find(name)
    return describe_entry(entry, registry.algorithm(entry))


@overload
def register(
    name: str, algorithm: None = None, *, replace: bool = False
) -> Callable[[Class], Class]: ...


@overload
def register(name: str, algorithm: Class, *, replace: bool = False) -> Class: ...


def register(name: str, algorithm: Any = None, *, replace: bool = False) -> Any:
    """Add an algorithm at run time; also as a decorator, ``@optkit.register("lion")``.

    Args:
        name: the name to create it by.
        algorithm: an `Optimizer` or any other subclass of ``torch.optim.Optimizer``.
        replace: whether the name may be taken already.

    Returns:
        The class, or the decorator where no class is given.

    Raises:
        RegistrationError: the name is taken, or `algorithm` isn't an optimizer class.

    >>> import torch, optkit
    >>> optkit.register("torch-sgd", torch.optim.SGD) is torch.optim.SGD
    True
    >>> optkit.create("torch_sgd", [torch.zeros(1)], lr=0.1).defaults["lr"]
    0.1
    >>> optkit.unregister("torch-sgd")
    """
    # Not left to the registry, so that a wrong name fails in the decorator's own line.
    check_name(name)
    if algorithm is None:
        return lambda decorated: register(name, decorated, replace=replace)
    registry.add(name, algorithm, provider="run time", replace=replace)
    return algorithm


def unregister(name: str) -> None:
    """Take back what `register` added; an algorithm that it replaced shows again.

    Raises:
        RegistrationError: `name` wasn't registered at run time.
    """
    registry.remove(name)


def _fits(entry: AlgorithmEntry, pattern: str) -> bool:
    # A hyphen in brackets is a range of letters, and no hyphen of a name.
    spelled = str.lower if "[" in pattern else normalized
    names = (spelled(entry.name), spelled(entry.qualified))
    # Not fnmatch(), which changes / to \ on Windows.
    return any(fnmatch.fnmatchcase(name, spelled(pattern)) for name in names)
