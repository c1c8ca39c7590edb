"""Names of before: each works for a time, and says what to write in its place.

The page on stability says for how long. A test fails once a name has outlived what it says here.
"""

from __future__ import annotations

import warnings

import attrs


@attrs.frozen
class FormerName:
    """What is known of a name that is deprecated.

    Args:
        present: what is written in its place.
        since: the first version of optkit that warns of it.
        gone: the first version that hasn't got it.
    """

    present: str
    since: str
    gone: str


FORMER_NAMES = {
    "optkit_core.Kind": FormerName("BucketKey", since="0.1", gone="0.3"),
    "optkit_core.kind_of": FormerName("bucket_key_of", since="0.1", gone="0.3"),
    "optkit_core.refuse_overlap": FormerName("require_no_overlap", since="0.1", gone="0.3"),
    "Bucket.kind": FormerName("key", since="0.1", gone="0.3"),
    "Choice.kind": FormerName("key", since="0.1", gone="0.3"),
    "Elements.places": FormerName("addresses", since="0.1", gone="0.3"),
    "Elementwise.refuse": FormerName("unsupported_reason", since="0.1", gone="0.3"),
    "Offer.prepare": FormerName("make_launcher or vector_class", since="0.1", gone="0.3"),
    "Offer.refuse": FormerName("unsupported_reason", since="0.1", gone="0.3"),
    "Offer(prepare=...)": FormerName("make_launcher=", since="0.1", gone="0.3"),
    "Offer(refuse=...)": FormerName("unsupported_reason=", since="0.1", gone="0.3"),
}
"""All that is deprecated, by the name of before."""


def warn_of_former_name(name: str, shown: str = "", stacklevel: int = 2) -> None:
    """Warn that a name is deprecated, what it is called now, and until when it works.

    Args:
        name: one of `FORMER_NAMES`.
        shown: how the caller wrote it, where that is different, in a class of its own for example.
        stacklevel: whose line is to be shown; 2 (default) is that of the caller's caller.
    """
    former = FORMER_NAMES[name]
    # Begins with the package, by which plugins turn these warnings, and no others, into errors.
    message = (
        f"optkit: {shown or name} is called {former.present} now, "
        f"and {former.gone} won't have the former name."
    )
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
