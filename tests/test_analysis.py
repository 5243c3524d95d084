import gzip
import re
import sys

import numpy as np
import pytest
import torch
from graphs import ODD_GRAPHS, biclique, clique, edge_index_of, fewest_hag

from pyg_hag import build_hag
from pyg_hag.analysis import Forecast, analyze, times
from pyg_hag.cli import main
from pyg_hag.cost import DEFAULT_COST
from pyg_hag.datasets import ROOT_VARIABLE

PNG = b"\x89PNG"
BICLIQUE = edge_index_of(biclique(range(60), range(60, 200)))


@pytest.fixture
def file(tmp_path):
    """An edge list: two loops, a duplicate, an edge, and node 4 alone."""
    path = tmp_path / "graph.csv"
    path.write_text("0,0\n5,5\n1,2\n1,2\n3,2\n")
    return str(path)


def cells(text):
    """What stands behind each name of the first table."""
    lines = [line.strip("| ") for line in text.split("\n\n")[0].splitlines()[2:]]
    pairs = [line.replace("|", "  ").split("  ", 1) for line in lines]
    return {name.strip(): value.strip() for name, value in pairs}


def fails(capsys, *arguments):
    """The message with which `pyg-hag analyze` exits."""
    assert main(["analyze", *arguments]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("searching")]
    assert out == "" and len(lines) == 1 and lines[0].startswith("pyg-hag: ")
    return lines[0]


@pytest.mark.parametrize("name", ODD_GRAPHS)
def test_odd_graphs(name):
    edge_index, size = ODD_GRAPHS[name]
    result = analyze(edge_index, size, (4,))
    edges = edge_index.t().tolist()
    ends = [{u for u, _ in edges}, {v for _, v in edges}]
    assert result.num_edges == len(edges)
    assert result.duplicate_edges == len(edges) - len(set(map(tuple, edges)))
    degrees = [sum(v == w for _, v in edges) for w in range(size[1])]
    assert result.in_degree.tolist() == degrees
    assert result.max_in_degree == max(degrees, default=0)
    assert result.mean_in_degree * size[1] == pytest.approx(len(edges))
    if size[0] == size[1]:
        assert result.self_loops == sum(u == v for u, v in edges)
        lonely = size[0] - len(ends[0] | ends[1])
        assert result.isolated == (lonely, lonely)
    else:
        assert result.self_loops is None
        assert result.isolated == (size[0] - len(ends[0]), size[1] - len(ends[1]))
    assert result.stats == fewest_hag(edge_index, size=size).stats
    assert result.to_table() and result.to_table(markdown=True)


def test_forecasts_are_those_of_the_cost_model():
    size = (200, 200)
    result = analyze(BICLIQUE, size, (8, 512))
    plain = build_hag(BICLIQUE, size=size, capacity=0)
    assert [f.width for f in result.forecasts] == [8, 512]
    for f in result.forecasts:
        hag = build_hag(BICLIQUE, size=size, num_features=f.width)
        assert f.decision == hag.stats.decision
        assert f.is_plain == (hag.num_aggregates == 0)
        assert f.plain_seconds == DEFAULT_COST.seconds(plain, f.width)
        assert f.hag_seconds == DEFAULT_COST.seconds(hag, f.width)
    assert result.forecasts[1].speedup > 1 and not result.forecasts[1].is_plain


def test_three_ways_are_compared():
    """What PyG takes grows with edges and features; its memory holds all messages."""
    size = (200, 200)
    forecasts = analyze(BICLIQUE, size, (16, 512)).forecasts
    for f in forecasts:
        assert f.pyg_seconds > f.plain_seconds >= f.hag_seconds > 0
        assert f.speedup_over_pyg == f.pyg_seconds / f.hag_seconds
        assert f.pyg_bytes == 4 * f.width * (BICLIQUE.size(1) + 200)
        assert 4 * f.width * 200 <= f.hag_bytes < f.pyg_bytes
        assert not f.is_measured
    assert "HAG: " in forecasts[1].verdict and "x PyG" in forecasts[1].verdict


@pytest.mark.parametrize("messages", [1 << 30, 1 << 12])
def test_times_are_measured_on_demand(monkeypatch, messages):
    monkeypatch.setattr(times, "_SECONDS", 0.0)
    monkeypatch.setattr(times, "_MESSAGES", messages)  # more are sampled
    before = torch.get_rng_state()
    for graph, size in (next(iter(ODD_GRAPHS.values())), (BICLIQUE, (200, 200))):
        result = analyze(graph, size, (32,), measure=True)
        (f,) = result.forecasts
        assert f.is_measured and f.pyg_seconds > 0 and f.hag_seconds > 0
        assert " measured:" in result.to_table().replace("\n", " ")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_cost_model_changes_search_and_forecast():
    free = type(DEFAULT_COST)(2, 1e-3, (0.0,) * 4, 0.0, 0.0, (0.0,) * 4, 0.0, 0.0)
    (forecast,) = analyze(BICLIQUE, (200, 200), (512,), free).forecasts
    assert forecast.plain_seconds == forecast.hag_seconds == 1e-3
    assert forecast.is_plain and forecast.payback_epochs is None


