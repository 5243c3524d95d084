import gzip
import json

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from pyg_hag.graph.files import read_edges

EDGES = [[0, 3, 1, 1], [1, 1, 2, 2]]


def read(path):
    edge_index, size = read_edges(path)
    assert edge_index.dtype == torch.int64 and edge_index.is_contiguous()
    return edge_index.tolist(), size


def expect(path, *parts):
    """The file is refused, by a message that names it and has these parts."""
    with pytest.raises(ValueError) as caught:
        read_edges(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


# Text


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv", ".edges", ".CSV"])
@pytest.mark.parametrize("between", [",", ", ", "\t", " ", "   "])
def test_text(tmp_path, suffix, between):
    path = tmp_path / f"graph{suffix}"
    lines = [f"{u}{between}{v}" for u, v in zip(*EDGES, strict=True)]
    path.write_text("\n".join(lines))
    assert read(path) == (EDGES, (4, 4))


@pytest.mark.parametrize("between", [",", "\t", " "])
def test_text_with_all_that_may_surround_it(tmp_path, between):
    path = tmp_path / "graph.csv"
    lines = [
        "# a comment of 3 words",
        "% another",
        "",
        "source,target,weight",
        "0,1,0.5",
        "# in between",
        "3,1,2",
        "   ",
        "1,2,x",
        "1,2,y # at the end",
    ]
    text = "\r\n".join(line.replace(",", between) for line in lines)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    assert read(path) == (EDGES, (4, 4))


def test_text_of_one_edge_and_a_comment_that_is_no_utf_8(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_bytes(b"# caf\xe9\n5 0\n")
    assert read(path) == ([[5], [0]], (6, 6))


@pytest.mark.parametrize(
    "text",
    [
        ",src,dst\n0,3,4\n1,4,5\n",
        "Unnamed: 0,src,dst\n0,3,4\n1,4,5\n",
        "weight of it,source id,src,dst\n1,0,3,4\n1,1,4,5\n",
        "dst,weight,src\n4,1,3\n5,2,4\n",
        "edge_id,u,v\n7,3,4\n8,4,5\n",
        "index,a,b\n0,3,4\n1,4,5\n",
        "src dst\n0 3 4\n1 4 5\n",
        '"from","to"\n3,4\n4,5\n',
        "row\tcol\tvalue\n3\t4\t1\n4\t5\t1\n",
    ],
)
def test_columns_of_tables(tmp_path, text):
    path = tmp_path / "edges.csv"
    path.write_text(text)
    assert read(path)[0] == [[3, 4], [4, 5]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0,1\na,b\n", "line 2: expected two integers (got 'a,b')"),
        ("0,1\n# c\n\n7\n", "line 4: expected two integers separated by a comma"),
        ("0,1\n2,\n", "line 2: expected two integers (got '2,')"),
        ("0,1\n2 3\n", "line 2: expected two integers separated by a comma"),
        ("0 1\n2,3\n", "line 2: expected two integers (got '2,3')"),
        ("0 1\n2.0 3\n", "line 2: expected two integers (got '2.0 3')"),
        ("0 1\n2 nan\n", "line 2: expected two integers (got '2 nan')"),
        ("0.5 1.5\n", "line 1: expected two integers (got '0.5 1.5')"),
        (
            "a b\nc d\n0 1\n",
            "line 3: expected the names of two nodes, as in 'a b' (got '0 1')",
        ),
        ("1 b\n0 1\n", "line 1: expected two integers (got '1 b')"),
        ("edges\n0 1\n", "line 1: expected two integers (got 'edges')"),
        (f"0 1\n{'x' * 99}\n", f"line 2: expected two integers (got '{'x' * 40}...')"),
        ("0 1\n0 -1\n", "line 2: a node number must be in [0, 2**31 - 1) (got -1)"),
        ("-1 0\n", "line 1: a node number must be in [0, 2**31 - 1) (got -1)"),
        ("0 1\n0 2147483647\n", "line 2: a node number must be in [0, 2**31 - 1)"),
        (f"0 1\n{10**30} 1\n", f"in [0, 2**31 - 1) (got {10**30})"),
        ("0 2000000000\n", "the largest node number is 2,000,000,000"),
        ("", "holds no edges"),
        ("# only\n\n% comments\n", "holds no edges"),
        ("source,target\n", "holds no edges"),
        ("%%MatrixMarket matrix\n3 3 1\n1 1\n", "name it .mtx"),
    ],
)
def test_bad_text(tmp_path, text, problem):
    path = tmp_path / "edges.csv"
    path.write_text(text)
    expect(path, problem)


def test_a_bad_line_far_below_is_found(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("0,1\n" * 70_000 + "0,1x\n" + "0,1\n" * 9)
    expect(path, "line 70001: expected two integers (got '0,1x')")


def test_bytes_are_no_text(tmp_path):
    path = tmp_path / "edges.txt"
    path.write_bytes(bytes(range(128, 256)))
    expect(path, "line 1: expected two integers")


# NumPy


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.uint64, ">i4"])
def test_npz(tmp_path, dtype):
    path = tmp_path / "graph.npz"
    np.savez(path, edge_index=np.array(EDGES, dtype))
    assert read(path) == (EDGES, (4, 4))
    more = {"x": np.array([None]), "format": np.array("mine")}
    np.savez_compressed(path, edge_index=np.array(EDGES, dtype), num_nodes=9, **more)
    assert read(path) == (EDGES, (9, 9))


