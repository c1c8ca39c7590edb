"""Each fault stands at the key that is wrong, is told once, and can be printed anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_samples import TinyTransformer

import optkit
from optkit_core import ConfigFault, ConfigFileError

ADAMW = '[optimizer]\nname = "adamw"\n'
LONG = "9" * 5000


def told(folder: Path, suffix: str, content: str | bytes) -> tuple[list[ConfigFault], str]:
    """Return the faults in a file, and the whole message."""
    path = folder / f"config.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigFileError) as raised:
        optkit.from_config(path, TinyTransformer())
    return list(raised.value.faults), str(raised.value)


RULE = f"{ADAMW}[[optimizer.groups]]\n"
PLACES = [
    ("toml", '[optimizer]\nname = "muon"\n', "optimizer.name", 2, "Muon takes 2D"),
    (
        "toml",
        f'{RULE}match = "*"\nalgorithm = "lbfgs"\n',
        "optimizer.groups[0].algorithm",
        5,
        "can't be one of several",
    ),
    (
        "toml",
        f'{RULE}match = "*"\nalgorithm = "muno"\nns_steps = 3\n',
        "optimizer.groups[0].algorithm",
        5,
        "Did you mean 'muon'",
    ),
    (
        "toml",
        f'{RULE}match = "*.weight"\nalgorithm = "muno"\n'
        '[[optimizer.groups]]\nmatch = "*.weight"\nns_steps = 3\n',
        "optimizer.groups[0].algorithm",
        5,
        "Did you mean 'muon'",
    ),
    (
        "toml",
        f'{ADAMW}schedule = "cosine"\n',
        "optimizer.schedule",
        3,
        "has a section of its own",
    ),
    (
        "toml",
        f'{ADAMW}implementation = "fusde"\n',
        "optimizer.implementation",
        3,
        "has a section of its own",
    ),
    (
        "toml",
        f'{ADAMW}[schedule]\nname = "chained"\nschedules = [\n{{name = "linear"}},\n'
        '{name = "constnat"},\n]\n',
        "schedule.schedules[1].name",
        7,
        "Did you mean 'constant'",
    ),
    ("toml", f"{ADAMW}\nlr = {LONG}\n", "", 4, "digits"),
    ("yaml", f"optimizer:\n  name: adamw\n  lr: {LONG}\n", "", 3, "digits"),
    ("json", f'{{"optimizer": {{\n"lr": {LONG}}}}}', "", 2, "digits"),
    ("yaml", "optimizer:\n  name: 2020-99-99\n", "", 2, "month must be"),
    ("yaml", "optimizer:\n  lr: !!float x\n", "", 2, "could not convert"),
    ("yaml", "a: 1\n---\nb: 2", "", 2, "expected a single document"),
    ("toml", b'a = "\n\xe9"', "", 2, "isn't text in UTF-8"),
    ("toml", "a = 1".encode("utf-16"), "", 1, "UTF-16"),
    ("toml", b"\xff\xfe\x00\x00" + "a = 1".encode("utf-32-le"), "", 1, "UTF-32"),
    ("json", b'{"a": "\x00"}', "", 1, "zero bytes"),
]


@pytest.mark.parametrize(
    ("suffix", "content", "path", "line", "words"),
    PLACES,
    ids=[f"{suffix}-{words[:20]}-{i}" for i, (suffix, _, _, _, words) in enumerate(PLACES)],
)
def test_one_fault_at_the_key_that_is_wrong(
    tmp_path: Path, suffix: str, content: str | bytes, path: str, line: int | None, words: str
) -> None:
    faults, message = told(tmp_path, suffix, content)
    assert [(fault.path, fault.line) for fault in faults] == [(path, line)]
    assert words in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "content", ["a = 1\nb = .5\n", "a = 1\nb = ", ADAMW + "[optimizer]\n", "[optimizer\n"]
)
def test_an_error_of_toml_names_its_line_once(tmp_path: Path, content: str) -> None:
    (fault,), message = told(tmp_path, "toml", content)
    assert f"config.toml:{fault.line}: " in message
    assert "at line" not in message


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("json", '{"optimizer": {"name": "adamw", "\\ud800": 1}}'),
        ("json", '{"optimizer": {"name": "adamw"}, "\\u0000\\u001b[31m": 1}'),
        ("toml", f'{ADAMW}"lr\\n\\u2028" = 1\n'),
        ("toml", f'{ADAMW}"{"x y" * 1000}" = 1\n'),
    ],
)
def test_a_key_of_any_characters_is_told_on_one_line(
    tmp_path: Path, suffix: str, content: str
) -> None:
    _, message = told(tmp_path, suffix, content)
    assert message.isprintable()
    assert message.encode() and len(message) < 600


@pytest.mark.parametrize(
    ("suffix", "value"),
    [("toml", "9" * 1000), ("toml", f"'{'x' * 5000}'"), ("yaml", f"[{'[1, 2], ' * 5000}]")],
)
@pytest.mark.parametrize("key", ["lr", "groups", "betas"])
def test_a_long_value_is_told_shortly(tmp_path: Path, suffix: str, value: str, key: str) -> None:
    text = {
        "toml": f"{ADAMW}{key} = {value}\n",
        "yaml": f"optimizer: {{name: adamw, {key}: {value}}}",
    }
    _, message = told(tmp_path, suffix, text[suffix])
    assert len(message) < 600


@pytest.mark.parametrize("digits", [1000, 10_000])
def test_a_number_beyond_what_python_writes_is_refused(tmp_path: Path, digits: int) -> None:
    number = f"0x{'f' * digits}"
    keys = ("lr", "groups", "x", "implementation", "grouping", "maximize", "fused", "betas")
    text = ADAMW + "".join(f"{key} = {number}\n" for key in keys)
    sections = "".join(f"{key} = {number}\n" for key in ("schedule", "averaging", "y", "clipping"))
    faults, message = told(tmp_path, "toml", sections + text)
    assert {fault.path for fault in faults} >= {"schedule", "averaging", "y", "clipping"}
    text = text.replace("name", "lr = 0.1\nname").replace(f"grouping = {number}\n", "")
    faults, message = told(tmp_path, "toml", f"{ADAMW}lr = {number}\n")
    assert [(fault.path, fault.line) for fault in faults] == [("optimizer.lr", 3)]
    assert len(message) < 600


@pytest.mark.parametrize("word", ["none", "null"])
@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_nobody_is_told_to_write_a_word_that_the_format_hasnt(
    tmp_path: Path, suffix: str, word: str
) -> None:
    text = {
        "toml": f'{ADAMW}weight_decay = "{word}"\n',
        "json": f'{{"optimizer": {{"name": "adamw", "weight_decay": "{word}"}}}}',
    }
    _, message = told(tmp_path, suffix, text[suffix])
    assert message.endswith(f"got '{word}'.")


def test_of_a_rule_beside_a_misspelled_algorithm_what_is_wrong_anyway_is_told(
    tmp_path: Path,
) -> None:
    text = (
        f'{RULE}match = "*.weight"\nalgorithm = "muno"\n'
        '[[optimizer.groups]]\nmatch = "*.weight"\nns_steps = 3\nlr = -1\n'
    )
    faults, _ = told(tmp_path, "toml", text)
    paths = ["optimizer.groups[0].algorithm", "optimizer.groups[1].lr"]
    assert [fault.path for fault in faults] == paths
