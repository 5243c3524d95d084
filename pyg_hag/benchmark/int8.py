"""Benchmark of INT8: forward passes, with the quantization of the input features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose, GCNNorm, ToSparseTensor

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import is_available, load
from pyg_hag.benchmark._networks import AttentionNet, GraphClassifier
from pyg_hag.benchmark._report import Rows, Table, by_contender, times
from pyg_hag.benchmark.case import Case
from pyg_hag.datasets import as_one_graph, generate_communities
from pyg_hag.nn import to_hag
from pyg_hag.quantization import DegreeQuantConfig, calibrate, convert
from pyg_hag.search import build_hag
from pyg_hag.transforms import HAGTransform

GENERATED = "generated"
"""170,000 nodes and 2.4 million edges in 40 communities."""
CLASSES = 40
FLOAT = "float32 HAG"
HEADER = [
    *("graph", "model", "INT8 ms", "over edge_index", "over CSR", "over float32 HAG"),
    *("INT8 plain ms", "equal", "MB", "edge_index", "CSR", "float32 HAG"),
]

Calls = dict[str, Callable[[], Any]]
"""The forward passes to time, by name."""
_CONFIG = DegreeQuantConfig()
_MAX_BYTES = 16 << 30  # of messages, and of the features gathered for them


@dataclass(frozen=True)
class Task:
    """A model and the graph it runs on."""

    graph: str
    model: str
    hidden: int
    layers: int
    features: int | None = None
    """The number of random features; None for those of the data set."""


TASKS = [
    Task("COLLAB", "GCN", 128, 2, 128),
    Task("REDDIT-BINARY", "GIN", 64, 5, 64),
    Task("Computers", "SAGE", 256, 2),
    Task("cornell5", "SAGE", 256, 2),
    Task("Cora", "GCN", 64, 2),
    Task("CS", "GCN", 64, 2),
    Task(GENERATED, "GCN", 256, 2, 128),
    Task("ego-Facebook", "GAT", 64, 2, 64),
    Task("cnr-2000", "GAT", 64, 2, 64),
]
QUICK_TASKS = [
    Task("communities", "GCN", 16, 2, 16),
    Task("ego-networks", "GIN", 16, 2, 16),
    Task("communities", "GAT", 64, 2, 16),
]
BATCH = 128
"""Graphs in a batch."""
OTHERS = ("edge_index", "CSR", FLOAT)
"""What INT8 is compared with."""


def cases(settings: Settings) -> Iterator[Case]:
    """Forward passes in INT8 and in float32, over HAGs and as PyG does it.

    The layers of PyG get the normalized graph (`cached`, or normalized matrices).
    Where the messages of all edges take more than 16 GiB, `edge_index` is left out.
    """
    known = QUICK_TASKS if settings.quick else TASKS
    names = [task.graph for task in known]
    wanted = settings.graphs or [
        name for name in names if name == GENERATED or is_available(name, settings)
    ]
    chosen = [task for task in known if task.graph in wanted]
    if not chosen:
        raise ValueError(
            f"'int8' has no model for {', '.join(wanted)}: name some of "
            f"{', '.join(names)}"
        )
    for task in chosen:
        torch.manual_seed(0)
        make_calls = _calls_on_batches if task.model == "GIN" else _calls_on_graph
        calls, equal = make_calls(task, settings)
        is_attention = task.model == "GAT"  # whose sums are float32
        yield Case(
            {"graph": task.graph, "model": f"{task.model} {task.layers}x{task.hidden}"},
            calls,
            FLOAT,
            # A sum of integers is the same over any HAG; its rounding is not a float:
            wanted={"INT8": None, "INT8 plain": None if is_attention else "INT8"},
            over=OTHERS[:-1],
            tolerance=1e-3,
            memory=True,
            budget=60.0,
            facts={"equal": equal},
        )


def table(rows: Rows) -> Table:
    """One line for each model."""
    lines = [HEADER]
    for (name, model), case in by_contender(rows, "graph", "model").items():
        ours, plain = case["INT8"], case["INT8 plain"]
        over = [ours.get(f"over {other}") for other in OTHERS[:-1]]
        over.append(ours["speedup_50"])
        ratios = ["does not fit" if r is None else times(r, 1) for r in over]
        if "CSR" not in case:
            ratios[OTHERS.index("CSR")] = "-"
        ways = [case.get(way, {}) for way in ("INT8", *OTHERS)]
        memory = [way.get("megabytes") for way in ways]
        lines.append(
            [
                *(name, model, f"{ours['milliseconds_50']:.2f}"),
                *ratios,
                f"{plain['milliseconds_50']:.2f}",
                f"{100 * ours['equal']:.2f} %",
                *("-" if value is None else f"{value:.0f}" for value in memory),
            ]
        )
    return lines


# Tasks ########################################################################


def _model(
    task: Task, num_features: int, num_classes: int, csr: bool = False
) -> nn.Module:
    torch.manual_seed(0)
    sizes = num_features, task.hidden, task.layers, num_classes
    if task.model == "GCN":
        kwargs = {"normalize": False} if csr else {"cached": True}
        return pyg.GCN(*sizes, **kwargs).eval()
    if task.model == "GAT":
        return AttentionNet(num_features, num_classes).eval()
    if task.model == "SAGE":
        return pyg.GraphSAGE(*sizes).eval()
    return GraphClassifier(pyg.GIN, *sizes).eval()


def _graph(task: Task, settings: Settings) -> tuple[Tensor, Tensor]:
    """The features and edges of a task's graph."""
    if task.graph == GENERATED:
        edge_index, num_nodes = as_one_graph(
            [generate_communities(170_000, 2_400_000, 40)]
        )
        return torch.randn(num_nodes, task.features or 1), edge_index
    graphs = load(task.graph, settings)
    edge_index, num_nodes = as_one_graph(graphs)
    if task.features is None:
        return graphs[0].x.to_dense().float(), edge_index
    return torch.randn(num_nodes, task.features), edge_index