def test_npz_without_edges(tmp_path):
    path = tmp_path / "graph.npz"
    np.savez(path, edge_index=np.empty((2, 0), np.int64), num_nodes=3)
    assert read(path) == ([[], []], (3, 3))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"edges": EDGES}, "missing key 'edge_index' (found: 'edges')"),
        ({}, "missing key 'edge_index' (found: none)"),
        ({"edge_index": [[0.0], [1.0]]}, "must hold integers (got float64)"),
        ({"edge_index": [[True], [False]]}, "must hold integers (got bool)"),
        ({"edge_index": np.transpose(EDGES)}, "must have shape [2, E] (got [4, 2])"),
        ({"edge_index": [1, 2]}, "must have shape [2, E] (got [2])"),
        ({"edge_index": 1}, "must have shape [2, E] (got [])"),
        ({"edge_index": [[0], [-4]]}, "must be in [0, 2147483647) (got -4)"),
        ({"edge_index": [[0], [2**40]]}, f"(got {2**40})"),
        ({"edge_index": np.array([[None], [None]])}, "key 'edge_index': not a valid"),
        ({"edge_index": [[0], [10**9]]}, "the largest node number is 1,000,000,000"),
        ({"edge_index": EDGES, "num_nodes": 3}, "'num_nodes' must be at least 4"),
        ({"edge_index": EDGES, "num_nodes": -1}, "(got -1)"),
        ({"edge_index": EDGES, "num_nodes": 2**31}, "'num_nodes' must be at least 4"),
        ({"edge_index": EDGES, "num_nodes": 4.0}, "'num_nodes' must hold integers"),
        ({"edge_index": EDGES, "num_nodes": [4]}, "'num_nodes' must have shape []"),
    ],
)
def test_bad_npz(tmp_path, arrays, problem):
    path = tmp_path / "graph.npz"
    np.savez(path, **arrays)
    expect(path, problem)


def test_broken_npz(tmp_path):
    path = tmp_path / "graph.npz"
    np.savez(path, edge_index=np.array(EDGES))
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        path.write_bytes(whole[:length])
        expect(path, "not a valid .npz file")
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 100):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_edges(path)
        except ValueError as error:
            assert str(path) in str(error)
    with path.open("wb") as file:
        np.save(file, np.array(EDGES))
    expect(path, "it is an array, not an archive")


# SciPy


def test_scipy(tmp_path):
    from scipy import sparse

    path = tmp_path / "matrix.npz"
    for shape in ((4, 4), (3, 7), (7, 3), (5, 0)):
        for kind in ("csr", "csc", "coo"):
            rng = np.random.default_rng(1)
            matrix = sparse.random(*shape, 0.4, format=kind, rng=rng)
            sparse.save_npz(path, matrix, compressed=kind != "csr")
            edges, size = read(path)
            assert size == shape
            row, col = matrix.nonzero()
            found = sorted(zip(*edges, strict=True))
            assert found == sorted(zip(row.tolist(), col.tolist(), strict=True))
    sparse.save_npz(path, sparse.coo_array(np.ones((2, 1))))
    assert read(path) == ([[0, 1], [0, 0]], (2, 1))
    sparse.save_npz(path, sparse.bsr_matrix(np.eye(4)))
    expect(path, "'format' must be csr, csc or coo (got 'bsr')")


