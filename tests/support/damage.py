"""Ways of damaging a checkpoint: its bytes, its header, and the state that was in it."""

from __future__ import annotations

import copy
import json
import math
import random
import zlib
from collections.abc import Callable
from typing import Any

import torch

Random = random.Random


def flip_bits(content: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(content: bytearray, rng: Random) -> None:
    start, count = rng.randrange(len(content)), rng.choice((1, 4, 64, 512))
    filler = rng.choice((b"\0", b"\xff", b"[", b'"', b"9"))
    content[start : start + count] = filler * len(content[start : start + count])


def truncate(content: bytearray, rng: Random) -> None:
    del content[rng.choice((rng.randrange(len(content)), rng.randrange(16))) :]


def insert(content: bytearray, rng: Random) -> None:
    start = rng.choice((rng.randrange(len(content) + 1), len(content), 0, 8))
    content[start:start] = rng.randbytes(rng.choice((1, 2, 8, 100)))


def remove(content: bytearray, rng: Random) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 2, 8, 100))]


def swap_ranges(content: bytearray, rng: Random) -> None:
    count = rng.choice((1, 4, 8, 32))
    first, second = (rng.randrange(len(content) - count) for _ in range(2))
    one, other = content[first : first + count], content[second : second + count]
    content[first : first + count], content[second : second + count] = other, one


def header_length(content: bytearray, rng: Random) -> None:
    length = int.from_bytes(content[:8], "little")
    wrong = rng.choice((0, 1, length - 1, length + 1, length + 8, 10**8, 2**63, 2**64 - 1))
    content[:8] = wrong.to_bytes(8, "little")


BYTES: tuple[Callable[[bytearray, Random], None], ...] = (
    flip_bits,
    overwrite,
    truncate,
    insert,
    remove,
    swap_ranges,
    header_length,
)


