"""Coverage: a public name that no page documents is a warning, and so fails the build."""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from docs.extensions.public_names import public_names

logger = logging.getLogger(__name__)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of every public name that isn't documented by this name or by another."""
    objects = env.domains.python_domain.objects
    documented = [thing for name, thing in public_names() if name in objects]
    for name, thing in public_names():
        if not any(thing is known for known in documented):
            logger.warning("no page documents %s", name, type="optkit", subtype="coverage")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
