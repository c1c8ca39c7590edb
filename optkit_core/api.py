"""What a user calls by an algorithm's name: create, get, available, describe, register."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import torch
from torch.optim.optimizer import ParamsT

from optkit_core.composition import group_algorithms
from optkit_core.composition.composite_optimizer import CompositeOptimizer
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import parameters
from optkit_core.plugins import entry_points, torch_optimizers
from optkit_core.plugins.kinds import DEFAULT, normalized
from optkit_core.plugins.name_by_keyword import name_by_keyword
from optkit_core.plugins.registry import RegistryEntry, check_name, registry_of

if TYPE_CHECKING:
    from optkit_core.factories.factory_description import FactoryDescription
    from optkit_core.plugins.description import Description

Factory = TypeVar("Factory", bound=Callable[..., Any])


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


@name_by_keyword
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
            distributions claim it. Names of optkit's own algorithms stay theirs.
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

    >>> import functools, torch, optkit
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
    factory: type[Any] = entry_points.load(name)
    return factory


def available(
    pattern: str = "*", *, exclude: str | Iterable[str] = (), kind: str = DEFAULT
) -> list[str]:
    """Return the names of all algorithms that fit, importing none of them.

    Args:
        pattern: a shell pattern, ``"ada*"`` for example; case, ``-`` and ``_`` don't matter.
        exclude: one or more patterns of names to leave out.
        kind: what is listed: ``"algorithm"`` (default), ``"schedule"`` or ``"averaging"``.

    Returns:
        Sorted names; as ``"distribution:name"`` where several distributions claim one, but for
        optkit's own. Names that whole plugins register appear once those plugins are loaded.

    Raises:
        ArgumentError: there is no such kind.

    >>> import optkit
    >>> optkit.available("adam*")
    ['adam', 'adamax', 'adamw']
    >>> optkit.available("adam*", exclude=["*w", "adam"])
    ['adamax']
    >>> optkit.available("c*", kind="schedule")
    ['chained', 'constant', 'cosine_annealing', 'cosine_annealing_warm_restarts', 'cyclic']
    """
    unwanted = [exclude] if isinstance(exclude, str) else list(exclude)
    entries = list(registry_of(kind).entries())
    keys = [normalized(entry.name) for entry in entries]
    return sorted(
        entry.name if entry.is_own or keys.count(normalized(entry.name)) == 1 else entry.qualified
        for entry in entries
        if _fits(entry, pattern) and not any(_fits(entry, item) for item in unwanted)
    )


@overload
def describe(name: str, *, kind: Literal["algorithm"] = "algorithm") -> Description: ...


@overload
def describe(name: str, *, kind: Literal["schedule", "averaging"]) -> FactoryDescription: ...


@overload
def describe(name: str, *, kind: str) -> Description | FactoryDescription: ...


def describe(name: str, *, kind: str = DEFAULT) -> Description | FactoryDescription:
    """Return what is known about the algorithm called `name`, or the schedule or averaging.

    Args:
        name: as for `create`.
        kind: what it is the name of: ``"algorithm"`` (default), ``"schedule"`` or ``"averaging"``.

    Returns:
        Of an algorithm, summary, paper, hyperparameters with types, ranges and defaults, buffers,
        implementations, and the distribution that provides it; of a schedule or an averaging,
        its arguments in place of these. Prints as text.

    Raises:
        UnknownNameError: nothing of the kind is called that.
        ArgumentError: there is no such kind.

    >>> import optkit
    >>> [h.name for h in optkit.describe("adamax").hyperparameters]
    ['lr', 'betas', 'eps', 'weight_decay']
    >>> [a.name for a in optkit.describe("exponential", kind="schedule").arguments]
    ['gamma', 'last_epoch', 'warmup', 'warmup_start']
    """
    entry = entry_points.find(name, kind)
    factory = registry_of(kind).load(entry)
    # Imported when somebody asks: schemas of saved state come along.
    if kind == DEFAULT:
        from optkit_core.plugins.description import describe as describe_entry

        return describe_entry(entry, factory)
    from optkit_core.factories.factory_description import describe_factory

    return describe_factory(entry, kind, factory)


@overload
def register(
    name: str, factory: None = None, *, kind: str = DEFAULT, replace: bool = False
) -> Callable[[Factory], Factory]: ...


@overload
def register(
    name: str, factory: Factory, *, kind: str = DEFAULT, replace: bool = False
) -> Factory: ...


def register(name: str, factory: Any = None, *, kind: str = DEFAULT, replace: bool = False) -> Any:
    """Add an algorithm at run time; also as a decorator, ``@optkit.register("lion")``.

    Args:
        name: the name to create it by.
        factory: an `Optimizer` or any other subclass of ``torch.optim.Optimizer``; for a schedule
            a class or function that takes an optimizer, for an averaging one that takes a model.
        kind: what it is: ``"algorithm"`` (default), ``"schedule"`` or ``"averaging"``.
        replace: whether the name may be taken already.

    Returns:
        The class or function, or the decorator where none is given.

    Raises:
        RegistrationError: the name is taken, or `factory` isn't what the kind allows.
        ArgumentError: there is no such kind.

    >>> import torch, optkit
    >>> optkit.register("torch-sgd", torch.optim.SGD) is torch.optim.SGD
    True
    >>> optkit.create("torch_sgd", [torch.zeros(1)], lr=0.1).defaults["lr"]
    0.1
    >>> optkit.unregister("torch-sgd")
    """
    registry = registry_of(kind)
    # Not left to the registry, so that a wrong name fails in the decorator's own line.
    check_name(name, registry.kind)
    if factory is None:
        return lambda decorated: register(name, decorated, kind=kind, replace=replace)
    registry.add(name, factory, provider="run time", replace=replace)
    return factory


def unregister(name: str, *, kind: str = DEFAULT) -> None:
    """Take back what `register` added; one that it replaced shows again.

    Args:
        name: under which it was registered.
        kind: what it is: ``"algorithm"`` (default), ``"schedule"`` or ``"averaging"``.

    Raises:
        RegistrationError: `name` wasn't registered at run time.
        ArgumentError: there is no such kind.
    """
    registry_of(kind).remove(name)


def _fits(entry: RegistryEntry, pattern: str) -> bool:
    # A hyphen in brackets is a range of letters, and no hyphen of a name.
    spelled = str.lower if "[" in pattern else normalized
    names = (entry.name, entry.qualified)
    # Not fnmatch(), which changes / to \ on Windows.
    return any(fnmatch.fnmatchcase(spelled(name), spelled(pattern)) for name in names)
