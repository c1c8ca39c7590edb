"""The cache of compiled kernels: whose it is, what is trusted, and how it is filled."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from distributions import python

import optkit
from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cache, compiler, folders, kernel, sealed

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit_core.cli import main

SOURCE = 'extern "C" int answer() { return 42; }\n'
STEP = """
import torch, optkit, time
params = [torch.nn.Parameter(torch.ones(5000)) for _ in range(4)]
optimizer = optkit.create("adamax", params{options})
for p in params:
    p.grad = torch.ones_like(p)
optimizer.step()
(choice,) = optimizer.plan
print(choice.name, dict(choice.rejected).get("fused", ""), sep="|")
"""
NOBODY = 65534
AS_ROOT = hasattr(os, "getuid") and os.getuid() == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty cache that no kernel of this process comes from."""
    made = tmp_path / "kernels"
    monkeypatch.setenv(folders.VARIABLE, str(made))
    monkeypatch.delenv(compiler.VARIABLE, raising=False)
    kernel.kernel.cache_clear()
    yield made
    kernel.kernel.cache_clear()


@pytest.fixture
def compiled(folder: Path) -> Path:
    """Return a library in the cache."""
    return cache.library(SOURCE, "an answer")


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows with every run of the compiler."""
    done: list[Path] = []
    real = compiler.compile_to

    def noted(source: str, path: Path, flags: Any) -> None:
        done.append(path)
        real(source, path, flags)

    monkeypatch.setattr(compiler, "compile_to", noted)
    return done


def stepped(**options: Any) -> Any:
    """Take a step that fused pays for, and return the choice."""
    params = [torch.nn.Parameter(torch.ones(5000)) for _ in range(4)]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer: Any = optkit.create("adamax", params, **options)
    optimizer.step()
    return optimizer.plan[0]


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiler.VARIABLE, "/nonexistent/c++")


def test_the_directory_is_the_users_own(compiled: Path, folder: Path) -> None:
    assert compiled.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(compiled.stat().st_mode) == 0o644


def test_a_library_is_compiled_once(compiled: Path, compilations: list[Path]) -> None:
    assert cache.library(SOURCE) == compiled
    assert compilations == []
    assert cache.library(SOURCE + "// another\n") != compiled
    assert len(compilations) == 1


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        ({"HOME": "{0}"}, "{0}/.cache/optkit/kernels"),
        ({"HOME": "{0}", "XDG_CACHE_HOME": "{0}/else"}, "{0}/else/optkit/kernels"),
        ({"HOME": "{0}", "OPTKIT_CACHE_DIR": "{0}/named"}, "{0}/named"),
        ({"HOME": "{0}", "OPTKIT_CACHE_DIR": "~/named"}, "{0}/named"),
        ({"HOME": "{0}", "OPTKIT_CACHE_DIR": " "}, "{0}/.cache/optkit/kernels"),
    ],
)
def test_where_it_is(tmp_path: Path, monkeypatch: Any, home: Any, expected: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(folders.VARIABLE)
    for name, value in home.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert folders.writable() == Path(expected.format(tmp_path))
    assert folders.readable() == [folders.writable()]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


DAMAGE: list[Callable[[bytes], bytes]] = [cut, flip, lambda _: b"", lambda _: b"\x7fELF foreign"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_compiled_anew(
    compiled: Path, compilations: list[Path], damage: Callable[[bytes], bytes], monkeypatch: Any
) -> None:
    content = compiled.read_bytes()
    compiled.write_bytes(damage(content))
    with monkeypatch.context() as patch:
        without_compiler(patch)
        with pytest.raises(UnavailableError, match="/nonexistent"):
            cache.library(SOURCE)
    assert cache.library(SOURCE) == compiled
    assert len(compilations) == 1
    assert sealed.label(compiled) == sealed.label(compiled) is not None


def test_a_directory_in_the_place_of_a_file(compiled: Path) -> None:
    compiled.unlink()
    compiled.mkdir()
    with pytest.raises(UnavailableError, match="can't be used"):
        cache.library(SOURCE)


def open_to_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def linked(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)


def a_file(folder: Path) -> None:
    folder.write_text("")


def below_a_file(folder: Path) -> None:
    shutil.rmtree(folder.parent)
    folder.parent.write_text("")


UNSAFE = [open_to_group, open_to_all, linked, a_file, below_a_file]


@pytest.mark.parametrize("make", UNSAFE, ids=lambda make: make.__name__)
def test_an_unsafe_directory_is_refused_with_the_way_out(
    folder: Path, make: Callable[[Path], None]
) -> None:
    make(folder)
    with pytest.raises(UnavailableError, match="OPTKIT_CACHE_DIR") as raised:
        cache.library(SOURCE)
    assert str(folder) in str(raised.value)
    assert folders.readable() == []
    with pytest.raises(optkit.ImplementationError, match="OPTKIT_CACHE_DIR"):
        stepped(implementation="fused")
    choice = stepped()
    assert choice.name == "forloop" and str(folder) in dict(choice.rejected)["fused"]


def test_nothing_is_loaded_from_an_unsafe_directory(compiled: Path, monkeypatch: Any) -> None:
    compiled.parent.chmod(0o777)
    without_compiler(monkeypatch)
    with pytest.raises(UnavailableError):
        cache.library(SOURCE)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_another_users_directory_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(UnavailableError, match="belongs to another user"):
        cache.library(SOURCE)


def test_without_a_compiler_auto_goes_on_and_says_so(folder: Path, monkeypatch: Any) -> None:
    without_compiler(monkeypatch)
    choice = stepped()
    assert choice.name == "forloop"
    assert "CXX names '/nonexistent/c++'" in dict(choice.rejected)["fused"]
    with pytest.raises(optkit.ImplementationError, match=r"CXX names .* What could run: forloop"):
        stepped(implementation="fused")


def test_no_compiler_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnavailableError, match=r"there is no C\+\+ compiler .* CXX"):
        cache.library(SOURCE)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_compilers_error_is_the_reason(folder: Path) -> None:
    with pytest.raises(UnavailableError, match=r"error: .*nonsense"):
        cache.library("int f() { return nonsense; }")
    assert [path.name for path in folder.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("exit 1", "it said nothing"), ("echo broken >&2; exit 3", "broken"), ("exit 0", "failed")],
)
def test_a_compiler_that_fails(
    folder: Path, tmp_path: Path, monkeypatch: Any, text: str, reason: str
) -> None:
    monkeypatch.setenv(compiler.VARIABLE, str(script(tmp_path / "broken c++", text)))
    with pytest.raises(UnavailableError):
        cache.library(SOURCE)
    monkeypatch.setenv(compiler.VARIABLE, f"'{tmp_path / 'broken c++'}'")
    with pytest.raises(UnavailableError, match=reason):
        cache.library(SOURCE)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_cxx_may_have_arguments(
    folder: Path, tmp_path: Path, monkeypatch: Any, compilations: list[Path]
) -> None:
    """As ``ccache g++``: the compiler behind the wrapper counts too."""
    real = shutil.which(compiler.command()[0])
    inner = script(tmp_path / "inner", f'exec {real} "$@"')
    wrapper = script(tmp_path / "wrapper", 'exec "$@"')
    monkeypatch.setenv(compiler.VARIABLE, f"{wrapper} {inner} -DANSWER=1")
    first = cache.library(SOURCE)
    assert sealed.label(first) == f"\n{wrapper} {inner} -DANSWER=1"
    assert cache.library(SOURCE) == first
    time.sleep(0.01)
    script(inner, f'exec {real} "$@" # newer')
    assert cache.library(SOURCE) != first
    assert len(compilations) == 2


@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang")
def test_clang_compiles_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiler.VARIABLE, "clang++")
    assert stepped(implementation="fused").name == "fused"


def test_another_compilers_kernels_serve_without_one(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_compiler(monkeypatch)
    assert cache.library(SOURCE) == compiled


def test_portable_kernels_serve_on_other_processors(folder: Path, monkeypatch: Any) -> None:
    portable = cache.library(SOURCE, portable=True)
    features = compiler._features()
    without_compiler(monkeypatch)
    monkeypatch.setattr(compiler, "_features", lambda: f"{features} more")
    assert cache.library(SOURCE) == portable
    monkeypatch.setattr(compiler, "_features", lambda: "none of these")
    if compiler.PORTABLE.features:
        with pytest.raises(UnavailableError):
            cache.library(SOURCE)


AS_NOBODY = f"""
import os
from optkit_core.implementations.fused import cache
if {AS_ROOT}:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
"""
PICK = """
try:
    print(cache.library({!r}))
