"""``optkit new``: what it is given, what it writes, and that it writes all or nothing."""

from __future__ import annotations

import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit.cli import main
from optkit.cli.new.project_names import LONGEST, ProjectNames, project_names
from optkit.cli.new_command import BASES

FILES = [
    ".github/workflows/release.yml",
    ".github/workflows/tests.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/optkit_lion_cub/__init__.py",
    "src/optkit_lion_cub/lion_cub.py",
    "src/optkit_lion_cub/py.typed",
    "tests/test_lion_cub.py",
]
LION_CUB = ProjectNames("lion_cub", "LionCub", "optkit-lion-cub", "optkit_lion_cub")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the command, which must write nothing, and return its one line."""
    before = contents(Path())
    assert main(["new", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("optkit: error: ")
    assert contents(Path()) == before
    return err


def contents(folder: Path) -> dict[str, str | None]:
    """Return the text of each file below a folder, and None for each folder."""
    found = sorted(folder.rglob("*"))
    return {str(path): path.read_text() if path.is_file() else None for path in found}


@pytest.mark.parametrize("name", ["lion-cub", "lion_cub", "optkit-lion-cub", "optkit_lion_cub"])
def test_all_names_come_from_one(name: str) -> None:
    assert project_names(name) == LION_CUB


def test_words_may_have_digits() -> None:
    assert project_names("lion-8bit-v2").class_name == "Lion8bitV2"
    assert project_names("x").algorithm == "x"


@pytest.mark.parametrize("base", BASES)
def test_what_is_written_is_what_is_told(
    here: Path, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "lion-cub", "--base", base]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, *lines = out.splitlines()
    assert first == "wrote optkit-lion-cub"
    assert [line.strip() for line in lines[: len(FILES)]] == FILES
    assert lines[-3:] == [
        "  cd optkit-lion-cub",
        "  python -m pip install -e '.[test]'",
        "  python -m pytest",
    ]
    project = here / "optkit-lion-cub"
    assert sorted(str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()) == FILES
    assert list(here.iterdir()) == [project], "nothing else may be left"
    algorithm = (project / "src/optkit_lion_cub/lion_cub.py").read_text()
    assert f"class LionCub({base.capitalize()}):" in algorithm
    assert not [
        name
        for name, text in contents(project).items()
        if "$" in (text or "") and not name.endswith(".yml")
    ]


def test_the_metadata_names_the_class_and_the_versions_that_it_needs(here: Path) -> None:
    main(["new", "lion-cub"])
    project = tomllib.loads((here / "optkit-lion-cub/pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["optkit.algorithms"]
    assert entries == {"lion_cub": "optkit_lion_cub.lion_cub:LionCub"}
    assert project["requires-python"] == metadata("optkit")["Requires-Python"]


def test_another_directory(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "lion-cub", "--directory", "my plugin"]) == 0
    assert (here / "my plugin" / "pyproject.toml").is_file()
    assert "  cd 'my plugin'" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("", ["words of a-z and 0-9", "got ''"]),
        ("Lion Cub", ["'Lion Cub'", "Did you mean 'lion-cub'?"]),
        ("LionCub", ["Did you mean 'lion-cub'?"]),
        ("../lion", ["'../lion'"]),
        ("lion/cub", ["'lion/cub'"]),
        ("lion.cub", ["'lion.cub'"]),
        ("lion\ncub", [r"'lion\ncub'"]),
        ("lion\x00cub", [r"'lion\x00cub'"]),
        ("löwe", ["'löwe'"]),
        ("lion٣", ["'lion٣'"]),  # a digit, but not of those in a-z and 0-9
        ("8bit", ["begins with a letter"]),
        ("-lion", ["'-lion'"]),
        ("lion-", ["'lion-'"]),
        ("lion--cub", ["Did you mean 'lion-cub'?"]),
        ("x" * (LONGEST + 1), ["30 characters at most"]),
        ("class", ["'class' is a keyword"]),
        ("none", ["'none' is a keyword"]),
        ("adagrad", ["'adagrad' is taken", "optkit show adagrad"]),
        ("ada-grad", ["'ada-grad' is taken", "optkit show adagrad"]),
        ("buffer", ["would be called Buffer"]),
        ("any", ["would be called Any"]),
        ("exception", ["would be called Exception"]),
    ],
)
def test_names_that_cannot_be(
    capsys: pytest.CaptureFixture[str], name: str, parts: list[str]
) -> None:
    line = refusal(capsys, "--", name)
    assert all(part in line for part in parts), line


def test_a_name_that_somebody_else_registered_is_taken(
    capsys: pytest.CaptureFixture[str], registered
) -> None:
    import torch

    registered("house-sgd", torch.optim.SGD)
    assert "'house_sgd' is taken" in refusal(capsys, "house_sgd")


def test_another_base(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "lion-cub", "--base", "tensorwise")
    assert all(part in line for part in ("tensorwise", "--base", *BASES))


@pytest.mark.parametrize("kind", ["empty", "full", "file", "link"])
def test_what_is_there_already_stays(
    here: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    target = here / "optkit-lion-cub"
    if kind == "file":
        target.write_text("mine")
    elif kind == "link":
        target.symlink_to(here / "nowhere")
    else:
        target.mkdir()
    if kind == "full":
        (target / "README.md").write_text("mine")
    line = refusal(capsys, "lion-cub")
    assert "'optkit-lion-cub' is there already" in line and "--directory" in line
    assert not (here / "nowhere").exists()


def test_a_directory_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "lion-cub", "--directory", "nowhere/lion-cub")
    assert "'nowhere/lion-cub' can't be written" in line and "No such file" in line


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", range(len(FILES)))
def test_a_failure_in_the_middle_leaves_nothing(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    after: int,
) -> None:
    written: list[Path] = []
    write_text = Path.write_text

    def failing(path: Path, *arguments: object, **options: object) -> object:
        if len(written) == after:
            raise error
        written.append(path)
        return write_text(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", failing)
        assert main(["new", "lion-cub"]) in (2, 130)
    assert len(written) == after
    assert list(here.iterdir()) == []
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("No space left" in err or "interrupted" in err)
    assert main(["new", "lion-cub"]) == 0
