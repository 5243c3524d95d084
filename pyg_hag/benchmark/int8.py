"""Benchmark of INT8: forward passes, with the quantization of the input features."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose, GCNNorm, ToSparseTensor
from tqdm.auto import tqdm

from pyg_hag.benchmark._networks import GraphClassifier
from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._timing import measure
from pyg_hag.benchmark.memory import peak
from pyg_hag.datasets import as_one_graph, generate_communities, is_there, load_graphs
from pyg_hag.nn import to_hag
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert
from pyg_hag.search import build_hag
from pyg_hag.transforms import HAGTransform

GENERATED = "generated"
"""170,000 nodes and 2.4 million edges in 40 communities."""
CLASSES = 40
HEADER = [
    *("graph", "model", "INT8 ms", "over edge_index", "over CSR", "over float32 HAG"),
    *("INT8 plain ms", "equal", "MB", "edge_index", "CSR", "float32 HAG"),
]

Calls = dict[str, Callable[[], Any]]
"""The forward passes to time, by name."""
_CONFIG = DegreeQuantConfig()
_MAX_BYTES = 16 << 30  # of messages, and of the features gathered for them


@dataclass(frozen=True)
class Case:
    """A model and the graph it runs on."""

    graph: str
    model: str
    hidden: int
    layers: int
    features: int | None = None
    """The number of random features; None for those of the data set."""


CASES = [
    Case("COLLAB", "GCN", 128, 2, 128),
    Case("REDDIT-BINARY", "GIN", 64, 5, 64),
    Case("Computers", "SAGE", 256, 2),
    Case("cornell5", "SAGE", 256, 2),
    Case("Cora", "GCN", 64, 2),
    Case("CS", "GCN", 64, 2),
    Case(GENERATED, "GCN", 256, 2, 128),
]
BATCH = 128
"""Graphs in a batch."""


def run(names: list[str], root: str | None, out: str | None) -> list[list[str]]:
    """Times models in INT8 and in float32.

    The layers of PyG get the normalized graph (`cached`, or normalized matrices).
    Where the messages of all edges take more than 16 GiB, `edge_index` is left out.

    Args:
        names: Data sets; all that are available if empty.
        root: Their folder.
        out: A CSV file to write.

    Returns:
        list[list[str]]: A table: milliseconds of a forward pass in INT8 over the HAG;
        its speedup over PyG's float32 on `edge_index` and on CSR, and over float32 on
        the HAG; milliseconds in INT8 over the plain graph; the share of predictions
        that equal those of the fake-quantized model; and the peak memory in megabytes
        beyond the inputs, of INT8 and the others.
    """
    rows: list[dict[str, Any]] = []
    for case in tqdm(CASES, "int8"):
        available = case.graph == GENERATED or is_there(case.graph, root)
        if not (case.graph in names if names else available):
            continue
        torch.manual_seed(0)
        make_calls = _calls_on_batches if case.model == "GIN" else _calls_on_graph
        calls, equal = make_calls(case, root)
        row: dict[str, Any] = {
            "graph": case.graph,
            "model": f"{case.model} {case.layers}x{case.hidden}",
            "equal": equal,
        }
        with torch.no_grad():
            times = measure(calls, budget=60.0)
            for name, call in calls.items():
                row[f"milliseconds {name}"] = 1e3 * times[name].median
                row[f"q20 {name}"] = 1e3 * times[name].quantile(20)
                row[f"q80 {name}"] = 1e3 * times[name].quantile(80)
                row[f"over {name}"] = times["INT8"].speedup_over(times[name])
                row[f"megabytes {name}"] = peak(call)
        rows.append(row)
    if out is not None and rows:
        write_csv(out, rows)
    return [HEADER, *map(_cells, rows)]


def _cells(row: dict[str, Any]) -> list[str]:
    names = "edge_index", "CSR", "float32 HAG"
    ratios = [row.get(f"over {name}", "") for name in names]
    memory = [row.get(f"megabytes {name}", "") for name in ("INT8", *names)]
    return [
        *(row["graph"], row["model"], f"{row['milliseconds INT8']:.2f}"),
        *("does not fit" if ratio == "" else f"{ratio:.1f}x" for ratio in ratios),
        f"{row['milliseconds INT8 plain']:.2f}",
        f"{100 * row['equal']:.2f} %",
        *("-" if value == "" else f"{value:.0f}" for value in memory),
    ]


# Cases ########################################################################


def _model(
    case: Case, num_features: int, num_classes: int, csr: bool = False
) -> nn.Module:
    torch.manual_seed(0)
    sizes = num_features, case.hidden, case.layers, num_classes
    if case.model == "GCN":
        kwargs = {"normalize": False} if csr else {"cached": True}
        return pyg.GCN(*sizes, **kwargs).eval()
    if case.model == "SAGE":
        return pyg.GraphSAGE(*sizes).eval()
    return GraphClassifier(pyg.GIN, *sizes).eval()


def _graph(case: Case, root: str | None) -> tuple[Tensor, Tensor]:
    """The features and edges of a case's graph."""
    if case.graph == GENERATED:
        edge_index, num_nodes = as_one_graph(
            [generate_communities(170_000, 2_400_000, 40)]
        )
        return torch.randn(num_nodes, case.features or 1), edge_index
    graphs = load_graphs(case.graph, root)
    edge_index, num_nodes = as_one_graph(graphs)
    if case.features is None:
        return graphs[0].x.to_dense().float(), edge_index
    return torch.randn(num_nodes, case.features), edge_index


