"""Capabilities: what an algorithm can do by which implementation, on whatever machine.

What the table of all algorithms says comes from here, for each cell with its reason; nothing is
compiled for it, and no device is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import torch

from optkit_core.selection.collect_offers import OWN_STEP, offers_of
from optkit_core.selection.offer import Offer
from optkit_core.selection.select_implementation import by_preference
from optkit_core.step.bucket_key import BucketKey

DEVICES = ("cpu", "cuda")
"""The types of devices for which the implementations are told."""

FLAGS = {"forloop": "foreach", "foreach": "foreach", "fused": "fused"}
"""The argument of a class of torch's that chooses an implementation."""


@attrs.frozen
class Answer:
    """Whether an algorithm can do something.

    Args:
        is_supported: True or False; None where its class doesn't say.
        reason: why not, or why nothing is known.
    """

    is_supported: bool | None
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.is_supported)

    def __str__(self) -> str:
        return {True: "yes", False: "no", None: "?"}[self.is_supported]


YES = Answer(True)
UNKNOWN = Answer(None, "its class doesn't say")


@attrs.frozen
class Capabilities:
    """What an algorithm can do with float32 parameters and its default hyperparameters.

    Args:
        implementations: by the type of a device, each implementation with an answer.
        default: by the type of a device, what ``auto`` takes there, as far as it is installed.
        dense: whether it takes dense gradients.
        sparse: whether it takes ``sparse_coo`` gradients.
        complex: whether it takes complex parameters.
        capturable: whether a CUDA graph can capture its step, with ``capturable=True``.
        differentiable: whether autograd can record its step, with ``differentiable=True``.
        parameter_dims: the numbers of dimensions that a parameter may have; None: any.
    """

    implementations: Mapping[str, Mapping[str, Answer]]
    default: Mapping[str, str]
    dense: Answer
    sparse: Answer
    complex: Answer
    capturable: Answer
    differentiable: Answer
    parameter_dims: tuple[int, ...] | None = None

    def implementation(self, name: str, device: str) -> Answer:
        """Return whether an implementation steps parameters on a type of device.

        Args:
            name: ``"forloop"``, ``"foreach"``, ``"fused"``, or one of a plugin's own.
            device: ``"cpu"`` or ``"cuda"``.
        """
        return self.implementations[device].get(name, Answer(False, "there is none"))

    def devices_of(self, name: str) -> str:
        """Return where an implementation runs: ``"yes"`` for everywhere, ``"no"`` for nowhere.

        Args:
            name: of the implementation.
        """
        found = [device for device in DEVICES if self.implementation(name, device)]
        return "yes" if len(found) == len(DEVICES) else " ".join(found) or "no"

    @property
    def sparse_cell(self) -> str:
        """Whether it takes sparse gradients, ``"only"`` where it takes no dense ones."""
        return "only" if self.sparse and not self.dense else str(self.sparse)


def capabilities(algorithm: type[torch.optim.Optimizer]) -> Capabilities:
    """Return what an algorithm can do, by its declarations and its update body.

    Args:
        algorithm: the class; of one that isn't optkit's, only its arguments are known.

    >>> import optkit
    >>> adagrad = capabilities(optkit.get("adagrad"))
    >>> adagrad.default
    {'cpu': 'fused', 'cuda': 'foreach'}
    >>> adagrad.sparse, adagrad.implementation("fused", "cuda")
    (Answer(is_supported=True, reason=''), Answer(is_supported=True, reason=''))
    """
    if not hasattr(algorithm, "offers"):
        return _by_arguments(algorithm)
    asked = Questions(algorithm)
    return Capabilities(
        {device: asked.implementations(device) for device in DEVICES},
        {device: asked.default(device) for device in DEVICES},
        asked.about("cpu"),
        asked.about("cpu", layout=torch.sparse_coo),
        asked.about("cpu", dtype=torch.complex64, layout=asked.layout),
        asked.about_option("capturable", "cuda"),
        asked.about_option("differentiable", "cpu"),
        _dims(algorithm),
    )


