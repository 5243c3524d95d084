"""The demo: the same models on `edge_index` and on a HAG, side by side."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, GINConv, global_mean_pool
from torch_geometric.transforms import LocalDegreeProfile
from tqdm import tqdm

from pyg_hag._table import markdown_table, text_table
from pyg_hag.datasets import (
    as_one_graph,
    generate_ego_networks,
    generate_social_graph,
    load_graphs,
)
from pyg_hag.nn import HAGGCNConv, HAGGINConv
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.transforms import HAGTransform

BATCH_SIZE = 128


@dataclass
class Run:
    """One model: its layers, and what its training gave."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    use_hag: bool
    seconds: list[float] = field(default_factory=list)
    loss: float = 0.0
    accuracy: float = 0.0


@dataclass
class Task:
    """A data set, split: `train` and `test` make the batches of one epoch."""

    name: str
    model: str
    make: Callable[[bool], nn.Module]
    train: Callable[[], Iterator[Data]]
    test: Callable[[], Iterator[Data]]
    search_seconds: float
    stats: Any
    epochs: int
    lr: float


class GIN(nn.Module):
    """Three GIN layers, the mean over nodes of each, and a linear classifier."""

    def __init__(self, use_hag: bool, in_channels: int, hidden: int, classes: int):
        super().__init__()
        conv = HAGGINConv if use_hag else GINConv
        self.use_hag = use_hag
        self.convs = nn.ModuleList()
        for channels in (in_channels, hidden, hidden):
            mlp = nn.Sequential(
                nn.Linear(channels, hidden, bias=False),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
            )
            self.convs.append(conv(mlp))
        self.lin = nn.Linear(3 * hidden, classes)

    def forward(self, data: Any) -> Tensor:
        """Class scores of each graph of a batch."""
        graph = data.hag if self.use_hag else data.edge_index
        x, pooled = data.x, []
        for conv in self.convs:
            x = conv(x, graph)
            pooled.append(global_mean_pool(x, data.batch))
        return self.lin(torch.cat(pooled, dim=1))


class GCN(nn.Module):
    """Two GCN layers with dropout."""

    def __init__(self, use_hag: bool, in_channels: int, hidden: int, classes: int):
        super().__init__()
        conv = HAGGCNConv if use_hag else GCNConv
        self.use_hag = use_hag
        self.conv1 = conv(in_channels, hidden)
        self.conv2 = conv(hidden, classes)

    def forward(self, data: Any) -> Tensor:
        """Class scores of each node."""
        graph = data.hag if self.use_hag else data.edge_index
        x = F.dropout(data.x, training=self.training)
        x = F.dropout(self.conv1(x, graph).relu(), training=self.training)
        return self.conv2(x, graph)


