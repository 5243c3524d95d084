import numpy as np
import pytest
from commands import read, run

from pyg_hag.benchmark import _splits, accuracy
from pyg_hag.benchmark._published import DEGREE_QUANT
from pyg_hag.datasets import generate_ego_networks


@pytest.mark.at_most(1)
@pytest.mark.parametrize("dataset", ["social", "ego-networks"])
def test_accuracy(monkeypatch, tmp_path, capsys, dataset):
    out = tmp_path / "rows.csv"
    arguments = ["--runs", 2, "--epochs", 3, "--out", out, "--save", tmp_path]
    arguments += ["--method", "float32", "INT8, Degree-Quant", "INT4, plain"]
    assert run(monkeypatch, "accuracy", "--dataset", dataset, *arguments) == 0
    rows = read(out)
    models = ["GCN", "SAGE", "GIN", "GAT"] if dataset == "social" else ["GIN"]
    assert list(dict.fromkeys(row["model"] for row in rows)) == models
    assert len(rows) == 6 * len(models)
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert all(float(row["equal"]) > 0.9 for row in rows)
    assert len([*tmp_path.glob("*.pt")]) == len(rows)
    table = capsys.readouterr().out
    assert "±" in table
    monkeypatch.setattr(accuracy, "train", None)  # finished runs are skipped
    assert run(monkeypatch, "accuracy", "--dataset", dataset, *arguments) == 0
    assert capsys.readouterr().out == table and read(out) == rows
    arguments = ["accuracy", "--dataset", dataset, "--model", "PNA"]
    assert run(monkeypatch, *arguments) == 2
    assert "'--model' must be one of" in capsys.readouterr().err


def test_folds_are_disjoint_and_even():
    y = np.arange(103) % 3
    fold = _splits.assign_folds(y)
    counts = np.array([np.bincount(y[fold == k], minlength=3) for k in range(10)])
    assert counts.sum() == 103 and counts.min() >= 3 and counts.max() <= 4
    split = _splits.make_split("x", generate_ego_networks(40)[:20], 9, 4)
    assert len(split.train.dataset) == 16
    parts = (split.validation[0].num_graphs, split.test[0].num_graphs)
    assert parts == (2, 2) and not split.is_of_nodes


def test_published_figures_stand_beside_ours():
    keys = [*DEGREE_QUANT]
    results = {"run": 0, "epochs": 3, "accuracy": 0.5, "equal": 1.0}
    rows = [
        dict(zip(accuracy.KEYS, key, strict=False)) | results
        for key in [*keys, ("Cora", "GCN", "float32")]
    ]
    header, *lines, other = accuracy.table(rows)
    assert header[-1] == "published" and other[-1] == "-"
    assert [line[-1] for line in lines] == ["; ".join(DEGREE_QUANT[k]) for k in keys]
    assert "91.8 [a]; 90.6 ± 2.0 [b]" in lines[2]
    assert "published" not in accuracy.table(rows[-1:])[0]
    for _, model, method in keys:
        assert model in accuracy.GRAPH_RECIPES and method in accuracy.METHODS
