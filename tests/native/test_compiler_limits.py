"""Compilers that never end or fail: a limit, one question to each, and the reason told."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kernels
import pytest
import torch
from kernels import SOURCE, optimizer_for_fused, script, stepped
from processes import PATIENCE, python

import optkit
from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cpp_kernel
from optkit_core.native import cache, cache_dirs, compile_failures, compile_lock, compiler

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit.cli import main

named = pytest.fixture(kernels.named)
STUCK = r"the compiler '.*stuck' didn't end within 0\.5 s.* OPTKIT_COMPILER_TIMEOUT"


@pytest.fixture
def folder(named: Path) -> Path:
    """Return where optkit's kernels will lie; it is there."""
    return cache_dirs.writable()


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[], int]:
    """Return a function that tells how often a compiler of this test was started."""
    log = tmp_path / "asked"
    log.touch()
    return lambda: log.read_text().count("x")


class Alive:
    """A pipe that a compiler, and all that it has started, have open as long as they run."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def said(self) -> bytes:
        """Return what was written to it, nothing if nobody has it open any more."""
        ready, _, _ = select.select([self.reading], [], [], PATIENCE)
        assert ready
        return os.read(self.reading, 2)


@pytest.fixture
def alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alive]:
    """Return such a pipe; nobody's patience with a compiler ends before it has begun."""
    pipe = Alive(tmp_path / "alive")
    real = subprocess.Popen.wait

    def wait(process: Any, timeout: float | None = None) -> int:
        if process.poll() is None and timeout == 0.5:
            assert pipe.said() == b"x\n"
        return real(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    yield pipe
    os.close(pipe.reading)


@pytest.fixture
def stuck(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: Alive) -> Path:
    """Let the compiler never end, nor a child of it that has all that it has open."""
    text = f"exec 3> {tmp_path}/alive\necho x >> {tmp_path}/asked\nsleep 120 &\necho x >&3\nwait"
    monkeypatch.setenv(compiler.VARIABLE, str(script(tmp_path / "stuck", text)))
    monkeypatch.setenv(compiler.TIMEOUT_VARIABLE, "0.5")
    return folder


@pytest.fixture
def failing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the compiler fail each time."""
    text = f"echo x >> {tmp_path}/asked\necho 'error: no' >&2\nexit 1"
    monkeypatch.setenv(compiler.VARIABLE, str(script(tmp_path / "failing", text)))
    return folder


@pytest.mark.usefixtures("stuck")
def test_auto_goes_on_without_a_compiler_that_never_ends(asked: Callable[[], int]) -> None:
    optimizer = optimizer_for_fused()
    for weight_decay in (0.0, 0.1, 0.0):
        optimizer.param_groups[0]["weight_decay"] = weight_decay
        optimizer.step()
    (choice,) = optimizer.plan
    assert choice.name == "forloop"
    assert optimizer.state[optimizer.param_groups[0]["params"][0]]["step"] == 3
    assert "didn't end within 0.5 s" in str(optimizer.explain())
    with pytest.raises(optkit.ImplementationError, match=STUCK):
        stepped(implementation="fused")
    assert stepped(weight_decay=0.5).name == "forloop"
    assert asked() == 1


def test_all_that_a_compiler_started_is_ended(stuck: Path, alive: Alive) -> None:
    with pytest.raises(UnavailableError, match=STUCK):
        cache.library(SOURCE)
    assert alive.said() == b""
    assert [path.name for path in stuck.iterdir()] == ["lock"]


def test_an_interrupted_compilation_ends_its_compiler(
    stuck: Path, alive: Alive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-C, which a compiler in a group of its own doesn't see."""
    real = subprocess.Popen.wait

    def interrupted(process: Any, timeout: float | None = None) -> int:
        if timeout == 0.5:
            assert alive.said() == b"x\n"
            raise KeyboardInterrupt
        return real(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.library(SOURCE)
    assert alive.said() == b""
    assert [path.name for path in stuck.iterdir()] == ["lock"]


def test_what_a_compiler_leaves_running_is_not_waited_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the server that a wrapper starts, with its output still open."""
    real = shlex.join(compiler.command())
    text = f'sleep 120 & echo $! > {tmp_path}/server\nexec {real} "$@"'
    monkeypatch.setenv(compiler.VARIABLE, str(script(tmp_path / "served", text)))
    assert cache.library(SOURCE).exists()
    os.kill(int((tmp_path / "server").read_text()), 9)


@pytest.mark.usefixtures("failing")
def test_a_compiler_that_fails_is_asked_once_for_a_kernel(asked: Callable[[], int]) -> None:
    assert stepped().name == "forloop"
    before = asked()
    assert before >= 1
    for _ in range(3):
        assert "error: no" in dict(stepped().rejected)["fused"]
        with pytest.raises(optkit.ImplementationError, match="error: no"):
            stepped(implementation="fused")
    assert asked() == before
    with pytest.raises(UnavailableError, match="error: no"):
        cache.library(SOURCE)
    assert asked() == before + 1


@pytest.mark.usefixtures("failing")
def test_another_compiler_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="error: no"):
        cache.library(SOURCE)
    monkeypatch.delenv(compiler.VARIABLE)
    assert cache.library(SOURCE).exists()


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "1e999", "1 minute", "0x10"])
def test_a_limit_that_is_none_is_one_clear_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(compiler.TIMEOUT_VARIABLE, value)
    optimizer = optimizer_for_fused()
    with pytest.raises(optkit.OptkitError) as raised:
        optimizer.step()
    assert str(raised.value).startswith(
        f"{compiler.TIMEOUT_VARIABLE} must be a number of seconds above 0"
    )
    assert repr(value) in str(raised.value)
    assert all(torch.equal(p, torch.ones(5000)) for p in optimizer.param_groups[0]["params"])
    monkeypatch.setenv(compiler.TIMEOUT_VARIABLE, " 1e2 ")
    optimizer.step()
    assert optimizer.plan[0].name == "fused"


class Waiting:
    """A thread that asks for a library, and says when it has begun to wait for the lock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = threading.Event()
        self.reasons: list[str] = []
        real = compile_lock.time.sleep

        def sleep(seconds: float) -> None:
            self.waits.set()
            real(seconds)

        clock = SimpleNamespace(sleep=sleep, monotonic=compile_lock.time.monotonic)
        monkeypatch.setattr(compile_lock, "time", clock)
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Waiting:
        self._thread.start()
        assert self.waits.wait(PATIENCE)
        return self

    def __exit__(self, *_: Any) -> None:
        self._thread.join()

    def _ask(self) -> None:
        try:
            cache.library(SOURCE)
        except UnavailableError as error:
            self.reasons.append(str(error))


def someone_else(lock: compile_lock.CompileLock, subject: str, reason: str) -> None:
    """Note a refusal as another process does, which this process knows nothing of."""
    lock.remember_refusal(subject, reason)
    compile_failures.forget_all()


@pytest.mark.parametrize("about", ["compiler", "kernel"])
def test_who_waits_for_a_compiler_that_is_stuck_does_not_ask_it_again(
    failing: Path, asked: Callable[[], int], monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    with pytest.raises(UnavailableError):
        cache.library(SOURCE)
    (name,) = compile_failures._reasons
    compile_failures.forget_all()
    before = asked()
    subject = compiler.identity() if about == "compiler" else name
    waiting = Waiting(monkeypatch)
    with compile_lock.hold(failing, PATIENCE) as lock, waiting:
        someone_else(lock, subject, "it never ended")
        compile_lock._unlock(lock._file)
    assert waiting.reasons == ["it never ended"]
    # The next one learns it from this one; who comes later and waits for nobody asks.
    assert json.loads((failing / "lock").read_text())["reason"] == "it never ended"
    compile_failures.forget_all()
    with pytest.raises(UnavailableError, match="error: no"):
        cache.library(SOURCE)
    assert asked() == before + 1


def test_another_compilers_trouble_is_no_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting(monkeypatch)
    with compile_lock.hold(folder, PATIENCE) as lock, waiting:
        someone_else(lock, "another compiler", "it never ended")
        compile_lock._unlock(lock._file)
    assert waiting.reasons == [] and len(cache.files()) == 1


def test_a_lock_that_is_never_given_back_has_an_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_lock, "GRACE", 0.1)
    monkeypatch.setenv(compiler.TIMEOUT_VARIABLE, "0.1")
    with compile_lock.hold(folder, PATIENCE):
        choice = stepped()
        assert choice.name == "forloop"
        reason = dict(choice.rejected)["fused"]
        assert f"another process compiles in {folder} and hasn't finished in 0.2 s" in reason
        monkeypatch.setattr(compile_lock, "_wait", None)  # nobody waits again
        with pytest.raises(UnavailableError, match="another process compiles"):
            cache.library(SOURCE + "//")


class Clock:
    """Seconds that pass while one sleeps, and a lock that goes from one process to the next."""

    def __init__(self, seconds_each: float, holders_before: int) -> None:
        self.now = 0.0
        self.seconds_each, self.end = seconds_each, seconds_each * holders_before

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def try_lock(self, file: Any) -> bool:
        return self.now >= self.end

    def read_note(self, file: Any) -> dict[str, Any]:
        return {"holder": str(self.now // self.seconds_each)}


@pytest.mark.parametrize(
    ("seconds_each", "holders_before", "goes_on"), [(9, 5, True), (9, 1, True), (11, 1, False)]
)
def test_the_limit_is_that_of_one_holder_however_many_wait(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds_each: float,
    holders_before: int,
    goes_on: bool,
) -> None:
    clock = Clock(seconds_each, holders_before)
    monkeypatch.setattr(compile_lock, "time", clock)
    monkeypatch.setattr(compile_lock, "_try_lock", clock.try_lock)
    monkeypatch.setattr(compile_lock, "_read_note", clock.read_note)
    if goes_on:
        assert compile_lock._wait(None, folder, 10.0)
        assert clock.now == pytest.approx(clock.end, abs=1)
    else:
        with pytest.raises(UnavailableError, match=r"hasn't finished in 10 s"):
            compile_lock._wait(None, folder, 10.0)


@pytest.mark.parametrize("content", ["", "[]", "{", '"holder"', "\udcff", '{"subject": 3}'])
def test_whatever_stands_in_the_locks_file(folder: Path, content: str) -> None:
    (folder / "lock").write_bytes(content.encode(errors="surrogateescape"))
    assert cache.library(SOURCE).exists()


FORKED = """
import os, pathlib
from optkit_core.native import compile_lock
folder = pathlib.Path({folder!r})
reading, writing = os.pipe()
with compile_lock.hold(folder, 60):
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
with compile_lock.try_hold(folder) as is_held:
    print(is_held)
os.close(writing)
os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_child_that_was_forked_meanwhile_does_not_keep_the_lock(folder: Path) -> None:
    assert python(FORKED.format(folder=str(folder))) == "True\n"


@pytest.mark.usefixtures("stuck")
def test_the_command_line_says_so_in_one_line(capsys: Any) -> None:
    assert main(["kernels", "build", "adamax"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("optkit: error: the compiler ") and "didn't end within 0.5 s" in err
    cpp_kernel.load_kernel.cache_clear()
    assert main(["kernels", "list"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("0 in ") and err == ""
