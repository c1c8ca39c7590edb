"""The pytest plugin of the conformance kit: a few options, and nothing more unless it is asked.

pytest imports it in every run of every project that has optkit installed, so that neither torch
nor the kit may come along; these are imported by ``--optkit``.
"""

from __future__ import annotations

from typing import Any

import pytest

OWN_PACKAGES = {"optkit", "optkit_core", "optkit_plugins"}
PREFIX = "optkit::"
"""What the ids of the kit's own tests begin with."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options of the kit."""
    _leave_asserts_alone(pluginmanager)
    group = parser.getgroup("optkit", "conformance of optimizers")
    group.addoption(
        "--optkit",
        nargs="*",
        action="extend",
        metavar="NAME",
        help="check the registered algorithms of these names, or that fit these patterns; "
        "without a name those of optkit_algorithms in the configuration. Nothing else is "
        "collected unless files are given, before this option.",
    )
    group.addoption(
        "--optkit-dtype",
        nargs="+",
        metavar="DTYPE",
        help="check with parameters of these dtypes, float32 for example "
        "(default: optkit_dtypes in the configuration, or float32 first and then the others)",
    )
    group.addoption(
        "--optkit-device",
        default="cpu",
        metavar="DEVICE",
        help="check with parameters on this device (default: %(default)s)",
    )
    group.addoption(
        "--optkit-write-golden",
        action="store_true",
        help="write the golden trajectories of optkit_core.testing.conformance(..., golden=...)",
    )
    parser.addini("optkit_algorithms", "names and patterns for a bare --optkit", type="args")
    parser.addini("optkit_dtypes", "what --optkit-dtype stands for unless it is given", type="args")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Bring in the kit, if it is asked for by ``--optkit`` or by the id of one of its tests."""
    ids = [argument for argument in config.args if argument.startswith(PREFIX)]
    if config.getoption("--optkit") is None and not ids:
        return
    # Imported here, because it brings torch along.
    from optkit_core.testing.kit.collection import Collection

    config.pluginmanager.register(Collection(config, ids), "optkit-conformance")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Sum up what the kit's tests have found, if there were some."""
    reports = [report for several in terminalreporter.stats.values() for report in several]
    own = [report for report in reports if _is_of_a_check(report)]
    if own:
        from optkit_core.testing.kit.terminal_summary import write_summary

        write_summary(terminalreporter, own)


def _is_of_a_check(report: object) -> bool:
    """Return whether a report is of a check's call; those of its other phases repeat it."""
    properties = getattr(report, "user_properties", ())
    is_own = any(item[0] == "optkit_check" for item in properties)
    return is_own and getattr(report, "when", None) == "call"


def _leave_asserts_alone(pluginmanager: pytest.PytestPluginManager) -> None:
    """Keep pytest from rewriting the asserts of optkit, as it would those of any plugin.

    Rewritten ones say in their message what they compared, which is in the kit's messages already;
    and a run that doesn't ask for the kit is to find optkit's modules as they are.
    """
    # Not public: without it, asserts are rewritten and everything works, with longer messages.
    hook = getattr(pluginmanager, "rewrite_hook", None)
    marked = getattr(hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked -= OWN_PACKAGES