def _calls_on_graph(task: Task, settings: Settings) -> tuple[Calls, float]:
    """Forward passes on a graph, and the share of equal predictions."""
    x, edge_index = _graph(task, settings)
    num_nodes = x.size(0)
    hag = build_hag(edge_index, num_nodes, num_features=task.hidden)
    plain = build_hag(edge_index, num_nodes, capacity=0)
    to_csr = ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False)
    csr = Compose([GCNNorm(), to_csr]) if task.model == "GCN" else to_csr
    adj_t = csr(Data(x, edge_index, num_nodes=num_nodes)).adj_t
    model = _model(task, x.size(1), CLASSES)
    csr_model = _model(task, x.size(1), CLASSES, csr=True)
    quantized = calibrate(_model(task, x.size(1), CLASSES), [(x, hag)], _CONFIG)
    fast = convert(quantized, (x, hag))
    calls: Calls = {
        "INT8": partial(fast, x, hag),
        "INT8 plain": partial(fast, x, plain),
        FLOAT: partial(to_hag(model), x, hag),
    }
    if task.model != "GAT":  # which PyG runs on no such matrix
        calls["CSR"] = partial(csr_model, x, adj_t)
    width = max(task.hidden, x.size(1) if task.model == "SAGE" else 0)
    if 2 * edge_index.size(1) * width * 4 <= _MAX_BYTES:
        calls["edge_index"] = partial(model, x, edge_index)
    with torch.no_grad():
        equal = quantized(x, hag).argmax(1) == fast(x, hag).argmax(1)
    return calls, float(equal.float().mean())


def _calls_on_batches(task: Task, settings: Settings) -> tuple[Calls, float]:
    """Forward passes on batches of graphs, and the share of equal predictions."""
    num_features = task.features or 1
    graphs = [
        Data(torch.randn(int(g.num_nodes), num_features), g.edge_index)
        for g in load(task.graph, settings)
    ]
    to_hags = HAGTransform(num_features=task.hidden)
    to_csr = ToSparseTensor(layout=torch.sparse_csr)
    batches = {
        "edge_index": _batches(graphs),
        "CSR": _batches([to_csr(g) for g in graphs]),
        "HAG": _batches([to_hags(g) for g in graphs]),
    }
    model = _model(task, num_features, 2)
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
        FLOAT: partial(_run_all, to_hag(model), items),
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


def _run_all(model: nn.Module, items: list[tuple[Any, ...]]) -> list[Tensor]:
    return [model(*item) for item in items]


BENCHMARK = Benchmark(
    "int8",
    "A forward pass in INT8 over the HAG, with the rounding of the input features, and "
    "how many times faster it is than PyG's float32 on `edge_index` and on a sparse "
    "matrix (both know the normalised graph beforehand) and than float32 on the HAG; "
    "INT8 on the plain graph; the share of predictions that are those of the model as "
    "it was trained; megabytes at the peak beyond the input (Linux). `does not fit`: "
    "the messages of all edges would take more than 16 GiB. `generated` has 170,000 "
    "nodes and 2.4 million edges. GIN runs in batches of 128 graphs. GAT has eight "
    "heads of eight features, then one; PyG does not run it on such a matrix.",
    of_cases(cases),
    table,
)
