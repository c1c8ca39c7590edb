"""Guides that are followed: blocks of a page, in their order, as a reader would type them.

Commands (``sh``) and programs (``python``) are run. A ``text`` block right after one is what it
prints, with ``...`` for what differs. A block with a caption is a file to write, and one of TOML
begins with the table of ``pyproject.toml`` that gets its lines.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plugin_environment import PluginEnvironment

FENCE = re.compile(
    r"^```(?:\{code-block\} )?(?P<kind>\w+)\n"
    r"(?::caption: (?P<caption>[^\n]+)\n\n)?"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("sh", "python")
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Args:
        kind: the language.
        text: what it says.
        caption: the file that it is.
    """

    kind: str
    text: str
    caption: str | None = None


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    for found in FENCE.finditer(page):
        yield Block(found["kind"], found["text"], found["caption"])


@dataclass
class Reader:
    """Somebody who does what a page says.

    Args:
        environment: where they work.
        folder: the present working directory, which ``cd`` changes.
        printed: what the last program printed.
    """

    environment: PluginEnvironment
    folder: Path
    printed: str = ""

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            AssertionError: a command fails, prints something else, or nobody would know what to do.
        """
        if block.caption:
            (self.folder / block.caption).write_text(block.text)
        elif block.kind in RUN:
            self.run(block.text if block.kind == "sh" else f"python - <<'END'\n{block.text}END")
        elif block.kind == "text":
            self.compare(block.text)
        elif block.kind == "toml":
            self.add(block.text)
        else:
            raise AssertionError(f"nobody would know what to do with {block}")

    def run(self, script: str) -> None:
        """Run a script of the shell, and stay where it leads."""
        place = self.environment.root / "place"
        self.printed = self.environment.sh(f"{script}\npwd > '{place}'", self.folder)
        self.folder = Path(place.read_text().strip())

    def compare(self, expected: str) -> None:
        """Compare what was printed last."""
        like = doctest.OutputChecker().check_output(expected, self.printed, LIKE)
        assert like, f"expected\n{expected}\nbut it printed\n{self.printed}"

    def add(self, text: str) -> None:
        """Add lines to a table of the project's metadata."""
        path = self.folder / "pyproject.toml"
        table, metadata = text.partition("\n")[0] + "\n", path.read_text()
        assert metadata.count(table) == 1, f"one table {table!r} in\n{metadata}"
        path.write_text(metadata.replace(table, text))
