"""The demo: the same models on `edge_index` and on a HAG, side by side."""

import time
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from tqdm.auto import tqdm

from pyg_hag.analysis.memory import peak
from pyg_hag.cli.demo_tasks import (
    COLLABORATIONS,
    META_PATHS,
    Task,
    graph_task,
    node_task,
)
from pyg_hag.ops import aggregate
from pyg_hag.transforms import HAGTransform
from pyg_hag.utils.tables import markdown_table, text_table

HEADER = [
    *("data set", "model", "reads", "search", "epoch PyG", "HAG", "faster"),
    *("memory PyG", "HAG", "loss PyG", "HAG", "acc. PyG", "HAG", "max. diff."),
]


@dataclass
class Run:
    """A model in training, with the seconds of its epochs and its results."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    seconds: list[float] = field(default_factory=list)
    loss: float = 0.0
    accuracy: float = 0.0
    memory: float | None = None


def run_demo(
    root: str | None = None,
    graphs: list[str] | None = None,
    nodes: list[str] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    objective: str = "time",
    generated: bool = False,
    markdown: bool = False,
) -> str:
    """Trains every model twice, on `edge_index` and on a HAG, and returns the table.

    Args:
        root (str, optional): Folder of data sets in PyG's layout.
        graphs (list[str], optional): Data sets of graph classification, for GIN.
        nodes (list[str], optional): Data sets of node classification, for GCN. If
            neither is given: generated graphs that gain, and Cora, which does not.
        epochs (int, optional): Number of epochs; 10 by default.
        seed (int): Seed of the splits, the parameters and dropout.
        objective (str): Objective of the search, see :func:`pyg_hag.build_hag`.
        generated (bool): Whether to use generated graphs instead.
        markdown (bool): Whether to format the table as Markdown.

    Raises:
        ValueError: If a data set cannot be read.
    """
    _warm_up()
    chosen = [(graph_task, name) for name in graphs or []]
    chosen += [(node_task, name) for name in nodes or []]
    if graphs is nodes is None:
        chosen = [
            (node_task, META_PATHS),
            (graph_task, COLLABORATIONS),
            (node_task, "Cora"),
        ]
    settings = root, generated, epochs or 10, seed, objective
    tasks = [make(name, *settings) for make, name in chosen]
    rows = [HEADER, *(_compare(task, seed) for task in tasks)]
    threads = torch.get_num_threads()
    table = markdown_table if markdown else text_table
    return (
        f"\n{table(rows)}\n\nPyG: its layers on edge_index. HAG: ours on the HAG, "
        f"from the same seed. {threads} CPU threads.\nReads: of a sum, on edge_index "
        f"and on the HAG; (plain) where the graph is left as it is.\nEpoch: median. "
        f"Memory: of a training step, at its peak. Accuracy: on the test split.\n"
        f"Max. diff.: of the two layers' outputs, relative to the largest, with the "
        f"same trained parameters, in float32."
    )


def _warm_up() -> None:
    """Compiles or loads the kernels, so that no epoch includes it."""
    edge_index = torch.tensor([[0, 1, 2, 0, 1, 2], [3, 3, 3, 4, 4, 4]])
    data = HAGTransform()(Data(edge_index=edge_index, num_nodes=5))
    x = torch.ones(5, 2, requires_grad=True)
    scale = torch.ones(5)
    aggregate(x, data.hag, "sum", scale, scale).sum().backward()


def _compare(task: Task, seed: int) -> list[str]:
    """Trains both models of a task; returns the row of the table."""
    runs = []
    for use_hag in (False, True):
        torch.manual_seed(seed)
        model = task.make(use_hag)
        optimizer = torch.optim.Adam(model.parameters(), lr=task.lr)
        runs.append(Run(model, optimizer))
    for epoch in tqdm(range(task.epochs), f"{task.name}: {task.model}"):
        for run in runs:  # in turn, so that other load on the machine hits both
            torch.manual_seed(seed + epoch)
            start = time.perf_counter()
            run.loss = _train(run, task)
            run.seconds.append(time.perf_counter() - start)
    batch = next(task.train())
    for run in runs:
        run.accuracy = _accuracy(run.model, task)
        run.memory = peak(partial(_step, run, batch))
    theirs, ours = runs
    s = task.stats
    is_plain = s.num_aggregates == 0
    ratios = [b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
    return [
        task.name,
        task.model,
        f"{s.num_edges:,} (plain)" if is_plain else f"{s.num_edges:,} -> {s.reads:,}",
        f"{task.search_seconds:.2f} s",
        f"{1e3 * median(theirs.seconds):.1f} ms",
        f"{1e3 * median(ours.seconds):.1f} ms",
        f"{median(ratios):.1f}x",
        *("-" if m is None else f"{m:.0f} MB" for m in (theirs.memory, ours.memory)),
        f"{theirs.loss:.4f}",
        f"{ours.loss:.4f}",
        f"{theirs.accuracy:.1%}",
        f"{ours.accuracy:.1%}",
        f"{_difference(theirs.model, ours.model, task):.1e}",
    ]


def _train(run: Run, task: Task) -> float:
    """Trains one epoch; returns the mean loss."""
    run.model.train()
    total = count = 0.0
    for data in task.train():
        loss, numel = _step(run, data)
        total += loss * numel
        count += numel
    return total / count


def _step(run: Run, data: Data) -> tuple[float, int]:
    """Trains one step; returns the loss, and of how many predictions."""
    run.optimizer.zero_grad()
    scores, y = run.model(data), data.y
    if "train_mask" in data:
        scores, y = scores[data.train_mask], y[data.train_mask]
    loss = F.cross_entropy(scores, y)
    loss.backward()
    run.optimizer.step()
    return float(loss.detach()), y.numel()


@torch.no_grad()
def _accuracy(model: nn.Module, task: Task) -> float:
    """The share of correct predictions on the test split."""
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
    """The largest difference of the scores with the same parameters, relative."""
    ours.load_state_dict(theirs.state_dict())
    theirs.eval()
    ours.eval()
    worst = largest = 0.0
    for data in task.test():
        a, b = theirs(data), ours(data)
        worst = max(worst, float((a - b).abs().max()))
        largest = max(largest, float(a.abs().max()))
    return worst / largest
