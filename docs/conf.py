"""Sphinx configuration."""

import logging
import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

project = "optkit"
author = "the optkit developers"
copyright = "2026, the optkit developers"
release = version = installed("optkit")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "docs.extensions.algorithm_pages",
    "docs.extensions.code_links",
    "docs.extensions.coverage",
    "docs.extensions.factory_tables",
    "docs.extensions.public_names",
    "docs.extensions.requirements_table",
]
exclude_patterns = ["_build", "algorithms/table.rst"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
autosummary_generate = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
}
intersphinx_timeout = 5

html_theme = "furo"
html_title = f"optkit {release}"
html_static_path = ["images/static"]
html_css_files = ["optkit.css"]


def without_network(record: logging.LogRecord) -> bool:
    """Let a build without a network go on: names of Python and torch are then no links."""
    if "failed to reach any of the inventories" in str(record.msg):
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True


logging.getLogger("sphinx.sphinx.ext.intersphinx").addFilter(without_network)
