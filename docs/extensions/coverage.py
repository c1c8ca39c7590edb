"""Coverage: a public name without documentation, or a map that is outdated, fails the build."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from docs.extensions.public_names import public_names

ROOT = Path(__file__).parents[2]

logger = logging.getLogger(__name__)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of what isn't documented, and of paths in CONTRIBUTING.md that don't exist."""
    for name in undocumented(env):
        logger.warning("no page documents %s", name, type="optkit", subtype="coverage")
    for path in missing_paths((ROOT / "CONTRIBUTING.md").read_text()):
        logger.warning("CONTRIBUTING.md: there is no %s", path, type="optkit", subtype="coverage")


def undocumented(env: BuildEnvironment) -> Iterator[str]:
    """Yield every public name that isn't documented by itself or by another name."""
    objects = env.domains.python_domain.objects
    documented = [thing for name, thing in public_names() if name in objects]
    for name, thing in public_names():
        if not any(thing is known for known in documented):
            yield name


def missing_paths(text: str) -> Iterator[str]:
    """Yield what the map names and isn't there; in a row, bare names are below its first path."""
    for row in re.findall(r"^\|[^|]+\|([^|]+)\|$", text, re.MULTILINE):
        first, *others = re.findall(r"`([\w./-]+(?:/|\.py|\.toml|\.md))`", row) or [""]
        folder = first if first.endswith("/") else f"{first.rpartition('/')[0]}/"
        for path in (first, *others):
            if not ((ROOT / path).exists() or (ROOT / folder / path).exists()):
                yield path


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
