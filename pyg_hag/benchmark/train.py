"""Time of a training epoch: PyG's layers, and ours on a HAG."""

from collections.abc import Callable, Iterator
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

from pyg_hag.benchmark._benchmark import Benchmark, Settings, of_cases
from pyg_hag.benchmark._graphs import graph_names, load
from pyg_hag.benchmark._report import Rows, Table, times
from pyg_hag.benchmark._rivals import MAX_MESSAGE_BYTES
from pyg_hag.benchmark.aggregate_device import check_device
from pyg_hag.benchmark.case import Case
from pyg_hag.datasets import as_one_graph
from pyg_hag.nn import HAGGCNConv, HAGGINConv, HAGSAGEConv
from pyg_hag.transforms import HAGTransform

CLASSES = 4
BATCH = 128


class Task(NamedTuple):
    """A model and the data set that it is trained on."""

    graph: str
    model: str
    layers: int
    width: int


FULL = [
    *(Task("COLLAB", "GCN", 2, width) for width in (16, 128)),
    *(Task("COLLAB", f"SAGE {aggr}", 2, 16) for aggr in ("mean", "max")),
    *(Task("cnr-2000", f"SAGE {aggr}", 2, 64) for aggr in ("mean", "max")),
    *(Task("cnr-2000", "GCN", 2, width) for width in (16, 128)),
    *(Task("Cora", "GCN", 2, width) for width in (16, 128)),
    *(Task("Cora", f"SAGE {aggr}", 2, 64) for aggr in ("mean", "max")),
]
"""Full-batch training, on all graphs of a data set at once."""
BATCHED = [Task(name, "GIN", 5, 64) for name in ("COLLAB", "MUTAG", "REDDIT-BINARY")]
"""Mini-batches of graphs; loading is included in the time."""
QUICK_FULL = [
    Task("communities", "GCN", 2, 16),
    Task("communities", "SAGE max", 2, 16),
]
QUICK_BATCHED = [Task("ego-networks", "GIN", 2, 16)]
BUDGETS = {"cpu": 40.0, "cuda": 2.0}
"""Seconds for each model."""

COMPILED = "compiled edge_index"
PATHS = ["edge_index", "CSR", COMPILED, "HAG"]
HEADER = ["graph", "model", "HAG ms"]

Epoch = Callable[[], Tensor]
"""Trains one epoch, and returns its mean loss."""
Epochs = dict[str, Epoch]


def cases(settings: Settings) -> Iterator[Case]:
    """Epochs: forward, backward and optimizer step."""
    device = settings.device or "cpu"
    check_device(device)
    for task, make in tasks(settings):
        torch.manual_seed(0)
        epochs = make(task, load(task.graph, settings), device)
        yield Case(
            {"graph": task.graph, "model": f"{task.model} {task.layers}x{task.width}"},
            epochs,
            next(path for path in PATHS if path in epochs),
            over=PATHS[:-1],
            tolerance=1e-2,  # of the loss: steps of Adam magnify rounding
            gradients=True,
            rounds=7,
            budget=BUDGETS[device],
        )


def tasks(settings: Settings) -> Iterator[tuple[Task, Callable[..., Epochs]]]:
    """What to train, and how its epochs are made.

    Raises:
        ValueError: If none of the data sets is there.
    """
    kinds = (FULL, _full), (BATCHED, _batched)
    if settings.quick:
        kinds = (QUICK_FULL, _full), (QUICK_BATCHED, _batched)
    pairs = [(task, make) for known, make in kinds for task in known]
    known_names = dict.fromkeys(task.graph for task, _ in pairs)
    wanted = graph_names(settings, known_names)
    chosen = [(task, make) for task, make in pairs if task.graph in wanted]
    if not chosen:
        raise ValueError(
            f"'train' has no model for {', '.join(wanted)}: name some of "
            f"{', '.join(known_names)}"
        )
    yield from chosen


def graphs() -> set[str]:
    """The data sets for which there is a model."""
    return {task.graph for task in (*FULL, *BATCHED)}


def table(rows: Rows) -> Table:
    """One line for each model."""
    others = [path for path in PATHS[:-1] if any(f"over {path}" in r for r in rows)]
    lines = [[*HEADER, *(f"over {path}" for path in others)]]
    for row in rows:
        if row["contender"] == "HAG":
            cells = [row["graph"], row["model"], f"{row['milliseconds_50']:.1f}"]
            lines.append([*cells, *(times(row.get(f"over {p}")) for p in others)])
    return lines


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


