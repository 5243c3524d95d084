"""The benchmark of meta-paths, and its processes."""

import os
from dataclasses import replace

import pytest
from commands import read, run
from torch_geometric.transforms import AddMetaPaths

from pyg_hag.analysis.memory import can_measure
from pyg_hag.benchmark import _bibliographies, _child, metapaths
from pyg_hag.benchmark._benchmark import Settings
from pyg_hag.benchmark._making import OF_PRODUCT, OURS, PRODUCT, WEIGHTED_PRODUCT
from pyg_hag.benchmark._report import read_csv
from pyg_hag.datasets import generate_bibliography


@pytest.fixture
def one_path(monkeypatch):
    small = replace(_bibliographies.QUICK["300-papers"], paths=("PVP",))
    monkeypatch.setattr(_bibliographies, "QUICK", {"small": small})


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Makes a module that processes find."""
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)

    def write(code):
        (tmp_path / "child_of_tests.py").write_text(code)
        return "child_of_tests"

    return write


@pytest.mark.filterwarnings("ignore:Sparse ")
@pytest.mark.skipif(not can_measure(), reason="needs '/proc'")
def test_metapaths(monkeypatch, one_path, tmp_path, capsys):
    out = tmp_path / "metapaths.csv"
    arguments = ["metapaths", "--quick", "--out", out, "--plot", "--widths", 16]
    assert run(monkeypatch, *arguments) == 0
    rows = read(out)
    assert {(row["graph"], row["path"], row["width"]) for row in rows} == {
        ("small", "PVP", "16")
    }
    made = [row for row in rows if row["what"] == "make"]
    assert [row["contender"] for row in made] == [
        *(*OURS, PRODUCT, WEIGHTED_PRODUCT, OF_PRODUCT)
    ]
    assert len({row["edges"] for row in rows}) == 1
    assert {row["input_edges"] for row in rows} == {"600"}
    for row in rows:
        assert float(row["milliseconds_50"]) > 0 and float(row["speedup_50"]) > 0
        assert row["megabytes"] and row["command"].startswith("python -m ")
    assert all(int(row["reads"]) < 3000 for row in made if row["contender"] in OURS)
    layers = "GCN", "SAGE max", "HAN, 8 heads"
    assert [*dict.fromkeys(row["what"] for row in rows)] == [
        *("make", "sum", "weighted sum", "max"),
        *(f"{name}, {mode}" for name in layers for mode in ("forward", "training")),
    ]
    said = capsys.readouterr().out
    assert "over HAG of the product" in said and said.count(" subtract ") == 2
    assert out.with_suffix(".png").exists()


def test_what_does_not_fit_is_left_out_or_says_at_which_limit(
    monkeypatch, one_path, tmp_path, capsys
):
    ran = metapaths.run_child

    def only_ours(name, task):
        if set(task["ways"]) <= {*OURS}:
            return ran(name, task)
        return _child.Outcome([], "more than 1.0 GB")

    monkeypatch.setattr(metapaths, "run_child", only_ours)
    monkeypatch.setattr(metapaths, "MAX_SEARCHED_EDGES", 0)
    monkeypatch.setattr(metapaths, "OURS", {"HAGMetaPaths": {}})
    monkeypatch.setattr("pyg_hag.benchmark._metapath_cases.MAX_EDGES", 0)
    known = _bibliographies.QUICK
    monkeypatch.setattr(_bibliographies, "BIBLIOGRAPHIES", known)
    out = tmp_path / "metapaths.csv"
    arguments = ["metapaths", "small", "--out", out, "--widths", 16]
    assert run(monkeypatch, *arguments) == 0
    rows = read(out)
    failed = [row["contender"] for row in rows if row["failed"]]
    assert failed == [PRODUCT, WEIGHTED_PRODUCT]
    assert not any(row["milliseconds_50"] for row in rows if row["failed"])
    ours = {row["contender"] for row in rows if row["what"] != "make"}
    assert ours == {*OURS}
    assert "more than 1.0 GB" in capsys.readouterr().out
    metapaths.plot(read_csv(out), str(tmp_path / "x.png"))


def test_its_graphs_are_generated(monkeypatch, capsys):
    assert run(monkeypatch, "metapaths", "COLLAB") == 2
    said = capsys.readouterr().err
    assert "'metapaths' has no graph COLLAB" in said and "DBLP-shaped" in said
    names = [*metapaths.chosen(Settings(graphs=["5M-papers", "300-papers"]))]
    assert names == ["5M-papers", "300-papers"]
    assert metapaths.chosen(Settings()) == _bibliographies.BIBLIOGRAPHIES


@pytest.mark.parametrize("path", ["PAP", "APVPA", "APTPA"])
def test_the_bound_of_the_edges(path):
    data = _bibliographies.bare(generate_bibliography(60, 30, 3, 20))
    key, steps = _bibliographies.ends(path), _bibliographies.steps(path)
    made = AddMetaPaths([steps], weighted=True)(data)[key]
    most = _bibliographies.most_edges(data, path)
    number = data[key[0]].num_nodes
    assert most == min(int(made.edge_weight.sum()), number**2)
    assert made.edge_index.size(1) <= most


def test_a_process_gives_rows(module):
    name = module("import json, sys\nprint(sys.argv[1])\nprint('{\"b\": 2}')")
    assert _child.run_child(name, {"a": [1]}) == _child.Outcome(
        [{"a": [1]}, {"b": 2}], None
    )


def test_a_process_is_stopped_at_a_limit(monkeypatch, module):
    name = module("import time\nprint('{}', flush=True)\ntime.sleep(60)")
    monkeypatch.setattr(_child, "MAX_SECONDS", 1.0)
    outcome = _child.run_child(name, {})
    assert outcome.failed == "more than 1 s" and outcome.rows in ([], [{}])


@pytest.mark.skipif(not can_measure(), reason="needs '/proc'")
def test_a_process_is_stopped_where_it_takes_too_much_memory(monkeypatch, module):
    name = module("import time\nx = bytearray(b'1') * 200_000_000\ntime.sleep(60)")
    monkeypatch.setattr(_child, "MAX_BYTES", 100_000_000)
    assert _child.run_child(name, {}).failed == "more than 0.1 GB"


def test_a_process_that_fails_is_an_error_but_for_want_of_memory(module):
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    for code, reason in (
        ("raise MemoryError", "cannot allocate"),
        ("raise RuntimeError('SPARSE_STATUS_ALLOC_FAILED')", "cannot allocate"),
        (kill, "killed by the system"),
    ):
        outcome = _child.run_child(module(code), {})
        assert outcome == _child.Outcome([], reason)
    with pytest.raises(ValueError, match="has failed: KeyError: 'x'"):
        _child.run_child(module("{}['x']"), {})
    with pytest.raises(ValueError, match="has failed: exit status 3"):
        _child.run_child(module("raise SystemExit(3)"), {})
