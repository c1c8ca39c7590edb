"""The command line but for ``compare``: list, show, version, help, and bad input."""

import json
import warnings

import pytest
import torch
from algorithms import ALGORITHMS
from processes import completed

import optkit

pytest.importorskip("typer")
pytest.importorskip("rich")

from optkit.cli import main


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def refusal(capsys, *words):
    """Run a command that must fail, and return its one line."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("optkit: error: ")
    assert err.count("\n") == 1 and "Traceback" not in err
    return err


def shown(capsys, *words):
    """Run a command that must succeed, and return what it printed."""
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    return out


def process(*words, code=None, **environment):
    """Run the command line in a process of its own."""
    start = ["-c", code] if code else ["-m", "optkit"]
    return completed(*start, *words, COLUMNS="80", **environment)


def test_list_names_every_algorithm_with_its_distribution(capsys):
    out = shown(capsys, "list")
    for name in ALGORITHMS:
        assert name in out
    assert f"optkit {optkit.__version__}" in out


@pytest.mark.parametrize("options", [[], ["--summaries"], ["--json"]], ids=str)
def test_list_takes_a_pattern(capsys, options):
    assert main(["list", "ada*", *options]) == 0
    out = capsys.readouterr().out
    assert "adamax" in out and "lbfgs" not in out


def test_list_has_what_each_algorithm_can_do(capsys):
    rows = [line.split() for line in shown(capsys, "list").splitlines()]
    assert ["adagrad", "fused", "foreach", *["yes"] * 7] in rows
    assert ["adamax", "fused", "foreach", *["yes"] * 3, "no", *["yes"] * 3] in rows
    assert ["lbfgs", "fused", "flat", "yes", "yes", "cpu", "yes", "yes", "no", "no"] in rows


def test_list_tells_summaries(capsys):
    out = shown(capsys, "list", "adamax", "--summaries")
    assert "infinity" in out and f"optkit {optkit.__version__}" in out


def test_list_as_json_has_the_reasons(capsys):
    assert main(["list", "lbfgs", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    able = printed["capabilities"]
    assert (printed["name"], able["default"]) == ("lbfgs", {"cpu": "fused", "cuda": "flat"})
    fused = able["implementations"]["cuda"]["fused"]
    assert fused["is_supported"] is False and "CPU only" in fused["reason"]
    assert able["parameter_dims"] is None


def test_list_of_a_class_of_torch_has_question_marks(capsys, registered):
    registered("house-sgd", torch.optim.SGD)
    out = " ".join(shown(capsys, "list", "house*").split())
    assert "house-sgd its own its own yes yes yes ? ? no yes" in out


@pytest.mark.parametrize("options", [[], ["--summaries"], ["--json"]], ids=str)
def test_list_goes_on_where_an_algorithm_is_broken(capsys, monkeypatch, options):
    describe = optkit.describe

    def broken(name, **options):
        if name == "adamax":
            raise ImportError("no module 'moments'")
        return describe(name, **options)

    monkeypatch.setattr(optkit, "describe", broken)
    assert main(["list", *options]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "adagrad" in out and "ImportError: no module 'moments'" in out


def test_list_shows_what_was_registered_at_run_time(capsys, registered):
    registered("house-sgd", torch.optim.SGD)
    assert "house-sgd" in shown(capsys, "list")


def test_list_of_nothing_says_how_to_search(capsys):
    assert "'*zzz*'" in refusal(capsys, "list", "zzz")


def test_show_tells_the_facts(capsys):
    out = shown(capsys, "show", "adamax")
    for fact in ("lr", "[0, inf)", "0.002", "exp_inf", "foreach", "optkit_plugins.adamax:Adamax"):
        assert fact in out
    assert f"optkit {optkit.__version__}" in out


@pytest.mark.parametrize("name", ALGORITHMS)
def test_show_fits_eighty_columns(capsys, name):
    assert "Hyperparameters" in shown(capsys, "show", name)


def test_show_a_class_of_torch(capsys, registered):
    registered("house-lbfgs", torch.optim.LBFGS)
    out = shown(capsys, "show", "house-lbfgs")
    assert "history_size" in out and "its own" in out


def test_show_tells_where_to_search(capsys):
    out = shown(capsys, "show", "adamax")
    assert "Where to search" in out and "loguniform(0.0001, 0.1)" in out


@pytest.mark.parametrize("name", ALGORITHMS)
def test_show_as_json_has_everything_that_describe_returns(capsys, name):
    assert main(["show", name, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    described = optkit.describe(name)
    assert printed.keys() == described.as_dict().keys()
    assert [item["name"] for item in printed["buffers"]] == [b.name for b in described.buffers]
    for shown_item, item in zip(printed["hyperparameters"], described.hyperparameters, strict=True):
        assert (shown_item["name"], shown_item["range"]) == (item.name, item.range)
        assert bool(shown_item["search"]) == bool(item.search)


def test_show_of_a_class_of_torch_as_json(capsys, registered):
    registered("house-sgd", torch.optim.SGD)
    assert main(["show", "house-sgd", "--json"]) == 0
    first, *_ = json.loads(capsys.readouterr().out)["hyperparameters"]
    assert first["name"] == "lr" and first["search"] is None


def test_show_of_an_unknown_name_gives_the_close_match(capsys):
    line = refusal(capsys, "show", "adgrad")
    assert "'adgrad'" in line and "'adagrad'" in line


def test_version(capsys):
    assert shown(capsys, "--version") == f"optkit {optkit.__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_lists_the_commands(capsys, words):
    out = shown(capsys, *words)
    assert all(command in out for command in ("list", "show", "compare"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["comapre"], ["comapre", "optkit --help"]),
        (["show"], ["NAME", "optkit show --help"]),
        (["compare", "--epoch", "3"], ["--epoch", "--epochs", "optkit compare --help"]),
        (["compare", "--epochs", "abc"], ["--epochs", "'abc'", "whole number from 1"]),
        (["compare", "--epochs", "0"], ["--epochs", "'0'", "whole number from 1"]),
        (["compare", "--epochs", "1.5"], ["--epochs", "'1.5'"]),
        (["compare", "--batch-size", "-3"], ["--batch-size", "'-3'"]),
        (["compare", "--hidden", "0"], ["--hidden", "'0'"]),
        (["compare", "--seed", "-1"], ["--seed", "'-1'", "from 0 to 4294967295"]),
        (["compare", "--threads", "0"], ["--threads", "'0'"]),
        (["compare", "--implementation", "quick"], ["'quick'", "auto, forloop, foreach, fused"]),
        (["compare", "--closure-batches", "some"], ["'some'", "full, mini"]),
        (["compare", "--epochs"], ["--epochs", "requires an argument"]),
    ],
)
def test_misspelled_commands_and_options(capsys, words, parts):
    line = refusal(capsys, *words)
    assert all(part in line for part in parts)


def test_an_interrupted_command_says_so_in_one_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(optkit, "available", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "optkit: interrupted\n"


def test_an_error_of_our_own_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(optkit, "available", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["list"])


def test_a_warning_becomes_a_line(capsys, monkeypatch):
    def warned(*_, **__):
        warnings.warn("plugin 'x' was\nleft out", UserWarning, stacklevel=1)
        return ["adagrad"]

    monkeypatch.setattr(optkit, "available", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["list"]) == 0
    assert capsys.readouterr().err == "optkit: warning: plugin 'x' was left out\n"


@pytest.mark.slow
def test_as_a_module_in_a_pipe():
    done = process("list", NO_COLOR="1")
    assert done.returncode == 0 and done.stderr == ""
    assert "adagrad" in done.stdout and "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.slow
def test_as_a_module_with_bad_input():
    done = process("show", "nothing")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("optkit: error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_its_extra_one_line_says_what_to_install(library):
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from optkit.cli import main; sys.exit(main())"
    )
    done = process("list", code=code)
    assert done.returncode == 2
    assert done.stderr == ("optkit: the command line needs its extra: pip install 'optkit[cli]'\n")


@pytest.mark.slow
def test_a_terminal_without_unicode_gets_replacements():
    done = process("show", "lbfgs", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "history_size" in done.stdout


def test_the_help_comes_without_torch():
    code = "import sys; from optkit.cli import main; main([]); sys.exit('torch' in sys.modules)"
    done = process(code=code)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout


@pytest.mark.parametrize(
    ("kind", "known"), [("schedule", ("cosine_annealing", "T_max")), ("averaging", ("ema", "swa"))]
)
def test_list_takes_a_kind(capsys, kind, known):
    out = shown(capsys, "list", "--kind", kind)
    assert all(words in out for words in (*known, f"From optkit {optkit.__version__}"))
    assert max(map(len, out.splitlines())) <= 80
    assert main(["list", "*", "--kind", kind, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in listed] == optkit.available(kind=kind)
    assert all(item["kind"] == kind and item["summary"] for item in listed)
    assert f"--kind {kind}" in refusal(capsys, "list", "zzz", "--kind", kind)


def test_list_of_a_kind_goes_on_where_one_is_broken(capsys, monkeypatch):
    describe = optkit.describe

    def broken(name, **options):
        if name == "step":
            raise ImportError("no module 'steps'")
        return describe(name, **options)

    monkeypatch.setattr(optkit, "describe", broken)
    out = " ".join(shown(capsys, "list", "--kind", "schedule").split())
    assert "ImportError: no module 'steps'" in out and "cyclic" in out


def test_show_finds_what_no_algorithm_has_the_name_of(capsys):
    for words in (["cosine"], ["CosineAnnealingLR", "--kind", "schedule"]):
        out = shown(capsys, "show", *words)
        for fact in (
            "cosine_annealing (schedule)",
            "T_max",
            "needed",
            "whole, ≥ 1",
            "docs.pytorch",
        ):
            assert fact in out
    assert "decay" in shown(capsys, "show", "ema")
    assert main(["show", "ema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arguments"][0]["default"] == 0.999


def test_show_asks_which_of_two_is_meant(capsys):
    said = refusal(capsys, "show", "swa")
    assert "a schedule and of an averaging" in said and "--kind averaging" in said
    assert "multi_avg_fn" in shown(capsys, "show", "swa", "--kind", "averaging")
    assert "Did you mean 'exponential'" in refusal(capsys, "show", "exponentil")
    assert "isn't one of algorithm, schedule, averaging" in refusal(
        capsys, "show", "swa", "--kind", "x"
    )
