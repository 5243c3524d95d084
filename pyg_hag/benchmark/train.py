"""Time of a training epoch: PyG's layers, and ours on a HAG."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GCNConv,
    GINConv,
    SAGEConv,
    global_add_pool,
)
from torch_geometric.transforms import Compose, GCNNorm, ToSparseTensor
from tqdm.auto import tqdm

from pyg_hag.benchmark._report import write_csv
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark._timing import measure
from pyg_hag.benchmark.aggregate_device import check_device
from pyg_hag.datasets import as_one_graph, is_there, load_graphs
from pyg_hag.nn import HAGGCNConv, HAGGINConv, HAGSAGEConv
from pyg_hag.transforms import HAGTransform

CLASSES = 4
BATCH = 128


class Case(NamedTuple):
    """A model and the data set that it is trained on."""

    graph: str
    model: str
    layers: int
    width: int


FULL = [
    *(Case("COLLAB", "GCN", 2, width) for width in (16, 128)),
    *(Case("COLLAB", f"SAGE {aggr}", 2, 16) for aggr in ("mean", "max")),
    *(Case("cnr-2000", f"SAGE {aggr}", 2, 64) for aggr in ("mean", "max")),
    *(Case("cnr-2000", "GCN", 2, width) for width in (16, 128)),
    *(Case("Cora", "GCN", 2, width) for width in (16, 128)),
    *(Case("Cora", f"SAGE {aggr}", 2, 64) for aggr in ("mean", "max")),
]
"""Full-batch training, on all graphs of a data set at once."""
BATCHED = [Case(name, "GIN", 5, 64) for name in ("COLLAB", "MUTAG", "REDDIT-BINARY")]
"""Mini-batches of graphs; loading is included in the time."""

COMPILED = "compiled edge_index"
PATHS = ["edge_index", "CSR", COMPILED, "HAG"]
HEADER = ["graph", "model", "HAG ms"]

Epoch = Callable[[], None]


def run(
    names: list[str],
    root: str | None,
    out: str | None,
    device: str = "cpu",
    budget: float = 40.0,
) -> list[list[str]]:
    """Times epochs: forward, backward and optimizer step.

    Args:
        names: Data sets; all available ones if empty.
        root: Their folder.
        out: A CSV file to write.
        device: The device to train on. On CUDA, PyG on `edge_index` is compiled, too.
        budget: Seconds for each case.

    Returns:
        list[list[str]]: A table: milliseconds of an epoch on a HAG, and the speedups
        over `edge_index` and over a sparse matrix (CSR).
    """
    check_device(device)
    rows: list[dict[str, Any]] = []
    cases = [(case, _full) for case in FULL] + [(case, _batched) for case in BATCHED]
    for case, make in tqdm(cases, "train"):
        wanted = case.graph in names if names else is_there(case.graph, root)
        if not wanted:
            continue
        torch.manual_seed(0)
        epochs = make(case, load_graphs(case.graph, root), device)
        times = measure(epochs, 7, budget)
        row: dict[str, Any] = {
            "graph": case.graph,
            "model": f"{case.model} {case.layers}x{case.width}",
        }
        for path, t in times.items():
            row[f"milliseconds {path}"] = 1e3 * t.median
            row[f"HAG over {path}"] = times["HAG"].speedup_over(t)
        rows.append(row)
        if out is not None:  # keeps what is done if the rest fails
            write_csv(out, rows)
    others = [path for path in PATHS[:-1] if path != COMPILED or device == "cuda"]
    header = [*HEADER, *(f"over {path}" for path in others)]
    return [header, *(_cells(row, others) for row in rows)]


def _cells(row: dict[str, Any], others: list[str]) -> list[str]:
    ratios = (row.get(f"HAG over {path}", "") for path in others)
    cells = ["-" if ratio == "" else f"{ratio:.2f}x" for ratio in ratios]
    return [row["graph"], row["model"], f"{row['milliseconds HAG']:.1f}", *cells]


# Models #######################################################################


class _Model(nn.Module):
    """Layers with activations between them; sum pooling at the end if `pooled`."""

    def __init__(self, layers: list[nn.Module], width: int, pooled: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.last = nn.Linear(width, CLASSES) if pooled else None

    def forward(self, x: Tensor, graph: Any, batch: Tensor | None = None) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x, graph)
            if i + 1 < len(self.layers) or self.last is not None:
                x = x.relu()
        if self.last is not None:
            x = self.last(global_add_pool(x, batch))
        return x


def _model(case: Case, path: str, features: int, pooled: bool) -> _Model:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(case.layers):
        inner = features if i == 0 else case.width
        outer = case.width if pooled or i + 1 < case.layers else CLASSES
        layers.append(_layer(case.model, path, inner, outer))
    return _Model(layers, case.width, pooled)


def _layer(model: str, path: str, inner: int, outer: int) -> nn.Module:
    name, _, aggr = model.partition(" ")
    ours = path == "HAG"
    if name == "GCN":
        if path == "CSR":  # the matrix is normalised beforehand
            return GCNConv(inner, outer, normalize=False)
        return (HAGGCNConv if ours else GCNConv)(inner, outer, cached=True)
    if name == "SAGE":
        return (HAGSAGEConv if ours else SAGEConv)(inner, outer, aggr=aggr)
    mlp = nn.Sequential(
        nn.Linear(inner, outer),
        nn.BatchNorm1d(outer),
        nn.ReLU(),
        nn.Linear(outer, outer),
    )
    return (HAGGINConv if ours else GINConv)(mlp)


def _step(model: nn.Module, optimizer: Any, y: Tensor, *inputs: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(*inputs), y).backward()
    optimizer.step()


# Epochs #######################################################################


def _full(case: Case, graphs: list[Data], device: str) -> dict[str, Epoch]:
    edge_index, num_nodes = as_one_graph(graphs)
    x = torch.randn(num_nodes, case.width)
    y = torch.randint(CLASSES, (num_nodes,))
    data = Data(x, edge_index, num_nodes=num_nodes)
    to_csr = ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False)
    csr = Compose([GCNNorm(), to_csr]) if case.model == "GCN" else to_csr
    inputs: dict[str, Any] = {
        "edge_index": edge_index,
        "CSR": csr(data).adj_t,
        "HAG": HAGTransform(num_features=case.width)(data).hag,
    }
    if edge_index.size(1) * x[0].nbytes > MAX_MESSAGE_BYTES and device == "cpu":
        del inputs["edge_index"]
    elif device == "cuda":
        torch.compiler.reset()  # PyTorch stops compiling after eight cases
        inputs[COMPILED] = edge_index
    epochs: dict[str, Epoch] = {}
    x, y = x.to(device), y.to(device)
    for path, graph in inputs.items():
        model = _model(case, path, case.width, False).to(device)
        optimizer = torch.optim.Adam(model.parameters())
        called = torch.compile(model) if path == COMPILED else model
        epochs[path] = _bound(called, optimizer, y, x, graph.to(device))
    return epochs


def _bound(model: Any, optimizer: Any, y: Tensor, *inputs: Any) -> Epoch:
    def epoch() -> None:
        _step(model, optimizer, y, *inputs)
        _wait(y.device)

    return epoch


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _batched(case: Case, graphs: list[Data], device: str) -> dict[str, Epoch]:
    prepared = [
        Data(
            torch.randn(int(g.num_nodes), case.width),
            g.edge_index,
            y=torch.randint(CLASSES, (1,)),
        )
        for g in graphs
    ]
    to_csr = ToSparseTensor(layout=torch.sparse_csr)
    to_hag = HAGTransform(num_features=case.width, remove_edge_index=True)
    sets: dict[str, tuple[str, list[Data]]] = {
        "edge_index": ("edge_index", prepared),
        "CSR": ("adj_t", [to_csr(data) for data in prepared]),
        "HAG": ("hag", [to_hag(data) for data in prepared]),
    }
    epochs: dict[str, Epoch] = {}
    for path, (key, data) in sets.items():
        model = _model(case, path, case.width, True).to(device)
        loader = DataLoader(data, BATCH, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters())
        epochs[path] = _epoch(model, optimizer, loader, key, device)
    return epochs


def _epoch(
    model: nn.Module, optimizer: Any, loader: Any, key: str, device: str
) -> Epoch:
    def epoch() -> None:
        for batch in loader:
            batch = batch.to(device)
            graph = getattr(batch, key)
            _step(model, optimizer, batch.y, batch.x, graph, batch.batch)
        _wait(torch.device(device))

    return epoch
