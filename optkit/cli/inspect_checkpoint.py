"""What ``inspect`` tells about a checkpoint, as plain values and as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
from torch import Tensor

from optkit.cli.checkpoint_input import CheckpointInput
from optkit.cli.json_values import as_json, described
from optkit.cli.tables import console, indented, pairs, plain_table
from optkit_core.checkpoint.load import parsing, structure
from optkit_core.declaration.tensor_types import dtype_name

MOST_ROWS = 20


@attrs.frozen
class StateEntry:
    """One value of one parameter's state: what it is, and how many bytes it has."""

    parameter: str
    name: str
    dtype: str
    shape: str
    size: int


@attrs.frozen
class Contents:
    """Everything that is known about a checkpoint without its numbers."""

    file: str
    kind: str
    writer: str
    algorithm: str
    schema: str
    size: int
    groups: tuple[dict[str, Any], ...]
    entries: tuple[StateEntry, ...]


def contents(source: CheckpointInput) -> Contents:
    """Collect the facts about a checkpoint.

    Args:
        source: the file.
    """
    checkpoint = source.checkpoint
    own, user_entries = structure.split_user_entries(checkpoint.state_dict)
    read = parsing.parse(own)
    groups = [{"parameters": len(g.ids), **described(dict(g.options))} for g in read.groups]
    return Contents(
        file=str(source.path),
        kind=source.kind,
        writer=checkpoint.writer,
        algorithm=checkpoint.algorithm,
        schema=source.schema,
        size=source.path.stat().st_size,
        groups=tuple(groups),
        entries=(*_entries(read), *_user_entries(user_entries)),
    )


def print_contents(found: Contents, everything: bool) -> None:
    """Print the facts about a checkpoint.

    Args:
        found: the facts.
        everything: whether long lists are printed whole.
    """
    out = console()
    out.print(found.file, style="bold", soft_wrap=True)
    out.print(indented(pairs(_facts(found))))
    for position, group in enumerate(_cut(found.groups, everything)):
        out.print(f"\nGroup {position}", style="bold")
        out.print(indented(pairs((key, _text(value)) for key, value in group.items())))
    _print_rest(len(found.groups), "groups", everything)
    if found.entries:
        out.print("\nState", style="bold")
        out.print(indented(_table(_cut(found.entries, everything))))
        _print_rest(len(found.entries), "entries", everything)


def print_json(found: Contents) -> None:
    """Print the facts about a checkpoint as one JSON; what isn't finite becomes None."""
    print(json.dumps(as_json(attrs.asdict(found)), indent=2, allow_nan=False))


def _facts(found: Contents) -> Iterator[tuple[str, str]]:
    by = f", {found.writer}" if found.writer else ""
    yield "Written by", f"{found.kind}{by}"
    yield "Algorithm", found.algorithm or "not stated"
    yield "Schema", found.schema or "none: not written by an optkit optimizer"
    yield "Size", f"{found.size:,} bytes, of which state {sum(e.size for e in found.entries):,}"
    with_state = len({entry.parameter for entry in found.entries} - {""})
    yield "Parameters", f"{sum(g['parameters'] for g in found.groups)}, {with_state} with state"


def _table(entries: Any) -> Any:
    table = plain_table()
    for title in ("Parameter", "Name", "Dtype", "Shape"):
        table.add_column(title, overflow="fold")
    table.add_column("Bytes", justify="right")
    for entry in entries:
        table.add_row(entry.parameter, entry.name, entry.dtype, entry.shape, f"{entry.size:,}")
    return table


def _cut(rows: Any, everything: bool) -> Any:
    return rows if everything else rows[:MOST_ROWS]


def _print_rest(count: int, what: str, everything: bool) -> None:
    if count > MOST_ROWS and not everything:
        console().print(f"  ... and {count - MOST_ROWS} more {what}; --all shows them")


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
    return value if isinstance(value, str) else f"{value!r:.200}"
