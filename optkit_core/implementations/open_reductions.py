"""Open reductions: ranks have reduced their parts, and nobody needs the whole's values yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from optkit_core.shards.collectives import Completion, Share
from optkit_core.shards.open_passes import OpenShares


class Later:
    """Tensors that are computed once somebody needs them, and never changed.

    Args:
        compute: returns them, or lets them be known.
    """

    def __init__(self, compute: Callable[[], Sequence[Tensor] | None]) -> None:
        """Know none yet."""
        self.known: Sequence[Tensor] | None = None
        self._compute = compute

    def tensors(self) -> Sequence[Tensor]:
        """Return the tensors."""
        if self.known is None:
            self.known = self._compute() or self.known
        assert self.known is not None
        return self.known


class OpenReductions:
    """Reductions of one body, which are completed together as soon as one of them is needed."""

    def __init__(self) -> None:
        """Begin without one."""
        self._open: list[tuple[Later, Sequence[Share]]] = []

    def values_of(self, shares: Sequence[Share]) -> Later | list[Tensor]:
        """Return the values of a reduction: later, where other ranks have a share in one.

        Args:
            shares: what this rank has, row by row.
        """
        if not any(share.mesh_dims for share in shares):
            return [share.value for share in shares]
        values = Later(self._complete)
        self._open.append((values, shares))
        return values

    @contextmanager
    def completed_elsewhere(self) -> Iterator[OpenShares]:
        """Hand over what is to be completed by the end of the block."""
        found, self._open = self._open, []
        yield OpenShares([share for _, shares in found for share in shares])
        for values, shares in found:
            values.known = [share.value for share in shares]

    def _complete(self) -> None:
        with self.completed_elsewhere() as opened:
            Completion(opened.shares)()
