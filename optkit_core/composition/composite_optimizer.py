"""An optimizer of several algorithms: each parameter group is optimized by the one it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import is_
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optkit_core import torch_private
from optkit_core.body_optimizer import BodyOptimizer
from optkit_core.composition import members
from optkit_core.declaration.roles import ALGORITHM
from optkit_core.errors import GroupError
from optkit_core.modes import WithModes
from optkit_core.optimizer import Optimizer
from optkit_core.param_groups import groups
from optkit_core.param_groups.known_groups import KnownGroups
from optkit_core.plugins import hook_calls
from optkit_core.selection.explanation import Explanation, joined
from optkit_core.selection.offer import Launch
from optkit_core.selection.select_implementation import Choice
from optkit_core.shards import shared_scaling
from optkit_core.shards.open_passes import Completions
from optkit_core.step.bucket_key import BucketKey

SCALING = ("grad_scale", "found_inf")
"""What ``torch.amp.GradScaler`` hands to an optimizer for one step."""


class CompositeOptimizer(Optimizer):
    """Several algorithms for parts of one model: one step, one ``zero_grad``, one checkpoint.

    `optkit.create` makes one where a group names an algorithm of its own. Each group has the
    hyperparameters that its algorithm declares, checked as that algorithm's constructor checks
    them; what a group doesn't say is its algorithm's default.

    Args:
        params: group dicts. What optimizes a group stands under ``"algorithm"``, as a name that
            `optkit.create` takes.
        algorithm: the name of what optimizes the groups that name nothing.
        **options: hyperparameters of `algorithm`, for its groups alone; and options such as
            ``implementation`` and ``maximize``, which hold for the groups of every algorithm.

    Raises:
        GroupError: an algorithm can't be one of several, since it needs a closure for example.
        HyperparameterError: a group has a key or a value that its algorithm refuses.
        UnknownAlgorithmError: no algorithm is called that.

    >>> import torch, optkit
    >>> layers = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)]
    >>> groups = [
    ...     {"params": layers[0].parameters(), "algorithm": "adagrad", "lr": 0.1},
    ...     {"params": layers[1].parameters()},
    ... ]
    >>> optimizer = optkit.create("adamax", groups, betas=(0.8, 0.99))
    >>> [(group["algorithm"], group["lr"]) for group in optimizer.param_groups]
    [('adagrad', 0.1), ('adamax', 0.002)]
    """

    def __init__(self, params: ParamsT, algorithm: str, **options: Any) -> None:
        """Check everything that was given, then take the parameters in."""
        self.algorithm = members.name_of(algorithm)
        owner = members.class_of(self.algorithm)
        self._members: dict[str, Optimizer] = {}
        self._completions = Completions()
        self._options = options
        self._set_up(*groups.bind(owner, (params,), options))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take further parameters in, to be optimized by the algorithm that the group names.

        Args:
            param_group: ``"params"``, ``"algorithm"``, and what differs from that algorithm's
                defaults.

        Raises:
            GroupError: the algorithm can't be one of several, or a parameter is in another group.
            HyperparameterError: a key isn't declared, or its value is out of range.
            ImplementationError: the group asks for an implementation that can't run it.
            ParametersError: something in ``"params"`` can't be optimized.
            UnknownAlgorithmError: no algorithm is called that.
        """
        groups.require_group(param_group)
        with groups.restored_on_error([param_group]):
            members.require_new(self.param_groups, param_group)
            name = members.name_of(param_group.get(ALGORITHM, self.algorithm))
            param_group[ALGORITHM] = name
            self._join(name, param_group)
        self.param_groups.append(param_group)
        takes_scale = all(m.takes_scaled_gradients for m in self._members.values())
        torch_private.let_scale_through(self, takes_scale)
        if self._is_created:
            hook_calls.fire("optkit_group_added", optimizer=self, group=param_group)

    def _join(self, name: str, group: dict[str, Any]) -> None:
        """Let the member of an algorithm take a group in; without one it comes to be."""
        if name in self._members:
            self._member_of(group).add_param_group(group)
            return
        algorithm = members.class_of(name)
        member = members.create(algorithm, group, self._options_of(name))
        self.state.update(member.state)  # with eager_state there is some
        self._members[name] = member

    def _options_of(self, name: str) -> dict[str, Any]:
        """Return the arguments for a member: hyperparameters are those of one algorithm alone."""
        if name == self.algorithm:
            return self._options
        declared = members.class_of(self.algorithm).declarations
        return {key: value for key, value in self._options.items() if declared[key].is_option}

    @property
    def members(self) -> Mapping[str, Optimizer]:
        """The optimizer of each algorithm by its name, in the order of their first groups.

        Their groups and their state are those of this optimizer.

        Raises:
            GroupError: somebody put a group into ``param_groups`` that no member knows.
        """
        own: dict[str, list[dict[str, Any]]] = {}
        for group in self.param_groups:
            own.setdefault(self._name_of(group), []).append(group)
        for name, its_groups in own.items():
            member = self._members[name]
            member.state = self.state
            # The same list while nothing has changed, by which a member knows that its plan holds.
            if len(its_groups) != len(member.param_groups) or not all(
                map(is_, its_groups, member.param_groups)
            ):
                member.param_groups = its_groups
        return {name: self._members[name] for name in own}

    def _name_of(self, group: Mapping[str, Any]) -> str:
        name = group.get(ALGORITHM, self.algorithm)
        if name not in self._members:
            raise GroupError(
                f"a parameter group names the algorithm {name!r}, which this optimizer doesn't "
                f"have: {', '.join(self._members)}. Add groups by add_param_group()."
            )
        return str(name)

    def _member_of(self, group: Mapping[str, Any]) -> Optimizer:
        member = self._members[self._name_of(group)]
        member.state = self.state
        return member

    def algorithm_of(self, group: Mapping[str, Any]) -> type[Any]:
        """Return the class that declares the state and the options of a group."""
        return type(self._members[self._name_of(group)])

    def advance(self, closure: Callable[[], Any] | None) -> Any:
        """Call the closure, if there is one, once; then let every member step."""
        loss, stepping = None, self.members.values()
        for member in stepping:
            if isinstance(member, BodyOptimizer):
                member.require_ready()
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._known.look_at(self.param_groups)
        self.scaling.update(self)
        if self._known.are_shared:
            shared_scaling.share(self.scaling, self.param_groups)
        with self._scaled(stepping):
            # All of them at once: what they reduce over shards is completed together.
            steps = [(False, step) for step in _prepared(stepping)]
            self._completions.launch(steps, self._known.are_shared)
        return loss

    @contextmanager
    def _scaled(self, stepping: Iterable[Optimizer]) -> Iterator[None]:
        """Hand on to the members what a scaler has handed to this optimizer."""
        handed = {name: vars(self)[name] for name in SCALING if name in vars(self)}
        if self.scaling.found_inf is not None:
            handed["found_inf"] = self.scaling.found_inf
        for member in stepping:
            vars(member).update(handed)
        try:
            yield
        finally:
            for member in stepping:
                for name in handed:
                    vars(member).pop(name, None)

    def explain(self) -> Explanation:
        """Return what runs the buckets of each algorithm and why."""
        positions: dict[str, list[int]] = {}
        for index, group in enumerate(self.param_groups):
            positions.setdefault(self._name_of(group), []).append(index)
        explained = {name: member.explain() for name, member in self.members.items()}
        return joined([(explained[name], positions[name]) for name in explained])

    @property
    def plan(self) -> tuple[Choice, ...]:
        """What runs the buckets of each key seen so far, with the reasons."""
        return tuple(choice for member in self._members.values() for choice in member.plan)

    def forget_plans(self) -> None:
        """Choose anew in the next step what runs each bucket, and plan it anew."""
        super().forget_plans()
        self._known = KnownGroups()
        self._completions = Completions()
        for member in self._members.values():
            member.forget_plans()

    def choose(
        self, group: Mapping[str, Any], key: BucketKey, h: SimpleNamespace | None = None
    ) -> Choice:
        """Return what runs the buckets of a key; see `Optimizer.choose`."""
        return self._member_of(group).choose(group, key, h)

    def check_request(self, group: Mapping[str, Any]) -> None:
        """Raise if a group asks for an implementation that can't run it."""
        self._member_of(group).check_request(group)

    def values(self, group: Mapping[str, Any]) -> SimpleNamespace:
        """Return the hyperparameters of a group as attributes."""
        return self._member_of(group).values(group)

    def train(self) -> None:
        """Give the parameters of algorithms with modes their values for training."""
        for member in self._with_modes():
            member.train()

    def eval(self) -> None:
        """Give the parameters of algorithms with modes their values for evaluation."""
        for member in self._with_modes():
            member.eval()

    def _with_modes(self) -> list[WithModes]:
        return [member for member in self.members.values() if isinstance(member, WithModes)]

    def init_group_state(self, group: dict[str, Any]) -> None:
        """Allocate the declared buffers of one group that aren't there."""
        self._member_of(group).init_group_state(group)

    def allocate(self, parameter: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return those buffers that a parameter's state lacks, as before its first step."""
        return self._member_of(group).allocate(parameter, group)

    def publish_state(self) -> None:
        """Let every member write what it keeps elsewhere into `state`."""
        for member in self.members.values():
            member.publish_state()


def _prepared(stepping: Iterable[Optimizer]) -> list[Launch]:
    """Return the steps of all members, ready before the first of them changes anything."""
    with_body = [member for member in stepping if isinstance(member, BodyOptimizer)]
    try:
        ready = {id(member): member.prepared_step() for member in with_body}
    except BaseException:  # one refuses, so none of them steps
        for member in with_body:
            member.abandon_step()
        raise
    return [ready.get(id(member), partial(member.advance, None)) for member in stepping]
