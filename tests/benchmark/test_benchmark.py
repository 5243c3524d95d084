"""Each benchmark: its rows and its table."""

import sys

import pytest
import torch
from commands import read, run
from graphs import clique, edge_index_of, random_graph
from torch_geometric.data import Data

from pyg_hag import build_hag
from pyg_hag.analysis.memory import can_measure
from pyg_hag.benchmark import _graphs, int8, lstm, models, paper, train
from pyg_hag.benchmark._published import HAG_REDUCTIONS
from pyg_hag.cost import CostModel
from pyg_hag.nn import HAGLSTMAggregation


def test_search(monkeypatch, root, capsys):
    out = root / "rows.csv"
    assert run(monkeypatch, "search", "clique", "--root", root, "--out", out) == 0
    rows = read(out)
    assert [row["contender"] for row in rows] == [
        "greedy, |V|/4",
        "greedy",
        "auto, aggregations",
        "auto, time",
        "auto, subtract",
    ]
    for row in rows:
        assert row["edges"] == "870" and float(row["aggregation_reduction"]) > 1.2
        assert float(row["seconds"]) > 0 and float(row["megabytes"]) >= 0
        assert "torch" in row["versions"] and row["threads"] and row["device"]
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
    assert [r["contender"] for r in read(out)] == ["auto, aggregations", "auto, time"]