def split(content: bytes) -> tuple[bytes, bytes]:
    """Return a file's header, without its length, and what follows."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def joined(header: bytes, rest: bytes, signed: bool) -> bytes:
    """Put a file together with the right length, and with the right checksum if `signed`."""
    start = len(header).to_bytes(8, "little") + header
    return start + (rest[:-4] + zlib.crc32(start).to_bytes(4, "little") if signed else rest)


def edit_text(header: bytes, rng: Random) -> bytes:
    """Change a few characters of a header, digits into digits, so that it often stays JSON."""
    text = bytearray(header)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(text))
        if chr(text[place]).isdigit():
            text[place] = ord(rng.choice("0123456789"))
        else:
            text[place : place + 1] = rng.choice(
                (b"", b"]", b"}", b"[", b"\xc3", b"\0", b'"', b"e")
            )
    return bytes(text)


def edit_entry(header: bytes, rng: Random) -> bytes:
    """Change what a header says about one tensor."""
    entries = json.loads(header)
    name = rng.choice([key for key in entries if key != "__metadata__"])
    entry = entries[name]
    other = entries[rng.choice([key for key in entries if key != "__metadata__"])]
    kind = rng.randrange(9)
    if kind == 0:
        entry["dtype"] = rng.choice(("F32", "I32", "F64", "BOOL", "F4", "C64", "X", "", 7, None))
    elif kind == 1:
        entry["shape"] = rng.choice(
            ([2**62, 2**62], [2**31], [-1], [0], [1.5], None, [[3]], [10**40])
        )
    elif kind == 2:
        entry["data_offsets"] = rng.choice(([0, 2**60], [2**60, 0], [-4, 4], [0, 4], [], [0.5, 4]))
    elif kind == 3:
        entry["data_offsets"], other["data_offsets"] = other["data_offsets"], entry["data_offsets"]
    elif kind == 4:
        entries[name + "x"] = entries.pop(name)
    elif kind == 5:
        del entries[name]
    elif kind == 6:
        entry["shape"] = [*entry["shape"][::-1], 1]
    elif kind == 7:
        entries["again"] = dict(entry)
    else:
        entry["more"] = rng.choice((1, None, {}, [[]]))
    return json.dumps(entries).encode()


def edit_record(header: bytes, rng: Random) -> bytes:
    """Change a few characters of the text in a header, or replace it."""
    entries = json.loads(header)
    text = entries["__metadata__"]["optkit"]
    if rng.randrange(8):
        text = edit_text(text.encode(), rng).decode("utf-8", "replace")
    else:
        text = rng.choice(
            (
                "",
                "{}",
                "null",
                "[" * 100_000,
                '{"a":' * 50_000,
                '{"format":1,"format":1}',
                "NaN",
                '{"format":1e999}',
                f'{{"format":{"9" * 5000}}}',
                text + text,
                text.replace("$items", "$tensor"),
                text.replace('"$tensor":"state.0', '"$tensor":"state.1'),
                text.replace('"format":1', '"format":2'),
                text.replace('"format":1', '"format":true'),
            )
        )
    entries["__metadata__"]["optkit"] = text
    return json.dumps(entries).encode()


HEADERS = (edit_text, edit_entry, edit_record)

JUNK: tuple[Any, ...] = (
    object(),
    "text",
    b"bytes",
    {"a": {}},
    [[[]]],
    {1, 2},
    lambda: None,
    math.nan,
    -math.inf,
    torch.ones(2, 7, 3),
    torch.ones(3, dtype=torch.complex64),
    torch.ones(()).to_sparse(),
    torch.empty(3, device="meta"),
    torch.tensor(True),
    1j,
    10**400,
    ...,
)


def some(rng: Random, items: Any) -> Any:
    return rng.choice(list(items))


def drop_state_entry(state: Any, rng: Random) -> None:
    own = some(rng, state["state"].values())
    own.pop("al", None)  # room for what L-BFGS computes anew, which may be missing
    # Without a counter, an empty state is that of a parameter before its first gradient.
    if len(own) > 1:
        del own[some(rng, own)]


def rename_state_entry(state: Any, rng: Random) -> None:
    own = some(rng, state["state"].values())
    name = some(rng, own)
    own[name + "_"] = own.pop(name)


def add_state_entry(state: Any, rng: Random) -> None:
    some(rng, state["state"].values())["surplus"] = rng.choice(JUNK)


def junk_state_entry(state: Any, rng: Random) -> None:
    own = some(rng, state["state"].values())
    name = some(rng, own)
    # A float that isn't finite is what is left of a run that diverged.
    own[name] = rng.choice([item for item in JUNK if not isinstance(item, float)])


def junk_state(state: Any, rng: Random) -> None:
    state["state"][some(rng, state["state"])] = rng.choice(JUNK)


def wrong_key(state: Any, rng: Random) -> None:
    own = state["state"].pop(some(rng, state["state"]))
    state["state"][rng.choice((-1, 99, "weight", 2**70))] = own


def wrong_dtype(state: Any, rng: Random) -> None:
    own, name, value = some_tensor(state, rng)
    own[name] = value.to(rng.choice((torch.bool, torch.complex64)))


def wrong_shape(state: Any, rng: Random) -> None:
    own, name, value = some_tensor(state, rng)
    shapes = (value.unsqueeze(0), torch.cat([value.flatten(), value.flatten()]), torch.ones(2, 0))
    own[name] = rng.choice(shapes)


def some_tensor(state: Any, rng: Random) -> tuple[Any, str, torch.Tensor]:
    own = some(rng, state["state"].values())
    names = [name for name, value in own.items() if isinstance(value, torch.Tensor)]
    name = rng.choice(names)
    return own, name, own[name]


def drop_group(state: Any, rng: Random) -> None:
    del state["param_groups"][rng.randrange(len(state["param_groups"]))]


def double_group(state: Any, rng: Random) -> None:
    state["param_groups"].append(some(rng, state["param_groups"]))


def junk_group(state: Any, rng: Random) -> None:
    state["param_groups"][rng.randrange(len(state["param_groups"]))] = rng.choice(JUNK)


def other_size(state: Any, rng: Random) -> None:
    params = some(rng, state["param_groups"])["params"]
    params.pop() if rng.randrange(2) else params.append(rng.choice((77, params[0])))


def junk_params(state: Any, rng: Random) -> None:
    some(rng, state["param_groups"])["params"] = rng.choice(JUNK)


def other_schema(state: Any, rng: Random) -> None:
    wrong = ("adam/1", "", 7, "x/0", "x", [], state["param_groups"][0]["schema"][:-1] + "9")
    some(rng, state["param_groups"])["schema"] = rng.choice(wrong)


def wrong_hyperparameter(state: Any, rng: Random) -> None:
    group = some(rng, state["param_groups"])
    name = rng.choice([key for key in ("lr", "eps", "betas", "history_size") if key in group])
    wrong = rng.choice((math.nan, math.inf, -1.0, "0.1", None, [], {}, object(), (0.9, 1.2), 1j))
    # Adafactor's eps is a pair, and this is one that it may be.
    if not (name == "eps" and isinstance(group[name], tuple) and isinstance(wrong, tuple)):
        group[name] = wrong


def no_dict(state: Any, rng: Random) -> None:
    junk = [item for item in JUNK if not isinstance(item, dict)]  # what user code may have added
    state[rng.choice(("state", "param_groups"))] = rng.choice(junk)


def no_key(state: Any, rng: Random) -> None:
    del state[rng.choice(("state", "param_groups"))]


DICTS: tuple[Callable[[Any, Random], None], ...] = (
    drop_state_entry,
    rename_state_entry,
    add_state_entry,
    junk_state_entry,
    junk_state,
    wrong_key,
    wrong_dtype,
    wrong_shape,
    drop_group,
    double_group,
    junk_group,
    other_size,
    junk_params,
    other_schema,
    wrong_hyperparameter,
    no_dict,
    no_key,
)
"""Each makes a state that no optimizer of the algorithm and these parameters can have."""


def fresh(state: Any) -> Any:
    """Return a copy of a state to be damaged; the tensors are shared."""
    return {
        "state": {key: dict(own) for key, own in state["state"].items()},
        "param_groups": [copy.deepcopy(group) for group in state["param_groups"]],
    }
