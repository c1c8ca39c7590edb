"""The conformance kit as a pytest plugin: what is collected, how it ends, and what is told."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS
from thirdparty import Descent

import optkit
from optkit import pytest_plugin
from optkit_core.testing.kit import collection, run_check, terminal_summary
from optkit_core.testing.kit.variants import options_for_all_buffers, variants_of
from optkit_core.testing.requirements import REQUIREMENTS

pytest_plugins = ["pytester"]

# Imported before pytester runs pytest in this process: what a run imports, it takes out again.
MODULES = (collection, run_check, terminal_summary)
ONE_DTYPE = ("--optkit-dtype", "float64")
FEW = ("-k", "closure or golden or modes", *ONE_DTYPE)
"""What selects a check that holds and two that are skipped."""

Run = Callable[..., pytest.RunResult]


class Resting(Descent):
    """An algorithm whose steps lead nowhere."""

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.add_(g, alpha=0.0)


@pytest.fixture
def run(pytester: pytest.Pytester, registered: Callable[[str, type], None]) -> Run:
    """Run pytest where two algorithms are registered, ``descent`` and ``resting``."""
    registered("descent", Descent)
    registered("resting", Resting)
    return pytester.runpytest_inprocess


def ids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line and " " not in line]


def test_an_item_is_collected_for_each_check_and_variant(run: Run) -> None:
    found = ids(run("--optkit", "descent", "--collect-only", "-q"))
    of_all = [f"optkit::descent::{requirement.id}[float32]" for requirement in REQUIREMENTS]
    assert [name for name in found if name.endswith("[float32]")] == of_all
    assert "optkit::descent::agreement[bfloat16]" in found
    assert "optkit::descent::maximize[bfloat16]" not in found


def test_names_and_patterns_stand_for_registered_algorithms(run: Run) -> None:
    found = ids(run("--optkit", "De-Scent", "adam*", "adamw", "--co", "-q", *ONE_DTYPE))
    names = list(dict.fromkeys(name.split("::")[1] for name in found))
    assert names == ["descent", "adam", "adamax", "adamw"]
    tree = run("--optkit", "descent", "--collect-only", *ONE_DTYPE).stdout
    tree.fnmatch_lines(
        ["<Conformance optkit>", "  <AlgorithmChecks descent>", "    <CheckItem step*"]
    )


def test_a_conftest_may_register_algorithms(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import optkit, thirdparty

        optkit.register("made_here", thirdparty.Descent)

        def pytest_unconfigure():
            optkit.unregister("made_here")
        """
    )
    result = pytester.runpytest_inprocess("--optkit", "made_here", *FEW)
    result.assert_outcomes(passed=1, skipped=2)


def test_the_end_tells_what_holds_and_why_the_rest_was_skipped(run: Run) -> None:
    result = run("--optkit", "descent", *FEW)
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "optkit s.s *",
            "*optkit conformance*",
            "descent on cpu",
            "  checked   float64",
            "  ran       forloop, foreach, fused",
            "  holds     closure (1)",
            "  skipped   golden: no golden= is given",
            "  skipped   modes: it has no modes",
        ]
    )


def test_a_check_that_says_nothing_is_a_failure_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(requirement: Any, subject: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(run_check.Requirement, "require", silent)
    result = run("--optkit", "descent", "-k", "modes", *ONE_DTYPE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["  FAILS     modes[[]float64[]]: it says nothing more; see above"])


def test_a_failure_shows_its_message_and_none_of_the_kits_frames(run: Run) -> None:
    result = run("--optkit", "resting", "-k", "step or closure", *ONE_DTYPE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*_ optkit::resting::step[[]float64[]] _*",
            "forloop: parameters [[]1, *don't move in 20 steps*",
            "required: what has a gradient moves, and nothing else does",
            "  FAILS     step[[]float64[]]: forloop: parameters *",
            "FAILED optkit::resting::step[[]float64[]] - Failed: forloop: *",
        ]
    )
    for unwanted in ("step_requirements.py", "exception"):
        assert unwanted not in str(result.stdout)


def test_all_frames_are_shown_where_somebody_asks(run: Run) -> None:
    result = run("--optkit", "resting", "-k", "step", "--full-trace", *ONE_DTYPE)
    result.stdout.fnmatch_lines(["*step_requirements.py:*"])


def test_what_failed_last_is_run_again_alone(run: Run) -> None:
    run("--optkit", "resting", "-k", "step or closure", *ONE_DTYPE)
    result = run("--optkit", "resting", "-k", "step or closure", "--lf", *ONE_DTYPE)
    result.assert_outcomes(failed=1, deselected=ids_beside(result, 1))


def ids_beside(result: pytest.RunResult, count: int) -> int:
    """Return how many tests a run has left out, of all that it has collected."""
    found = re.search(r"collected (\d+) items", str(result.stdout))
    assert found is not None
    return int(found[1]) - count


