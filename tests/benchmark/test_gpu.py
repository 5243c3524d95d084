"""What a GPU is asked."""

import pytest
import torch
from commands import read, run

from pyg_hag import datasets
from pyg_hag.benchmark import gpu, train
from pyg_hag.benchmark._device_timing import MAX_COPIES, copies_of


@pytest.mark.full
def test_gpu(monkeypatch, root, capsys):
    """What a GPU is asked, asked of the CPU."""
    monkeypatch.setattr(train, "FULL", [train.Task("clique", "GCN", 2, 8)])
    monkeypatch.setattr(train, "BATCHED", [])
    monkeypatch.setattr(gpu, "BATCHED", ["clique"])
    monkeypatch.setattr(gpu, "ATTENDED", ["clique"])
    monkeypatch.setitem(datasets.GENERATED, "small", (400, 3000, 4))
    out = root / "gpu"
    arguments = ["gpu", "clique", "small", "--root", root, "--out", out]
    arguments += ["--device", "cpu", "--widths", 4, 8]
    assert run(monkeypatch, *arguments) == 0
    checks = read(out / "correctness.csv")
    assert len(checks) > 200 and {row["right"] for row in checks} == {"True"}
    rows = read(out / "aggregate.csv")
    assert {row["contender"] for row in rows} == {
        *("edge_index", "CSR", "embedding_bag", "copy of x", "plain HAG", "HAG")
    }
    assert len(rows) == 2 * 2 * 2 * 6
    for row in rows:
        assert 0 < float(row["milliseconds_20"]) <= float(row["milliseconds_80"])
    assert (out / "aggregate.png").read_bytes().startswith(b"\x89PNG")
    assert {row["model"] for row in read(out / "train.csv")} == {"GCN 2x8"}
    rows = read(out / "attention.csv")
    assert {row["contender"] for row in rows} == {"edge_index", "HAG"}
    assert len(rows) == 2 * 2 * 2
    (row,) = read(out / "batches.csv")
    for what in ("edge_index", "HAG", "HAG alone", "HAG alone, training", "of a sum"):
        assert float(row[f"milliseconds {what}"]) > 0
    table = capsys.readouterr().out
    assert "over best PyG" in table and "over edge_index" in table
    assert "GAT, 2 layers of 8 x 8" in table and "GAT, 1 layer of 1 x 64" in table
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