def test_aggregate(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["aggregate", "clique", "--root", root, "--out", out, "--markdown"]
    assert run(monkeypatch, *arguments, "--widths", 4, 8) == 0
    rows = read(out)
    assert {row["contender"] for row in rows} == {
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


def test_reduce(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["reduce", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments) == 0
    rows = read(out)
    whats = dict.fromkeys(row["what"] for row in rows)
    assert [*whats][:3] == ["gradient", "threads", "bfloat16"] and len(rows) == 12
    assert all(float(row["speedup_50"]) > 0 for row in rows)
    assert "backward / forward" in capsys.readouterr().out


def test_train(monkeypatch, root, capsys):
    monkeypatch.setattr(train, "FULL", [train.Task("clique", "GCN", 2, 8)])
    sages = [train.Task("clique", f"SAGE {aggr}", 2, 8) for aggr in ("mean", "max")]
    train.FULL.extend(sages)
    monkeypatch.setattr(train, "BATCHED", [train.Task("clique", "GIN", 2, 8)])
    out = root / "rows.csv"
    assert run(monkeypatch, "train", "clique", "--root", root, "--out", out) == 0
    rows = read(out)
    ours = [row for row in rows if row["contender"] == "HAG"]
    names = ["GCN 2x8", "SAGE mean 2x8", "SAGE max 2x8", "GIN 2x8"]
    assert [row["model"] for row in ours] == names and len(rows) == 12
    assert all(float(row["over CSR"]) > 0 for row in ours)
    assert "over edge_index" in capsys.readouterr().out


@pytest.mark.full
def test_int8(monkeypatch, root, capsys):
    cases = [
        int8.Task("clique", "GCN", 8, 2, 8),
        int8.Task("clique", "SAGE", 8, 2, 8),
        int8.Task("clique", "GIN", 8, 2, 8),
        int8.Task("clique", "GAT", 64, 2, 8),
    ]
    monkeypatch.setattr(int8, "TASKS", cases)
    out = root / "rows.csv"
    assert run(monkeypatch, "int8", "clique", "--root", root, "--out", out) == 0
    rows = [row for row in read(out) if row["contender"] == "INT8"]
    models = ["GCN 2x8", "SAGE 2x8", "GIN 2x8", "GAT 2x64"]
    assert [row["model"] for row in rows] == models
    for row in rows:
        assert float(row["equal"]) >= 0.9
        assert float(row["over edge_index"]) > 0 and float(row["speedup_50"]) > 0
        assert not row["over CSR"] if "GAT" in row["model"] else row["over CSR"]
    assert "over float32 HAG" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["GCN", "SAGE mean", "SAGE max"])
def test_what_is_trained_is_the_same_on_every_path(monkeypatch, model):
    edge_index = edge_index_of(clique(range(12)))
    task = train.Task("clique", model, 2, 8)
    outputs = {}

    def record(model, optimizer, y, *inputs):
        outputs[len(outputs)] = model(*inputs)
        return lambda: None

    monkeypatch.setattr(train, "bound_epoch", record)
    train._full(task, [Data(edge_index=edge_index, num_nodes=12)], "cpu")
    assert len(outputs) == 3
    for out in outputs.values():
        torch.testing.assert_close(out, outputs[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads '/proc'")
def test_memory(monkeypatch, root, capsys):
    monkeypatch.setattr("pyg_hag.benchmark._rivals.MAX_MESSAGE_BYTES", 100)
    out = root / "rows.csv"
    arguments = ["memory", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments) == 0
    rows = read(out)
    assert {float(row["messages"]) for row in rows} == {870 * 8 * 4 / 1e6}
    assert [row["contender"] for row in rows if not row["megabytes"]] == ["edge_index"]
    assert "(0 MB)" in capsys.readouterr().out


def test_graphs_that_are_not_there_are_left_out(monkeypatch, root, capsys):
    monkeypatch.setattr(_graphs, "GRAPHS", ["MUTAG", "clique"])
    assert run(monkeypatch, "reduce", "--root", root, "--widths", 4) == 0
    assert "MUTAG" not in capsys.readouterr().out


def test_cost(monkeypatch, root, capsys):
    out, fit = root / "rows.csv", root / "cost.json"
    arguments = ["cost", "clique", "--root", root, "--out", out, "--fit", fit]
    assert run(monkeypatch, *arguments, "--widths", 4, 64) == 0
    rows = read(out)
    assert {row["width"] for row in rows} == {"4", "64"}
    for row in rows:
        if row["contender"] != "plain":
            ratio = float(row["predicted"]) / float(row["measured"])
            assert float(row["error"]) == pytest.approx(ratio - 1)
    assert CostModel.load(fit).threads >= 1
    assert "predicted" in capsys.readouterr().out


def test_the_plot_of_the_cost_model(monkeypatch, root):
    plot = root / "cost.png"
    arguments = ["cost", "clique", "--root", root, "--plot", plot, "--widths", 16]
    assert run(monkeypatch, *arguments) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_lstm(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["lstm", "clique", "--root", root, "--out", out, "--widths", 4]
    assert run(monkeypatch, *arguments) == 0
    rows = [row for row in read(out) if row["step_reduction"]]
    assert [row["contender"] for row in rows] == 2 * ["given", "degree", "shared"]
    assert float(rows[2]["step_reduction"]) > 1.5
    assert all(float(row["speedup_50"]) > 0 for row in rows)
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
    got = lstm._packed(x, lstm._order(edge_index, 9), module.lstm)
    torch.testing.assert_close(got, module(x, hag))


@pytest.mark.filterwarnings("ignore:Sparse ")
@pytest.mark.skipif(not can_measure(), reason="needs '/proc'")
def test_attention(monkeypatch, root, capsys):
    out = root / "attention.csv"
    arguments = ["attention", "clique", "--root", root, "--out", out, "--widths", 16]
    assert run(monkeypatch, *arguments, "--rounds", 1) == 0
    rows = read(out)
    assert {row["layer"] for row in rows} == {"GAT, 8 heads", "GAT, 1 head"}
    assert {row["mode"] for row in rows} == {"forward", "training"}
    ours = {"HAG", "fused", "shared"} & {row["contender"] for row in rows}
    assert "HAG" in ours and ours != {"HAG", "fused"}
    assert {"edge_index", "CSR"} <= {row["contender"] for row in rows}
    assert "forward edge_index" in capsys.readouterr().out


@pytest.mark.full
@pytest.mark.skipif(not can_measure(), reason="needs '/proc'")
def test_layers(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["layers", "clique", "--root", root, "--out", out, "--widths", 16]
    assert run(monkeypatch, *arguments) == 0
    rows = {(row["layer"], row["form"]): row for row in read(out)}
    forms = "HAG", "CSR", "edge_index"
    assert [*rows] == [
        *[("EGC-S", form) for form in forms],
        *[("EGC-M", form) for form in forms[::2]],
        *[(layer, "edge_index") for layer in ("GATConv", "PNAConv")],
    ]
    for row in rows.values():
        assert int(row["parameters"]) > 0 and float(row["milliseconds_50"]) > 0
        assert float(row["megabytes"]) >= 0 and row["mode"] == "training"
    assert "PNAConv" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Sparse ")
@pytest.mark.full
def test_models(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["models", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments) == 0
    rows = [row for row in read(out) if row["contender"] == "HAG"]
    assert [row["model"] for row in rows[::2]] == list(models.MODELS)
    assert all(float(row["over edge_index"]) > 0 for row in rows)
    assert {row["model"] for row in rows if not row["over CSR"]} == {*models.NOT_ON_CSR}
    monkeypatch.setattr(models, "MAX_MESSAGE_BYTES", 0)
    assert run(monkeypatch, *arguments) == 0
    assert "over edge_index" not in read(out)[0]
    assert "SGConv" in capsys.readouterr().out


def test_some_of_the_models(monkeypatch, root, capsys):
    out = root / "rows.csv"
    arguments = ["models", "clique", "--root", root, "--out", out, "--widths", 8]
    assert run(monkeypatch, *arguments, "--model", "GCN", "GIN") == 0
    assert {row["model"] for row in read(out)} == {"GCN, 3 layers", "GIN, 3 layers"}
    assert run(monkeypatch, *arguments, "--model", "GCN", "LSTM") == 2
    assert "'--model' must be among ['GCN', 'GraphSAGE'" in capsys.readouterr().err


def test_paper(monkeypatch, root, capsys):
    out = root / "rows.csv"
    assert run(monkeypatch, "paper", "clique", "--root", root, "--out", out) == 0
    rows = read(out)
    timed = [row["contender"] for row in rows if row["mode"] == "inference"]
    assert timed == ["edge_index", "CSR", *paper.SEARCHES]
    counted = {row["contender"]: row for row in rows if row["aggregation"] == "set"}
    limited, fewest = counted[paper.PUBLISHED], counted["fewest aggregations"]
    assert int(limited["aggregates"]) <= 7 < int(fewest["aggregates"])
    assert 1 < float(limited["aggregation_reduction"])
    assert [row["contender"] for row in rows[-4:]] == [*paper.SEQUENTIAL]
    assert int(rows[-4]["aggregations"]) == 870 > int(rows[-1]["aggregations"])
    assert "over PyG" in capsys.readouterr().out


def test_the_papers_data_sets_that_are_not_there_are_a_line_each(
    monkeypatch, root, capsys
):
    monkeypatch.setattr(paper, "DATASETS", {"SET": "clique", "PPI": "PPI"})
    assert run(monkeypatch, "paper", "--root", root) == 0
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("paper: ")]
    assert len(lines) == 1 and "PPI is left out" in lines[0] and "SET" in said.out


def test_published_figures_stand_beside_ours():
    row = {
        **{"dataset": "COLLAB", "aggregation": "set", "contender": paper.PUBLISHED},
        **{"aggregations": 9, "aggregation_reduction": 2.0},
        **{"reads": 9, "read_reduction": 1.5, "mode": "training"},
    }
    rows = [row, row | {"contender": "plain graph"}, row | {"dataset": "BZR"}]
    columns = [(line[5], line[8]) for line in paper.table(rows)[1:]]
    published = tuple(f"{ratio}x" for ratio in HAG_REDUCTIONS["COLLAB"])
    assert columns == [published, ("-", "-"), ("-", "-")]