def test_an_id_selects_a_check_by_itself(run: Run) -> None:
    result = run("optkit::descent::closure[float32]", "optkit::descent::modes", "-v")
    result.stdout.fnmatch_lines(["optkit::descent::closure[[]float32[]] PASSED*"])
    # Of a wheel, pytest warns that it can't rewrite what this process has imported.
    result.assert_outcomes(passed=1, skipped=1)


def test_an_optimizer_that_is_not_optkits_is_checked_as_far_as_that_goes(
    run: Run, registered: Callable[[str, type], None]
) -> None:
    registered("torch_sgd", torch.optim.SGD)
    result = run("--optkit", "torch_sgd", "-k", "closure or modes", *ONE_DTYPE)
    result.stdout.fnmatch_lines(
        [
            "torch_sgd on cpu",
            "  ran       its own",
            "  holds     closure (1)",
            "  skipped   modes: SGD isn't optkit's, and declares nothing of the kind",
        ]
    )


def test_an_id_may_stand_beside_names_and_has_to_exist(run: Run) -> None:
    found = ids(run("optkit::descent::modes", "--optkit", "resting", "--co", "-q", *ONE_DTYPE))
    assert "optkit::descent::modes[float64]" in found
    assert [name for name in found if "::descent::" in name] == ["optkit::descent::modes[float64]"]
    assert "optkit::resting::step[float64]" in found
    result = run("optkit::descent::mode")
    result.stdout.fnmatch_lines(["there is no check optkit::descent::mode; --collect-only *"])


def test_junit_xml_names_what_ran_with_which_versions(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    run("--optkit", "descent", "-k", "closure", f"--junitxml={file}", *ONE_DTYPE)
    (case,) = ElementTree.parse(file).iter("testcase")
    assert case.get("classname") == "optkit.descent"
    assert case.get("name") == "closure[float64]"
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert properties == {
        "optkit_algorithm": "descent",
        "optkit_check": "closure",
        "optkit_variant": "float64",
        "optkit_options": "",
        "optkit_device": "cpu",
        "optkit_version": version("optkit"),
        "torch_version": torch.__version__,
        "optkit_implementations": "forloop, foreach, fused",
    }


@pytest.mark.slow
def test_workers_share_the_checks(run: Run) -> None:
    """They are processes of their own, which know only what is installed."""
    result = run("--optkit", "adamax", "-n", "2", "-k", "closure or modes", *ONE_DTYPE)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["adamax on cpu", "  ran       forloop, foreach, fused"])


