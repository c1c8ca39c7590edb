"""References of algorithms in float64 NumPy, from the papers: self-agreement proves no formula."""

from __future__ import annotations

from references import (
    adaptive,
    descent,
    factored,
    layers,
    moments,
    schedule_free,
    signs,
)
from references.muon import muon
from references.prodigy import prodigy
from references.soap import soap
from references.trajectory import Step, each

ONE_TENSOR = (
    adaptive.adagrad,
    adaptive.adadelta,
    adaptive.rmsprop,
    descent.asgd,
    descent.rprop,
    descent.sgd,
    factored.adafactor,
    layers.lamb,
    layers.lars,
    moments.adam,
    moments.adamax,
    moments.adamw,
    moments.nadam,
    moments.radam,
    moments.sparseadam,
    schedule_free.schedulefree_adamw,
    schedule_free.schedulefree_sgd,
    signs.adan,
    signs.ademamix,
    signs.lion,
    muon,
    soap,
)

REFERENCES: dict[str, Step] = {
    **{reference.__name__: each(reference) for reference in ONE_TENSOR},
    "prodigy": prodigy,
}
"""The reference of each algorithm, by the name under which it is registered."""
