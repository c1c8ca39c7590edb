"""The limit of time for plugins: what hangs is interrupted, and nothing else is touched."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import distributions
import pytest
import torch
from distributions import World

import optkit
import optkit_core
from optkit_core.plugins import import_limit

world = pytest.fixture(distributions.world)

HANGING = {
    "sleeps": "import time\ntime.sleep(1e6)",
    "waits": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "loops": "while True:\n    try:\n        1 / 0\n    except Exception:\n        pass",
    "registers": "import optkit_core, time\n@optkit_core.hookimpl\n"
    "def optkit_register(registrar):\n    time.sleep(1e6)",
}


def create() -> torch.optim.Optimizer:
    return optkit.create("adamax", [torch.nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize("source", HANGING.values(), ids=HANGING)
def test_a_plugin_that_hangs_is_left_out(world: World, source: str) -> None:
    world.monkeypatch.setenv(import_limit.VARIABLE, "0.05")
    world.install("stuck", plugins={"stuck": "stuck_module"}, modules={"stuck_module": source})
    before = signal.getsignal(signal.SIGALRM)
    with pytest.warns(optkit_core.PluginWarning) as warned:
        assert create()
    (warning,) = warned
    for words in ("'stuck'", "stuck 1.0", "within 0.05 s", import_limit.VARIABLE):
        assert words in str(warning.message)
    assert signal.getsignal(signal.SIGALRM) is before
    assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]


def test_an_algorithm_that_hangs_is_passed_over_in_the_search_for_a_name(world: World) -> None:
    world.monkeypatch.setenv(import_limit.VARIABLE, "0.05")
    modules = {"stuck_module": HANGING["sleeps"]}
    world.install("stuck", algorithms={"lion": "stuck_module:Lion"}, modules=modules)
    with pytest.raises(optkit.HyperparameterError, match="must be one of"):
        optkit.create("adamax", [torch.zeros(1)], implementation="no-such-name")


def test_alarms_of_others_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    try:
        with import_limit.limited(60.0):
            signal.raise_signal(signal.SIGALRM)
        assert seen == [signal.SIGALRM]
        signal.raise_signal(signal.SIGALRM)
        assert len(seen) == 2
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_ends_in_time_is_left_alone() -> None:
    with import_limit.limited(0.01):
        pass
    time.sleep(0.05)  # an alarm that came now would end the process


def test_another_thread_has_no_limit() -> None:
    done: list[bool] = []

    def work() -> None:
        with import_limit.limited(0.01):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon"])
def test_a_limit_is_a_number_of_seconds(world: World, given: str) -> None:
    world.monkeypatch.setenv(import_limit.VARIABLE, given)
    with pytest.raises(
        optkit_core.ConfigError, match=rf"{import_limit.VARIABLE} must be .*{given}"
    ):
        create()
    world.monkeypatch.setenv(import_limit.VARIABLE, " ")
    assert create()
    assert import_limit.seconds() == import_limit.DEFAULT


def test_two_kinds_of_one_name_are_both_loaded(world: World) -> None:
    module = torch.nn.Linear(1, 1)
    optimizer: Any = optkit.create("adamax", module.parameters())
    assert optkit.create_averaging("swa", module)
    assert optkit.create_schedule("swa", optimizer, swa_lr=0.1)
