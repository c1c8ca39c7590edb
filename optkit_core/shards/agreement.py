"""Agreement: the ranks of a mesh find out what all of them can run, and run the same.

Implementations round differently, so that replicas drift apart where one rank runs another one
than the next, for want of a compiler perhaps. What decides otherwise is known to all ranks: the
groups, device types, dtypes, options, sizes of whole parameters. What a rank alone knows, whether
it has an implementation and who asked for one, is exchanged: in one small collective for each
mesh, and in one more for each answer that differs.

All ranks take part in a collective or none does. They do so when parameters are taken in, which
they do alike, as they make the DTensors themselves; a step asks only about parameters that have
become others since (another dtype, memory where there was none, other options), with a gradient
or without one. What has been agreed is remembered. So the plans that a rank makes by itself,
since its state was replaced or since it has nothing that notices changes, need no other rank. If
an implementation fails on a rank later on, that rank raises, and neither waits nor runs another.

Each mesh agrees by itself. Parameters of which some rank can't run an implementation, and plain
ones that this rank steps by it, are in different buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import attrs
from torch import Tensor

from optkit_core.errors import ImplementationError
from optkit_core.selection.offer import Algorithm, Offer
from optkit_core.shards.placements import shared_mesh
from optkit_core.step.bucket_key import BucketKey, Refusals
from optkit_core.step.buckets import Bucket
from optkit_core.step.sort_into_buckets import Facts


class FirstChoice(NamedTuple):
    """What a rank would run.

    Args:
        requested: what it was asked for.
        source: who has asked.
        name: the first implementation that can run, ``""`` where none can.
        reasons: why those before it can't, by their names.
    """

    requested: str
    source: str
    name: str
    reasons: Mapping[str, str]


class Question(NamedTuple):
    """What is to be agreed about the parameters of one mesh that have the same facts.

    Args:
        key: of their bucket.
        choose: returns what this rank would run for a key.
    """

    key: BucketKey
    choose: Callable[[BucketKey], FirstChoice]

    @property
    def text(self) -> str:
        """What is asked, in words that are the same on all ranks."""
        return f"{self.key} {self.key.buffers}".replace(str(self.key.device), self.device_type)

    @property
    def device_type(self) -> str:
        """The type of the device; its index is a rank's own."""
        return self.key.device.type


class Answers(NamedTuple):
    """What a rank tells the others.

    Args:
        rank: who tells.
        texts: what it was asked.
        choices: its answers.
    """

    rank: int
    texts: list[str]
    choices: list[FirstChoice]


class Agreement:
    """What the ranks of each mesh have agreed not to run, of one optimizer."""

    def __init__(self) -> None:
        """Know of no mesh."""
        # Equal meshes may be many objects, and to look one up by its contents takes 4 µs.
        self._meshes: dict[int, tuple[Any, Any]] = {}
        self._refused: dict[Any, dict[Facts, Refusals]] = {}

    def refused(self, p: Any, facts: Facts) -> Refusals:
        """Return what the ranks of a parameter's mesh don't run, with the reasons.

        Args:
            p: a parameter, a DTensor or not.
            facts: what sorts it into its bucket.
        """
        mesh = self._mesh(p)
        if mesh is not None:
            return self._refused.get(mesh, {}).get(facts, ())
        # A plain parameter steps with DTensors of the same kind, and as they do.
        return next((agreed[facts] for agreed in self._refused.values() if facts in agreed), ())

    def is_reached(self, p: Any, facts: Facts) -> bool:
        """Return whether nothing has to be asked about a parameter."""
        mesh = self._mesh(p)
        return mesh is None or facts in self._refused.setdefault(mesh, {})

    def reach(self, asked: Iterable[tuple[Tensor, Facts, Question]]) -> None:
        """Agree with the other ranks of each mesh; all of them call it.

        Args:
            asked: parameters about which nothing is agreed, with their facts and the question.

        Raises:
            ImplementationError: ranks ask for different implementations, or have other parameters.
        """
        by_mesh: dict[Any, dict[Facts, Question]] = {}
        for p, facts, question in asked:
            by_mesh.setdefault(self._mesh(p), {})[facts] = question
        for mesh, questions in by_mesh.items():
            found = _agreed(mesh, list(questions.values()))
            self._refused[mesh].update(zip(questions, found, strict=True))

    def _mesh(self, p: Any) -> Any:
        """Return the mesh on which others hold parts of a parameter too, None where none do."""
        mesh = getattr(p, "device_mesh", None)
        if mesh is None:
            return None
        known = self._meshes.get(id(mesh))
        if known is None:
            # Kept, since another mesh could get the `id` of one that has gone.
            known = self._meshes[id(mesh)] = (mesh, shared_mesh(p))
        return known[1]