def make_model(task: Task, path: str, features: int, pooled: bool) -> _Model:
    """A model whose layers are ours for the path `HAG`, else PyG's."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(task.layers):
        inner = features if i == 0 else task.width
        outer = task.width if pooled or i + 1 < task.layers else CLASSES
        layers.append(_layer(task.model, path, inner, outer))
    return _Model(layers, task.width, pooled)


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


def _step(model: nn.Module, optimizer: Any, y: Tensor, *inputs: Any) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(*inputs), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


# Epochs #######################################################################


def _full(task: Task, graphs: list[Data], device: str) -> Epochs:
    edge_index, num_nodes = as_one_graph(graphs)
    x = torch.randn(num_nodes, task.width)
    y = torch.randint(CLASSES, (num_nodes,))
    data = Data(x, edge_index, num_nodes=num_nodes)
    to_csr = ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False)
    csr = Compose([GCNNorm(), to_csr]) if task.model == "GCN" else to_csr
    inputs: dict[str, Any] = {
        "edge_index": edge_index,
        "CSR": csr(data).adj_t,
        "HAG": HAGTransform(num_features=task.width)(data).hag,
    }
    if edge_index.size(1) * x[0].nbytes > MAX_MESSAGE_BYTES and device == "cpu":
        del inputs["edge_index"]
    elif device == "cuda":
        torch.compiler.reset()  # PyTorch stops compiling after eight cases
        inputs[COMPILED] = edge_index
    epochs: Epochs = {}
    x, y = x.to(device), y.to(device)
    for path, graph in inputs.items():
        model = make_model(task, path, task.width, False).to(device)
        optimizer = torch.optim.Adam(model.parameters())
        called = torch.compile(model) if path == COMPILED else model
        epochs[path] = bound_epoch(called, optimizer, y, x, graph.to(device))
    return epochs


def bound_epoch(model: Any, optimizer: Any, y: Tensor, *inputs: Any) -> Epoch:
    """An epoch of one step on these inputs."""

    def epoch() -> Tensor:
        loss = _step(model, optimizer, y, *inputs)
        _wait(y.device)
        return loss

    return epoch


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _batched(task: Task, graphs: list[Data], device: str) -> Epochs:
    prepared = [
        Data(
            torch.randn(int(g.num_nodes), task.width),
            g.edge_index,
            y=torch.randint(CLASSES, (1,)),
        )
        for g in graphs
    ]
    to_csr = ToSparseTensor(layout=torch.sparse_csr)
    to_hag = HAGTransform(num_features=task.width, remove_edge_index=True)
    sets: dict[str, tuple[str, list[Data]]] = {
        "edge_index": ("edge_index", prepared),
        "CSR": ("adj_t", [to_csr(data) for data in prepared]),
        "HAG": ("hag", [to_hag(data) for data in prepared]),
    }
    epochs: Epochs = {}
    for path, (key, data) in sets.items():
        model = make_model(task, path, task.width, True).to(device)
        order = torch.Generator().manual_seed(0)  # the same for all paths
        loader = DataLoader(data, BATCH, shuffle=True, generator=order)
        optimizer = torch.optim.Adam(model.parameters())
        epochs[path] = _epoch(model, optimizer, loader, key, device)
    return epochs


def _epoch(
    model: nn.Module, optimizer: Any, loader: Any, key: str, device: str
) -> Epoch:
    def epoch() -> Tensor:
        losses = []
        for batch in loader:
            batch = batch.to(device)
            inputs = batch.x, getattr(batch, key), batch.batch
            losses.append(_step(model, optimizer, batch.y, *inputs))
        _wait(torch.device(device))
        return torch.stack(losses).mean()

    return epoch


BENCHMARK = Benchmark(
    "train",
    "An epoch of training (forward, backward and optimizer step) on a HAG, and how "
    "many times faster it is than with PyG's layers on `edge_index` (`-`: its messages "
    "take more than 4 GiB) and on a sparse matrix (CSR). GCN and SAGE on all graphs of "
    "a data set at once, GIN on batches of 128, with loading included.",
    of_cases(cases),
    table,
)
