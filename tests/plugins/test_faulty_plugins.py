"""Distributions with a fault each: everything else works, and `optkit doctor` names each."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from algorithms import ALGORITHMS
from faulty_plugins import CLASHES, CRASHES_WHOLE, FAULTS, install_all
from processes import completed

pytest.importorskip("typer")
pytest.importorskip("packaging")

pytestmark = pytest.mark.slow

CREATE = """
import json, warnings
import optkit, torch

def moved(name):
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optkit.create(name, [p], lr=0.5).step()
    return type(optkit.create(name, [p], lr=0.5)).__module__ if p[0] < 1 else None

names = optkit.available()
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    modules = {name: moved(name) for name in ("adamax", "m1", "m4", "m6", "m8", "rival:adamax")}
try:
    optkit.create("tiger", [torch.ones(1)])
except optkit.OptkitError as error:
    ambiguous = str(error)
told = [str(warning.message) for warning in warned]
print(json.dumps([names, modules, told, ambiguous]))
"""


def run(root: Path, faults: dict[str, Any], *words: str, **settings: str) -> tuple[int, str, str]:
    """Run this Python with faulty distributions, and return its status and what it printed."""
    path = os.pathsep.join(map(str, install_all(root, faults)))
    limits = {"OPTKIT_PLUGIN_TIMEOUT": "1", "OMP_NUM_THREADS": "1", **settings}
    done = completed(*words, PYTHONPATH=path, **limits)
    return done.returncode, done.stdout, done.stderr


def test_all_others_are_found_and_created(tmp_path: Path) -> None:
    status, out, err = run(tmp_path, FAULTS | CLASHES, "-c", CREATE)
    assert (status, err) == (0, "")
    names, modules, told, ambiguous = json.loads(out)
    assert set(ALGORITHMS) < set(names), "those that ship keep their plain names"
    assert modules.pop("adamax") == "optkit_plugins.adamax"
    assert modules.pop("rival:adamax") == "adamax_module"
    assert modules == {name: f"{name}_module" for name in modules}
    whole = {name: fault for name, fault in FAULTS.items() if "plugins" in fault.contents}
    assert len(told) == len(whole)
    for name in whole:
        assert sum(f"distribution {name} 1.0" in message for message in told) == 1, name
    assert "'savanna:tiger' or 'zoo:Tiger'" in ambiguous


def test_the_list_has_all_of_them(tmp_path: Path) -> None:
    words = ("-m", "optkit", "list", "--json")
    status, out, err = run(tmp_path, FAULTS | CLASHES, *words)
    assert (status, err) == (0, "")
    listed = {item["name"]: item for item in json.loads(out)}
    for distribution, fault in FAULTS.items():
        if fault.hurts_list:
            assert distribution in listed.pop(fault.name)["error"]
    assert {"adamax", "m1", "rival:adamax", "zoo:Tiger"} < set(listed)
    assert not [name for name, item in listed.items() if "error" in item]


def test_the_schema_goes_without_what_ends_the_process(tmp_path: Path) -> None:
    status, out, err = run(tmp_path, FAULTS | CLASHES, "-m", "optkit", "schema")
    assert status == 0, err
    defined = json.loads(out)["$defs"]
    assert {"adamax-options", "m1-options", "rival:adamax-options"} <= defined.keys()
    for name, fault in FAULTS.items():
        assert not fault.hurts_list or f"{fault.name}-options" not in defined
        if name in ("hanging", "leaving", "crashing"):
            assert f"the schema goes without algorithm '{fault.name}': " in err


SETTINGS = {
    "OPTKIT_CONFFIG": "x",
    "OPTKIT_CONFIG": "/no/such/file.toml",
    "OPTKIT_FOREACH_BYTES": "many",
    "OPTKIT_CACHE_DIR": os.devnull,
    "OPTKIT_DISABLE_PLUGINS": "nobody",
}


def test_the_doctor_names_each(tmp_path: Path) -> None:
    faults = FAULTS | CLASHES | CRASHES_WHOLE
    words = ("-m", "optkit", "doctor", "--json", "--timeout", "2")
    status, out, err = run(tmp_path, faults, *words, **SETTINGS)
    assert (status, err) == (1, "")
    found = json.loads(out)
    assert not found["healthy"]
    for distribution, fault in (FAULTS | CRASHES_WHOLE).items():
        folder = str(tmp_path / distribution)
        named = [
            problem
            for problem in found["problems"]
            if problem["subject"].split()[0] == distribution or folder in problem["subject"]
        ]
        assert len(named) == 1, distribution
        assert all(told in named[0]["what"] for told in fault.told), named
        assert fault.name is None or repr(fault.name) in named[0]["what"]
        assert distribution in named[0]["way_out"] or folder in named[0]["way_out"], named
    clashes = {clash["name"].lower(): clash["claimed_by"] for clash in found["clashes"]}
    assert sorted(clashes) == ["adamax", "tiger"]
    assert sorted(clashes["adamax"])[1] == "rival 1.0"
    assert sorted(clashes["tiger"]) == ["savanna 1.0", "zoo 1.0"]
    assert {"adamax", "tiger"} <= {problem["subject"].lower() for problem in found["problems"]}
    assert_settings_are_told(found)
    (own,) = [item for item in found["distributions"] if item["name"] == "optkit"]
    assert {plugin["status"] for plugin in own["plugins"]} == {"works"}


def assert_settings_are_told(found: dict[str, Any]) -> None:
    problems = {problem["subject"]: problem for problem in found["problems"]}
    for name in ("OPTKIT_CONFIG", "OPTKIT_FOREACH_BYTES", "kernel cache"):
        assert problems[name]["way_out"], name
    assert "/no/such/file.toml" in problems["OPTKIT_CONFIG"]["what"]
    notes = {note["subject"]: note["what"] for note in found["notes"]}
    assert "Did you mean OPTKIT_CONFIG?" in notes["OPTKIT_CONFFIG"]
    assert "'nobody'" in notes["OPTKIT_DISABLE_PLUGINS"]
    values = {setting["name"]: setting["value"] for setting in found["settings"]}
    assert SETTINGS.items() <= values.items()


def test_without_faults_it_is_healthy_and_plain(tmp_path: Path) -> None:
    words = ("-m", "optkit", "doctor")
    status, out, err = run(tmp_path, {}, *words, COLUMNS="100", OPTKIT_CACHE_DIR=str(tmp_path))
    assert (status, err) == (0, ""), out
    lines = out.splitlines()
    assert re.fullmatch(r"Healthy: \d+ distributions? with plugins, nothing wrong\.", lines[0])
    assert max(map(len, lines)) <= 100 and "\x1b" not in out
    for words in ("24 algorithms", "adamax", "works", "torch", "C++ compiler", str(tmp_path)):
        assert words in out, words
