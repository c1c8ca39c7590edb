"""The base class of every optkit optimizer: a ``torch.optim.Optimizer`` that is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optkit_core import torch_private
from optkit_core.copying.copyable import Copyable
from optkit_core.declaration import buffers
from optkit_core.declaration.base import Declared
from optkit_core.declaration.constructor import constructor
from optkit_core.declaration.fields import option
from optkit_core.declaration.ranges import boolean
from optkit_core.lazy_state import State
from optkit_core.param_groups import groups, parameters
from optkit_core.plugins import entry_points, hooks
from optkit_core.selection import requests
from optkit_core.selection.chooser import Choosing
from optkit_core.selection.requests import Request
from optkit_core.selection.selector import Offer
from optkit_core.step.grad_scaler import Scaling
from optkit_core.step.profiling import observed

if TYPE_CHECKING:
    from optkit_core.checkpoint.load.load_report import LoadReport
    from optkit_core.checkpoint.load.renaming import Rename


class Optimizer(Declared, Choosing, Copyable):
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
    offers: ClassVar[tuple[Offer, ...]] = ()
    reuses_memory: ClassVar[bool] = False
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
        common = Optimizer.__init__
        if getattr(cls.__init__, "__code__", None) is common.__code__:  # else one is written out
            cls.__init__ = constructor(common, cls)  # type: ignore[method-assign]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Check everything that was given, then take the parameters in."""
        params, defaults = groups.bind(type(self), arguments, keywords)
        self.request: Request = requests.requested(defaults) or requests.ambient()
        self.scaling = Scaling()
        self.forget_plans()
        found = parameters.checked(params)
        with groups.restored_on_error(found if isinstance(found[0], dict) else ()):
            super().__init__(found, defaults)
        self.state = State(self, self.state)
        self._is_created = True
        entry_points.load_all()
        hooks.fire("optkit_created", optimizer=self)

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
        count = len(self.param_groups)
        with groups.restored_on_error([param_group]):
            groups.complete(type(self), param_group, self.defaults)
            try:
                self._take_in(param_group)
                self._accept_group(param_group)
            except BaseException:
                groups.take_back(self, count)
                raise
        if self._is_created:
            hooks.fire("optkit_group_added", optimizer=self, group=param_group)

    def _take_in(self, group: dict[str, Any]) -> None:
        found = group["params"]
        try:
            super().add_param_group(group)
        except (TypeError, ValueError):
            allow_non_leaf = bool(self.defaults.get("differentiable"))
            parameters.refuse_wrong_entry(found, allow_non_leaf)
            raise

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
        if is_compiled:
            from optkit_core.torch_compile.compiled_step import step

            return step(self, closure)
        if is_compiled is None:  # a compiler that may be watching is to look away
            return torch.compiler.disable(self._step)(closure)  # type: ignore[no-untyped-call]
        return self._step(closure)

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        hooks.fire("optkit_before_step", optimizer=self)
        with torch.no_grad():
            loss = self.advance(closure)
        skipped = self.scaling.skipped()
        hooks.fire("optkit_after_step", optimizer=self, loss=loss, skipped=skipped)
        return loss

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Do one step and return the closure's loss; gradients are off. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no advance(closure)")

    def state_dict(self) -> dict[str, Any]:
        """Return the parameters' states, the live ones, and a copy of every group's options.

        So a later step changes them, as in torch. ``copy.deepcopy`` of it is a snapshot. Loading
        never shares.

        Returns:
            torch's shape, ``{"state": ..., "param_groups": ...}``. Each group carries the schema's
            identity, ``"adamax/1"`` for example, under ``"schema"``.

        >>> import torch, optkit
        >>> p = torch.ones(2)
        >>> optimizer = optkit.create("adagrad", [p])
        >>> optimizer.state_dict()["state"][0]["sum"] is optimizer.state[p]["sum"]
        True
        """
        from optkit_core.checkpoint import save

        return save.save(self)

    def load_state_dict(  # type: ignore[override]
        self, state_dict: dict[str, Any], strict: bool = True, rename: Rename | None = None
    ) -> LoadReport:
        """Continue from a state that ``state_dict()`` of this algorithm returned.

        Everything is verified before anything changes. How to run (``implementation``,
        ``foreach``, ``fused``) stays as it is; everything else comes from the checkpoint.

        Args:
            state_dict: from optkit or from the torch.optim class of the same name.
            strict: whether everything must match; False loads what does.
            rename: what saved parameters are called here: a mapping of saved names to new ones,
                or a function from one to the other. None (default): as they were saved, but for
                the parts that wrappers add, such as ``module.``.

        Returns:
            What was loaded, and what wasn't.

        Raises:
            CheckpointError: it doesn't fit; names every mismatch, and nothing has changed.
        """
        from optkit_core.checkpoint.load import loading

        return loading.load(self, state_dict, strict, rename)

    def init_state(self) -> None:
        """Allocate every declared buffer now, without a step; what exists stays as it is.

        >>> import torch, optkit
        >>> optimizer = optkit.create("adamax", [torch.ones(2)])
        >>> optimizer.init_state()
        >>> optimizer.state_dict()["state"][0]["exp_inf"]
        tensor([0., 0.])
        """
        for group in self.param_groups:
            self.init_group_state(group)

    def init_group_state(self, group: dict[str, Any]) -> None:
        """Do what `init_state` does for one group."""
        params = group["params"][:1] if self.is_joint else group["params"]
        for p in params:
            missing = self.allocate(p, group)
            if missing:
                self.state[p].update(missing)

    def allocate(self, parameter: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return those buffers that a parameter's state lacks, as before its first step."""
        return buffers.allocate(self.state_buffers, parameter, group, self.state.get(parameter, ()))

    def allocate_all(
        self, params: Sequence[Tensor], group: Mapping[str, Any]
    ) -> Iterable[Iterable[tuple[str, Any]]]:
        """Return names and values of the buffers of parameters of one dtype without state."""
        if type(self).allocate is not Optimizer.allocate:
            return [self.allocate(p, group).items() for p in params]
        return buffers.allocate_all(self.state_buffers, params, group)

    def publish_state(self) -> None:
        """Write what is kept elsewhere into `state`, which is about to be saved.

        A subclass that keeps something elsewhere defines it.
        """

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

    @classmethod
    def state_complaint(cls, state: Mapping[str, Any]) -> str:
        """Return what is wrong with a parameter's saved state as a whole, or ``""``.

        Each declared buffer has been checked; a subclass may know how they belong together.
        """
        return ""

    def _accept_group(self, group: dict[str, Any]) -> None:
        """Check what a group that has just been added asks for; an error takes it back."""
        self.check_request(group)
        if group.get("eager_state"):
            self.init_group_state(group)