CSR = {
    "format": np.array(b"csr"),
    "shape": [3, 2],
    "indptr": [0, 1, 1, 3],
    "indices": [1, 0, 1],
    "data": [1.0, 1.0, 1.0],
}
COO = {"format": np.array("coo"), "shape": [3, 2], "row": [0, 2], "col": [1, 0]}


def test_scipy_layout_without_scipy(tmp_path):
    path = tmp_path / "matrix.npz"
    np.savez(path, **CSR)
    assert read(path) == ([[0, 2, 2], [1, 0, 1]], (3, 2))
    np.savez(path, **{**CSR, "format": np.array(b"csc"), "shape": [2, 3]})
    assert read(path) == ([[1, 0, 1], [0, 2, 2]], (2, 3))
    np.savez(path, **COO)
    assert read(path) == ([[0, 2], [1, 0]], (3, 2))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (
            {"format": "dia", "shape": [1, 1]},
            "'format' must be csr, csc or coo (got 'dia')",
        ),
        ({**CSR, "format": ["csr", "csr"]}, "'format' must be csr, csc or coo"),
        ({"format": "csr"}, "missing key 'shape' (found: 'format')"),
        ({**CSR, "shape": [3]}, "'shape' must have shape [2]"),
        ({**CSR, "shape": [3, -2]}, "'shape' must be two sizes below 2**31"),
        ({**CSR, "shape": [3, 2**31]}, "'shape' must be two sizes below 2**31"),
        ({**CSR, "shape": [3, 1]}, "'indices' must be in [0, 1) (got 1)"),
        ({**CSR, "shape": [4, 2]}, "'indptr' must have shape [5] (got [4])"),
        ({**CSR, "indptr": [0, 2, 1, 3]}, "'indptr' must rise from 0 to 3"),
        ({**CSR, "indptr": [0, 1, 1, 2]}, "'indptr' must rise from 0 to 3"),
        ({**CSR, "indptr": [1, 1, 1, 3]}, "'indptr' must rise from 0 to 3"),
        ({**CSR, "indices": [1, 0, -1]}, "'indices' must be in [0, 2) (got -1)"),
        ({**CSR, "indices": [1, 0, 0.5]}, "'indices' must hold integers"),
        ({k: v for k, v in CSR.items() if k != "indptr"}, "missing key 'indptr'"),
        ({**COO, "col": [1]}, "'col' must have shape [2] (got [1])"),
        ({**COO, "row": [0, 3]}, "'row' must be in [0, 3) (got 3)"),
        ({**COO, "col": [0, 2]}, "'col' must be in [0, 2) (got 2)"),
        ({k: v for k, v in COO.items() if k != "row"}, "missing key 'row'"),
    ],
)
def test_bad_scipy(tmp_path, arrays, problem):
    path = tmp_path / "matrix.npz"
    np.savez(path, **arrays)
    expect(path, problem)