except Exception as error:
    print(error)
"""


def picked(source: str, **settings: str) -> str:
    """Return what a user gets who may not write to what root, or a mode, keeps from writing."""
    return python(AS_NOBODY + PICK.format(source), **settings).strip()


@pytest.fixture
def shared(kernel_cache: Path) -> Iterator[Path]:
    """Return a directory that everybody can reach, unlike pytest's own."""
    made = Path("/tmp") / f"optkit-test-{os.getpid()}-{time.monotonic_ns()}"
    made.mkdir()
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_read_only_home(shared: Path) -> None:
    """What is there is used; the rest goes to the spare directory."""
    home, spare = shared / "home", shared / "spare"
    home.mkdir(mode=0o555)
    spare.mkdir()
    spare.chmod(0o1777)
    settings = {"HOME": str(home), "XDG_CACHE_HOME": "", "TMPDIR": str(spare)}
    found = picked(SOURCE, OPTKIT_CACHE_DIR="", **settings)
    user = NOBODY if AS_ROOT else os.getuid()
    assert Path(found).parent == spare / f"optkit-kernels-{user}"


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_read_only_cache_serves_without_a_compiler(shared: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(folders.VARIABLE, str(shared))
    built = cache.library(SOURCE)
    shared.chmod(0o555)
    settings = {"OPTKIT_CACHE_DIR": str(shared)}
    assert picked(SOURCE, CXX="/nonexistent", **settings) == str(built)
    other = picked(SOURCE + "//", **settings)
    assert "can't be written to; name another in OPTKIT_CACHE_DIR" in other


def test_processes_that_start_together_compile_once(folder: Path, tmp_path: Path) -> None:
    """Sixteen, of which many look into the cache while one compiles."""
    log = tmp_path / "log"
    real = shutil.which(compiler.command()[0])
    slow = script(tmp_path / "slow", f'echo x >> {log}\nsleep 0.5\nexec {real} "$@"')
    code = (
        "import importlib.util, sys, types, os\n"
        "from optkit_core.implementations.fused import cache\n"
        "pids = []\n"
        "for _ in range(16):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        f"        os._exit(0 if cache.library({SOURCE!r}).exists() else 1)\n"
        "    pids.append(pid)\n"
        "print([os.waitpid(pid, 0)[1] for pid in pids])\n"
    )
    printed = python(code, CXX=str(slow), OPTKIT_CACHE_DIR=str(folder))
    assert printed.strip() == str([0] * 16)
    assert log.read_text() == "x\n"
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".so"]