def run_demo(
    root: str | None = None,
    graphs: list[str] | None = None,
    nodes: list[str] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    objective: str = "aggregations",
    generated: bool = False,
    markdown: bool = False,
) -> str:
    """Trains every model twice and returns the table.

    Args:
        root (str, optional): Folder of data sets in PyG's layout.
        graphs (list[str], optional): Graph-classification sets, for GIN.
        nodes (list[str], optional): Node-classification sets, for GCN.
        epochs (int, optional): Instead of each task's own number.
        seed (int): Of the splits, the parameters and dropout.
        objective (str): Of the search, see :func:`pyg_hag.build_hag`.
        generated (bool): Whether to use generated graphs instead.
        markdown (bool): Whether to make the table in Markdown.
    """
    _say("compiling the kernels (kept on disk for the next time) ...")
    _warm_up()
    tasks = []
    for name in graphs if graphs is not None else ["IMDB-BINARY"]:
        data, label = _load(name, root, generated, generate_ego_networks, 400)
        tasks.append(_graph_task(label, data, epochs or 10, seed, objective))
    for name in nodes if nodes is not None else ["Cora"]:
        data, label = _load(
            name, root, generated, lambda n: [generate_social_graph(n)], 60
        )
        tasks.append(_node_task(label, data[0], epochs or 100, seed, objective))
    rows = [
        ["data set", "model", "aggregations", "reads", "search", "epoch PyG", "HAG",
         "loss PyG", "HAG", "acc. PyG", "HAG", "max. diff."]
    ]  # fmt: skip
    rows += [_compare(task, seed) for task in tasks]
    threads = torch.get_num_threads()
    table = markdown_table if markdown else text_table
    return (
        f"\n{table(rows)}\n\nPyG: its layers on edge_index. HAG: ours on the HAG, "
        f"from the same seed. {threads} CPU threads.\nEpoch: median. Accuracy: on the "
        f"test split. Max. diff.: of the two layers' outputs, relative to the largest,"
        f"\nwith the same trained parameters, in float32."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _warm_up() -> None:
    edge_index = torch.tensor([[0, 1, 2, 0, 1, 2], [3, 3, 3, 4, 4, 4]])
    data = HAGTransform()(Data(edge_index=edge_index, num_nodes=5))
    x = torch.ones(5, 2, requires_grad=True)
    scale = torch.ones(5)
    aggregate(x, data.hag, "sum", scale, scale).sum().backward()


def _load(
    name: str,
    root: str | None,
    generated: bool,
    generate: Callable[[int], list[Data]],
    count: int,
) -> tuple[list[Data], str]:
    label = f"generated (for {name})"
    if generated:
        return generate(count), label
    try:
        return load_graphs(name, root), name
    except ImportError as error:
        raise ValueError(
            f"PyG cannot read '{name}': {error}; pip install 'pyg_hag[demo]'"
        ) from error
    except ValueError:  # a wrong --root is the user's to mend
        raise
    except Exception as error:  # whatever a download can raise
        _say(f"'{name}' is not in the data folder and cannot be downloaded ({error});")
        _say("using generated ego networks instead")
        return generate(count), label


def _graph_task(
    name: str, graphs: list[Data], epochs: int, seed: int, objective: str
) -> Task:
    profile = LocalDegreeProfile()
    if graphs[0].x is None:
        graphs = [profile(graph) for graph in tqdm(graphs, f"{name}: features")]
        for graph in graphs:
            graph.x = graph.x.log1p()
    stats, seconds = _search(graphs, objective)
    transform = HAGTransform(objective=objective)
    graphs = [transform(graph) for graph in tqdm(graphs, f"{name}: HAGs")]
    order = torch.randperm(
        len(graphs), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    cut = len(graphs) * 4 // 5
    train = [graphs[i] for i in order[:cut]]
    test = [graphs[i] for i in order[cut:]]
    classes = int(max(int(graph.y) for graph in graphs)) + 1

    def batches(part: list[Data], shuffle: bool) -> Iterator[Data]:
        generator = torch.Generator().manual_seed(seed)
        return iter(DataLoader(part, BATCH_SIZE, shuffle, generator=generator))

    return Task(
        name=name,
        model="GIN 3x64",
        make=lambda use_hag: GIN(use_hag, graphs[0].num_features, 64, classes),
        train=lambda: batches(train, True),
        test=lambda: batches(test, False),
        search_seconds=seconds,
        stats=stats,
        epochs=epochs,
        lr=0.0003,  # larger steps amplify rounding, with PyG's layers too
    )


def _node_task(name: str, graph: Data, epochs: int, seed: int, objective: str) -> Task:
    stats, seconds = _search([graph], objective)
    data = HAGTransform(objective=objective)(graph)
    if "train_mask" not in data:
        chosen = torch.rand(
            data.num_nodes, generator=torch.Generator().manual_seed(seed)
        )
        data.train_mask, data.test_mask = chosen < 0.6, chosen >= 0.8
    return Task(
        name=name,
        model="GCN 2x16",
        make=lambda use_hag: GCN(use_hag, data.num_features, 16, int(data.y.max()) + 1),
        train=lambda: iter([data]),
        test=lambda: iter([data]),
        search_seconds=seconds,
        stats=stats,
        epochs=epochs,
        lr=0.01,
    )


def _search(graphs: list[Data], objective: str) -> tuple[Any, float]:
    edge_index, num_nodes = as_one_graph(graphs)
    start = time.perf_counter()
    hag = build_hag(edge_index, num_nodes, objective=objective)
    return hag.stats, time.perf_counter() - start


def _compare(task: Task, seed: int) -> list[str]:
    runs = []
    for use_hag in (False, True):
        torch.manual_seed(seed)
        model = task.make(use_hag)
        optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
        runs.append(Run(model, optimizer, use_hag))
    for epoch in tqdm(range(task.epochs), f"{task.name}: {task.model}"):
        for run in runs:  # in turn, so that both see the machine's good and bad times
            torch.manual_seed(seed + epoch)
            start = time.perf_counter()
            run.loss = _train(run, task)
            run.seconds.append(time.perf_counter() - start)
    for run in runs:
        run.accuracy = _accuracy(run.model, task)
    theirs, ours = runs
    s = task.stats
    return [
        task.name,
        task.model,
        f"{s.plain_aggregations:,} -> {s.aggregations:,}",
        f"{s.num_edges:,} -> {s.reads:,}",
        f"{task.search_seconds:.2f} s",
        f"{1e3 * median(theirs.seconds):.1f} ms",
        f"{1e3 * median(ours.seconds):.1f} ms",
        f"{theirs.loss:.4f}",
        f"{ours.loss:.4f}",
        f"{theirs.accuracy:.1%}",
        f"{ours.accuracy:.1%}",
        f"{_difference(theirs.model, ours.model, task):.1e}",
    ]


def _train(run: Run, task: Task) -> float:
    run.model.train()
    total = count = 0.0
    for data in task.train():
        run.optimizer.zero_grad()
        scores, y = run.model(data), data.y
        if "train_mask" in data:
            scores, y = scores[data.train_mask], y[data.train_mask]
        loss = F.cross_entropy(scores, y)
        loss.backward()
        run.optimizer.step()
        total += float(loss.detach()) * y.numel()
        count += y.numel()
    return total / count


@torch.no_grad()
def _accuracy(model: nn.Module, task: Task) -> float:
    model.eval()
    correct = count = 0
    for data in task.test():
        hit = model(data).argmax(1) == data.y
        if "test_mask" in data:
            hit = hit[data.test_mask]
        correct += int(hit.sum())
        count += hit.numel()
    return correct / count


@torch.no_grad()
def _difference(theirs: nn.Module, ours: nn.Module, task: Task) -> float:
    """Largest difference of the scores with the same parameters, relative."""
    ours.load_state_dict(theirs.state_dict())
    theirs.eval()
    ours.eval()
    worst = largest = 0.0
    for data in task.test():
        a, b = theirs(data), ours(data)
        worst = max(worst, float((a - b).abs().max()))
        largest = max(largest, float(a.abs().max()))
    return worst / largest
