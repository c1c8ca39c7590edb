"""The cache of compiled kernels: whose it is, what is trusted, and how it is filled."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kernels
import pytest
import torch
from algorithms import ELEMENTWISE
from kernels import SOURCE, script, stepped, without_compiler
from processes import completed, python

import optkit
from optkit_core.errors import ConfigError, UnavailableError
from optkit_core.native import (
    cache,
    cache_dirs,
    compile_failures,
    compile_lock,
    compiler,
    library_checksum,
)

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit.cli import main

named = pytest.fixture(kernels.named)
wide = pytest.fixture(kernels.wide)

NOBODY = 65534
AS_ROOT = hasattr(os, "getuid") and os.getuid() == 0


@pytest.fixture
def folder(named: Path) -> Path:
    """Return where optkit's kernels will lie in it."""
    return named / cache_dirs.SUBDIRECTORY


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


def test_the_directory_is_the_users_own(compiled: Path, folder: Path) -> None:
    assert compiled.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(compiled.stat().st_mode) == 0o644


@pytest.mark.parametrize(("mode", "own"), [(0o755, 0o755), (0o750, 0o750), (0o2711, 0o711)])
def test_who_may_read_the_named_directory_may_read_the_kernels(
    named: Path, mode: int, own: int
) -> None:
    named.mkdir()
    named.chmod(mode)
    assert stat.S_IMODE(cache.library(SOURCE).parent.stat().st_mode) == own


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
        ({"HOME": "{0}", "OPTKIT_CACHE_DIR": "{0}/named"}, "{0}/named/optkit-kernels"),
        ({"HOME": "{0}", "OPTKIT_CACHE_DIR": "~/named"}, "{0}/named/optkit-kernels"),
        ({"HOME": "{0}", "OPTKIT_CACHE_DIR": " "}, "{0}/.cache/optkit/kernels"),
    ],
)
def test_where_it_is(tmp_path: Path, monkeypatch: Any, home: Any, expected: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(cache_dirs.VARIABLE)
    for name, value in home.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert cache_dirs.writable() == Path(expected.format(tmp_path))
    assert cache_dirs.readable() == [cache_dirs.writable()]


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
    assert library_checksum.read_label(compiled) is not None


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


@pytest.mark.parametrize("which", ["named", "folder"])
@pytest.mark.parametrize("make", UNSAFE, ids=lambda make: make.__name__)
def test_an_unsafe_directory_is_refused_with_the_way_out(
    named: Path, folder: Path, make: Callable[[Path], None], which: str
) -> None:
    unsafe = named if which == "named" else folder
    unsafe.parent.mkdir(exist_ok=True)
    make(unsafe)
    with pytest.raises(UnavailableError, match="OPTKIT_CACHE_DIR") as raised:
        cache.library(SOURCE)
    assert str(unsafe) in str(raised.value)
    assert cache_dirs.readable() == []
    with pytest.raises(optkit.ImplementationError, match="OPTKIT_CACHE_DIR"):
        stepped(implementation="fused")
    choice = stepped()
    assert choice.name == "forloop" and str(unsafe) in dict(choice.rejected)["fused"]


@pytest.mark.parametrize("above", [0, 1])
def test_nothing_is_loaded_from_an_unsafe_directory(
    compiled: Path, monkeypatch: Any, above: int
) -> None:
    compiled.parents[above].chmod(0o777)
    without_compiler(monkeypatch)
    with pytest.raises(UnavailableError):
        cache.library(SOURCE)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_another_users_directory_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
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


def test_a_folder_in_a_home_that_nobody_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache_dirs.VARIABLE, "~nobody-of-this-name/kernels")
    with pytest.raises(ConfigError, match="there is no such home"):
        cache_dirs.writable()