def _agreed(mesh: Any, questions: Sequence[Question]) -> list[Refusals]:
    """Return for each question what no rank of the mesh is to run."""
    refused: list[Refusals] = [()] * len(questions)
    while True:
        rows = _exchanged(mesh, questions, refused)
        columns = zip(*(row.choices for row in rows), strict=True)
        further = [_refusals([row.rank for row in rows], column) for column in columns]
        if not any(further):
            return refused
        refused = [(*known, *more) for known, more in zip(refused, further, strict=True)]


def _exchanged(
    mesh: Any, questions: Sequence[Question], refused: Sequence[Refusals]
) -> list[Answers]:
    """Return what each rank answers, in the same order on all of them."""
    import torch.distributed  # there, since somebody has made a mesh

    keys = [attrs.evolve(q.key, refused=r) for q, r in zip(questions, refused, strict=True)]
    choices = [question.choose(key) for question, key in zip(questions, keys, strict=True)]
    row = Answers(torch.distributed.get_rank(), [q.text for q in questions], choices)
    rows = gathered(row, mesh)
    _require_alike(rows)
    return rows


def gathered(row: Any, mesh: Any) -> list[Any]:
    """Return what each rank of a mesh has given, in the same order on all of them.

    Args:
        row: what this rank gives; it is pickled.
        mesh: of which this rank is one.
    """
    from torch.distributed import all_gather_object  # there, since somebody has made a mesh

    rows = [row]
    for group in mesh.get_all_groups():
        parts: list[Any] = [None] * group.size()
        all_gather_object(parts, rows, group=group)
        rows = [one for part in parts for one in part]
    return rows


def _require_alike(rows: Sequence[Answers]) -> None:
    """Raise on every rank where they weren't asked the same."""
    first = rows[0]
    for row in rows[1:]:
        if row.texts != first.texts:
            raise ImplementationError(
                f"rank {row.rank} steps {_listed(row.texts)} where rank {first.rank} steps "
                f"{_listed(first.texts)}; create the optimizer of the same parameters and options "
                "on all ranks of a mesh."
            )
        for mine, other in zip(first.choices, row.choices, strict=True):
            if mine.requested != other.requested:
                raise ImplementationError(
                    f"implementation {mine.requested!r} is requested on rank {first.rank} by "
                    f"{mine.source}, and {other.requested!r} on rank {row.rank} by {other.source}; "
                    "ask all ranks of a mesh for the same one."
                )


def require_impossible(
    algorithm: type[Algorithm], bucket: Bucket, offer: Offer, reason: str
) -> None:
    """Raise where other ranks run what this one turns out not to be able to run.

    Args:
        algorithm: the optimizer's class.
        bucket: what was to be stepped.
        offer: what can't step it.
        reason: why not.

    Raises:
        ImplementationError: nothing that all ranks know speaks against it.
    """
    import torch.distributed  # there, since somebody has made a mesh

    asked = (bucket.hyperparameters[index] for index in dict.fromkeys(bucket.groups))
    if any(offer.impossible_reason(algorithm, bucket.key, h) for h in asked):
        return
    raise ImplementationError(
        f"rank {torch.distributed.get_rank()} can't run {offer.name} on {bucket.key} after all, "
        f"which the ranks of its mesh have agreed on: {reason}. Running another implementation "
        "here, replicas would drift apart: mend that, or ask all ranks for "
        "implementation='forloop'."
    )


def _refusals(ranks: Sequence[int], choices: Sequence[FirstChoice]) -> Refusals:
    """Return what some rank can't run and another one would; nothing where all choose alike."""
    if len({choice.name for choice in choices}) == 1:
        return ()
    found: dict[str, tuple[str, list[int]]] = {}
    for rank, choice in zip(ranks, choices, strict=True):
        for name, reason in choice.reasons.items():
            found.setdefault(name, (reason, []))[1].append(rank)
    if not found:
        raise ImplementationError(
            f"rank {ranks[0]} would run {choices[0].name}, and other ranks of its mesh another "
            "implementation, though they could run this one; use the same releases and plugins "
            "on all ranks, or ask for an implementation."
        )
    return tuple((name, f"{_ranks(able)}: {reason}") for name, (reason, able) in found.items())


def _ranks(ranks: Sequence[int]) -> str:
    return f"not on rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _listed(texts: Sequence[str]) -> str:
    return "; ".join(texts) or "nothing"