class Questions:
    """What is asked of an algorithm whose class declares itself.

    Args:
        algorithm: the class.

    Attributes:
        layout: of the gradients that it is asked about: sparse where it takes no others.
    """

    def __init__(self, algorithm: Any) -> None:
        """Collect what answers."""
        self.algorithm = algorithm
        self.offers = offers_of(algorithm)
        self.h = SimpleNamespace(
            **{name: algorithm.default_values[name] for name in algorithm.value_names}
        )
        self.layout = torch.strided
        if not self.about("cpu") and self.about("cpu", layout=torch.sparse_coo):
            self.layout = torch.sparse_coo

    def implementations(self, device: str) -> dict[str, Answer]:
        """Return for each implementation whether it can run on a type of device."""
        key = _key(device, layout=self.layout)
        return {offer.name: self._by(offer, key) for offer in self.offers}

    def default(self, device: str) -> str:
        """Return the name of what ``auto`` takes on a type of device."""
        able = self.implementations(device)
        for offer in by_preference(_key(device, layout=self.layout), self.offers):
            if able[offer.name]:
                return offer.name
        return OWN_STEP

    def about(self, device: str, **special: Any) -> Answer:
        """Return whether buckets can be stepped that have something special."""
        key = _key(device, **special)
        takes = getattr(self.algorithm, "unsupported_reason", None)
        if takes is None:
            return UNKNOWN
        reason = takes(key, self.h) or self._parameter_complaint(key.dtype)
        if reason or not self.offers:
            return Answer(not reason, reason or "")
        answers = [self._by(offer, key) for offer in by_preference(key, self.offers)]
        return next(filter(None, answers), answers[0])

    def about_option(self, name: str, device: str) -> Answer:
        """Return whether buckets can be stepped for which an option is True."""
        if name not in self.algorithm.declarations:
            return Answer(False, f"{self.algorithm.__name__} takes no {name}")
        complaint = self.algorithm.values_complaint({**self.algorithm.default_values, name: True})
        if complaint:
            return Answer(False, complaint)
        return self.about(device, layout=self.layout, **{name: True})

    def _parameter_complaint(self, dtype: torch.dtype) -> str:
        dims = _dims(self.algorithm)
        shape = (2,) * (2 if dims is None or 2 in dims else dims[0])
        complaint = self.algorithm.parameter_complaint(
            torch.empty(shape, dtype=dtype, device="meta")
        )
        return complaint and f"{self.algorithm.__name__} takes no parameter that {complaint}"

    def _by(self, offer: Offer, key: BucketKey) -> Answer:
        try:
            reason = offer.impossible_reason(self.algorithm, key, self.h)
        except Exception as error:  # a plugin's own, which may ask for a device
            return Answer(None, f"{type(error).__name__}: {error}")
        return Answer(not reason, reason or "")


def _key(device: str, **special: Any) -> BucketKey:
    return BucketKey(**{"device": torch.device(device), "dtype": torch.float32, **special})


def _dims(algorithm: Any) -> tuple[int, ...] | None:
    dims = getattr(algorithm, "parameter_dims", None)
    return None if dims is None else tuple(dims)


def _by_arguments(algorithm: type[torch.optim.Optimizer]) -> Capabilities:
    """Return what the constructor of a class that isn't optkit's gives away."""
    taken = inspect.signature(algorithm).parameters

    def about(argument: str) -> Answer:
        name = algorithm.__name__
        return YES if argument in taken else Answer(False, f"{name} takes no {argument}")

    implementations = {name: about(flag) for name, flag in FLAGS.items()}
    return Capabilities(
        dict.fromkeys(DEVICES, implementations),
        dict.fromkeys(DEVICES, OWN_STEP),
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
        about("capturable"),
        about("differentiable"),
    )
