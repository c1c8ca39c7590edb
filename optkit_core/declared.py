"""The class that reads declarations: what a subclass says in its body becomes checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, dataclass_transform

from torch.optim import Optimizer as TorchOptimizer

from optkit_core import buffers, declaration
from optkit_core.buffers import COUNTER, JOINT, STEP, Buffer
from optkit_core.declaration import Declaration, hyperparameter, option
from optkit_core.errors import DeclarationError


@dataclass_transform(field_specifiers=(hyperparameter, option))
class Declared:
    """Turns the declarations in a class body into checked classes and a signature."""

    own_declarations: ClassVar[Mapping[str, Declaration]] = {}
    declarations: ClassVar[Mapping[str, Declaration]] = {}
    Hyperparameters: ClassVar[Any]
    checks: ClassVar[tuple[tuple[str, Any, Callable[[Any], Any]], ...]] = ()
    known_annotations: ClassVar[set[str]] = set()
    buffers: ClassVar[Mapping[str, Buffer]] = {}
    state_buffers: ClassVar[Mapping[str, Buffer]] = {}
    counts_steps: ClassVar[bool] = False
    is_joint: ClassVar[bool] = False
    hyperparameter_names: ClassVar[tuple[str, ...]] = ()
    option_names: ClassVar[tuple[str, ...]] = ()
    default_values: ClassVar[Mapping[str, Any]] = {}
    positional: ClassVar[tuple[str, ...]] = ()
    schema_name: ClassVar[str] = "optimizer"
    schema_version: ClassVar[int] = 1

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read what the class body declares."""
        super().__init_subclass__(**keywords)
        cls.own_declarations = declaration.take(cls)
        cls.declarations = dict(declaration.in_order(declaration.collect(cls)))
        cls.buffers = buffers.collect(cls)
        cls.state_buffers = {**({STEP: COUNTER} if cls.counts_steps else {}), **cls.buffers}
        cls.is_joint = any(item.kind == JOINT for item in cls.buffers.values())
        _check(cls)
        cls.Hyperparameters = declaration.CheckedClass()
        cls.checks = tuple(
            (name, item.default, partial(item.check, name))
            for name, item in cls.declarations.items()
        )
        cls.known_annotations = set()
        cls.hyperparameter_names = tuple(
            name for name, item in cls.declarations.items() if not item.is_option
        )
        cls.option_names = tuple(name for name, item in cls.declarations.items() if item.is_option)
        cls.default_values = {name: item.default for name, item in cls.declarations.items()}
        cls.positional = declaration.positional(cls.declarations)
        if "schema_name" not in vars(cls) and _is_algorithm(cls):
            cls.schema_name = cls.__name__.lower()


def _is_algorithm(cls: type[Declared]) -> bool:
    """Whether the class says what is computed; one that only adds methods is its base's."""
    body = vars(cls).values()
    return bool(cls.own_declarations) or any(isinstance(value, Buffer) for value in body)


def _check(cls: type[Declared]) -> None:
    """Raise for a class body that can't mean what it says."""
    for name, item in cls.own_declarations.items():
        complaint = item.range.complaint(name, item.default)
        if name == "params" or complaint:
            reason = complaint or "params is the name of what is optimized."
            raise DeclarationError(f"{cls.__name__} can't declare {name}: {reason}")
    for name, value in vars(cls).items():
        if isinstance(value, Buffer):
            _check_buffer(cls, name, value)
        elif name in cls.declarations or name in cls.buffers:
            maker = "hyperparameter" if name in cls.declarations else "Buffer"
            raise DeclarationError(
                f"{cls.__name__} sets {name} = {value!r:.40}, but its base class declares "
                f"{name}; declare it anew with {maker}(...)."
            )
    if "update" in vars(cls) and not isinstance(
        inspect.getattr_static(cls, "update"), staticmethod
    ):
        raise DeclarationError(f"{cls.__name__}.update must be a static method: @staticmethod.")


def _check_buffer(cls: type[Declared], name: str, buffer: Buffer) -> None:
    if name == STEP or hasattr(TorchOptimizer, name):
        raise DeclarationError(
            f"{cls.__name__} can't have a buffer {name!r}: every optimizer has that attribute."
        )
    if isinstance(buffer.init, str) and buffer.init not in cls.declarations:
        known = ", ".join(cls.declarations)
        raise DeclarationError(
            f"buffer {name!r} of {cls.__name__} starts from {buffer.init!r}, which isn't a "
            f"hyperparameter; there are {known}."
        )
