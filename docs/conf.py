"""Sphinx configuration."""

from importlib.metadata import version as installed

import optkit

project = "optkit"
author = "the optkit developers"
copyright = "2026, the optkit developers"
release = version = installed("optkit")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]

html_theme = "furo"
html_title = f"optkit {release}"


def add_schema(app, what, name, documented, options, lines):
    """Append the table of an algorithm's saved state, from its declaration, to its page."""
    if what != "class" or name.rpartition(".")[2].lower() not in optkit.available():
        return
    description = optkit.describe(name.rpartition(".")[2].lower())
    lines += ["", f"Saved state, ``{description.schema}``:", "", ".. list-table::"]
    lines += ["   :header-rows: 1", ""]
    header = ("entry", "what it is", "shape", "dtype", "device", "starts from", "since")
    rows = [
        (f"``{b.name}``", b.doc, b.shape, b.dtype, b.device, b.init, str(b.since))
        for b in description.buffers
    ]
    for first, *others in (header, *rows):
        lines.append(f"   * - {first}")
        lines += [f"     - {cell}" for cell in others]
    lines.append("")


def setup(app):
    app.connect("autodoc-process-docstring", add_schema)
