"""Modes: algorithms whose parameters have other values in evaluation than in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import torch

from optkit_core.body_optimizer import BodyOptimizer
from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.fields import option
from optkit_core.declaration.ranges import boolean
from optkit_core.errors import ModeError
from optkit_core.implementations import FORLOOP, foreach, forloop
from optkit_core.step.buckets import Bucket
from optkit_core.step.sort_into_buckets import gather

MODE = "train_mode"
"""The key of a group that says which values its parameters have."""


class WithModes(BodyOptimizer):
    """Base of algorithms that train at one point and are evaluated at another.

    Such an algorithm derives from it beside `Elementwise` and writes two more bodies,
    `to_eval` and `to_train`, each of which undoes the other.

    Args:
        train_mode: whether parameters begin with the values for training (default True).
    """

    train_mode: bool = option(
        default=True,
        range=boolean(),
        doc="parameters have the values for training",
        kw_only=True,
        role="step",
    )

    @staticmethod
    def to_eval(p: Any, s: Any, h: Any) -> None:
        """Give a parameter the value for evaluation, in place; the body that a subclass writes.

        Args:
            p: the parameter, with the value for training.
            s: its buffers as attributes.
            h: the hyperparameters as attributes.
        """
        raise NotImplementedError("to_eval isn't written")

    @staticmethod
    def to_train(p: Any, s: Any, h: Any) -> None:
        """Give a parameter the value for training; the body that a subclass writes.

        Args:
            p: the parameter, with the value for evaluation.
            s: its buffers as attributes.
            h: the hyperparameters as attributes.
        """
        raise NotImplementedError("to_train isn't written")

    def train(self) -> None:
        """Give the parameters their values for training; where they have them, nothing changes.

        >>> import torch, optkit
        >>> p = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = optkit.create("schedulefree_sgd", [p], lr=0.5)
        >>> for p.grad in (torch.ones(1), torch.ones(1)):
        ...     optimizer.step()
        >>> optimizer.eval()
        >>> p.data
        tensor([0.2500])
        >>> optimizer.train()
        >>> p.data
        tensor([0.2250])
        """
        self._switch(True)

    def eval(self) -> None:
        """Give the parameters their values for evaluation; see `train`."""
        self._switch(False)

    def require_ready(self) -> None:
        """Raise where no step can be taken now.

        Raises:
            ModeError: a group is in eval mode.
            ImplementationError: a CUDA graph is being captured that the step can't be part of.
        """
        for index, group in enumerate(self.param_groups):
            if not group[MODE]:
                raise ModeError(
                    f"group {index} of {type(self).__name__} is in eval mode; call "
                    "optimizer.train() before step(). [Optimizer was not in train mode when step "
                    "is called]"
                )
        super().require_ready()

    @torch.no_grad()
    def _switch(self, train_mode: bool) -> None:
        body: Any = _Body(self.to_train if train_mode else self.to_eval, self.buffers)
        switched = [group for group in self.param_groups if group[MODE] != train_mode]
        values = dict(enumerate(map(self.values, switched)))
        # One without state hasn't stepped, and has one value in both modes.
        views = [self._with_state(group) for group in switched]
        for bucket in gather(views, values, only_with_gradient=False, algorithm=body):
            bucket.states = [self.state[p] for p in bucket.params]
            # No body reads them, and no interpreter does without.
            bucket.grads = bucket.params
            self._run_body(body, bucket, switched[bucket.groups[0]])
        for group in switched:
            group[MODE] = train_mode

    def _with_state(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return a group without the parameters that lack state."""
        names_of = names_for(self.buffers, group)
        params = [p for p in group["params"] if set(names_of(p)) <= self.state.get(p, {}).keys()]
        # Turned, what stands for the gradients would be copied for nobody.
        return {**group, "params": params, "maximize": False}

    def _run_body(self, body: Any, bucket: Bucket, group: Mapping[str, Any]) -> None:
        """Run a body as the group's steps are run; in place of a kernel by lists of tensors."""
        key = attrs.evolve(bucket.key, differentiable=False)
        if self.choose(group, key, self.values(group)).offer is FORLOOP:
            forloop.run(body, bucket)
        else:
            foreach.run(body, bucket, foreach.limit(key.device.type))


class _Body:
    """A body without a gradient and without a count, as interpreters take it."""

    counts_steps = False
    step_options = ()
    update_sparse = None

    def __init__(self, body: Callable[[Any, Any, Any], None], buffers: Mapping[str, Buffer]):
        """Take the body, and the buffers that it sees."""
        self.body, self.buffers = body, buffers

    def update(self, p: Any, g: Any, s: Any, h: SimpleNamespace, t: Any) -> None:
        """Run the body."""
        self.body(p, s, h)
