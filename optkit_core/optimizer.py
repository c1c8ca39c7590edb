"""The base class of every optkit optimizer: a ``torch.optim.Optimizer`` that is declared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optkit_core import torch_private
from optkit_core.copying.copyable import Copyable
from optkit_core.declaration.constructor import constructor
from optkit_core.declaration.fields import option
from optkit_core.declaration.ranges import boolean
from optkit_core.lazy_state import State
from optkit_core.param_groups import admissible, groups, parameters
from optkit_core.plugins import entry_points, hook_calls
from optkit_core.selection import requests
from optkit_core.selection.cached_choices import Chooser
from optkit_core.selection.explanation import Explanation, explain
from optkit_core.selection.offer import Offer
from optkit_core.selection.requests import Request
from optkit_core.selection.select_implementation import Choice
from optkit_core.shards.local_parts import LocalParts
from optkit_core.stateful_optimizer import StatefulOptimizer
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.grad_scaler import Scaling
from optkit_core.step.group_values import without_dims
from optkit_core.step.profiling import observed
from optkit_core.step.step_plan import BucketOptimizer


class Optimizer(Copyable, StatefulOptimizer):
    """Base of all optkit optimizers; a plugin derives from it or from `Elementwise`.

    A subclass declares hyperparameters and implements `advance`. The constructor, its
    signature and the checks of every group follow from the declarations.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts with options of their own.
        implementation: ``"auto"``, ``"forloop"``, ``"foreach"``, ``"fused"``, or a mapping of
            these by device type. None (default): what `optkit.use`, the environment or
            the configuration file say.
        eager_state: allocate every buffer at construction, not at a parameter's first step
            (default False).

    Raises:
        HyperparameterError: a value is out of range, or a name isn't declared.
        ParametersError: `params` isn't what can be optimized.
        ImplementationError: an explicitly requested implementation can't run here.

    >>> import torch, optkit
    >>> Adamax = optkit.get("adamax")
    >>> optimizer = Adamax([torch.zeros(3)], lr=0.1)
    >>> isinstance(optimizer, torch.optim.Optimizer)
    True
    """

    paper: ClassVar[str] = ""
    requires_closure: ClassVar[bool] = False
    takes_scaled_gradients: ClassVar[bool] = False
    parameter_dims: ClassVar[Collection[int] | None] = None
    needs_whole_matrices: ClassVar[bool] = False
    restricts_parameters: ClassVar[bool] = False
    has_totals: ClassVar[bool] = False
    tolerances: ClassVar[Mapping[torch.dtype, float]] = {}
    offers: ClassVar[tuple[Offer, ...]] = ()
    parts_class: ClassVar[type[LocalParts]] = LocalParts
    is_member = False  # of a composite optimizer, of which alone plugins are told
    profile_hook_step = staticmethod(observed)  # type: ignore[assignment]  # around `step`
    _is_created = False

    params: ParamsT  # for type checkers: the first argument
    implementation: str | Mapping[str, str] | None = option(
        default=None,
        range=requests.ImplementationRange(),
        doc="which implementation to run",
        kw_only=True,
        role="request",
    )
    eager_state: bool = option(
        default=False,
        range=boolean(),
        doc="allocate the state at construction",
        kw_only=True,
        role="execution",
    )

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Give the class a constructor whose arguments are those that it declares."""
        super().__init_subclass__(**keywords)
        if cls.takes_scaled_gradients:
            torch_private.let_scale_through(cls)
        own = [base for base in cls.__mro__ if "parameter_complaint" in vars(base)]
        cls.restricts_parameters = own[0] is not Optimizer or admissible.is_restricted(cls)
        common = Optimizer.__init__
        # A class that writes out a constructor keeps it; one with a copy of ours gets a new copy.
        if getattr(cls.__init__, "__code__", None) is common.__code__:
            cls.__init__ = constructor(common, cls)  # type: ignore[method-assign]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Check everything that was given, then take the parameters in."""
        self._set_up(*groups.bind(type(self), arguments, keywords))

    def _set_up(self, params: Any, defaults: dict[str, Any]) -> None:
        """Take the parameters in, and let plugins see the optimizer."""
        self.request: Request = requests.resolve(defaults)
        self.scaling = Scaling()
        self.forget_plans()
        checked = parameters.checked(params)
        with groups.restored_on_error(checked if isinstance(checked[0], dict) else ()):
            super().__init__(checked, defaults)
        self.state = State(self, self.state)  # may hold eagerly allocated state by now
        self._is_created = True
        entry_points.load_all()  # those that watch optimizers
        hook_calls.fire("optkit_created", optimizer=self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take further parameters in, with options of their own.

        Args:
            param_group: ``"params"`` and any hyperparameters or options that differ from the
                constructor's.

        Raises:
            HyperparameterError: a key isn't declared, or its value is out of range.
            ImplementationError: the group asks for an implementation that can't run it.
            ParametersError: something in ``"params"`` can't be optimized.
        """
        with groups.undone_on_error(self, param_group):
            groups.complete(type(self), param_group, self.defaults)
            self._take_in(param_group)
            admissible.require_admissible(type(self), self.param_groups, param_group)
            self.check_request(param_group)
            if param_group.get("eager_state"):
                self.init_group_state(param_group)
        if self._is_created:  # torch's constructor adds its groups by this method, too
            hook_calls.fire("optkit_group_added", optimizer=self, group=param_group)

    def _take_in(self, group: dict[str, Any]) -> None:
        entries = group["params"]
        try:
            super().add_param_group(group)
        except (TypeError, ValueError):
            allow_non_leaf = bool(self.defaults.get("differentiable"))
            parameters.raise_for_wrong_entry(entries, allow_non_leaf)
            raise

    @property
    def plan(self) -> tuple[Choice, ...]:
        """What runs the buckets of each key seen so far, with the reasons."""
        return tuple(self.chooser.choices.values())

    def explain(self) -> Explanation:
        """Return what runs each bucket and why, and for every other implementation why not.

        Returns:
            A record; printed, it is a table.

        >>> import torch, optkit
        >>> optimizer = optkit.create("adagrad", [torch.zeros(3)], implementation="forloop")
        >>> print(optimizer.explain())  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
        Adagrad, as the argument implementation= has it
        group  device  dtype    layout   tensors  elements  runs     why
        0      cpu     float32  strided  1        3         forloop  requested by ...
        group 0, cpu float32: not foreach: not requested
        group 0, cpu float32: not fused: not requested
        changes between steps are noticed by ...
        """
        return explain(self)

    def forget_plans(self) -> None:
        """Choose anew in the next step what runs each bucket."""
        self.chooser = Chooser(type(self), self.request)

    def choose(
        self, group: Mapping[str, Any], key: BucketKey, h: SimpleNamespace | None = None
    ) -> Choice:
        """Return what runs the buckets of a key, chosen once while nothing changes.

        Args:
            group: the parameter group, or the first of those that ask for the same.
            key: what the parameters of the buckets have in common.
            h: the group's hyperparameters as attributes.

        Raises:
            ImplementationError: an explicit request can't be met.
        """
        return self.chooser.choose(group, key, h)

    def check_request(self, group: Mapping[str, Any]) -> None:
        """Raise if a group asks for an implementation that can't run it.

        Raises:
            ImplementationError: an explicit request can't be met.
        """
        self.chooser.require_supported(group, self.values(group))

    def values(self, group: Mapping[str, Any]) -> SimpleNamespace:
        """Return the hyperparameters of a group as attributes; a subclass may add to them."""
        values = {name: group[name] for name in self.value_names}
        for name, value in values.items():
            if isinstance(value, (Tensor, tuple)):
                values[name] = without_dims(value)
        # Not the frozen class `Hyperparameters`: the group has been checked already, and to check
        # it again takes 9 µs where this takes 1.3, for each of perhaps a thousand groups.
        return SimpleNamespace(**values)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], Any]) -> Any: ...

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: reevaluates the model, calls ``backward`` and returns the loss.

        Returns:
            The closure's loss; None without a closure.
        """
        try:  # a graph that breaks within try is given up, and Python runs the whole of this frame
            if torch.compiler.is_compiling():
                # Imported while Dynamo traces: later it would compile the module's own lines.
                import optkit_core.torch_compile.compiled_step

                optkit_core.torch_compile.compiled_step.break_graph()
        finally:
            is_compiled = torch_private.is_called_by_compiled_code()
        if is_compiled:  # imported late: interpreters of the body and the tracer come along
            from optkit_core.torch_compile.compiled_step import step

            return step(self, closure)
        if is_compiled is None:  # a compiler that may be watching is to look away
            return torch.compiler.disable(self._step)(closure)
        return self._step(closure)

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        hook_calls.fire("optkit_before_step", optimizer=self)
        with torch.no_grad():
            loss = self.advance(closure)
        skipped = self.scaling.skipped()
        hook_calls.fire("optkit_after_step", optimizer=self, loss=loss, skipped=skipped)
        return loss

    def by_buckets(self) -> BucketOptimizer | None:
        """Return the optimizer where its steps consist of buckets, which a compiler can see."""
        return None

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Do one step and return the closure's loss; gradients are off. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no advance(closure)")

    @classmethod
    def comparison_options(cls, algorithm: type[torch.optim.Optimizer]) -> Mapping[str, Any]:
        """Return the options that ``optkit compare`` sets unless the user gives others.

        Args:
            algorithm: what is compared: this class, one derived from it, or a class that isn't
                optkit's and has the same name, torch's for example.
        """
        return {}

    @classmethod
    def steps_parts(cls) -> bool:
        """Return whether each rank can step what it holds of a DTensor."""
        return False

    @classmethod
    def completes_reductions(cls) -> bool:
        """Return whether what a part is reduced to has to be completed over the mesh."""
        return False

    @classmethod
    def parameter_complaint(cls, p: Tensor) -> str:
        """Return why a parameter can't be optimized, ``""`` where it can; a subclass may know more.

        Args:
            p: any parameter of a group that is added.
        """
        return admissible.complaint(cls, p)

    @classmethod
    def libraries(cls, dtype: torch.dtype) -> Sequence[tuple[str, str]]:
        """Return the C++ that the algorithm brings along for parameters of a dtype.

        ``optkit kernels build`` compiles it ahead of its use by `compiled_library`.

        Args:
            dtype: of the parameters.

        Returns:
            Sources with their titles.
        """
        return ()