def test_what_a_killed_process_left_is_swept(compiled: Path, folder: Path) -> None:
    left = folder / "abc.tmp"
    left.mkdir()
    (left / "library").write_text("half")
    cache.library(SOURCE + "//")
    assert not left.exists()
    left.mkdir()
    assert cache.clear() == 2
    assert [path.name for path in folder.iterdir()] == ["lock"]


FIRST_STEPS = """
import os, time, torch, optkit
params = [torch.nn.Parameter(torch.ones(64)) for _ in range(40)]
for p in params:
    p.grad = torch.ones_like(p)
optimizer = optkit.create("adamax", params)
for _ in range(4):
    if not os.fork():
        start = time.process_time()
        optimizer.step()
        first = time.process_time()
        optimizer.step()
        print(optimizer.plan[0].name, first - start - (time.process_time() - first), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_the_first_step_is_quick_once_compiled(kernel_cache: Path) -> None:
    """Within 50 ms of an ordinary step, imports included; the first try fills the caches."""
    settings = {"PYTHONDONTWRITEBYTECODE": ""}
    settings["OPTKIT_CACHE_DIR"] = str(kernel_cache)
    lines = python(FIRST_STEPS, **settings).splitlines()
    names, seconds = zip(*map(str.split, lines), strict=True)
    assert set(names) == {"fused"}
    assert min(map(float, seconds)) < 0.05


def shown(capsys: Any, *words: str) -> str:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return str(out)


def refusal(capsys: Any, *words: str) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("optkit: error: ") and err.count("\n") == 1
    return str(err)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.usefixtures("wide")
def test_build_list_clear(capsys: Any, folder: Path, monkeypatch: Any) -> None:
    assert f"0 in {folder} (not there yet)." in shown(capsys, "kernels", "list")
    out = shown(capsys, "kernels", "build", "adamax", "--dtype", "float32")
    assert ["adamax", "float32", "8"] in [line.split() for line in out.splitlines()]
    files = cache.files()
    assert len(files) == 9  # eight, and the reader
    listed = shown(capsys, "kernels", "list")
    assert listed.count("Adamax float32") == 8 and f"9 in {folder}." in listed
    assert compiler.command()[0] in listed
    without_compiler(monkeypatch)
    for options in ({}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "maximize": True}):
        assert stepped(implementation="fused", **options).name == "fused"
    assert cache.files() == files
    files[3].write_bytes(b"broken")
    assert "not whole" in shown(capsys, "kernels", "list")
    assert shown(capsys, "kernels", "clear") == "9 compiled kernels removed.\n"
    assert cache.files() == []
    assert shown(capsys, "kernels", "clear") == "0 compiled kernels removed.\n"


@pytest.mark.usefixtures("wide")
def test_build_everything_that_has_kernels(
    capsys: Any, folder: Path, registered: Any, monkeypatch: Any
) -> None:
    class Odd(optkit.get("adamax")):  # type: ignore[misc]
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g.digamma())

    registered("odd", Odd)
    monkeypatch.setattr(
        compiler, "compile_to", lambda source, path, flags: path.write_text("a kernel")
    )
    lines = [line.split() for line in shown(capsys, "kernels", "build").splitlines()]
    for name in ("adamax", "adagrad"):
        for dtype in ("float32", "bfloat16"):
            assert [name, dtype, "8"] in lines
    odd = next(line for line in lines if line[:2] == ["odd", "float32"])
    assert "digamma()," in odd
    assert ["lbfgs", "float32", "1"] in lines


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["build", "adamx"], ["'adamx'", "'adamax'"]),
        (["build", "--dtype", "int8"], ["'int8'", "float32, float64, bfloat16, float16"]),
        (["build", "--dtype", "nn"], ["'nn'", "float32"]),
        (["fill"], ["fill", "optkit kernels --help"]),
        (["clear", "all"], ["all", "optkit kernels clear --help"]),
    ],
)
def test_bad_input(capsys: Any, folder: Path, words: list[str], parts: list[str]) -> None:
    line = refusal(capsys, "kernels", *words)
    assert all(part in line for part in parts)


def test_no_compiler_is_one_line(capsys: Any, folder: Path, monkeypatch: Any) -> None:
    without_compiler(monkeypatch)
    assert "CXX names '/nonexistent/c++'" in refusal(capsys, "kernels", "build", "adamax")


def test_kernels_alone_shows_the_help(capsys: Any) -> None:
    out = shown(capsys, "kernels")
    assert all(command in out for command in ("list", "build", "clear"))


def test_an_algorithm_without_kernels_is_named(capsys: Any, folder: Path, registered: Any) -> None:
    registered("house-sgd", torch.optim.SGD)
    line = refusal(capsys, "kernels", "build", "house-sgd")
    assert "house-sgd has no kernels to build" in line
