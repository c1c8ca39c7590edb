"""Files of three formats: what is read, on which line it stands, and what can't be read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import yaml
from torch import nn

import optkit
from optkit_core import ConfigFileError, OptkitError
from optkit_core.config_file.read_source import read

CONFIG = {
    "optimizer": {
        "name": "adamw",
        "lr": 1e-3,
        "groups": [{"match": "*.bias", "weight_decay": 0.0}, {"ndim": 2, "betas": [0.9, 0.99]}],
    },
    "clipping": {"norm": 1.0},
}

TEXTS = {
    "toml": tomli_w.dumps(CONFIG),
    "yaml": yaml.safe_dump(CONFIG, sort_keys=False),
    "yml": yaml.safe_dump(CONFIG, default_flow_style=True),
    "json": json.dumps(CONFIG, indent="\t"),
}


def path_of(folder: Path, suffix: str, content: str | bytes) -> Path:
    path = folder / f"config.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(source: Any) -> str:
    with pytest.raises(ConfigFileError) as raised:
        optkit.from_config(source, nn.Linear(2, 1))
    return str(raised.value)


@pytest.mark.parametrize("suffix", TEXTS)
def test_all_formats_say_the_same(tmp_path: Path, suffix: str) -> None:
    assert read(path_of(tmp_path, suffix, TEXTS[suffix])).data == CONFIG
    assert read(str(path_of(tmp_path, suffix.upper(), TEXTS[suffix]))).data == CONFIG


TOML = """\
# a comment
[optimizer]
name = "adamw"
betas = [
    0.9,
    1.5,
]

[[optimizer.groups]]
match = "*"
note = '''
[optimizer]
lr = -1
'''
[[optimizer.groups]]
match = "*"
lr = -1

[clipping]
norm = 'x'
"""
YAML = """\
# a comment
optimizer:
  name: adamw
  betas:
    - 0.9
    - 1.5
  groups:
    - match: '*'
      note: |
        lr: -1
    - match: '*'
      lr: -1