@pytest.mark.parametrize(
    ("plain", "hag", "search", "epochs"),
    [(3.0, 1.0, 16.0, 2), (3.0, 1.0, 17.0, 3), (1.0, 1.0, 1.0, None), (1, 2, 1, None)],
)
def test_payback(plain, hag, search, epochs):
    forecast = Forecast(16, plain, hag, search, False, "HAG: why at 16 features")
    assert forecast.payback_epochs == epochs
    assert forecast.reason == "HAG: why"
    assert Forecast(16, plain, hag, search, True, "").payback_epochs is None


def test_wrong_arguments_of_the_function():
    with pytest.raises(ValueError, match="'widths' must be at least 1"):
        analyze(BICLIQUE, (200, 200), (0,))
    with pytest.raises(ValueError, match="'edge_index' has destination 199"):
        analyze(BICLIQUE, (200, 100))


def test_the_command_prints_the_numbers(capsys, file):
    assert main(["analyze", file, "--widths", "7", "300"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"graph +graph\.csv\n---", out)
    found = cells(out)
    assert found["aggregations"] == "2 -> 2 (1.00x fewer)"
    assert found["search"].endswith(" s")
    for name, value in {
        "nodes": "6",
        "isolated nodes": "1",
        "self-loops": "2",
        "edges": "5",
        "duplicate edges": "1",
        "mean in-degree": "0.8",
        "largest in-degree": "3",
        "reads": "5 -> 5 (1.00x fewer)",
        "aggregates": "0",
        "depth": "0",
    }.items():
        assert found[name] == value, name
    forecasts = out.split("\n\n")[1].splitlines()[2:]
    assert [line.split()[0] for line in forecasts] == ["7", "300"]
    assert all(line.endswith("never") and " plain " in line for line in forecasts)
    verdict = r"300 features: left plain, on our kernel: [\d.]+x PyG on edge_index \(no"
    assert re.search(verdict, out)


def test_self_loops_are_added(capsys, file, tmp_path):
    assert main(["analyze", file, "--add-self-loops", "--widths", "4"]) == 0
    out = capsys.readouterr().out
    found = cells(out)
    assert out.splitlines()[0].endswith(" graph.csv with self-loops")
    assert found["self-loops"] == "8" and found["edges"] == "11"
    assert found["duplicate edges"] == "3" and found["isolated nodes"] == "0"
    path = tmp_path / "matrix.npz"
    np.savez(path, format="coo", shape=[3, 2], row=[0], col=[1])
    message = fails(capsys, str(path), "--add-self-loops")
    assert "'--add-self-loops' needs as many sources as destinations" in message
    assert "3 sources and 2 destinations" in message


def test_undirected(tmp_path, capsys):
    path = tmp_path / "edges.csv.gz"
    path.write_bytes(gzip.compress(b"source,target\nann,bob\nbob,ann\nbob,cy\ncy,cy\n"))
    assert main(["analyze", str(path), "--undirected", "--widths", "4"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"nodes +3\n", shown) and re.search(r"\nedges +5\n", shown)
    path = tmp_path / "edges.mtx"
    path.write_text("%%MatrixMarket matrix coordinate pattern general\n2 3 1\n1 3\n")
    assert main(["analyze", str(path), "--undirected"]) == 2
    assert "got 2 sources and 3 destinations" in capsys.readouterr().err


def test_folders(tmp_path, capsys):
    for graph in (str(tmp_path), ".."):
        assert main(["analyze", graph]) == 2
        assert "is a folder: name a file in it" in capsys.readouterr().err


def test_bipartite_graph_and_markdown(capsys, tmp_path):
    path = tmp_path / "matrix.npz"
    np.savez(path, format="coo", shape=[4, 2], row=[0, 2], col=[1, 1])
    assert main(["analyze", str(path), "--markdown", "--widths", "16"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"\| graph +\| +matrix\.npz \|\n\|--", out) and "\n| 16 " in out
    found = cells(out)
    assert found["sources"] == "4" and found["destinations"] == "2"
    assert found["isolated sources"] == "2" and found["isolated destinations"] == "1"
    assert "self-loops" not in found and "nodes" not in found


def test_a_hag_that_pays(capsys, tmp_path):
    path = tmp_path / "graph.pt"
    torch.save(BICLIQUE, path)
    assert main(["analyze", str(path), "--widths", "512"]) == 0
    out = capsys.readouterr().out
    assert cells(out)["aggregations"] == "8,260 -> 59 (140.00x fewer)"
    assert re.search(
        r"512 features: HAG: \d+\.\dx PyG on edge_index \(predicted to", out
    )
    assert out.split("\n\n")[1].splitlines()[2].endswith(("epochs", "epoch"))


def test_plots(capsys, tmp_path, file):
    empty, dense = tmp_path / "empty.npz", tmp_path / "dense.pt"
    np.savez(empty, edge_index=np.empty((2, 0), np.int64), num_nodes=2)
    torch.save(edge_index_of(clique(range(90))), dense)
    for graph in (file, str(empty), str(dense)):
        plot = tmp_path / "plot.png"
        assert main(["analyze", graph, "--plot", str(plot), "--widths", "512"]) == 0
        assert plot.read_bytes().startswith(PNG)
        plot.unlink()
    capsys.readouterr()
    message = fails(capsys, file, "--plot", str(tmp_path / "none" / "a.png"))
    assert "no folder" in message and str(tmp_path / "none") in message
    (tmp_path / "folder.png").mkdir()
    for name, problem in (
        ("a.what", "must end in one of"),
        ("a", "must end in one of"),
        ("folder.png", "cannot write"),
    ):
        plot = str(tmp_path / name)
        assert problem in fails(capsys, file, "--plot", plot, "--widths", "4")


def test_without_matplotlib(capsys, monkeypatch, tmp_path, file):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = fails(capsys, file, "--plot", str(tmp_path / "a.png"))
    assert "pip install matplotlib" in message


def test_a_file_of_a_cost_model(capsys, tmp_path, file):
    path = tmp_path / "cost.json"
    assert f"cannot read '{path}'" in fails(capsys, file, "--cost", str(path))
    path.write_text("{}")
    assert "is not a cost model" in fails(capsys, file, "--cost", str(path))
    free = type(DEFAULT_COST)(2, 2.0, (0.0,) * 4, 0.0, 0.0, (0.0,) * 4, 0.0, 0.0)
    free.save(path)
    assert main(["analyze", file, "--cost", str(path), "--widths", "4"]) == 0
    assert " 2000.00 ms " in capsys.readouterr().out


def test_data_sets(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine" / "raw").mkdir(parents=True)
    edge_index = BICLIQUE.numpy()
    np.savez(tmp_path / "mine" / "raw" / "mine.npz", edge_index=edge_index)
    arguments = ["analyze", "mine", "--widths", "16"]
    assert main([*arguments, "--root", str(tmp_path)]) == 0
    assert cells(capsys.readouterr().out)["edges"] == "8,400"
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where 'mine' is a folder, but no file
    assert main(arguments) == 0


@pytest.mark.data("MUTAG")
def test_real_data_sets(capsys):
    assert main(["analyze", "MUTAG"]) == 0
    assert cells(capsys.readouterr().out)["nodes"] == "3,371"


def test_neither_a_file_nor_a_data_set(capsys, monkeypatch, tmp_path):
    def offline(name, root):
        (tmp_path / "nonsense" / "raw").mkdir(parents=True)
        raise OSError("no network\nat all")

    monkeypatch.setattr("pyg_hag.cli.analyze.load_graphs", offline)
    message = fails(capsys, "nonsense", "--root", str(tmp_path))
    for part in (
        "'nonsense' is neither a file",
        str(tmp_path / "nonsense"),
        "(no network)",
    ):
        assert part in message
    assert not (tmp_path / "nonsense").exists()
    for graph in ("nonsense.csv", "./nonsense", ""):
        assert f"no file '{graph}'" in fails(capsys, graph)
    assert "'root' is not a folder" in fails(capsys, "Cora", "--root", "/no/such")


def test_a_missing_package_is_named(capsys, monkeypatch):
    def without_scipy(*args):
        raise ModuleNotFoundError("No module named 'scipy'")

    monkeypatch.setattr("pyg_hag.cli.analyze.load_graphs", without_scipy)
    assert "pip install 'pyg_hag[demo]'" in fails(capsys, "Cora")


def test_a_bad_file_is_named(capsys, tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("0,1\na,b\n")
    message = fails(capsys, str(path))
    assert message == f"pyg-hag: {path}, line 2: expected two integers (got 'a,b')"


@pytest.mark.parametrize(
    "wrong",
    [[], ["Cora", "--widths"], ["Cora", "--widths", "0"], ["Cora", "--what"]],
)
def test_wrong_arguments_of_the_command(wrong):
    with pytest.raises(SystemExit) as caught:
        main(["analyze", *wrong])
    assert caught.value.code == 2
