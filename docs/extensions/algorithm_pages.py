"""A page for each registered algorithm, written from its declaration when a build begins.

Nothing else is needed for a new algorithm: what its entry point names is asked for its docstring,
hyperparameters, buffers, and implementations. Pages and pictures lie beside ``algorithms/index.md``
and are no part of the repository.
"""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import optkit
from docs.extensions.markup import code, heading, shown, side_by_side, table, write
from docs.extensions.overview_table import overview, title
from docs.extensions.public_names import public_name
from docs.pictures import algorithm as pictures
from docs.pictures.effort import FULL, SKETCH
from docs.pictures.surfaces import SURFACES
from optkit_core.selection.capabilities import DEVICES

PAGES = Path(__file__).parents[1] / "algorithms"
PICTURES = PAGES / "pictures"

SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Example:", "Source:")
"""Where the mathematics of a class's docstring end."""


def write_pages(app: Sphinx) -> None:
    """Write the page of each algorithm, and the table of all of them."""
    names = optkit.available()
    for outdated in {page.stem for page in PAGES.glob("*.rst")} - {*names, "table"}:
        (PAGES / f"{outdated}.rst").unlink()
    write(PAGES / "table.rst", overview(names))
    for name in names:
        write(PAGES / f"{name}.rst", page(name))
        if pictures.is_drawn(name) and is_outdated(name):
            pictures.draw(name, PICTURES, SKETCH if app.config.picture_sketches else FULL)
            app.connect("build-finished", partial(remove_sketches, name=name))


def remove_sketches(app: Sphinx, exception: Exception | None, name: str) -> None:
    """Let the next build draw an algorithm's pictures, where they are sketches."""
    if app.config.picture_sketches:
        for sketch in PICTURES.glob(f"{name}-*.svg"):
            sketch.unlink()


def page(name: str) -> list[str]:
    """Return the lines of an algorithm's page."""
    described = optkit.describe(name)
    mathematics, _ = parts(optkit.get(name))
    return [
        *heading(title(name), "="),
        *code(f'optimizer = optkit.create("{name}", model.named_parameters())'),
        *mathematics,
        "",
        *heading("How it moves", "-"),
        *(moves(name) if pictures.is_drawn(name) else NO_PICTURES),
        *heading("Hyperparameters", "-"),
        *hyperparameters(described),
        *heading("State", "-"),
        *state(name),
        *heading("Implementations", "-"),
        *implementations(name),
        *([*heading("Publication", "-"), described.paper, ""] if described.paper else []),
        *heading("Class", "-"),
        f".. autoclass:: {public_name(optkit.get(name))}",
        "   :members: share_memory" if hasattr(optkit.get(name), "share_memory") else "",
        "",
    ]


CAPTION = [
    "Above, from the dot toward the minimum at the star. Of twelve learning rates between 1e-4 and",
    "30 the one that ends lowest is shown; an algorithm with a line search finds its steps itself.",
    "Below, the network of ``optkit compare``, with the learning rate that it finds for this",
    "algorithm; gray curves are those of the others.",
    "",
]

NO_PICTURES = [
    "The pictures of other pages show a point of two numbers with a dense gradient. This algorithm",
    "takes no such point, and so has none.",
    "",
]


def moves(name: str) -> list[str]:
    """Return an algorithm's pictures."""
    return [
        *side_by_side(
            [f"{name}-{surface.name.lower()}" for surface in SURFACES],
            f"The path of {name} on {SURFACES[0].name}'s and on {SURFACES[1].name}'s function",
        ),
        *CAPTION,
        *shown(f"{name}-digits", f"Training loss of {name} on handwritten digits, over passes"),
    ]


def parts(algorithm: type[Any]) -> tuple[list[str], list[str]]:
    """Return the lines of a docstring before its first section, and the others."""
    lines = (inspect.getdoc(algorithm) or "").splitlines()
    first = next((i for i, line in enumerate(lines) if line in SECTIONS), len(lines))
    return lines[:first], lines[first:]


def leave_out_mathematics(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Begin the text of an algorithm's class with its arguments; the rest is above on its page."""
    is_algorithm = isinstance(thing, type) and name in {
        public_name(optkit.get(known)) for known in optkit.available()
    }
    if is_algorithm:
        lines[:] = parts(thing)[1]


def hyperparameters(described: Any) -> list[str]:
    """Return the table of hyperparameters."""
    rows = [
        (f"``{item.name}``", f"``{item.default!r}``", item.range, searched(item), item.doc)
        for item in described.hyperparameters
    ]
    columns = ("name", "default", "range", "where to search", "what it is")
    return table(columns, rows)


def searched(item: Any) -> str:
    """Return where a hyperparameter is searched, in code, or nothing."""
    return f"``{item.search}``" if item.search else ""


def state(name: str) -> list[str]:
    """Return the tables of what is saved for each parameter, and for all of them together."""
    described, algorithm = optkit.describe(name), optkit.get(name)
    if not described.buffers:
        return ["It keeps none." if described.schema else "Its state isn't declared.", ""]
    rows = [
        (f"``{b.name}``", b.doc, b.when, b.init, b.shape, b.dtype, b.device)
        for b in described.buffers
    ]
    columns = ("buffer", "what it is", "exists", "starts from", "shape", "dtype", "device")
    return [f"Schema ``{described.schema}``.", "", *table(columns, rows), *estimates(algorithm)]


def estimates(algorithm: type[Any]) -> list[str]:
    """Return the table of the numbers that an algorithm learns from all parameters, if any."""
    declared = ((name, algorithm.declarations[name]) for name in algorithm.estimate_names)
    rows = [(f"``{name}``", item.doc, f"``{item.default}``") for name, item in declared]
    if not rows:
        return []
    introduction = "Each group holds the same estimates, which are saved with its hyperparameters:"
    return [introduction, "", *table(("estimate", "what it is", "starts from"), rows)]


def implementations(name: str) -> list[str]:
    """Return the table of implementations and of what they run, by device."""
    able = optkit.describe(name).capabilities.implementations
    if not any(able.values()):
        return ["It runs its own step.", ""]
    rows = [
        (f"``{known}``", *(able[device][known].reason or "yes" for device in DEVICES))
        for known in able[DEVICES[0]]
    ]
    further = "Which one ``auto`` takes: :doc:`/how-to/choose-implementation`."
    return [*table(("implementation", *map(str.upper, DEVICES)), rows), further, ""]


def is_outdated(name: str) -> bool:
    """Return whether an algorithm's pictures are missing, or older than what they show."""
    pictured = PICTURES / f"{name}-digits-dark.svg"
    drawn_by = Path(pictures.__file__).parent.glob("*.py")
    sources = [*drawn_by, Path(inspect.getsourcefile(optkit.get(name)) or pictures.__file__)]
    newest = max(source.stat().st_mtime for source in sources)
    return not pictured.exists() or pictured.stat().st_mtime < newest


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx; docstrings are cut before napoleon reads their sections."""
    app.add_config_value("picture_sketches", False, "", bool)
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", leave_out_mathematics, priority=400)
    return {"parallel_read_safe": True}
