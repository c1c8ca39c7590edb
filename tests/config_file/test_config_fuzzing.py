"""Configurations at random: each is refused as a whole with a path, or builds and steps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from config_samples import Random, TinyTransformer, valid
from config_trials import outcome, trial

import optkit


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 400, 100))
def test_no_configuration_does_half_of_it(start: int, tmp_path: Path) -> None:
    trials = [trial(seed, tmp_path) for seed in range(start, start + 100)]
    counted = Counter("accepted" if one.error is None else "refused" for one in trials)
    assert min(counted["accepted"], counted["refused"]) > 10


@pytest.mark.slow
def test_what_the_samples_call_valid_is() -> None:
    for seed in range(40):
        assert outcome(valid(Random(seed))) is None


def test_the_trial_sees_what_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    real = optkit.from_config

    def careless(source: object, model: TinyTransformer) -> None:
        model.embed.weight.requires_grad_(False)
        real({"optimizer": {"name": "nobody"}}, model)

    monkeypatch.setattr(optkit, "from_config", careless)
    with pytest.raises(AssertionError):
        outcome({})
