"""Open passes: work that stops where it needs what other ranks have, and then goes on.

What does it is a generator. It yields what a pass has left open, and finds it completed, in place,
when it is resumed. Several of them go side by side, so that all that is open in any of them is
completed together: buckets, groups and algorithms make no collectives of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import chain
from typing import Any
from weakref import ref

import attrs
import torch

from optkit_core.shards import broken_steps
from optkit_core.shards.collectives import Completion, Share


@attrs.frozen(eq=False)
class OpenShares:
    """What is to be completed before work goes on.

    Args:
        shares: what this rank has, in an order that all ranks share; their tensors get the
            values of the whole.
    """

    shares: Sequence[Share]


OpenPasses = Generator[Sequence[OpenShares], None, None]
"""Work in passes, with what each of them leaves open."""


class OpenLaunch:
    """A launch in passes that other ranks have a part in.

    Args:
        passes: begins the work.
    """

    def __init__(self, passes: Callable[[], OpenPasses]) -> None:
        """Begin nothing yet."""
        self.passes = passes

    def __call__(self) -> None:
        """Do all of it, completing what is open alone."""
        Completions().run(self.passes())


Launches = Sequence[tuple[bool, Callable[[], None]]]
"""What does pieces of work, and whether autograd records it."""


def passes_of(launches: Launches) -> OpenPasses:
    """Do what needs no other rank, then all that goes in passes side by side.

    Args:
        launches: in an order that all ranks share.
    """
    return side_by_side(_begun(launches))


def _begun(launches: Launches) -> list[OpenPasses]:
    """Do what needs no other rank; return the passes of the rest."""
    opened = []
    for is_recorded, launch in launches:
        if isinstance(launch, OpenLaunch):
            opened.append(_recorded(launch.passes(), is_recorded))
        else:
            with torch.set_grad_enabled(is_recorded):
                launch()
    return opened


def are_open(launches: Launches) -> bool:
    """Return whether other ranks have a part in any of these."""
    return any(isinstance(launch, OpenLaunch) for _, launch in launches)


def _recorded(passes: OpenPasses, is_recorded: bool) -> OpenPasses:
    """Return passes under autograd or not; nothing else is, while they stand still."""
    while True:
        with torch.set_grad_enabled(is_recorded):
            opened = next(passes, None)
        if opened is None:
            return
        yield opened


def side_by_side(several: Iterable[OpenPasses]) -> OpenPasses:
    """Return what does several pieces of work, the first pass of each, then the second, and so on.

    Args:
        several: in an order that all ranks share, as are the numbers of their passes.

    >>> def work(*passes): yield from ([name] for name in passes)
    >>> list(side_by_side([work("a", "b"), work("c")]))
    [['a', 'c'], ['b']]
    """
    started = running = list(several)
    try:
        while running:
            found = [(work, next(work, None)) for work in running]
            running = [work for work, opened in found if opened is not None]
            if running:
                yield [*chain.from_iterable(opened for _, opened in found if opened is not None)]
    finally:
        for work in started:
            work.close()


class Completions:
    """Completes what passes leave open; what is packed where is kept while that is the same."""

    def __init__(self) -> None:
        """Know of no pass."""
        self._kept: list[tuple[tuple[Any, ...], Completion | None]] = []

    def launch(self, launches: Launches, are_shared: bool) -> None:
        """Do all pieces of work; all ranks that have a share in one call this.

        Args:
            launches: in an order that all ranks share.
            are_shared: whether other ranks hold what is stepped, too; an error says then what
                has become of the step.
        """
        try:
            opened = _begun(launches)
            if opened:
                self.run(side_by_side(opened))
        except BaseException as error:
            if are_shared:
                broken_steps.tell(error)
            raise

    def run(self, passes: OpenPasses) -> None:
        """Do work to its end; all ranks that have a share in it call this."""
        with closing(passes):  # where a collective fails, what holds gradients lets them go
            for number, opened in enumerate(passes):
                self._completion(number, opened)()

    def _completion(self, number: int, opened: Sequence[OpenShares]) -> Completion:
        """Return what completes a pass; it is kept from the second step on that it serves."""
        of, completion = self._kept[number] if number < len(self._kept) else ((), None)
        is_same = len(of) == len(opened) and all(
            known() is one for known, one in zip(of, opened, strict=True)
        )
        if completion is None or not is_same:
            shares = [share for one in opened for share in one.shares]
            completion = Completion(shares, is_kept=is_same)
            # By weak references, since values that are made anew in each step go with it.
            self._kept[number:] = [(tuple(map(ref, opened)), completion if is_same else None)]
        return completion
