import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from positcore import data
from positcore.cli import main as positcore
from positcore.data import load as read
from positcore.nn import Policy
from positcore.nn.training import Trainer

FOLDER = Path(__file__).parents[1] / "experiments"
TABLES = {"table3": 15, "table4": 6, "table5": 10, "table6": 6, "table7": 16}
SMALL = ["--subset", "--images", "64", "--epochs", "2"]


@pytest.fixture
def load(monkeypatch):
    """Imports a file of experiments/ as its command does."""
    for name in [*TABLES, "figure10", "tables", "runs", "record"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(FOLDER)
    runs = importlib.import_module("runs")
    whole = runs.Runs.data
    monkeypatch.setattr(runs.Runs, "data", lambda self, run: (whole(self, run)[0], whole(self, run)[1].first(50)))
    yield importlib.import_module
    for name in [*TABLES, "figure10", "tables", "runs", "record"]:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_is_a_run(load, name):
    cells = load(name).CELLS
    assert len(cells) == len({(cell.row, cell.column) for cell in cells}) == TABLES[name]
    assert all(10 <= cell.theirs <= 100 for cell in cells)
    assert all(str(Policy.parse(cell.policy)) for cell in cells if cell.policy != "float32")
    assert (FOLDER / f"{name}.py").read_text().count(f"python experiments/{name}.py --data-root DIR") == 1


def test_policies_without_a_quire_round_every_sum(load):
    policy = Policy.parse(load("tables").rounded_sums(8, 1))
    stages = (policy.loss, policy.forward, policy.backward, policy.gradient)
    assert {str(stage.accumulator) for stage in stages} == {"rounded"}
    assert {str(stage.format) for stage in (policy.optimizer, *stages)} == {"posit<8,1>"}


def test_the_tables_share_their_runs(load):
    tables, cells = load("tables"), {name: load(name).CELLS for name in ("table5", "table7")}
    args = type("Args", (), {"epochs": None, "order": "exact", "subset": False, "images": None})
    runs = {name: {tables._run(cell, 0, args) for cell in cells[name]} for name in cells}
    assert {run.recipe.policy for run in runs["table5"] & runs["table7"]} == {"O12-L12-FBG8q"}


def test_a_table_is_trained_printed_and_then_only_read(load, tmp_path, capsys, monkeypatch):
    table7 = load("table7")
    command = ["table7", "Title", table7.CELLS, [*SMALL, "--only", "float32", "--seeds", "0", "1", "-o", str(tmp_path)]]
    assert load("tables").main(*command) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == "Title: ours (theirs), in %"
    assert lines[1].split() == ["Fashion-MNIST"]
    assert re.fullmatch(r"float32  \d+\.\d\d \d+\.\d\d–\d+\.\d\d \(90\.28\)", lines[2])
    assert lines[3] == "ours: the mean of the seeds 0, 1, and the range"
    figures = json.loads((tmp_path / "table7.json").read_text())["figures"]
    assert [seed["epochs"] for seed in figures[0]["seeds"]] == [2, 2]
    assert figures[0]["ours"] == sum(seed["accuracy"] for seed in figures[0]["seeds"]) / 2
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert names == [f"fashion-mnist-subset-64-lenet5-float32-s{seed}" for seed in (0, 1)]
    assert sorted(path.name for path in (tmp_path / names[0]).iterdir()) == [
        "checkpoint.pt", "metrics.csv", "metrics.json",
    ]  # fmt: skip
    monkeypatch.setattr(Trainer, "run_epoch", None)
    assert load("tables").main(*command) == 0
    assert capsys.readouterr().out == printed


def test_an_interrupted_table_goes_on_where_it_was(load, tmp_path, capsys, monkeypatch):
    tables, cells = load("tables"), load("table7").CELLS

    def command(folder, *more):
        return ["table7", "Title", cells, [*SMALL, "--only", "float32", "-o", str(tmp_path / folder), *more]]

    assert tables.main(*command("a", "--list")) == 0
    assert capsys.readouterr().out == "  0 of 2 epochs  fashion-mnist-subset-64-lenet5-float32-s0\n"
    run_epoch = Trainer.run_epoch

    def interrupted(self, *arguments):
        if self.history:
            raise KeyboardInterrupt
        return run_epoch(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", interrupted)
        assert tables.main(*command("a")) == 130
    assert "table7: interrupted; the same command goes on" in capsys.readouterr().err
    assert tables.main(*command("a", "--report")) == 1
    assert "1/2 epochs (90.28)" in capsys.readouterr().out
    assert tables.main(*command("a")) == tables.main(*command("b")) == 0
    a, b = (json.loads((tmp_path / name / "table7.json").read_text())["figures"][0] for name in "ab")
    assert a["ours"] == b["ours"]


def test_runs_of_the_command_line_count(load, tmp_path, capsys, monkeypatch):
    options = ["--policy", "float32", "--images", "64", "--epochs", "2", "--threads", "1"]
    counts = {"train": 64, "test": 50}
    monkeypatch.setattr(data, "load", lambda name, split, *rest: read(name, split).first(counts[split]))
    assert positcore(["train", "lenet5", *options, "-o", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    assert load("tables").main(
        "table7", "Title", load("table7").CELLS, [*SMALL, "--only", "float32", "-o", str(tmp_path), "--list"]
    ) == 0  # fmt: skip
    assert capsys.readouterr().out.startswith("  2 of 2 epochs")


def test_what_another_process_trained_meanwhile_is_read(load, tmp_path, monkeypatch):
    module, tables = load("runs"), load("tables")
    args = type("Args", (), {"epochs": 1, "order": "exact", "subset": True, "images": 64})
    run = tables._run(load("table7").CELLS[1], 0, args)
    mine = module.Runs(tmp_path)
    theirs = module.Runs(tmp_path).finish(run)
    monkeypatch.setattr(Trainer, "run_epoch", None)
    assert mine.history(run) == []
    assert mine.finish(run) == theirs


def test_figure_10(load, tmp_path, capsys, monkeypatch):
    figure10 = load("figure10")
    monkeypatch.setattr(figure10, "BITS", (2, 8))
    monkeypatch.setattr(figure10, "ES", (2,))
    command = [*SMALL, "--threads", "2", "-o", str(tmp_path)]
    assert figure10.main(command) == 0
    out = capsys.readouterr().out
    assert "underflow helps most at es = 0" in out
    record = json.loads((tmp_path / "figure10.json").read_text())["fashion-mnist-subset-64-lenet5-float32-s0"]
    assert set(record["posits"]) == {"2,2", "2,2u", "8,2", "8,2u"}
    assert abs(record["posits"]["8,2"] - record["float32"]) < 20
    assert f"   8  {record['posits']['8,2']:>14.2f}" in out
    assert (tmp_path / "figure10.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(figure10, "evaluate", None)
    assert figure10.main(command) == 0
    assert capsys.readouterr().out == out
    assert figure10.main([*command, "--epochs", "1"]) == 2
    assert "holds the weights after 2 epochs; give --epochs 2, or another -o" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "fashion-mnist-subset-64-lenet5-float32-s0")
    assert figure10.main([*command, "--report"]) == 0
    assert figure10.main([*command, "--list"]) == 0
    assert "  0 of 2 epochs  fashion" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("table7", ["--only", "ImageNet"], "table7: no row or column has ImageNet in it; see --list without --only"),
        ("table7", ["--epochs", "-1"], "table7: Recipe: epochs must be at least 1, not -1"),
        ("figure10", ["--only", "mnist-1"], "no data set has mnist-1 in its name; there are fashion-mnist, cifar10"),
        ("figure10", ["--subset", "--report"], r"nothing is in .*figure10\.json yet; leave --report out to train"),
        ("table7", ["--only", "CIFAR", "--data-root", "nowhere"], "cifar10: no train files found; looked in nowhere"),
    ],
)  # fmt: skip
def test_errors(load, tmp_path, capsys, monkeypatch, name, arguments, message):
    monkeypatch.setenv("POSITCORE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = [*arguments, "-o", str(tmp_path)]
    run = load("figure10").main if name == "figure10" else load("tables").main
    table = [] if name == "figure10" else [name, "Title", load(name).CELLS]
    assert run(*table, arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not list(tmp_path.iterdir())


def test_a_finished_run_is_recorded_and_reported_without_its_folder(load, tmp_path, capsys, monkeypatch):
    tables, record, cells = load("tables"), load("record"), load("table7").CELLS
    monkeypatch.setattr(record, "FOLDER", tmp_path / "record")

    def command(folder, *more):
        return tables.main("table7", "Title", cells, [*SMALL, "--only", "float32", "-o", str(tmp_path / folder), *more])

    assert command("a", "--report", "--record") == 1
    assert not (tmp_path / "record").exists()
    assert command("a", "--record") == 0
    (name,) = (tmp_path / "record").iterdir()
    assert name.name == "fashion-mnist-subset-64-lenet5-float32-s0.json"
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", None)
        patch.setattr(load("runs").Runs, "data", None)
        for option in ("--report", "--skip-recorded"):
            assert command("b", option) == 0
            lines = capsys.readouterr().out.splitlines()
            assert re.fullmatch(r"float32  \d+\.\d\d\* \(90\.28\)", lines[2])
            assert lines[3] == "* of experiments/record: trained before, not in this output folder"
    assert command("c", "--report", "--seeds", "1") == 1
    items = json.loads(name.read_text())
    for broken in ("{", json.dumps({**items, "recipe": {**items["recipe"], "lr": 1.0}}), json.dumps({"recipe": {}})):
        name.write_text(broken)
        capsys.readouterr()
        assert command("b", "--report") == 2
        assert re.search("is no record of a run|is the record of another run", capsys.readouterr().err)


def test_what_stands_recorded_is_of_the_tables(load):
    """Every file of experiments/record is a finished run of a table, under its own name."""
    tables, record = load("tables"), load("record")
    args = type("Args", (), {"epochs": None, "order": "exact", "subset": False, "images": None})
    cells = {cell for name in TABLES for cell in load(name).CELLS}
    names = {run.name: run for cell in cells for seed in range(3) for run in [tables._run(cell, seed, args)]}
    found = sorted(path.stem for path in record.FOLDER.glob("*.json"))
    assert found
    for name in found:
        assert len(record.recorded(names[name])) == names[name].recipe.epochs


def test_experiments_run_under_the_audit(load, tmp_path, capsys, monkeypatch):
    cells = load("table7").CELLS
    command = [*SMALL, "--only", "O16-L12", "-o", str(tmp_path)]
    monkeypatch.setattr("positcore.nn.training.CrossEntropyLoss", lambda policy: torch.nn.CrossEntropyLoss())
    assert load("tables").main("table7", "Title", cells, command) == 1
    assert "table7: audit: aten._log_softmax" in capsys.readouterr().err


def test_all_of_a_run_in_posits_is_audited(load, tmp_path, monkeypatch):
    found = {}

    def trainer(recipe, *data, audited):
        found[recipe.policy] = audited
        raise ValueError("seen")

    monkeypatch.setattr(load("runs"), "Trainer", trainer)
    for only in ("float32", "O16-L12"):
        command = [*SMALL, "--only", only, "-o", str(tmp_path)]
        assert load("tables").main("t", "T", load("table7").CELLS, command) == 2
    assert found == {"float32": False, "O16-L12-FBG8q": True}
