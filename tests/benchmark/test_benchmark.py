import csv
import sys

import numpy as np
import pytest
import torch
from graphs import clique, edge_index_of, random_graph
from torch_geometric.data import Data

from pyg_hag import build_hag, datasets
from pyg_hag.benchmark import __main__ as benchmark
from pyg_hag.benchmark import (
    _splits,
    _timing,
    accuracy,
    gpu,
    int8,
    lstm,
    memory,
    models,
    train,
)
from pyg_hag.benchmark._device_timing import MAX_COPIES, copies_of
from pyg_hag.benchmark._timing import Times, measure
from pyg_hag.cost import CostModel
from pyg_hag.datasets import generate_ego_networks, generate_social_graph
from pyg_hag.nn import HAGLSTMAggregation
from pyg_hag.utils.tables import markdown_table, text_table


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch):
    monkeypatch.setattr(_timing, "ROUNDS", 3)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "clique" / "raw").mkdir(parents=True)
    edges = edge_index_of(clique(range(30))).numpy()
    np.savez(tmp_path / "clique" / "raw" / "clique.npz", edge_index=edges)
    return tmp_path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
    return benchmark.main()


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_search(monkeypatch, root, capsys):
    out = root / "rows.csv"
    assert run(monkeypatch, "search", "clique", "--root", root, "--out", out) == 0
    rows = read(out)
    assert [row["search"] for row in rows] == [
        "greedy, |V|/4",
        "greedy",
        "auto, aggregations",
        "auto, time",
        "auto, subtract",
    ]
    for row in rows:
        assert row["edges"] == "870" and float(row["aggregation_reduction"]) > 1.2
        assert float(row["seconds"]) > 0 and float(row["megabytes"]) >= 0
        assert "torch" in row["environment"]
    assert "predicted to take" in rows[-2]["decision"]
    signed = rows[-1]
    assert float(signed["closed_read_reduction"]) > float(signed["read_reduction"])
    assert "clique" in capsys.readouterr().out


def test_search_of_closed_neighbourhoods(monkeypatch, root):
    out = root / "rows.csv"
    arguments = ["search", "clique", "--root", root, "--out", out, "--self-loops"]
    assert run(monkeypatch, *arguments) == 0
    assert {row["edges"] for row in read(out)} == {"900"}


def test_what_takes_long_does_not_run_on_huge_graphs(monkeypatch, root):
    monkeypatch.setattr("pyg_hag.benchmark.search.MAX_EDGES_FOR_ALL", 100)
    out = root / "rows.csv"
    assert run(monkeypatch, "search", "clique", "--root", root, "--out", out) == 0
    assert [r["search"] for r in read(out)] == ["auto, aggregations", "auto, time"]


