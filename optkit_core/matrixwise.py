"""Algorithms over whole matrices: one update body, called with a matrix or a batch of them."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import ClassVar

from optkit_core import implementations
from optkit_core.body_optimizer import BodyOptimizer
from optkit_core.declaration.fields import option
from optkit_core.declaration.ranges import boolean
from optkit_core.selection.offer import Offer
from optkit_core.shards.local_parts import LocalParts
from optkit_core.shards.whole_matrices import WholeMatrices
from optkit_core.step.bucket_key import BucketKey


class Matrixwise(BodyOptimizer):
    """Base of algorithms whose update needs a matrix at a time: products, norms, factorizations.

    A subclass declares its hyperparameters and buffers and writes `update`, once, in methods of
    tensors of shape ``(..., rows, columns)``. for-loop calls it with one matrix after another,
    foreach with batches of matrices of equal shape, ``(batch, rows, columns)``. Of a DTensor one
    rank gets all of it, and steps it for the others.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts.
        maximize: ascend instead of descend.
        implementation: see `Optimizer`.

    Attributes:
        parameter_dims: the numbers of dimensions that a parameter may have.
        needs_whole_matrices: whether a shard of a parameter can't be stepped by itself.
        tolerances: how far implementations may differ, by the parameters' dtype, where an update
            enlarges rounding errors; elsewhere `optkit_core.testing.TOLERANCES` say it.
    """

    offers: ClassVar[tuple[Offer, ...]] = implementations.MATRIXWISE
    parameter_dims: ClassVar[Collection[int] | None] = (2,)
    needs_whole_matrices: ClassVar[bool] = True
    parts_class: ClassVar[type[LocalParts]] = WholeMatrices

    maximize: bool = option(default=False, range=boolean(), doc="ascend", kw_only=True, role="step")

    @classmethod
    def steps_parts(cls) -> bool:
        """Return whether parts of DTensors are exchanged, so that owners step whole matrices."""
        # A total is that of all matrices, and an owner knows of its own.
        return getattr(cls, "measuring", None) is None

    @classmethod
    def unsupported_reason(cls, key: BucketKey, h: SimpleNamespace) -> str | None:
        """Return why gradients can't be used, None where they can; a subclass may know more.

        Args:
            key: device, dtype, layout and mode of the parameters and their gradients.
            h: the hyperparameters as attributes.
        """
        # As pairs of real numbers, as an elementwise body sees it, it would be no matrix.
        if key.dtype.is_complex:
            return (
                f"{cls.__name__} does not support complex parameters, got {key.dtype}. Optimize "
                "the real and the imaginary part, each as a parameter of its own."
            )
        return super().unsupported_reason(key, h)
