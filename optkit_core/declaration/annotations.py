"""Annotations, which are texts wherever a module says so: what type each of them names."""

from __future__ import annotations

import inspect
from typing import Any


def annotation_text(annotation: Any) -> str:
    """Return an annotation as it is written, ``""`` where there is none."""
    if annotation is None or isinstance(annotation, str):
        return annotation or ""
    return inspect.formatannotation(annotation)


def resolved_annotation(annotation: Any, names: dict[str, Any]) -> Any:
    """Return the type that an annotation names; Any where it can't be known yet.

    Args:
        annotation: a type, or the text of one.
        names: what the names in the text mean: the globals of its module.
    """
    if not isinstance(annotation, str):
        return annotation
    try:
        # Under `from __future__ import annotations` every annotation is text, and builders of
        # command lines (jsonargparse, Lightning's) need the types.
        return eval(annotation, names)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any  # a name that is defined later, or for type checkers alone