# PyTorch


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_pt(tmp_path):
    path = tmp_path / "graph.pt"
    edge_index = torch.tensor(EDGES)
    x = torch.ones(7, 1)
    for value, num_nodes in (
        (edge_index, 4),
        (edge_index.int(), 4),
        (edge_index.t().contiguous().t(), 4),
        ({"edge_index": edge_index}, 4),
        ({"edge_index": edge_index, "num_nodes": 6, "name": "mine"}, 6),
        ({"edge_index": edge_index, "num_nodes": torch.tensor(6)}, 6),
        (Data(edge_index=edge_index), 4),
        (Data(edge_index=edge_index, num_nodes=5), 5),
        (Data(x=x, edge_index=edge_index), 7),
    ):
        torch.save(value, path)
        assert read(path) == (EDGES, (num_nodes, num_nodes))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"edges": torch.tensor(EDGES)}, "missing key 'edge_index' (found: 'edges')"),
        (Data(x=torch.ones(2, 1)), "missing key 'edge_index'"),
        (torch.tensor(EDGES).float(), "must hold integers (got torch.float32)"),
        (torch.ones(2, 3, dtype=torch.bool), "must hold integers (got bool)"),
        (torch.tensor(EDGES).t(), "must have shape [2, E] (got [4, 2])"),
        (torch.eye(3).to_sparse(), "must be a tensor of shape [2, E]"),
        ([1, 2], "must be a tensor of shape [2, E] (got list)"),
        (-torch.tensor(EDGES), "must be in [0, 2147483647) (got -3)"),
        ({"edge_index": torch.tensor(EDGES), "num_nodes": 2}, "must be at least 4"),
        ({"edge_index": torch.tensor(EDGES), "num_nodes": "4"}, "must hold integers"),
        (HeteroData(), "cannot be loaded with weights_only=True"),
        (Evil(), "cannot be loaded with weights_only=True"),
        ({"edge_index": torch.tensor(EDGES), "evil": Evil()}, "exec"),
    ],
)
def test_bad_pt(tmp_path, value, problem):
    path = tmp_path / "graph.pt"
    torch.save(value, path)
    expect(path, problem)


def test_broken_pt(tmp_path):
    path = tmp_path / "graph.pt"
    torch.save(torch.tensor(EDGES), path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        expect(path, "cannot be loaded with weights_only=True")
    path.write_text(json.dumps(EDGES))
    expect(path, "cannot be loaded with weights_only=True")


# NumPy arrays, packed text, names, Matrix Market


def test_npy(tmp_path):
    path = tmp_path / "graph.npy"
    np.save(path, np.array(EDGES, np.int32))
    assert read(path) == (EDGES, (4, 4))
    np.save(path, np.array(EDGES).T)
    expect(path, "must have shape [2, E] (got [4, 2]): save its transpose")
    np.save(path, np.array(EDGES) / 2)
    expect(path, "must hold integers (got float64)")
    np.save(path, np.array([{}, None]), allow_pickle=True)
    expect(path, "not a valid .npy file of a plain array")
    path.write_bytes(b"no array")
    expect(path, "not a valid .npy file")
    with path.open("wb") as file:
        np.savez(file, edge_index=np.array(EDGES))
    expect(path, "is an archive: name it .npz")


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv", ".edges"])
def test_packed_text(tmp_path, suffix):
    path = tmp_path / f"graph{suffix}.gz"
    text = "\n".join(f"{u},{v}" for u, v in zip(*EDGES, strict=True))
    path.write_bytes(gzip.compress(text.encode()))
    assert read(path) == (EDGES, (4, 4))
    long = gzip.compress("".join(f"{u},{u + 1}\n" for u in range(9999)).encode())
    path.write_bytes(long[: len(long) // 2])
    expect(path, "it is cut short")
    path.write_text(text)
    expect(path, "cannot read")


@pytest.mark.parametrize(
    "text",
    [
        "source,target\nann,bob\nbob,cy\nann,bob\n",
        "ann,bob\nbob,cy\nann,bob",
        "# a comment\n\nann bob\nbob cy # who\n\nann bob\n",
        'from,to,weight\n"ann","bob",0.5\n"bob","cy",1\n"ann","bob",2\n',
        "id\tweight\tsrc\tdst\n1\t.5\tann\tbob\n2\t1\tbob\tcy\n3\t2\tann\tbob",
    ],
)
def test_names(tmp_path, text):
    path = tmp_path / "graph.csv"
    path.write_text(text)
    assert read(path) == ([[0, 1, 0], [1, 2, 1]], (3, 3))


@pytest.mark.parametrize("text", ["ann,bob\nbob,cy\nann\n", "ann,bob\nbob,cy\n,bob\n"])
def test_names_that_are_missing(tmp_path, text):
    path = tmp_path / "graph.csv"
    path.write_text(text)
    expect(path, "line 3: expected the names of two nodes, as in 'ann,bob'")


@pytest.mark.parametrize("between", [" ", ",", "\t"])
@pytest.mark.parametrize(
    "lists", [[[0, 1, 2], [1, 0]], [[0, 1], [1, 0, 2, 3]], [[4, 6], [1, 2], [0, 1, 3]]]
)
def test_lists_of_neighbours_are_refused(tmp_path, lists, between):
    path = tmp_path / "graph.txt"
    path.write_text("\n".join(between.join(map(str, row)) for row in lists))
    expect(path, "as in lists of neighbours: write one edge per line")
    path.write_text("0 1 7\n1 2 8\n")  # a weight
    assert read(path)[0] == [[0, 1], [1, 2]]
    path.write_text("0 1\n1 2 0.5\n")  # a weight that may be missing
    assert read(path)[0] == [[0, 1], [1, 2]]


MATRIX = "%%MatrixMarket matrix coordinate"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("text", "edges", "size"),
    [
        ("real general\n% c\n3 4 2\n1 2 0.5\n3 4 -1e3\n", [[0, 2], [1, 3]], (3, 4)),
        ("pattern general\n\n2 2 1\n2 1\n", [[1], [0]], (2, 2)),
        ("integer symmetric\n3 3 2\n2 1 5\n3 3 1\n", [[1, 2, 0], [0, 2, 1]], (3, 3)),
        ("real skew-symmetric\n2 2 1\n2 1 5\n", [[1, 0], [0, 1]], (2, 2)),
        ("complex hermitian\n2 2 1\n2 1 5 1\n", [[1, 0], [0, 1]], (2, 2)),
        ("real general\n5 5 0\n", [[], []], (5, 5)),
    ],
)
def test_matrix_market(tmp_path, text, edges, size, packed):
    path = tmp_path / ("graph.mtx.gz" if packed else "graph.mtx")
    data = f"{MATRIX} {text}".encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    assert read(path) == (edges, size)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must begin with '%%MatrixMarket"),
        ("1 2\n", "must begin with '%%MatrixMarket"),
        ("%%MatrixMarket matrix array real general\n1 1\n0\n", "a dense matrix"),
        (f"{MATRIX} real odd\n1 1 0\n", "unknown kind of matrix 'real odd'"),
        (f"{MATRIX} real general\n", "no line 'rows columns entries'"),
        (f"{MATRIX} real general\n3 3\n", "no line 'rows columns entries'"),
        (f"{MATRIX} real general\n3 3 2\n1 1 1\n", "holds 1 entries, but says 2"),
        (f"{MATRIX} real general\n3 3 1\n0 1 1\n", "must be in [1, 3] (got 0)"),
        (f"{MATRIX} real general\n3 3 1\n1 4 1\n", "must be in [1, 3] (got 4)"),
        (f"{MATRIX} real general\n3 3 1\n1 x 1\n", "an entry is not 'row column'"),
        (f"{MATRIX} real general\n3 3 1\n1\n", "an entry is not 'row column'"),
        (f"{MATRIX} real general\n{2**40} 3 0\n", "sizes must be below 2**31"),
    ],
)
def test_matrices_that_are_wrong(tmp_path, text, problem):
    path = tmp_path / "graph.mtx"
    path.write_text(text)
    expect(path, problem)


