import csv
import json

from positcore.nn.curves import plot_curves, run_record, write_json, write_metrics
from positcore.nn.training import Epoch, Recipe

HISTORY = [Epoch(1, 2.0, 50.0, 0.1), Epoch(2, 1.5, 60.0, 0.1, 1.75, 90.0)]


def test_csv(tmp_path):
    write_metrics(tmp_path / "metrics.csv", HISTORY)
    with (tmp_path / "metrics.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "1", "loss": "2.0", "accuracy": "50.0", "seconds": "0.1", "test_loss": "", "top3": ""},
            {"epoch": "2", "loss": "1.5", "accuracy": "60.0", "seconds": "0.1", "test_loss": "1.75", "top3": "90.0"},
        ]


def test_json(tmp_path):
    history = [*HISTORY, Epoch(3, 1.0, 10.0, 0.1, float("nan"), 30.0)]
    write_json(tmp_path / "metrics.json", Recipe(seed=3), "mnist", history)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record == run_record(Recipe(seed=3), "mnist", history)
    assert Recipe(**record["recipe"]) == Recipe(seed=3)
    assert [Epoch(**epoch) for epoch in record["history"][:2]] == HISTORY
    assert record["history"][2]["test_loss"] is None
    assert record["data"] == "mnist"


def test_picture(tmp_path):
    plot_curves(tmp_path / "curves.png", {"float32": HISTORY, "O12-L12-FBG8q": HISTORY[:1]}, "title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
