"""The class that reads declarations: what a subclass says in its body becomes checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, dataclass_transform

from torch.optim import Optimizer as TorchOptimizer

from optkit_core.declaration import arguments, buffers, estimates, fields
from optkit_core.declaration.buffer_kinds.kind import is_number
from optkit_core.declaration.buffers import COUNTER, STEP, Buffer
from optkit_core.declaration.checked_class import CheckedClass
from optkit_core.declaration.fields import Declaration, hyperparameter, option
from optkit_core.declaration.roles import OPTIONS, VALUES, Role
from optkit_core.errors import DeclarationError, did_you_mean


@dataclass_transform(field_specifiers=(hyperparameter, option, estimates.estimate))
class Declared:
    """Turns the declarations in a class body into checked classes and a signature."""

    own_declarations: ClassVar[Mapping[str, Declaration]] = {}
    declarations: ClassVar[Mapping[str, Declaration]] = {}
    options_by_position: ClassVar[Sequence[str] | None] = None
    """Options that the constructor takes by position after the hyperparameters, in this order.

    None: those that are declared so. torch's classes differ in it.
    """
    Hyperparameters: ClassVar[Any]
    checks: ClassVar[tuple[tuple[str, Any, Callable[[Any], Any]], ...]] = ()
    known_annotations: ClassVar[set[str]] = set()
    buffers: ClassVar[Mapping[str, Buffer]] = {}
    state_buffers: ClassVar[Mapping[str, Buffer]] = {}
    counts_steps: ClassVar[bool] = False
    has_conditions: ClassVar[bool] = False
    is_joint: ClassVar[bool] = False
    has_body: ClassVar[bool] = False
    hyperparameter_names: ClassVar[tuple[str, ...]] = ()
    estimate_names: ClassVar[tuple[str, ...]] = ()
    value_names: ClassVar[tuple[str, ...]] = ()
    option_names: ClassVar[tuple[str, ...]] = ()
    step_options: ClassVar[tuple[str, ...]] = ()
    default_values: ClassVar[Mapping[str, Any]] = {}
    positional: ClassVar[tuple[str, ...]] = ()
    schema_name: ClassVar[str] = "optimizer"
    schema_version: ClassVar[int] = 1
    later_in_torch: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        """Return what is wrong with values that don't go together, or an empty string.

        A subclass may know more. It is asked wherever values are checked: at construction, for
        each group, when a group's values change, and before a checkpoint's are taken.

        Args:
            values: each hyperparameter and option by its name; each is allowed by itself.
        """
        return ""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read what the class body declares."""
        super().__init_subclass__(**keywords)
        cls.own_declarations = fields.take(cls)
        declared = fields.collect(cls)
        if cls.options_by_position is not None:
            declared = arguments.placed(declared, cls.options_by_position)
        cls.declarations = dict(arguments.in_order(declared))
        cls.buffers = buffers.collect(cls)
        cls.state_buffers = {**({STEP: COUNTER} if cls.counts_steps else {}), **cls.buffers}
        cls.has_conditions = any(item.when is not None for item in cls.buffers.values())
        cls.is_joint = any(item.rules.is_joint for item in cls.buffers.values())
        _check(cls)
        cls.Hyperparameters = CheckedClass()
        # Bound once: every group is checked again whenever its values may have changed.
        cls.checks = tuple(
            (name, item.default, partial(item.check, name))
            for name, item in cls.declarations.items()
        )
        # A set of its own: what its base has warned of, a subclass warns of again.
        cls.known_annotations = set()
        cls.hyperparameter_names = arguments.names(cls.declarations, Role.HYPERPARAMETER)
        cls.estimate_names = arguments.names(cls.declarations, Role.ESTIMATE)
        cls.value_names = arguments.names(cls.declarations, *VALUES)
        cls.option_names = arguments.names(cls.declarations, *OPTIONS)
        cls.step_options = arguments.names(cls.declarations, Role.STEP)
        cls.default_values = {name: item.default for name, item in cls.declarations.items()}
        cls.default_values |= estimates.starts(cls.declarations, cls.default_values)
        cls.positional = arguments.positional(cls.declarations)
        # A subclass that declares nothing of its own loads its base's checkpoints.
        if "schema_name" not in vars(cls) and _is_algorithm(cls):
            cls.schema_name = cls.__name__.lower()


def _is_algorithm(cls: type[Declared]) -> bool:
    """Whether the class says what is computed; one that only adds methods is its base's."""
    body = vars(cls).values()
    return bool(cls.own_declarations) or any(isinstance(value, Buffer) for value in body)


def _check(cls: type[Declared]) -> None:
    """Raise for a class body that can't mean what it says."""
    for name, item in cls.own_declarations.items():
        complaint = item.complaint(name)
        if name == "params" or complaint:
            reason = complaint or "params is the name of what is optimized."
            raise DeclarationError(f"{cls.__name__} can't declare {name}: {reason}")
    estimates.require_starts(cls.__name__, cls.declarations)
    for name, buffer in cls.buffers.items():
        complaint = _buffer_complaint(cls, name, buffer)
        if complaint:
            raise DeclarationError(f"{cls.__name__} can't have the buffer {name!r}: {complaint}")
    for name, value in vars(cls).items():
        if name in {**cls.declarations, **cls.buffers} and not isinstance(value, Buffer):
            maker = "Buffer" if name in cls.buffers else cls.declarations[name].maker
            raise DeclarationError(
                f"{cls.__name__} sets {name} = {value!r:.40}, but its base class declares "
                f"{name}; declare it anew with {maker}(...)."
            )
    # Interpreters call the body without an optimizer: there is no `self` to hand over.
    if "update" in vars(cls) and not isinstance(
        inspect.getattr_static(cls, "update"), staticmethod
    ):
        raise DeclarationError(f"{cls.__name__}.update must be a static method: @staticmethod.")


def _buffer_complaint(cls: type[Declared], name: str, buffer: Buffer) -> str:
    """Return what is wrong with a buffer in this class, or ``""``."""
    # A class attribute of that name would hide torch's, `state` or `defaults` for example.
    if name == STEP or hasattr(TorchOptimizer, name):
        return "every optimizer has that attribute."
    if name == "is_new":
        return "s.is_new tells an update body that a step is the state's first."
    if buffer.is_set_by_body and not cls.has_body:
        return "init=None leaves it to an update body, and there is none."
    for keyword, named in (("init", buffer.init), ("when", buffer.when)):
        if isinstance(named, str) and named not in cls.declarations:
            known = ", ".join(cls.declarations)
            close = did_you_mean(named, cls.declarations)
            return f"{keyword}={named!r} isn't a hyperparameter.{close} There are {known}."
    # The default stands for all values: a range that lets None or text pass can't be a start.
    start = cls.declarations[buffer.init].default if isinstance(buffer.init, str) else 0
    if not is_number(start):
        return f"init={buffer.init!r} is a hyperparameter whose default, {start!r}, is no number."
    if buffer.since > cls.schema_version:
        return f"since={buffer.since} is later than schema_version = {cls.schema_version}."
    if cls.has_body and (buffer.optional or not buffer.is_tensor):
        what = "optional" if buffer.optional else buffer.kind
        return (
            f"an update body computes with tensors that are always there, and it is {what}. "
            "State of a shape of its own is Buffer(shape=lambda p: ...)."
        )
    return ""