def test_files_are_collected_only_where_they_are_given(run: Run, pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile("def test_other(): pass")
    check = ("--optkit", "descent", "-k", "modes or other", *ONE_DTYPE)
    run(*check).assert_outcomes(skipped=1)
    run(file, *check).assert_outcomes(skipped=1, passed=1)
    pytester.makeini("[pytest]\naddopts = --optkit descent --optkit-dtype float64")
    run("-k", "modes or other").assert_outcomes(skipped=1, passed=1)


def test_the_configuration_names_algorithms_and_dtypes(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        optkit_algorithms = ["desc*"]
        optkit_dtypes = ["complex64", "float64"]
        """
    )
    found = ids(run("--optkit", "--collect-only", "-q"))
    assert "optkit::descent::modes[complex64]" in found
    assert "optkit::descent::step[float64]" in found
    assert all(name.startswith("optkit::descent::") for name in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optkit", "adamx"], "no algorithm is called 'adamx'. Did you mean"),
        (["--optkit", "nosuch*"], "no algorithm fits 'nosuch*'"),
        (["--optkit"], "say which algorithms, as in"),
        (["--optkit", "descent", "conftest.py"], "'conftest.py' is a file: files come before"),
        (["--optkit", "adam", "--optkit-dtype", "int8"], "a dtype must be one of float64"),
        (["--optkit", "adam", "--optkit-device", "nowhere"], "can't use the device 'nowhere'"),
        (["--optkit", "adam", "--optkit-device", "vulkan"], "can't use the device 'vulkan'"),
        (["optkit::adamx::step"], "no algorithm is called 'adamx'"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_is_mistyped_is_one_usage_error(
    run: Run, pytester: pytest.Pytester, arguments: list[str], words: str
) -> None:
    pytester.makeconftest("")
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.errlines if line]
    assert errors[0].startswith("ERROR: --optkit: ") and words in errors[0]
    assert "Traceback" not in str(result.stderr) + str(result.stdout)


def test_an_algorithm_that_cannot_be_imported_is_an_error_of_its_own(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Any:
        raise optkit.OptkitError("its distribution is broken")

    monkeypatch.setattr(collection, "get", broken)
    result = run("--optkit", "descent", *FEW)
    result.stdout.fnmatch_lines(["its distribution is broken", "ERROR optkit::descent"])


def test_one_line_of_a_test_file_does_the_same(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_one="""
        import torch
        from optkit_core.testing import conformance

        test_descent = conformance("descent", lr=0.2, dtypes=[torch.float64])
        """
    )
    result = run("-v", "-k", "closure or modes or resting")
    result.assert_outcomes(passed=1, skipped=1, deselected=len(REQUIREMENTS) - 2)
    result.stdout.fnmatch_lines(
        [
            "test_one.py::test_descent[[]closure-float64[]]*PASSED*",
            "descent on cpu, lr=0.2",
            "  holds     closure (1)",
        ]
    )


def test_a_line_of_a_test_file_needs_no_plugin(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_one="""
        import torch
        from optkit_core.testing import conformance

        test_it = conformance("descent", dtypes=[torch.float64], only=["closure", "modes"])
        """
    )
    result = run("-p", "no:optkit")
    result.assert_outcomes(passed=1, skipped=1)
    assert "conformance" not in str(result.stdout)


def test_a_class_in_a_test_file_fails_with_its_message(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_one="""
        import optkit, torch
        from optkit_core.testing import conformance

        test_it = conformance(optkit.get("resting"), dtypes=[torch.float64])
        """
    )
    result = run("-k", "step")
    result.stdout.fnmatch_lines(
        [
            "forloop: parameters * don't move in 20 steps*",
            "Resting on cpu",
            "FAILED test_one.py::test_it[[]step-float64[]] - Failed: forloop: *",
        ]
    )
    for unwanted in ("step_requirements.py", "exception"):
        assert unwanted not in str(result.stdout)


def test_trajectories_are_pinned_and_compared(run: Run, pytester: pytest.Pytester) -> None:
    def with_lr(lr: float) -> None:
        file.write_text(
            "from optkit_core.testing import conformance\n"
            f"test_it = conformance('descent', lr={lr}, golden='pinned/descent.json')\n"
        )

    file = pytester.path / "test_one.py"
    select = ("-k", "golden", "-p", "no:cacheprovider")
    with_lr(0.1)
    run(*select).stdout.fnmatch_lines(["*; `pytest --optkit-write-golden` writes it"])
    written = run(*select, "--optkit-write-golden")
    written.stdout.fnmatch_lines(["  noted     wrote descent.json"])
    pinned = pytester.path / "pinned" / "descent.json"
    assert pinned.stat().st_size < 10_000
    assert run(*select).parseoutcomes()["passed"] == 1
    pinned.write_text(pinned.read_text().replace("0.1", "0.2", 1))
    run(*select).stdout.fnmatch_lines(["*it was pinned with {'lr': '0.2'}, and is checked with*"])
    pinned.write_text("[]")
    run(*select).stdout.fnmatch_lines(["*descent.json is no golden trajectory*"])


def test_another_step_than_the_pinned_one_is_a_failure(
    pytester: pytest.Pytester, registered: Callable[[str, type], None]
) -> None:
    registered("descent", Descent)
    pytester.makepyfile(
        test_one="""
        from optkit_core.testing import conformance

        test_it = conformance("descent", golden="golden.json")
        """
    )
    pytester.runpytest_inprocess("-k", "golden", "--optkit-write-golden")
    optkit.register("descent", Resting, replace=True)
    try:
        result = pytester.runpytest_inprocess("-k", "golden")
    finally:
        optkit.unregister("descent")
    result.stdout.fnmatch_lines(["*step 1 has led to other parameters than are pinned in*"])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_buffer_that_a_hyperparameter_turns_on_is_there_in_a_variant(name: str) -> None:
    algorithm = ALGORITHMS[name]
    turned_on = options_for_all_buffers(algorithm, {})
    conditions = {b.when for b in algorithm.buffers.values() if isinstance(b.when, str)}
    values = {**algorithm.default_values, **turned_on}
    assert not [when for when in conditions if not values[when]]
    labels = [variant.label for variant in variants_of(name, algorithm)]
    assert labels[0] == "float32"
    assert (len(labels) == 6) == bool(turned_on)


def test_a_run_that_does_not_ask_imports_and_changes_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_imports(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("optkit")
            names = sorted(name for name in sys.modules if name.startswith(("optkit", "torch")))
            assert names == ["optkit", "optkit.pytest_plugin"]
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "conformance" not in str(result.stdout)


def test_asserts_of_optkit_are_not_rewritten(pytester: pytest.Pytester) -> None:
    """pytest would rewrite those of every distribution that has a plugin."""
    config = pytester.parseconfig()
    hook: Any = config.pluginmanager.rewrite_hook
    hook.mark_rewrite("optkit_core", "other")
    pytest_plugin.pytest_addoption(pytest.Parser(_ispytest=True), config.pluginmanager)
    assert "optkit_core" not in hook._must_rewrite and "other" in hook._must_rewrite