def _calls_on_graph(case: Case, root: str | None) -> tuple[Calls, float]:
    """Forward passes on a graph, and the share of equal predictions."""
    x, edge_index = _graph(case, root)
    num_nodes = x.size(0)
    hag = build_hag(edge_index, num_nodes, num_features=case.hidden)
    plain = build_hag(edge_index, num_nodes, capacity=0)
    to_csr = ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False)
    csr = Compose([GCNNorm(), to_csr]) if case.model == "GCN" else to_csr
    adj_t = csr(Data(x, edge_index, num_nodes=num_nodes)).adj_t
    model = _model(case, x.size(1), CLASSES)
    csr_model = _model(case, x.size(1), CLASSES, csr=True)
    quantized = calibrate(_model(case, x.size(1), CLASSES), [(x, hag)], _CONFIG)
    fast = convert(quantized, (x, hag))
    calls: Calls = {
        "INT8": partial(fast, x, hag),
        "INT8 plain": partial(fast, x, plain),
        "float32 HAG": partial(to_hag(model), x, hag),
        "CSR": partial(csr_model, x, adj_t),
    }
    width = max(case.hidden, x.size(1) if case.model == "SAGE" else 0)
    if 2 * edge_index.size(1) * width * 4 <= _MAX_BYTES:
        calls["edge_index"] = partial(model, x, edge_index)
    with torch.no_grad():
        equal = quantized(x, hag).argmax(1) == fast(x, hag).argmax(1)
    return calls, float(equal.float().mean())


def _calls_on_batches(case: Case, root: str | None) -> tuple[Calls, float]:
    """Forward passes on batches of graphs, and the share of equal predictions."""
    num_features = case.features or 1
    graphs = [
        Data(torch.randn(int(g.num_nodes), num_features), g.edge_index)
        for g in load_graphs(case.graph, root)
    ]
    to_hags = HAGTransform(num_features=case.hidden)
    to_csr = ToSparseTensor(layout=torch.sparse_csr)
    batches = {
        "edge_index": _batches(graphs),
        "CSR": _batches([to_csr(g) for g in graphs]),
        "HAG": _batches([to_hags(g) for g in graphs]),
    }
    model = _model(case, num_features, 2)
    items = [(b.x, b.hag, b.batch) for b in batches["HAG"]]
    plain = [
        (b.x, build_hag(b.edge_index, b.num_nodes, capacity=0), b.batch)
        for b in batches["edge_index"]
    ]
    csr_items = [(b.x, b.adj_t, b.batch) for b in batches["CSR"]]
    edge_items = [(b.x, b.edge_index, b.batch) for b in batches["edge_index"]]
    quantized = calibrate(model, items, _CONFIG)
    fast = convert(quantized, items[0])
    calls: Calls = {
        "INT8": partial(_run_all, fast, items),
        "INT8 plain": partial(_run_all, fast, plain),
        "float32 HAG": partial(_run_all, to_hag(model), items),
        "CSR": partial(_run_all, model, csr_items),
        "edge_index": partial(_run_all, model, edge_items),
    }
    with torch.no_grad():
        equal = [
            (quantized(*item).argmax(1) == fast(*item).argmax(1)).float().mean()
            for item in items
        ]
    return calls, float(torch.stack(equal).mean())


def _batches(graphs: list[Any]) -> list[Any]:
    return [
        Batch.from_data_list(graphs[i : i + BATCH])
        for i in range(0, len(graphs), BATCH)
    ]


def _run_all(model: nn.Module, items: list[tuple[Any, ...]]) -> None:
    for item in items:
        model(*item)
