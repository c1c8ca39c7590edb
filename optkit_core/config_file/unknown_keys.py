"""Keys that nobody knows: what was probably meant, and what there is."""

from __future__ import annotations

from collections.abc import Iterable

from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.errors import ConfigFault, did_you_mean
from optkit_core.param_groups.group_keys import SYNONYMS


def unknown_key(
    document: Document,
    path: KeyPath,
    known: Iterable[str],
    *,
    owner: str = "",
    also: Iterable[str] = (),
) -> ConfigFault:
    """Return the mistake of a key that nobody knows.

    Args:
        document: where it stands.
        path: of the key.
        known: the keys that there are.
        owner: whose they are, an algorithm's for example.
        also: further ones that may have been meant.
    """
    key, listed = str(path[-1]), list(known)
    synonym = SYNONYMS.get(key.lower())
    hint = f" Did you mean {synonym!r}?" if synonym in listed else ""
    hint = hint or did_you_mean(key, [*listed, *also])
    to, takes = (f" to {owner}", "It takes") if owner else ("", "There are")
    return document.fault(path, f"isn't known{to}.{hint} {takes} {', '.join(listed)}.")
