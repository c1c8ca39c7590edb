"""``optkit compare``: the training, the files it writes, and the data it refuses."""

import json
import math
import re
import struct
import sys

import pytest
import torch

import optkit
import optkit_core

for library in ("typer", "rich", "sklearn", "matplotlib"):
    pytest.importorskip(library)

from optkit.cli import main  # noqa: E402 - it needs the extra
from optkit.cli.commands import DEFAULT_NAMES  # noqa: E402

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FLOWERS = "width,length,kind\n" + "".join(
    f"{1 + i % 3 / 10},{2 + i % 4 / 10},small\n{4 + i % 3 / 10},{5 + i % 4 / 10},large\n"
    for i in range(20)
)


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def csv_file(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "flowers.csv"
        path.write_text(text, encoding=encoding, newline="")
        return "flowers.csv"

    return write


def compared(capsys, *words):
    """Run a comparison; return its figures and what it printed."""
    assert main(["compare", *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out and max(map(len, out.splitlines())) <= 80
    with open("optkit-compare.json", encoding="utf-8") as file:
        return json.load(file, parse_constant=pytest.fail), out


def refusal(capsys, *words):
    """Run a comparison that must be refused before it trains; return its one line."""
    assert main(["compare", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("optkit: error: ")
    assert err.count("\n") == 1 and "Traceback" not in err
    return err


def by_name(figures):
    return {outcome["name"]: outcome for outcome in figures["outcomes"]}


def test_the_defaults_learn_the_digits(capsys):
    figures, out = compared(capsys)
    outcomes = by_name(figures)
    assert tuple(outcomes) == DEFAULT_NAMES
    for name, outcome in outcomes.items():
        assert outcome["test_accuracy"] >= 0.93
        assert f"{outcome['test_accuracy']:.1%}" in out and name in out
    assert outcomes["lbfgs"]["hyperparameters"] == {"line_search_fn": "hager_zhang"}


@pytest.mark.parametrize("seed", ["1", "2"])
def test_other_seeds_learn_the_digits_too(capsys, seed):
    figures, _ = compared(capsys, "--seed", seed)
    assert min(outcome["test_accuracy"] for outcome in figures["outcomes"]) >= 0.93


def test_the_figures_say_everything(capsys):
    figures, _ = compared(capsys, "--data", "iris", "--epochs", "3", "--seed", "7")
    assert figures["settings"]["seed"] == 7 and figures["settings"]["epochs"] == 3
    assert figures["data"]["train_rows"] == 112 and figures["data"]["test_rows"] == 38
    assert figures["data"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert figures["versions"]["torch"] == torch.__version__
    assert figures["versions"]["optkit"] == optkit.__version__
    assert figures["threads"] == 1


def test_each_starts_alike_and_spends_the_same_budget(capsys):
    figures, _ = compared(capsys, "--data", "iris", "--epochs", "3", "--batch-size", "50")
    outcomes = by_name(figures)
    assert len({outcome["curve"][0]["loss"] for outcome in outcomes.values()}) == 1
    for outcome in outcomes.values():
        if outcome["uses_closure"]:
            assert outcome["steps"] == 1
            continue
        assert outcome["passes"] == 3 and outcome["steps"] == 9
        assert [point["passes"] for point in outcome["curve"]] == [0, 1, 2, 3]
        assert outcome["train_loss"] == outcome["curve"][-1]["loss"]
    assert [name for name in outcomes if outcomes[name]["uses_closure"]] == ["lbfgs"]


def test_the_same_seed_gives_the_same_figures(capsys):
    words = ["--data", "wine", "--epochs", "2"]
    first, _ = compared(capsys, *words)
    second, _ = compared(capsys, *words)
    for one, other in zip(first["outcomes"], second["outcomes"], strict=True):
        assert one["curve"] == other["curve"]


def test_nothing_outside_is_changed(capsys):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    compared(capsys, "adagrad", "--data", "iris", "--epochs", "1")
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


def test_the_picture_is_a_picture(capsys, tmp_path):
    compared(capsys, "--data", "iris", "--epochs", "2", "--picture", "curves.png")
    data = (tmp_path / "curves.png").read_bytes()
    assert data.startswith(PNG_SIGNATURE)
    assert struct.unpack(">II", data[16:24]) == (1200, 750)
    assert not (tmp_path / "optkit-compare.png").exists()


def test_the_picture_can_be_a_vector_drawing(capsys, tmp_path):
    compared(capsys, "adagrad", "--data", "iris", "--epochs", "1", "--picture", "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text(encoding="utf-8")


def test_set_reaches_one_optimizer(capsys):
    words = ["adagrad", "adamax", "--data", "iris", "--epochs", "2"]
    figures, out = compared(
        capsys, *words, "--set", "adamax.lr=0.5", "--set", "adamax.betas=0.8,0.9"
    )
    outcomes = by_name(figures)
    assert outcomes["adamax"]["hyperparameters"] == {"lr": 0.5, "betas": [0.8, 0.9]}
    assert outcomes["adagrad"]["hyperparameters"] == {}
    assert "lr=0.5" in out


def test_patterns_stand_for_names_and_each_counts_once(capsys):
    figures, _ = compared(capsys, "adama*", "adam?x", "adagrad", "--data", "iris", "--epochs", "1")
    assert set(by_name(figures)) == {"adagrad", *optkit.available("adama*")}
    assert len(figures["outcomes"]) == len(by_name(figures))


@pytest.mark.slow
def test_the_whole_family_is_compared_or_left_out_with_a_sentence(capsys):
    figures, out = compared(capsys, "*", "--data", "iris", "--epochs", "6")
    assert {*by_name(figures), *figures["left_out"]} == set(optkit.available())
    for name, reason in figures["left_out"].items():
        assert f"{name} left out: it {reason}" in " ".join(out.split())
    assert not [name for name, outcome in by_name(figures).items() if outcome["diverged"]]


class Columns(optkit_core.Elementwise):
    """Takes sparse gradients only, or matrices only."""

    lr: float = optkit_core.hyperparameter(default=0.1, range=optkit_core.at_least(0.0))

    @staticmethod
    def update(p, g, s, h, t):
        p.add_(g, alpha=-h.lr)


class OfSparse(Columns):
    """Takes sparse gradients only."""

    @classmethod
    def unsupported_reason(cls, key, h):
        return None if key.layout == torch.sparse_coo else "its gradients must be sparse"


class OfMatrices(Columns):
    """Takes matrices only."""

    parameter_dims = (2,)


def test_an_algorithm_that_cannot_take_the_task_is_left_out(capsys, registered):
    registered("of-sparse", OfSparse)
    registered("of-matrices", OfMatrices)
    words = ["--data", "iris", "--epochs", "1"]
    figures, out = compared(capsys, "of-sparse", "of-*", "adagrad", *words)
    assert list(by_name(figures)) == ["adagrad"]
    assert "sparse gradients only" in figures["left_out"]["of-sparse"]
    assert "2 dimensions" in figures["left_out"]["of-matrices"]
    assert "of-matrices left out: it takes parameters of 2 dimensions" in " ".join(out.split())
    line = refusal(capsys, "of-*", *words)
    assert "none of them can" in line and "of-sparse takes sparse gradients only" in line


def test_rates_are_searched_where_an_algorithm_declares_a_range(capsys):
    words = ["--data", "iris", "--epochs", "12", "--set", "adamax.lr=0.5"]
    figures, out = compared(capsys, "adagrad", "adamax", "lbfgs", *words)
    rates = {name: outcome["rate"] for name, outcome in by_name(figures).items()}
    tried = rates["adagrad"]["tried"]
    assert [trial["lr"] for trial in tried] == [0.001, 0.0032, 0.01, 0.032, 0.1, 0.32, 1.0]
    best = min(tried, key=lambda trial: trial["loss"])
    assert rates["adagrad"]["lr"] == best["lr"] and rates["adagrad"]["source"] == "searched"
    assert rates["adamax"] == {"lr": 0.5, "source": "given", "tried": []}
    assert rates["lbfgs"] == {"lr": 1.0, "source": "default", "tried": []}
    assert f"{best['lr']:.2g}" in out and "of 7 in the declared range" in " ".join(out.split())


def test_the_rate_that_was_found_gives_the_same_figures(capsys):
    words = ["--data", "wine", "--epochs", "6"]
    (found,) = compared(capsys, "adagrad", *words)[0]["outcomes"]
    given = ["--set", f"adagrad.lr={found['rate']['lr']}"]
    (again,) = compared(capsys, "adagrad", *words, *given)[0]["outcomes"]
    assert again["curve"] == found["curve"] and again["rate"]["source"] == "given"


def test_the_defaults_on_demand(capsys):
    figures, out = compared(
        capsys, "adagrad", "--data", "iris", "--epochs", "1", "--rates", "default"
    )
    assert figures["outcomes"][0]["rate"] == {"lr": 0.01, "source": "default", "tried": []}
    assert "as given, or the default" in out


def test_beside_torch(capsys, registered):
    registered("house-columns", Columns)
    words = ["--data", "iris", "--epochs", "1", "--against", "torch"]
    figures, out = compared(capsys, "adagrad", "lbfgs", "house-columns", *words)
    times = {item["name"]: item for item in figures["against"]}
    assert set(times) == {"adagrad", "lbfgs"}
    assert times["adagrad"]["torch_class"] == "Adagrad"
    assert times["adagrad"]["torch_implementation"] in ("forloop", "foreach", "fused")
    assert times["lbfgs"]["torch_implementation"] == "its own"
    assert all(item["seconds"] > 0 and item["torch_seconds"] > 0 for item in times.values())
    assert f"{times['adagrad']['ratio']:.2f}" in out


def test_settings_go_to_torch_where_it_knows_them(capsys):
    words = ["--data", "iris", "--epochs", "1", "--against", "torch"]
    given = ["--set", "adagrad.lr_decay=0.1", "--set", "lbfgs.line_search_fn=more_thuente"]
    figures, _ = compared(capsys, "adagrad", "lbfgs", *words, *given)
    assert [item["name"] for item in figures["against"]] == ["adagrad", "lbfgs"]


def test_modes_are_turned_to_for_steps_and_for_looking(capsys, registered):
    class Turning(torch.optim.SGD):
        """Is in training for steps only."""

        turns: list[str] = []  # noqa: RUF012 - for this test alone

        def train(self):
            self.turns.append("train")

        def eval(self):
            self.turns.append("eval")

        def step(self, closure=None):
            assert self.turns[-1] == "train"
            return super().step(closure)

    registered("turning", Turning)
    compared(capsys, "turning", "--data", "iris", "--epochs", "2")
    assert Turning.turns == ["eval", "train", "eval", "train", "eval"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_has_the_names_of_many_curves_beside_them(capsys, registered, theme, tmp_path):
    names = [f"an-optimizer-{number}" for number in range(20)]
    for number, name in enumerate(names):
        registered(name, type(f"SGD{number}", (torch.optim.SGD,), {}))
    words = ["--data", "iris", "--epochs", "2", "--picture", "curves.svg", "--theme", theme]
    compared(capsys, *names, *words, *(f"--set={n}.lr={10.0**-i}" for i, n in enumerate(names)))
    drawn = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert drawn.count("<!-- an-optimizer-") == len(names)
    styles = re.findall(r"stroke-dasharray: ([\d. ,]+);[^>]*stroke: (#\w+)", drawn)
    assert len(set(styles)) >= 10  # of the second ten, which share the colors of the first
    assert ("#16191d" in drawn) == (theme == "dark")


def test_set_can_take_the_line_search_away(capsys):
    figures, _ = compared(
        capsys, "lbfgs", "--data", "iris", "--epochs", "2", "--set", "lbfgs.line_search_fn=none"
    )
    assert figures["outcomes"][0]["hyperparameters"] == {"line_search_fn": None}


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_the_implementation_that_ran_is_reported(capsys, implementation):
    figures, out = compared(
        capsys, "adagrad", "--data", "iris", "--epochs", "1", "--implementation", implementation
    )
    assert figures["outcomes"][0]["implementation"] == implementation
    assert implementation in out


def test_closures_on_mini_batches(capsys):
    figures, out = compared(
        capsys, "lbfgs", "--data", "wine", "--epochs", "2", "--closure-batches", "mini"
    )
    assert figures["outcomes"][0]["steps"] == 5
    assert "the same batches" in out


def test_classes_of_torch_registered_at_run_time(capsys, registered):
    registered("house-sgd", torch.optim.SGD)
    registered("house-lbfgs", torch.optim.LBFGS)
    words = ["--data", "wine", "--epochs", "2", "--set", "lbfgs.line_search_fn=strong_wolfe"]
    figures, _ = compared(capsys, "house-sgd", "house-lbfgs", "lbfgs", *words)
    outcomes = by_name(figures)
    assert outcomes["house-sgd"]["implementation"] == "its own"
    assert not outcomes["house-sgd"]["uses_closure"]
    assert outcomes["house-lbfgs"]["uses_closure"]
    assert outcomes["house-lbfgs"]["hyperparameters"] == {"line_search_fn": "strong_wolfe"}
    assert math.isclose(
        outcomes["house-lbfgs"]["train_loss"], outcomes["lbfgs"]["train_loss"], rel_tol=1e-2
    )


def test_many_optimizers_still_fit(capsys, registered):
    names = [f"an-optimizer-with-a-long-name-{number}" for number in range(9)]
    for name in names:
        registered(name, torch.optim.SGD)
    figures, _ = compared(capsys, *names, "--data", "iris", "--epochs", "1")
    assert len(figures["outcomes"]) == 9


def test_divergence_is_a_result(capsys, registered):
    registered("house-sgd", torch.optim.SGD)
    figures, out = compared(
        capsys, "house-sgd", "adagrad", "--data", "iris", "--set", "house-sgd.lr=1e30"
    )
    outcomes = by_name(figures)
    assert outcomes["house-sgd"]["train_loss"] is None
    assert outcomes["house-sgd"]["test_accuracy"] is None
    assert "after epoch" in outcomes["house-sgd"]["diverged"]
    assert outcomes["adagrad"]["train_loss"] > 0
    assert "diverged" in out and "--set house-sgd.lr=" in " ".join(out.split())


def test_an_optimizer_that_fails_is_named(capsys, registered):
    registered("house-sparse", torch.optim.SparseAdam)
    line = refusal(capsys, "house-sparse", "--data", "iris")
    assert "'house-sparse'" in line and "step 1" in line and "RuntimeError" in line


def test_a_csv_file_of_ones_own(capsys, csv_file):
    figures, _ = compared(capsys, "--data", csv_file(FLOWERS), "--target", "kind")
    assert figures["data"]["features"] == 2
    assert figures["data"]["classes"] == ["large", "small"]
    assert min(outcome["test_accuracy"] for outcome in figures["outcomes"]) == 1.0


def test_a_csv_file_with_a_mark_numbers_as_labels_and_blank_lines(capsys, csv_file):
    text = FLOWERS.replace("small", "0").replace("large", "1") + "\n\n"
    data = csv_file("kind,constant\n" + "1,5\n0,5\n" * 20, encoding="utf-8-sig")
    figures, _ = compared(capsys, "adagrad", "--data", data, "--target", "kind", "--epochs", "1")
    assert figures["data"]["classes"] == ["0", "1"]
    figures, _ = compared(
        capsys, "adagrad", "--data", csv_file(text), "--target", "kind", "--epochs", "1"
    )
    assert figures["data"]["train_rows"] == 30


@pytest.mark.parametrize(
    ("text", "target", "parts"),
    [
        ("", "kind", ["is empty", "header row"]),
        ("width,kind\n", "kind", ["no rows"]),
        (FLOWERS, "kin", ["no column 'kin'", "Did you mean 'kind'", "'width', 'length', 'kind'"]),
        (FLOWERS + "1,abc,small\n", "kind", ["line 42", "'length'", "'abc'", "finite number"]),
        (FLOWERS + "1,,small\n", "kind", ["line 42", "'length'", "''"]),
        (FLOWERS + "nan,1,small\n", "kind", ["line 42", "'width'", "'nan'"]),
        (FLOWERS + "1e999,1,small\n", "kind", ["line 42", "'width'", "'1e999'"]),
        (FLOWERS + "1,2,\n", "kind", ["line 42", "'kind'", "empty"]),
        (FLOWERS + "1,2\n", "kind", ["line 42", "2 cells", "expected 3"]),
        (FLOWERS + "1,2,3,4\n", "kind", ["line 42", "4 cells", "expected 3"]),
        (FLOWERS + '1,2,"sma\n', "kind", ["not CSV"]),
        (FLOWERS + "1,2,other\n", "kind", ["'other'", "one row only"]),
        ("a,a,kind\n1,2,x\n", "kind", ["'a' appears twice"]),
        ("kind\nx\n", "kind", ["single column", "commas"]),
        ("a,kind\n1,x\n2,x\n", "kind", ["only one class", "'x'"]),
        ("a,b\n1,x\n2,y\n3,z\n", "b", ["3 different values in 3 rows", "'a', 'b'"]),
        ("a,k\n" + "1,x\n1,y\n1,z\n" * 2, "k", ["6 rows are too few", "3 classes", "9 or more"]),
    ],
)
def test_a_csv_file_that_cannot_be_used(capsys, csv_file, text, target, parts):
    line = refusal(capsys, "--data", csv_file(text), "--target", target)
    assert "flowers.csv" in line
    assert all(part in line for part in parts), line


def test_a_csv_file_needs_its_target(capsys, csv_file):
    line = refusal(capsys, "--data", csv_file(FLOWERS))
    assert "--target" in line and "'width', 'length', 'kind'" in line


def test_a_file_that_is_no_text(capsys, tmp_path):
    (tmp_path / "flowers.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    assert "UTF-8" in refusal(capsys, "--data", "flowers.csv", "--target", "b")


def test_a_csv_file_with_a_field_beyond_all_bounds(capsys, csv_file):
    data = csv_file(f"a,b\n1,{'2' * 200_000}\n")
    assert "line 2: not CSV" in refusal(capsys, "--data", data, "--target", "b")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--data", "digit"], ["'digit'", "Did you mean 'digits'", "breast_cancer", ".csv"]),
        (["--data", "nowhere.csv"], ["no such file", "nowhere.csv"]),
        (["--data", ".", "--target", "x"], ["directory", "CSV"]),
        (["--target", "x"], ["--target 'x'", "'digits'"]),
        (["adagrat"], ["'adagrat'", "'adagrad'"]),
        (["adamx*"], ["'adamx*'", "Did you mean 'adamax'", "optkit list"]),
        (["lb*", "--set", "adamax.lr=1"], ["'adamax'", "isn't compared", "lbfgs"]),
        (["--rates", "best"], ["--rates", "'best'", "searched, default"]),
        (["--against", "tensorflow"], ["--against", "'tensorflow'", "torch"]),
        (["--theme", "blue"], ["--theme", "'blue'", "light, dark"]),
        (["--set", "adagrad.lr"], ["'adagrad.lr'", "NAME.KEY=VALUE"]),
        (["--set", "lr=1"], ["'lr=1'", "NAME.KEY=VALUE"]),
        (["--set", "adagrad.lr="], ["NAME.KEY=VALUE"]),
        (["--set", "adagrda.lr=1"], ["'adagrda'", "Did you mean 'adagrad'"]),
        (["--set", "adagrad.lrr=1"], ["'lrr'", "Did you mean 'lr'"]),
        (["--set", "adagrad.lr=-1"], ["'adagrad'", "lr", "-1", "[0, inf)"]),
        (["--set", "adagrad.lr=quick"], ["'adagrad'", "lr", "'quick'"]),
        (["--picture", "no/such/place.png"], ["--picture", "no/such", "create it"]),
        (["--picture", "curves.txt"], ["--picture", "'.txt'", ".png, .svg, .pdf"]),
        (["--json", "no/such/place.json"], ["--json", "no/such"]),
        (["--json", "."], ["--json", "directory"]),
        (["--picture", "one.png", "--json", "one.png"], ["'one.png'", "two files"]),
    ],
)
def test_what_is_refused_before_any_training(capsys, tmp_path, words, parts):
    line = refusal(capsys, *words)
    assert all(part in line for part in parts), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["sklearn.datasets", "matplotlib.figure"])
def test_without_a_library_of_the_extra(capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    line = refusal(capsys, "adagrad", "--data", "iris", "--epochs", "1")
    assert module in line and "pip install 'optkit[cli]'" in line