def test_matrix_market_as_scipy_writes_it(tmp_path):
    scipy = pytest.importorskip("scipy")
    matrix = scipy.sparse.random(20, 30, 0.1, random_state=0)
    scipy.io.mmwrite(tmp_path / "graph.mtx", matrix)
    edges, size = read(tmp_path / "graph.mtx")
    assert sorted(zip(*edges, strict=True)) == sorted(
        zip(*matrix.nonzero(), strict=True)
    )
    assert size == matrix.shape


# Other files


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    for name in ("none.csv", "none.npz", "none.pt"):
        expect(tmp_path / name, "cannot read", "No such file")
    (tmp_path / "folder.csv").mkdir()
    expect(tmp_path / "folder.csv", "cannot read", "Is a directory")
    expect(tmp_path / "graph.json", "none of the known suffixes: .npz, .npy, .pt, .mtx")
    expect(tmp_path / "graph.npz.gz", "none of the known suffixes")


def test_what_pytorch_may_load_stays_as_it_was(tmp_path):
    torch.serialization.add_safe_globals([Data])  # as PyG does
    before = set(torch.serialization.get_safe_globals())
    torch.save(Data(edge_index=torch.tensor([[0], [1]])), tmp_path / "data.pt")
    read_edges(tmp_path / "data.pt")
    assert set(torch.serialization.get_safe_globals()) == before
