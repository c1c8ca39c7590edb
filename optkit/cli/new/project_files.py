"""The files of a plugin project, from the templates beside this module."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import metadata
from importlib.resources import files
from string import Template

import attrs

from optkit.cli.new.project_names import ProjectNames

COMMANDS = {"install": "python -m pip install -e '.[test]'", "run_tests": "python -m pytest"}
"""What an author types next, in the project's directory."""

BUILD = {"install_builder": "python -m pip install hatchling", "build": "python -m hatchling build"}
"""What makes the distribution that is released."""

PATHS = {
    "gitignore": ".gitignore",
    "release": ".github/workflows/release.yml",
    "workflow": ".github/workflows/tests.yml",
    "readme": "README.md",
    "pyproject": "pyproject.toml",
    "package": "src/$package/__init__.py",
    "typed": "src/$package/py.typed",
    "$base": "src/$package/$algorithm.py",
    "conformance": "tests/test_$algorithm.py",
}
"""Where what each template makes lies in the project."""


def project_files(names: ProjectNames, base: str) -> dict[str, str]:
    """Return the text of each file of a project, by its path.

    Args:
        names: what its parts are called.
        base: the template of its algorithm, called like the base class in lower case.
    """
    words = {**attrs.asdict(names), "base": base, **COMMANDS, **BUILD, **_requirements()}
    return {
        Template(path).substitute(words): _filled(Template(template).substitute(words), words)
        for template, path in PATHS.items()
    }


def algorithm_path(names: ProjectNames) -> str:
    """Return the path of the file with the update body."""
    return Template(PATHS["$base"]).substitute(attrs.asdict(names))


def _filled(template: str, words: Mapping[str, str]) -> str:
    # A suffix of its own: no tool may take a template for the file that it makes.
    path = files("optkit.cli.new") / "templates" / f"{template}.template"
    return Template(path.read_text(encoding="utf-8")).substitute(words)


def _requirements() -> dict[str, str]:
    """Return which optkit and Python a project asks for: the present ones."""
    about = metadata("optkit")
    return {
        "optkit": supported_versions(about["Version"]),
        "python": about["Requires-Python"],
    }


def supported_versions(version: str) -> str:
    """Return the versions of optkit that serve a plugin which is written for one of them.

    The rule is that of the page on stability: what is deprecated works for a whole minor version
    more, and from 1.0 on until the next major one.

    >>> supported_versions("0.3.1"), supported_versions("2.5.0")
    ('>=0.3.1,<0.5', '>=2.5.0,<3')
    """
    public = version.partition("+")[0]  # a requirement can't name a local version
    major, minor = map(int, public.split(".")[:2])
    return f">={public},<{f'0.{minor + 2}' if major == 0 else major + 1}"
