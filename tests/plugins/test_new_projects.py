"""Projects as ``optkit new`` writes them: their own two commands install them, and they pass."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from plugin_environment import PluginEnvironment, plugin_environment

pytest.importorskip("typer")
pytest.importorskip("hatchling")

from packaging.requirements import Requirement

from optkit.cli import main
from optkit.cli.new.project_files import supported_versions
from optkit.cli.new_command import BASES

STEP = "p.sub_(s.mean.sign(), alpha=h.lr)"
"""The line of the elementwise body that moves the parameter."""

FUTURE = "from __future__ import annotations\n"

THE_BODY = "-k 'float32 and (names or step or agreement or groups or state_dict or file)'"
"""Those checks that a body fails first. All of them run in the test of the guide, on another."""

CREATED = """
import optkit, torch
import optkit_cub
optimizer = optkit.create("Cub", [torch.nn.Parameter(torch.ones(2))], lr=0.5)
assert type(optimizer) is optkit_cub.Cub, type(optimizer)
print(optkit_cub.__file__)
"""


@pytest.fixture
def environment(tmp_path: Path) -> PluginEnvironment:
    return plugin_environment(tmp_path / "environment")


def new_project(folder: Path, name: str, base: str = "elementwise") -> Path:
    """Write a project, and return where it lies."""
    project = folder / name
    assert main(["new", name, "--base", base, "--directory", str(project)]) == 0
    return project


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES[1:])  # the first one is that of the guide
def test_the_two_commands_of_its_readme_install_it_and_pass(
    base: str, tmp_path: Path, environment: PluginEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    project = new_project(tmp_path, f"cub-{base}", base)
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    commands = re.findall(r"```sh\n(.+)\n```", (project / "README.md").read_text())
    assert told[-2:] == commands
    install, run_tests = commands
    environment.sh(install, project)
    assert re.search(
        r"\b[1-9]\d* passed", environment.sh(run_tests, project, PYTEST_ADDOPTS=THE_BODY)
    )
    assert f"optkit-cub-{base} 0.1.0" in environment.sh("optkit list", tmp_path)
    assert main(["list", "cub*"]) == 2, "what is installed there must not be found here"


@pytest.mark.slow
def test_its_tests_fail_once_it_does_nothing_or_uses_a_former_name(
    tmp_path: Path, environment: PluginEnvironment
) -> None:
    project = new_project(tmp_path, "cub")
    module = project / "src" / "optkit_cub" / "cub.py"
    body = module.read_text()
    assert STEP in body
    module.write_text(body.replace(STEP, "p = p - h.lr * s.mean.sign()"))
    environment.sh("python -m pip install -e .", project)
    with pytest.raises(AssertionError, match=r"1 failed"):
        environment.sh("python -m pytest -x -k step", project)
    module.write_text(f"from optkit_core import Kind\n{body.replace(FUTURE, '')}")
    with pytest.raises(AssertionError, match=r"optkit_core\.Kind is called BucketKey now"):
        environment.sh("python -m pytest -x", project)


@pytest.mark.slow
def test_its_wheel_is_found_where_it_is_installed(
    tmp_path: Path, environment: PluginEnvironment
) -> None:
    project, installed = new_project(tmp_path, "cub"), tmp_path / "installed"
    environment.sh("python -m hatchling build", project)
    environment.sh(f"python -m pip install --target {installed} {project}/dist/*.whl", tmp_path)
    script = tmp_path / "created.py"
    script.write_text(CREATED)
    where = environment.sh(f"PYTHONPATH={installed} python {script}", tmp_path)
    assert where.strip() == str(installed / "optkit_cub" / "__init__.py")
    assert (installed / "optkit_cub" / "py.typed").is_file()


def test_it_asks_for_versions_of_optkit_that_include_the_present_one() -> None:
    requirement = Requirement(f"optkit{supported_versions(version('optkit'))}")
    assert requirement.specifier.contains(version("optkit"), prereleases=True)


@pytest.mark.parametrize(
    ("written_for", "taken"),
    [
        ("0.3.1", ["0.3.1", "0.4.9"]),
        ("2.5.0", ["2.5.0", "2.9"]),
        ("0.3.0.dev2+cpu", ["0.3.0.dev2"]),
    ],
)
@pytest.mark.parametrize("refused", ["0.3.0.dev1", "0.5", "3.0"])
def test_which_versions_of_optkit_serve_a_plugin(
    written_for: str, taken: list[str], refused: str
) -> None:
    specifier = Requirement(f"optkit{supported_versions(written_for)}").specifier
    assert all(specifier.contains(each, prereleases=True) for each in taken)
    assert not specifier.contains(refused, prereleases=True)
