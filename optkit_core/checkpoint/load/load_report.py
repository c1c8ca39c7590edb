"""Reports: what loading a checkpoint has done, or everything that keeps it from being loaded."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from optkit_core.errors import CheckpointError

MAX_LINES = 20
MAX_CHARACTERS = 200
RENAME = "\nrename= says what the saved parameters are called here."
STRICT = "\nstrict=False loads what matches, and reports the rest."


@attrs.frozen(repr=False)
class LoadReport:
    """What ``load_state_dict`` has done; prints as text.

    Args:
        loaded: the parameters whose state was loaded, by name or position.
        missing: what the optimizer has and the checkpoint hasn't.
        unexpected: what the checkpoint has and the optimizer hasn't.
        shape_mismatched: parameters whose saved state is of another shape.
        migrated: the migrations and importers that were applied, in order.
        renamed: how names differ from the saved ones, but for the parts that wrappers add.
    """

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shape_mismatched: tuple[str, ...] = ()
    migrated: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        titles = attrs.fields_dict(LoadReport)
        counts = (f"{title}={len(getattr(self, title))}" for title in titles)
        return f"LoadReport({', '.join(counts)})"

    def __str__(self) -> str:
        count = len(self.loaded)
        lines = [f"loaded the state of {count} parameter{'' if count == 1 else 's'}"]
        for title in ("missing", "unexpected", "shape_mismatched", "migrated", "renamed"):
            entries = getattr(self, title)
            lines += [f"{title.replace('_', ' ')}: {len(entries)}"] if entries else []
            lines += [f"  {line}" for line in truncate_lines(entries)]
        return "\n".join(lines)


@attrs.define(eq=False)
class Mismatches:
    """What doesn't match, collected while everything is verified.

    Args:
        missing: what the optimizer has and the checkpoint hasn't.
        unexpected: what the checkpoint has and the optimizer hasn't.
        shape_mismatched: what is of another shape.
        refused: what strict=False doesn't load either, such as a learning rate of -1.
        renamed: how names differ from the saved ones.
        names_differ: whether both sides have names that the other hasn't.
        torch_words: what torch says in such a case, if it does.
    """

    missing: list[str] = attrs.Factory(list)
    unexpected: list[str] = attrs.Factory(list)
    shape_mismatched: list[str] = attrs.Factory(list)
    refused: list[str] = attrs.Factory(list)
    renamed: list[str] = attrs.Factory(list)
    names_differ: bool = False
    torch_words: str = ""

    @property
    def count(self) -> int:
        """How many of them keep a value from being loaded."""
        return len(self.missing) + len(self.shape_mismatched) + len(self.refused)

    def raise_for(self, owner: str, strict: bool) -> None:
        """Raise one error that lists everything which keeps the state from being loaded.

        Args:
            owner: the class whose optimizer it is for.
            strict: whether everything must match.

        Raises:
            CheckpointError: something does keep it.
        """
        tolerable = [*self.missing, *self.unexpected, *self.shape_mismatched]
        lines = [*self.refused, *tolerable] if strict else self.refused
        if not lines:
            return
        listed = "\n".join(f"- {line:.{MAX_CHARACTERS}}" for line in truncate_lines(lines))
        way_out = RENAME if self.names_differ else ""
        way_out += "" if self.refused else STRICT
        bracket = f"\n[{self.torch_words}]" if self.torch_words else ""
        raise CheckpointError(
            f"this state doesn't fit this {owner}, which stays as it was:\n{listed}"
            f"{way_out}{bracket}"
        )


def truncate_lines(lines: Sequence[str]) -> list[str]:
    """Return at most as many lines as fit a screen; the last one counts those left out."""
    if len(lines) <= MAX_LINES:
        return list(lines)
    return [*lines[:MAX_LINES], f"... and {len(lines) - MAX_LINES} more"]
