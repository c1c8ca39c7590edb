"""What ``inspect`` tells about a checkpoint, as plain values and as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from torch import Tensor

from optkit.cli.checkpoint_input import CheckpointInput
from optkit.cli.json_values import described
from optkit.cli.tables import console, indented, pairs, plain_table
from optkit_core.checkpoint.load import parsing, structure
from optkit_core.declaration.tensor_types import dtype_name

MAX_ROWS = 20


@attrs.frozen
class StateEntry:
    """One value of one parameter's state: what it is, and how many bytes it has."""

    parameter: str
    name: str
    dtype: str
    shape: str
    size: int


@attrs.frozen
class CheckpointContents:
    """Everything that is known about a checkpoint without its numbers."""

    file: str
    kind: str
    writer: str
    algorithm: str
    schema: str
    size: int
    groups: tuple[dict[str, Any], ...]
    entries: tuple[StateEntry, ...]


def read_contents(source: CheckpointInput) -> CheckpointContents:
    """Collect the facts about a checkpoint.

    Args:
        source: the file.
    """
    checkpoint = source.checkpoint
    state_dict, user_entries = structure.split_user_entries(checkpoint.state_dict)
    read = parsing.parse(state_dict)
    groups = [{"parameters": len(g.ids), **described(dict(g.options))} for g in read.groups]
    return CheckpointContents(
        file=str(source.path),
        kind=source.kind,
        writer=checkpoint.writer,
        algorithm=checkpoint.algorithm,
        schema=source.schema,
        size=source.path.stat().st_size,
        groups=tuple(groups),
        entries=(*_entries(read), *_user_entries(user_entries)),
    )


def print_contents(contents: CheckpointContents, show_all: bool) -> None:
    """Print the facts about a checkpoint.

    Args:
        contents: the facts.
        show_all: whether long lists are printed whole.
    """
    out = console()
    out.print(contents.file, style="bold", soft_wrap=True)
    out.print(indented(pairs(_facts(contents))))
    for position, group in enumerate(_cut(contents.groups, show_all)):
        out.print(f"\nGroup {position}", style="bold")
        out.print(indented(pairs((key, _text(value)) for key, value in group.items())))
    _print_rest(len(contents.groups), "groups", show_all)
    if contents.entries:
        out.print("\nState", style="bold")
        out.print(indented(_table(_cut(contents.entries, show_all))))
        _print_rest(len(contents.entries), "entries", show_all)


def _facts(contents: CheckpointContents) -> Iterator[tuple[str, str]]:
    by = f", {contents.writer}" if contents.writer else ""
    yield "Written by", f"{contents.kind}{by}"
    yield "Algorithm", contents.algorithm or "not stated"
    yield "Schema", contents.schema or "none: not written by an optkit optimizer"
    yield (
        "Size",
        f"{contents.size:,} bytes, of which state {sum(e.size for e in contents.entries):,}",
    )
    # `""` stands for entries of the user's own, which are no parameter's.
    with_state = len({entry.parameter for entry in contents.entries} - {""})
    yield "Parameters", f"{sum(g['parameters'] for g in contents.groups)}, {with_state} with state"


def _table(entries: Any) -> Any:
    table = plain_table()
    for title in ("Parameter", "Name", "Dtype", "Shape"):
        table.add_column(title, overflow="fold")
    table.add_column("Bytes", justify="right")
    for entry in entries:
        table.add_row(entry.parameter, entry.name, entry.dtype, entry.shape, f"{entry.size:,}")
    return table


def _cut(rows: Any, show_all: bool) -> Any:
    return rows if show_all else rows[:MAX_ROWS]


def _print_rest(count: int, what: str, show_all: bool) -> None:
    if count > MAX_ROWS and not show_all:
        console().print(f"  ... and {count - MAX_ROWS} more {what}; --all shows them")


def _entries(read: parsing.ParsedState) -> Iterator[StateEntry]:
    names = {
        key: name
        for group in read.groups
        for key, name in zip(group.ids, group.names or group.ids, strict=True)
    }
    for key, state in read.state.items():
        for name, value in state.items():
            yield from _described(str(names.get(key, key)), name, value)


def _user_entries(entries: dict[Any, Any]) -> Iterator[StateEntry]:
    """Yield what is no parameter's."""
    for key, value in entries.items():
        yield from _described("", str(key), value)


def _described(parameter: str, name: str, value: Any) -> Iterator[StateEntry]:
    if isinstance(value, Tensor):
        shape = " x ".join(map(str, value.shape)) or "scalar"
        yield StateEntry(parameter, name, dtype_name(value.dtype), shape, value.nbytes)
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _described(parameter, f"{name}[{position}]", item)
    else:
        yield StateEntry(parameter, name, type(value).__name__, _text(value), 0)


def _text(value: Any) -> str:
    # What a user or an algorithm has put there may be of any length.
    return value if isinstance(value, str) else f"{value!r:.200}"
