"""What the parts of a plugin project are called, all from the one name that its author gives."""

from __future__ import annotations

import builtins
import re
from keyword import iskeyword

import attrs

import optkit
import optkit_core
from optkit.cli.user_errors import ProjectNameError

PREFIX = "optkit-"
LONGEST = 30
WORDS = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)
IMPORTED = ("Any", "Tensor")
"""What the templates import beside names of `optkit_core`."""


@attrs.frozen
class ProjectNames:
    """The names of a plugin project.

    Args:
        algorithm: what `optkit.create` takes, and the module's file.
        class_name: the algorithm's class.
        distribution: what is published and installed.
        package: what is imported.

    >>> project_names("lion-cub")
    ProjectNames(algorithm='lion_cub', class_name='LionCub', distribution='optkit-lion-cub', \
package='optkit_lion_cub')
    """

    algorithm: str
    class_name: str
    distribution: str
    package: str


def project_names(name: str) -> ProjectNames:
    """Return all names of a project.

    Args:
        name: lower-case words joined by ``-`` or ``_``, with or without ``optkit-`` in front.

    Raises:
        ProjectNameError: it isn't that, it is too long, an algorithm goes by it already, or its
            class would hide a name that the class is made of.
    """
    if not WORDS.fullmatch(name) or len(name) > LONGEST:
        raise ProjectNameError(
            "a plugin is named by words of a-z and 0-9, joined by '-', the first of which begins "
            f"with a letter, of {LONGEST} characters at most, such as 'lion-cub'; "
            f"got {name!r:.60}.{_suggestion(name)}"
        )
    words = re.split("[-_]", name.replace("_", "-").removeprefix(PREFIX))
    algorithm, class_name = "_".join(words), "".join(map(str.capitalize, words))
    _require_usable(name, algorithm, class_name)
    return ProjectNames(
        algorithm, class_name, PREFIX + "-".join(words), f"optkit_{'_'.join(words)}"
    )


def _suggestion(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    plain = re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-")
    usable = WORDS.fullmatch(plain) and len(plain) <= LONGEST
    return f" Did you mean {plain!r}?" if usable else ""


def _require_usable(name: str, algorithm: str, class_name: str) -> None:
    taken = optkit.available(algorithm)
    if taken:
        raise ProjectNameError(
            f"{name!r} is taken: optkit.create({taken[0]!r}, ...) is an algorithm already; "
            f"'optkit show {taken[0]}' tells whose. Choose another name."
        )
    if iskeyword(algorithm) or iskeyword(class_name):
        raise ProjectNameError(f"{name!r} is a keyword of Python. Choose another name.")
    hidden = (*IMPORTED, *optkit_core.__all__, *dir(builtins))
    if class_name in hidden:
        raise ProjectNameError(
            f"the class of {name!r} would be called {class_name}, which is the name of something "
            "that algorithms are made of. Choose another name."
        )