def test_aggregate(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["aggregate", "clique", "--root", root, "--out", out, "--markdown"]
    assert run(monkeypatch, *arguments, "--widths", 4, 8) == 0
    rows = read(out)
    assert {row["rival"] for row in rows} == {
        "embedding_bag",
        "edge_index",
        "CSR @",
        "sparse.mm",
        "plain HAG",
        "HAG",
        "subtract",
        "backward",
        "copy of x",
    }
    assert {row["width"] for row in rows} == {"4", "8"}
    for row in rows:
        assert 0 < float(row["milliseconds_20"]) <= float(row["milliseconds_80"])
    assert capsys.readouterr().out.startswith("| graph")


def test_the_plot_of_aggregations(monkeypatch, root):
    plot = root / "aggregate.png"
    arguments = ["aggregate", "clique", "--root", root, "--plot", plot]
    assert run(monkeypatch, *arguments, "--widths", 4, 8) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_gpu(monkeypatch, root, capsys):
    """What a GPU is asked, asked of the CPU."""
    monkeypatch.setattr(train, "FULL", [train.Case("clique", "GCN", 2, 8)])
    monkeypatch.setattr(train, "BATCHED", [])
    monkeypatch.setattr(gpu, "BATCHED", ["clique"])
    monkeypatch.setitem(datasets.GENERATED, "small", (400, 3000, 4))
    out = root / "gpu"
    arguments = ["gpu", "clique", "small", "--root", root, "--out", out]
    arguments += ["--device", "cpu", "--widths", 4, 8]
    assert run(monkeypatch, *arguments) == 0
    checks = read(out / "correctness.csv")
    assert len(checks) > 200 and {row["right"] for row in checks} == {"True"}
    rows = read(out / "aggregate.csv")
    assert {row["rival"] for row in rows} == {
        *("edge_index", "CSR", "embedding_bag", "copy of x", "plain HAG", "HAG")
    }
    assert len(rows) == 2 * 2 * 2 * 6
    for row in rows:
        assert 0 < float(row["milliseconds_20"]) <= float(row["milliseconds_80"])
    assert (out / "aggregate.png").read_bytes().startswith(b"\x89PNG")
    assert [row["model"] for row in read(out / "train.csv")] == ["GCN 2x8"]
    (row,) = read(out / "batches.csv")
    assert len(row) == 8
    for what in ("edge_index", "HAG", "HAG alone", "HAG alone, training", "of a sum"):
        assert float(row[f"milliseconds {what}"]) > 0
    table = capsys.readouterr().out
    assert "over best PyG" in table and "over edge_index" in table
    monkeypatch.setattr(gpu, "_error", lambda *args: 1.0)
    assert run(monkeypatch, *arguments) == 2
    assert "results are wrong" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("what", ["gpu", "aggregate", "train"])
def test_without_a_gpu(monkeypatch, root, capsys, what):
    arguments = [what, "clique", "--root", root, "--device", "cuda"]
    assert run(monkeypatch, *arguments, "--out", root / "gpu") == 2
    assert "'--device' is cuda, but PyTorch sees no GPU" in capsys.readouterr().err


def test_inputs_taken_in_turn_do_not_stay_in_a_cache():
    assert copies_of(100 << 20) == 3 and copies_of(100) == MAX_COPIES
    assert copies_of(10 << 20, 300 << 20) == 3 and copies_of(1 << 40, 1) == 2


def test_reduce(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["reduce", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments) == 0
    (row,) = read(out)
    assert float(row["gradient / sum"]) > 0 and float(row["PyG / max trained"]) > 0
    assert "backward / forward" in capsys.readouterr().out


def test_train(monkeypatch, root, capsys):
    monkeypatch.setattr(train, "FULL", [train.Case("clique", "GCN", 2, 8)])
    sages = [train.Case("clique", f"SAGE {aggr}", 2, 8) for aggr in ("mean", "max")]
    train.FULL.extend(sages)
    monkeypatch.setattr(train, "BATCHED", [train.Case("clique", "GIN", 2, 8)])
    out = root / "rows.csv"
    assert run(monkeypatch, "train", "clique", "--root", root, "--out", out) == 0
    rows = read(out)
    assert [row["model"] for row in rows] == [
        "GCN 2x8",
        "SAGE mean 2x8",
        "SAGE max 2x8",
        "GIN 2x8",
    ]
    assert all(float(row["HAG over CSR"]) > 0 for row in rows)
    assert "over edge_index" in capsys.readouterr().out


@pytest.mark.full
def test_int8(monkeypatch, root, capsys):
    cases = [
        int8.Case("clique", "GCN", 8, 2, 8),
        int8.Case("clique", "SAGE", 8, 2, 8),
        int8.Case("clique", "GIN", 8, 2, 8),
    ]
    monkeypatch.setattr(int8, "CASES", cases)
    out = root / "rows.csv"
    assert run(monkeypatch, "int8", "clique", "--root", root, "--out", out) == 0
    rows = read(out)
    assert [row["model"] for row in rows] == ["GCN 2x8", "SAGE 2x8", "GIN 2x8"]
    for row in rows:
        assert float(row["equal"]) >= 0.9
        for form in ("edge_index", "CSR", "float32 HAG", "INT8 plain"):
            assert float(row[f"over {form}"]) > 0
    assert "over float32 HAG" in capsys.readouterr().out


def nodes(name, root):
    data = generate_social_graph(4)
    data.val_mask = data.test_mask
    return [data]


def graphs(name, root):
    made = generate_ego_networks(40)
    for graph in made:
        graph.y = torch.tensor([graph.y])
    return made


@pytest.mark.at_most(1)
@pytest.mark.parametrize("dataset", ["Cora", "ego networks"])
def test_accuracy(monkeypatch, tmp_path, capsys, dataset):
    load = nodes if dataset == "Cora" else graphs
    monkeypatch.setattr(_splits, "load_graphs", load)
    out = tmp_path / "rows.csv"
    arguments = ["--runs", 2, "--epochs", 3, "--out", out, "--save", tmp_path]
    arguments += ["--method", "float32", "INT8, Degree-Quant", "INT4, plain"]
    assert run(monkeypatch, "accuracy", "--dataset", dataset, *arguments) == 0
    rows = read(out)
    models = ["GCN", "SAGE", "GIN", "GAT"] if dataset == "Cora" else ["GIN"]
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
    split = _splits.make_split("x", graphs("x", None)[:20], 9, 4)
    assert len(split.train.dataset) == 16
    parts = (split.validation[0].num_graphs, split.test[0].num_graphs)
    assert parts == (2, 2) and not split.is_of_nodes


@pytest.mark.parametrize("model", ["GCN", "SAGE mean", "SAGE max"])
def test_what_is_trained_is_the_same_on_every_path(monkeypatch, model):
    edge_index = edge_index_of(clique(range(12)))
    case = train.Case("clique", model, 2, 8)
    outputs = {}

    def record(model, optimizer, y, *inputs):
        outputs[len(outputs)] = model(*inputs)
        return lambda: None

    monkeypatch.setattr(train, "_bound", record)
    train._full(case, [Data(edge_index=edge_index, num_nodes=12)], "cpu")
    assert len(outputs) == 3
    for out in outputs.values():
        torch.testing.assert_close(out, outputs[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads '/proc'")
def test_memory(monkeypatch, root, capsys):
    monkeypatch.setattr("pyg_hag.benchmark._rivals.MAX_MESSAGE_BYTES", 100)
    out = root / "rows.csv"
    arguments = ["memory", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments) == 0
    (row,) = read(out)
    assert float(row["messages"]) == 870 * 8 * 4 / 1e6
    assert "(0 MB)" in capsys.readouterr().out


def test_graphs_that_are_not_there_are_left_out(monkeypatch, root, capsys):
    monkeypatch.setattr(benchmark, "GRAPHS", ["MUTAG", "clique"])
    assert run(monkeypatch, "reduce", "--root", root, "--widths", 4) == 0
    assert "MUTAG" not in capsys.readouterr().out


def test_cost(monkeypatch, root, capsys):
    out, fit = root / "rows.csv", root / "cost.json"
    arguments = ["cost", "clique", "--root", root, "--out", out, "--fit", fit]
    assert run(monkeypatch, *arguments, "--widths", 4, 64) == 0
    rows = read(out)
    assert {row["width"] for row in rows} == {"4", "64"}
    for row in rows:
        ratio = float(row["predicted"]) / float(row["measured"])
        assert float(row["error"]) == pytest.approx(ratio - 1)
    assert CostModel.load(fit).threads >= 1
    assert "predicted" in capsys.readouterr().out


def test_the_plot_of_the_cost_model(monkeypatch, root):
    plot = root / "cost.png"
    arguments = ["cost", "clique", "--root", root, "--plot", plot, "--widths", 16]
    assert run(monkeypatch, *arguments) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_environment_and_errors(monkeypatch, capsys):
    assert run(monkeypatch, "environment") == 0
    assert "numba" in capsys.readouterr().out
    assert run(monkeypatch, "search", "--root", "/no/such/folder") == 2
    assert "'root' is not a folder" in capsys.readouterr().err


def test_measure_takes_turns():
    calls = []
    times = measure(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=4
    )
    turns = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert {*turns} == {"a", "b"} and 4 <= len(turns) <= 8
    assert calls.count("a") > 8 and calls.count("b") > 8  # those that do not count
    assert all(len(t.seconds) == 4 for t in times.values())
    fast, slow = Times((1.0, 2.0, 3.0)), Times((2.0, 4.0, 12.0))
    assert fast.speedup_over(slow) == 2.0 and fast.median == 2.0
    assert fast.quantile(20) < fast.quantile(80)
    assert Times((5.0,)).median == 5.0


def test_tables():
    rows = [["graph", "F"], ["a", "16"], ["long name", "4"]]
    assert text_table(rows).splitlines() == [
        "graph       F",
        "---------  --",
        "a          16",
        "long name   4",
    ]
    assert markdown_table(rows).splitlines() == [
        "| graph     |  F |",
        "|-----------|---:|",
        "| a         | 16 |",
        "| long name |  4 |",
    ]


def test_lstm(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["lstm", "clique", "--root", root, "--out", out, "--widths", 4]
    assert run(monkeypatch, *arguments) == 0
    rows = read(out)
    assert [row["order"] for row in rows] == ["given", "degree", "shared"]
    assert float(rows[2]["step_reduction"]) > 1.5
    assert all(float(row["training over PyG"]) > 0 for row in rows)
    monkeypatch.setattr("pyg_hag.benchmark.lstm.MAX_PADDED_BYTES", 20 * 32 * 4 * 4)
    assert run(monkeypatch, *arguments) == 0  # 20 of the 30 nodes
    assert {(row["nodes"], row["neighbors"]) for row in read(out)} == {("20", "19")}
    assert "fewer steps" in capsys.readouterr().out


def test_the_rivals_of_the_lstm_compute_the_same(root):
    edge_index = random_graph(0, 9, 9, 0.4)[0]
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    torch.manual_seed(0)
    x, module = torch.randn(9, 3), HAGLSTMAggregation(3, 3)
    hag = build_hag(edge_index, 9, order="sequential")
    got = lstm._packed(x, *lstm._order(edge_index, 9), module.lstm)
    degree = hag.in_degree
    order = degree.argsort(descending=True, stable=True)[: got.size(0)]
    torch.testing.assert_close(got, module(x, hag)[order])


@pytest.mark.full
@pytest.mark.skipif(not memory._RESET.exists(), reason="needs '/proc'")
def test_layers(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["layers", "clique", "--root", root, "--out", out, "--widths", 16]
    assert run(monkeypatch, *arguments) == 0
    rows = {(row["layer"], row["form"]): row for row in read(out)}
    forms = "HAG", "CSR", "edge_index"
    assert list(rows) == [
        *[("EGC-S", form) for form in forms],
        *[("EGC-M", form) for form in forms[::2]],
        *[(layer, "edge_index") for layer in ("GATConv", "PNAConv")],
    ]
    for row in rows.values():
        assert int(row["parameters"]) > 0 and float(row["milliseconds training"]) > 0
        assert float(row["megabytes training"]) >= 0
    assert "PNAConv" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Sparse ")
@pytest.mark.full
def test_models(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["models", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments) == 0
    rows = read(out)
    assert [row["model"] for row in rows] == list(models.MODELS)
    assert all(float(row["training over edge_index"]) > 0 for row in rows)
    assert {row["model"] for row in rows if not row["forward over CSR"]} == {
        *models.NOT_ON_CSR
    }
    monkeypatch.setattr(models, "MAX_MESSAGE_BYTES", 0)
    assert run(monkeypatch, *arguments) == 0
    assert "forward over edge_index" not in read(out)[0]
    assert "SGConv" in capsys.readouterr().out
