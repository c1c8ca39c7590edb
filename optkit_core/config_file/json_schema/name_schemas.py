"""JSON Schemas of names: every way to write one that `optkit.create` and its like understand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from optkit_core.plugins.kinds import Kind, normalized
from optkit_core.plugins.registry import registry_of

Schema = dict[str, Any]


def any_of(names: Iterable[str], kind: Kind) -> Schema:
    """Return the schema of the names of a kind: those that editors offer, and their spellings.

    Args:
        names: as the registry has them.
        kind: what they are the names of.
    """
    listed = list(names)
    patterns = [one(name, kind)["pattern"] for name in listed]
    return {"anyOf": [{"enum": listed}, {"pattern": "|".join(patterns)}]}


def one(name: str, kind: Kind) -> Schema:
    """Return the schema of one name in all its spellings.

    Args:
        name: as the registry has it, perhaps with the distribution in front.
        kind: what it is the name of.

    >>> from optkit_core.plugins.kinds import KINDS
    >>> bool(re.match(one("cosine_annealing", KINDS["schedule"])["pattern"], "Cosine-AnnealingLR"))
    True
    """
    provider, _, bare = name.rpartition(":")
    entry = registry_of(kind.name).find(name)
    known = normalized(bare)
    spellings = [known, *(alias for alias, meant in kind.aliases.items() if meant == known)]
    ending = f"({'|'.join(map(_letters, kind.endings))})?" if kind.endings else ""
    # Where several distributions claim a name, it must be said whose it is.
    prefix = f"({_letters(normalized(entry.provider))}:){'' if provider else '?'}"
    return {"pattern": f"^{prefix}({'|'.join(map(_letters, spellings))}){ending}[-_]*$"}


def _letters(text: str) -> str:
    """Return a pattern for letters in either case, with hyphens and underscores between them."""
    return "[-_]*" + "[-_]*".join(
        f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text
    )