def test_no_compiler_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnavailableError, match=r"there is no C\+\+ compiler .* CXX"):
        cache.library(SOURCE)


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
    assert library_checksum.read_label(first) == f"\n{wrapper} {inner} -DANSWER=1"
    assert cache.library(SOURCE) == first
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
from optkit_core.native import cache
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
    made = Path(tempfile.mkdtemp(prefix="optkit-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    for path in (made, *made.iterdir()):
        path.chmod(0o755)
    shutil.rmtree(made)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_read_only_cache_serves_without_a_compiler(shared: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(cache_dirs.VARIABLE, str(shared))
    compile_failures.forget_all()
    built = cache.library(SOURCE)
    shared.chmod(0o555)
    built.parent.chmod(0o555)
    settings = {"OPTKIT_CACHE_DIR": str(shared)}
    assert picked(SOURCE, CXX="/nonexistent", **settings) == str(built)
    other = picked(SOURCE + "//", **settings)
    assert "can't be written to; name another in OPTKIT_CACHE_DIR" in other


TOGETHER = """
import os
from optkit_core.native import cache
children = []
for _ in range(16):
    if not (child := os.fork()):
        os.write({started}, b"x")
        os._exit(0 if cache.library({source!r}).exists() else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


@pytest.mark.slow
def test_processes_that_start_together_compile_once(named: Path, tmp_path: Path) -> None:
    """Sixteen; the compiler of the first begins once all of them have started."""
    log, started = tmp_path / "log", tmp_path / "started"
    os.mkfifo(started)
    real = shutil.which(compiler.command()[0])
    text = f'echo x >> {log}\nhead -c 16 {started} > {tmp_path / "heard"}\nexec {real} "$@"'
    code = TOGETHER.format(started=f"os.open({str(started)!r}, os.O_RDWR)", source=SOURCE)
    printed = python(code, CXX=str(script(tmp_path / "c++", text)), OPTKIT_CACHE_DIR=str(named))
    assert printed.strip() == str([0] * 16)
    assert log.read_text() == "x\n"
    assert sorted(path.suffix for path in (named / cache_dirs.SUBDIRECTORY).iterdir()) == [
        "",
        ".so",
    ]


def killed_while_compiling(named: Path, tmp_path: Path) -> None:
    """Let a process be killed by its own compiler."""
    killer = script(tmp_path / "killer", "kill -9 $PPID")
    code = f"from optkit_core.native import cache; cache.library({SOURCE + '//!'!r})"
    done = completed("-c", code, CXX=str(killer), OPTKIT_CACHE_DIR=str(named))
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_what_a_killed_process_left_is_swept(
    compiled: Path, named: Path, folder: Path, tmp_path: Path
) -> None:
    killed_while_compiling(named, tmp_path)
    assert len(names(folder)) == 3
    other = cache.library(SOURCE + "//")
    assert names(folder) == sorted([compiled.name, other.name, "lock"])
    killed_while_compiling(named, tmp_path)
    assert cache.clear() == 2
    assert names(folder) == ["lock"]


@pytest.mark.slow
def test_what_another_process_is_writing_stays(folder: Path, named: Path, tmp_path: Path) -> None:
    killed_while_compiling(named, tmp_path)
    before = names(folder)
    with compile_lock.hold(folder, 1):
        assert cache.clear() == 0
        assert names(folder) == before
    cache.clear()
    assert names(folder) == ["lock"]


def thesis(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("of years")


def link(path: Path) -> None:
    thesis(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


HEX = "0123456789abcdef0123"
STRANGERS: dict[str, Callable[[Path], Any]] = {
    "locks": thesis,
    "mine.tmp": thesis,
    "tmpabcdefgh.tmp": thesis,
    "unfinished": thesis,
    "unfinished-thesis": thesis,
    "unfinished-chapters": thesis,
    f"unfinished-{HEX}": link,
    f"{HEX}-{HEX}-{HEX}.so": thesis,
    f"{HEX}-{HEX}-{HEX}.so.bak": Path.touch,
    f"{HEX}-{HEX}.so": Path.touch,
    "mine.so": Path.touch,
    "libmine-1-2.so": Path.touch,
    "lock.so": Path.touch,
}
"""What a user may keep where kernels lie, and how it comes to be there."""


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("below", [".", cache_dirs.SUBDIRECTORY])
def test_whatever_optkit_did_not_make_stays(
    capsys: Any, named: Path, folder: Path, below: str
) -> None:
    (named / below).mkdir(parents=True, mode=0o755)
    for name, make in STRANGERS.items():
        make(named / below / name)
    before = contents(named)
    assert stepped(implementation="fused").name == "fused"
    assert {path.parent for path in cache.files()} == {folder}
    cleared = f"{len(cache.files())} compiled kernel"
    assert shown(capsys, "kernels", "clear").startswith(cleared)
    assert cache.files() == []
    made = {cache_dirs.SUBDIRECTORY, f"{cache_dirs.SUBDIRECTORY}/lock"}
    after = {name: content for name, content in contents(named).items() if name not in made}
    assert after == {name: content for name, content in before.items() if name not in made}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return what a directory holds at any depth, with the content of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


FIRST_STEP = """
import sys, torch, optkit
params = [torch.nn.Parameter(torch.ones(64)) for _ in range(40)]
for p in params:
    p.grad = torch.ones_like(p)
optimizer = optkit.create("adamax", params)
before = set(sys.modules)
optimizer.step()
print(optimizer.plan[0].name, *{name.partition(".")[0] for name in set(sys.modules) - before})
"""


@pytest.mark.slow
def test_the_first_step_needs_no_compiler_once_compiled(kernel_cache: Path) -> None:
    """Nor does it import any other package; how long it takes, the benchmarks tell."""
    settings = {"OPTKIT_CACHE_DIR": str(kernel_cache)}
    python(FIRST_STEP, **settings)
    chosen, *imported = python(FIRST_STEP, CXX="/nonexistent", **settings).split()
    assert chosen == "fused"
    assert set(imported) <= {"optkit_core", *sys.stdlib_module_names}


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
    class Odd(optkit.get("adamax")):
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g.digamma())

    registered("odd", Odd)
    monkeypatch.setattr(
        compiler, "compile_to", lambda source, path, flags: path.write_text("a kernel")
    )
    lines = [line.split() for line in shown(capsys, "kernels", "build").splitlines()]
    for name in ELEMENTWISE:
        for dtype in ("float32", "bfloat16"):
            assert any(line[:2] == [name, dtype] and line[2].isdigit() for line in lines)
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
