"""The collection of ``--optkit``: an item for each algorithm and check, without any test file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import pytest
import torch

from optkit_core.api import get
from optkit_core.errors import OptkitError
from optkit_core.testing.kit.algorithm_names import registered_names
from optkit_core.testing.kit.run_check import Check, checks_of
from optkit_core.testing.kit.variants import DTYPES, dtype_of, variants_of

ROOT = "optkit"
"""The first part of the ids of all items."""


class Collection:
    """Collects the checks of the algorithms that the command line asks for.

    Args:
        config: pytest's.
        ids: the ids of checks, where these are asked for instead of names.

    Raises:
        pytest.UsageError: what is asked for doesn't exist.
    """

    def __init__(self, config: pytest.Config, ids: Sequence[str]) -> None:
        """Find the algorithms; none of them is imported yet."""
        asked = config.getoption("--optkit")
        try:
            if asked == [] and not ids:
                asked = _configured(config)
            whole = registered_names(asked or ())
            self._names = registered_names([*whole, *(asked.split("::")[1] for asked in ids)])
            self._ids = [*(f"{ROOT}::{name}" for name in whole), *ids]
            given = config.getoption("--optkit-dtype") or config.getini("optkit_dtypes")
            self._dtypes = tuple(map(dtype_of, given)) or DTYPES
            self._device = _usable(config.getoption("--optkit-device"))
        except (OptkitError, ValueError) as error:
            raise pytest.UsageError(f"--optkit: {error}") from error
        paths = [argument for argument in config.args if argument not in ids]
        config.args = [] if _is_asked_alone(config) else paths

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the algorithms to what the session consists of."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            report.result.append(
                Conformance.from_parent(
                    collector,
                    names=self._names,
                    dtypes=self._dtypes,
                    device=self._device,
                    ids=self._ids,
                )
            )
        return report


class Conformance(pytest.Collector):
    """All algorithms that are to be checked."""

    def __init__(
        self,
        parent: pytest.Session,
        names: Sequence[str],
        dtypes: Sequence[torch.dtype],
        device: torch.device,
        ids: Sequence[str],
    ) -> None:
        """Take what the command line asks for."""
        super().__init__(ROOT, parent, nodeid=ROOT)
        self.names, self.dtypes, self.device, self.ids = names, dtypes, device, ids

    def collect(self) -> Iterable[AlgorithmChecks]:
        """Yield a collector for each algorithm."""
        for name in self.names:
            yield AlgorithmChecks.from_parent(self, name=name)


class AlgorithmChecks(pytest.Collector):
    """All checks of one algorithm."""

    def collect(self) -> Iterable[CheckItem]:
        """Return an item for each check and variant of it that is asked for.

        Raises:
            pytest.Collector.CollectError: the algorithm can't be imported, or has no such check.
        """
        root = self.parent
        assert isinstance(root, Conformance)
        try:
            algorithm = get(self.name)
        except OptkitError as error:
            raise self.CollectError(str(error)) from error
        variants = variants_of(self.name, algorithm, root.dtypes, root.device)
        items = [self._item(check) for check in checks_of(variants)]
        asked = [node_id for node_id in root.ids if _is_below(node_id, self.nodeid)]
        for node_id in asked:
            if not any(_is_below(item.nodeid, node_id) for item in items):
                raise self.CollectError(f"there is no check {node_id}; --collect-only lists them.")
        return [item for item in items if any(_is_below(item.nodeid, one) for one in asked)]

    def _item(self, check: Check) -> CheckItem:
        name = f"{check.requirement.id}[{check.variant.label}]"
        # As text, which pytest takes apart as it does what it reads from its cache.
        node_id = f"{self.nodeid}::{name}"
        return CheckItem.from_parent(self, name=name, nodeid=node_id, check=check)


class CheckItem(pytest.Item):
    """One check of one algorithm, as a test."""

    def __init__(self, *, check: Check, **keywords: Any) -> None:
        """Take the check beside what every item has."""
        super().__init__(**keywords)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check.run(self.config, self.user_properties)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Return where the algorithm is written, and the item's id as its headline."""
        try:
            source = inspect.getsourcefile(self.check.variant.algorithm)
        except TypeError:  # a class that was made in a console
            source = None
        return source or self.path, None, self.nodeid


def _configured(config: pytest.Config) -> list[str]:
    names: list[str] = config.getini("optkit_algorithms")
    if not names:
        raise OptkitError(
            "say which algorithms, as in `pytest --optkit lion 'ada*'`, or name them in the "
            "configuration as optkit_algorithms."
        )
    return names


def _usable(name: str) -> torch.device:
    """Return the device of a name.

    Raises:
        ValueError: there is none, or torch can't use it here.
    """
    try:
        torch.empty(0, device=name)
    # AssertionError where torch was built without the device's code.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"can't use the device {name!r}: {str(error).splitlines()[0]}") from error
    return torch.device(name)


def _is_asked_alone(config: pytest.Config) -> bool:
    """Return whether the command line has --optkit and no file: then tests stay out of it."""
    given = config.invocation_params.args
    is_typed = any(str(item).partition("=")[0] == "--optkit" for item in given)
    return is_typed and config.args_source is not pytest.Config.ArgsSource.ARGS


def _is_below(node_id: str, asked: str) -> bool:
    return node_id == asked or node_id.startswith((f"{asked}::", f"{asked}["))