clipping: {norm: x}
"""
JSON = """\
{
\t"optimizer": {
\t\t"name": "adamw",
\t\t"betas": [0.9,
\t\t\t1.5],
\t\t"groups": [{"match": "*", "note": "\\"lr\\": -1"},
\t\t\t{"match": "*",
\t\t\t"lr": -1}
\t\t]
\t},
\t"clipping": {"norm": "x"}
}
"""
LINES = {"toml": (TOML, 6, 11, 17, 20), "yaml": (YAML, 6, 9, 12, 13), "json": (JSON, 5, 6, 8, 11)}


@pytest.mark.parametrize("suffix", LINES)
def test_all_mistakes_are_told_with_their_lines(tmp_path: Path, suffix: str) -> None:
    text, *lines = LINES[suffix]
    path = path_of(tmp_path, suffix, text)
    below = ("betas[1]", "groups[0].note", "groups[1].lr")
    paths = (*(f"optimizer.{path}" for path in below), "clipping.norm")
    with pytest.raises(ConfigFileError) as raised:
        optkit.from_config(path, nn.Linear(2, 1))
    found = {fault.path: fault.line for fault in raised.value.faults}
    wanted = dict(zip(paths, lines, strict=True))
    if suffix == "toml":  # a text of several lines is known to be there at its end
        wanted["optimizer.groups[0].note"] = 14
    assert found == wanted
    for line in str(raised.value).splitlines():
        assert line.startswith(f"{path}:")


TOO_DEEP = "[" * 100_000
ALIASES = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("suffix", "content", "words"),
    [
        ("toml", "", "has no section 'optimizer'"),
        ("yaml", "", "is empty"),
        ("json", " \n", "is empty"),
        ("yaml", "# nothing", "must be a table"),
        ("json", "[1]", r"must be a table at its top, got \[1\]"),
        ("json", "null", "must be a table"),
        ("toml", "a = 1\na = 2", ":2: isn't TOML: Cannot overwrite"),
        ("yaml", "b: 1\na: 1\na: 2", ":3: the key 'a' stands twice"),
        ("json", '{"a": 1, "a": 2}', ":1: the key 'a' stands twice"),
        ("toml", "a = 1\nb = ", ":2: isn't TOML"),
        ("yaml", "a: [1\nb: }", ":2: isn't YAML"),
        ("json", '{"a":\n 1,,}', ":2: isn't JSON"),
        ("toml", "a = " + "9" * 5000, "isn't TOML"),
        ("yaml", "a: " + "9" * 5000, "isn't YAML"),
        ("json", '{"a": ' + "9" * 5000 + "}", "isn't JSON"),
        ("yaml", "a: 2020-99-99", "isn't YAML"),
        ("yaml", "a: !!python/object/apply:os.getcwd []", ":1: isn't YAML"),
        ("yaml", "a: 1\n---\nb: 2", ":2: isn't YAML"),
        ("yaml", "? [a]\n: 1", ":1: isn't YAML"),
        ("yaml", "a: 1\nb: \x07", ":2: isn't YAML"),
        ("yaml", "a: &a [*a]", ":1: .*holds itself"),
        ("yaml", ALIASES, "is too large with all that it repeats"),
        ("toml", f"a = {TOO_DEEP}", "nested too deeply"),
        ("yaml", TOO_DEEP[:5000], "nested too deeply"),
        ("json", TOO_DEEP, "nested too deeply"),
        ("toml", "a = 1".encode("utf-16"), "is written in UTF-16"),
        ("yaml", "a: 1".encode("utf-32-be"), "isn't text"),
        ("json", b'{"a":\n "\xff"}', ":2: isn't text in UTF-8"),
        ("toml", bytes(range(256)), "isn't text"),
        ("toml", "#" * (2**20 + 1), "larger than 1 MiB"),
        ("ini", "[optimizer]", "by its suffix, .toml, .yaml, .yml, .json, got '.ini'"),
        ("tml", "", "Did you mean '.toml'"),
    ],
    ids=lambda value: str(value)[:20].encode("unicode_escape").decode(),
)  # fmt: skip
def test_what_cant_be_read_is_one_error(
    tmp_path: Path, suffix: str, content: str | bytes, words: str
) -> None:
    path = path_of(tmp_path, suffix, content)
    with pytest.raises(ConfigFileError, match=words) as raised:
        optkit.from_config(path, nn.Linear(2, 1))
    assert str(raised.value).startswith(str(path))


def test_a_mark_that_an_editor_writes_is_no_mistake(tmp_path: Path) -> None:
    path = path_of(tmp_path, "toml", b"\xef\xbb\xbf" + TEXTS["toml"].encode())
    assert read(path).data == CONFIG


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.toml", "missing.toml can't be read: No such file"),
        ("folder.toml", "can't be read: Is a directory"),
        ("adamw", "by its suffix"),
        ("[optimizer]\nname = 'adamw'", "got text: .*tomllib.loads"),
        ("\0.toml", "can't be read"),
        (3, "got int: 3"),
        (None, "got NoneType"),
        ([("optimizer", {})], "got list"),
    ],
    ids=repr,
)
def test_what_is_no_source_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigFileError, match=words):
        optkit.from_config(source, nn.Linear(2, 1))


def test_a_mapping_that_holds_itself_is_one_error() -> None:
    config: dict[str, Any] = {"optimizer": {"name": "adamw"}}
    config["optimizer"]["lr"] = config
    assert "holds itself" in refused(config)


def test_yaml_without_pyyaml_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "pip install 'optkit[config]'" in refused(path_of(tmp_path, "yaml", "a: 1"))
    # Lines of JSON are found by PyYAML; everything else goes without.
    path = path_of(tmp_path, "json", '{"optimizer": {"name": "adamw", "lr": -1}}')
    assert refused(path).startswith(f"{path}: optimizer.lr must be in [0, inf)")


@pytest.mark.parametrize(
    ("suffix", "text", "words"),
    [
        ("yaml", "optimizer: {name: adamw, lr: 1e-3}", "as YAML 1.1 reads 1e-3: write 1.0e-3"),
        ("toml", "[optimizer]\nname = 'adamw'\nlr = '1e-3'", "text: write 1e-3 without quotes"),
        ("json", '{"optimizer": {"name": "adamw", "lr": "1e-3"}}', "write 1e-3 without quotes"),
    ],
)
def test_a_number_in_a_text_is_explained(
    tmp_path: Path, suffix: str, text: str, words: str
) -> None:
    assert words in refused(path_of(tmp_path, suffix, text))


@pytest.mark.slow
def test_reading_a_config_needs_no_library_before_it_is_asked_for() -> None:
    from processes import python

    printed = python(
        "import sys, optkit, optkit_core; print({'cattrs', 'yaml'} & sys.modules.keys())",
        Path(optkit.__file__).parents[1],
    )
    assert printed.strip() == "set()"


def test_the_error_is_optkits_and_pythons() -> None:
    assert issubclass(ConfigFileError, OptkitError) and issubclass(ConfigFileError, ValueError)
