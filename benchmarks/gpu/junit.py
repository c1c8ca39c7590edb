"""What a part's tests came to, from the file that pytest writes in JUnit's format."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree


class Counts(NamedTuple):
    """How many tests there were; errors count as failures."""

    run: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def have_passed(self) -> bool:
        """Whether some have run, and none has failed."""
        return self.run > self.skipped and not self.failed


def counted(path: Path) -> Counts:
    """Return the counts of a file, zeros where there is none.

    The name of the machine, which pytest puts into it, is taken out.
    """
    if not path.exists():
        return Counts()
    tree = ElementTree.parse(path)
    suites = list(tree.getroot().iter("testsuite"))
    for suite in suites:
        suite.attrib.pop("hostname", None)
    tree.write(path, encoding="utf-8", xml_declaration=True)
    total = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    return Counts(total["tests"], total["failures"] + total["errors"], total["skipped"])
