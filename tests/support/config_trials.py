"""One configuration tried on a small model: refused as a whole, with a path, or accepted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import attrs
import torch
from config_samples import FORMATS, Random, TinyTransformer, garbled, mutated, valid, written

import optkit
from optkit_core import ConfigFileError, OptkitError

INPUTS = torch.tensor([0, 3, 5])


@attrs.frozen
class Trial:
    """What became of a configuration: the error, or None."""

    text: bytes
    error: ConfigFileError | None


def trial(seed: int, folder: Path) -> Trial:
    """Try the configuration of a seed, valid or with mistakes; raise for what mustn't be."""
    r = Random(seed)
    config = valid(r)
    if r.random() < 0.75:
        config = mutated(r, config)
    form = r.choice(FORMATS)
    content = written(config, form).encode()
    if r.random() < 0.35:
        content = garbled(r, content)
    path = folder / f"config.{form if r.random() < 0.98 else r.choice(FORMATS)}"
    path.write_bytes(content)
    return Trial(content, outcome(path))


def outcome(source: Any) -> ConfigFileError | None:
    """Build and step once what a configuration describes, or return how it is refused."""
    torch.manual_seed(0)
    model = TinyTransformer()
    before = _state(model)
    try:
        with warnings.catch_warnings():
            # torch's own about a schedule that steps; whatever else comes is an error.
            warnings.filterwarnings("ignore", message="Detected call of", category=UserWarning)
            setup = optkit.from_config(source, model)
    except OptkitError as error:
        _require_unchanged(before, _state(model))
        return _checked_refusal(source, error)
    if _is_representable(setup.config()):
        _step(setup, model)
    return None


def _is_representable(value: Any) -> bool:
    """Return whether a float32 and a 64-bit integer hold all numbers; torch's step needs that."""
    if isinstance(value, (dict, list, tuple)):
        below = value.values() if isinstance(value, dict) else value
        return all(map(_is_representable, below))
    return not isinstance(value, (int, float)) or not 1e18 < abs(value) < float("inf")


def _require_unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert all(map(torch.equal, before.pop("weights"), after.pop("weights")))
    assert before == after


def _state(model: torch.nn.Module) -> dict[str, Any]:
    """Return what a refused configuration leaves as it is."""
    parameters = list(model.parameters())
    return {
        "weights": [p.detach().clone() for p in parameters],
        "gradients": [p.requires_grad for p in parameters],
        "random": torch.get_rng_state().tolist(),
        "names": [optkit.available(kind=k) for k in ("algorithm", "schedule", "averaging")],
        "used": [p._backward_hooks for p in parameters],
    }


def _checked_refusal(source: Any, error: OptkitError) -> ConfigFileError:
    assert isinstance(error, ConfigFileError), repr(error)
    text = str(error)
    if isinstance(source, Path):
        assert all(line.startswith(str(source)) for line in text.splitlines() if line[:1] != " ")
    for fault in error.faults:
        assert fault.message and fault.message in text
        # A text that can't be parsed has lines and no keys.
        assert fault.path or fault.line or "the configuration" in fault.message, fault
    return error


def _step(setup: optkit.TrainingSetup, model: torch.nn.Module) -> None:
    def closure() -> Any:
        setup.optimizer.zero_grad()
        loss = model(INPUTS).square().mean()
        loss.backward()
        return loss

    if getattr(setup.optimizer, "requires_closure", False):
        setup.step(closure)
    else:
        closure()
        setup.step()
    setup.end_epoch(metric=1.0)
    assert (setup.steps, setup.epochs) == (1, 1)
