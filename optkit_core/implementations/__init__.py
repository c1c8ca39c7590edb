"""The implementations: interpreters of the one update body that an algorithm declares."""

from __future__ import annotations

from optkit_core.implementations.foreach import FOREACH
from optkit_core.implementations.forloop import FORLOOP
from optkit_core.implementations.fused import FUSED
from optkit_core.implementations.matrix_batches import BATCHES, NO_KERNEL
from optkit_core.selection.offer import Offer

ELEMENTWISE: tuple[Offer, ...] = (FORLOOP, FOREACH, FUSED)
"""What every elementwise algorithm is offered, for one update body."""

MATRIXWISE: tuple[Offer, ...] = (FORLOOP, BATCHES, NO_KERNEL)
"""What every algorithm over whole matrices is offered."""

__all__ = ["ELEMENTWISE", "FOREACH", "FORLOOP", "FUSED", "MATRIXWISE"]
