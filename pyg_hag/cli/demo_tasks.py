"""The tasks of the demo: data sets with features, HAGs and splits."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import LocalDegreeProfile
from tqdm.auto import tqdm

from pyg_hag.cli.demo_models import GCN, GIN
from pyg_hag.datasets import (
    as_one_graph,
    generate_communities,
    generate_ego_networks,
    generate_meta_path,
    load_graphs,
)
from pyg_hag.search import build_hag
from pyg_hag.transforms import HAGTransform

BATCH_SIZE = 128
COLLABORATIONS, META_PATHS = "collaborations", "meta-paths"
"""Names of graphs that are always generated."""


@dataclass
class Task:
    """A data set with its split, and the model to train on it.

    Attributes:
        name (str): The data set.
        model (str): The model and its size.
        make (callable): Makes the model; the argument is whether it reads HAGs.
        train (callable): Iterates over the training batches of one epoch.
        test (callable): Iterates over the test batches.
        search_seconds (float): Time of the search on the whole data set.
        stats (HAGStats): Statistics of the HAG of the whole data set.
        epochs (int): Number of epochs.
        lr (float): Learning rate.
    """

    name: str
    model: str
    make: Callable[[bool], nn.Module]
    train: Callable[[], Iterator[Data]]
    test: Callable[[], Iterator[Data]]
    search_seconds: float
    stats: Any
    epochs: int
    lr: float


def report(text: str) -> None:
    """Prints progress on the standard error stream."""
    print(text, file=sys.stderr, flush=True)


def graph_task(
    name: str,
    root: str | None,
    generated: bool,
    epochs: int,
    seed: int,
    objective: str,
) -> Task:
    """A task of graph classification, for GIN.

    Args:
        name (str): A data set.
        root (str, optional): Folder of data sets in PyG's layout.
        generated (bool): Whether to generate graphs instead.
        epochs (int): Number of epochs.
        seed (int): Seed of the split.
        objective (str): Objective of the search.
    """
    if name == COLLABORATIONS:
        graphs, name = generate_ego_networks(300, large=True), f"{name} (generated)"
    else:
        graphs, name = _load(name, root, generated, lambda: generate_ego_networks(400))
    if graphs[0].x is None:
        graphs = _with_degree_features(graphs, name)
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


def node_task(
    name: str,
    root: str | None,
    generated: bool,
    epochs: int,
    seed: int,
    objective: str,
) -> Task:
    """A task of node classification, for GCN; see :func:`graph_task`."""
    if name == META_PATHS:
        graphs, name = [generate_meta_path(2500)], f"{name} (generated)"
    else:
        graphs, name = _load(name, root, generated, lambda: [_citations()])
    graph = graphs[0]
    stats, seconds = _search([graph], objective)
    data = HAGTransform(objective=objective)(graph)
    if "train_mask" not in data:
        chosen = torch.rand(
            data.num_nodes, generator=torch.Generator().manual_seed(seed)
        )
        data.train_mask, data.test_mask = chosen < 0.6, chosen >= 0.8
    return Task(
        name=name,
        model="GCN 2x64",
        make=lambda use_hag: GCN(use_hag, data.num_features, 64, int(data.y.max()) + 1),
        train=lambda: iter([data]),
        test=lambda: iter([data]),
        search_seconds=seconds,
        stats=stats,
        epochs=epochs,
        lr=0.01,
    )


def _citations() -> Data:
    """A graph as sparse as Cora."""
    data = generate_communities(2708, 10_556, 7)
    generator = torch.Generator().manual_seed(0)
    data.y = torch.randint(7, (data.num_nodes,), generator=generator)
    data.x = torch.randn(data.num_nodes, 16, generator=generator)
    data.x[:, :7] += 2 * torch.nn.functional.one_hot(data.y, 7)
    return data


def _load(
    name: str,
    root: str | None,
    generated: bool,
    generate: Callable[[], list[Data]],
) -> tuple[list[Data], str]:
    """The graphs and the name of a data set, or generated ones."""
    label = f"generated (for {name})"
    if generated:
        return generate(), label
    try:
        return load_graphs(name, root), name
    except ImportError as error:
        raise ValueError(
            f"PyG cannot read '{name}': {error}; pip install 'pyg_hag[demo]'"
        ) from error
    except ValueError:  # a wrong --root, for the user to correct
        raise
    except Exception as error:  # a download can raise anything
        report(
            f"'{name}' is not in the data folder and cannot be downloaded ({error});"
        )
        report("using a generated one instead")
        return generate(), label


def _with_degree_features(graphs: list[Data], name: str) -> list[Data]:
    """Sets `x` to the logarithms of statistics of the degrees around each node."""
    profile = LocalDegreeProfile()
    graphs = [profile(graph) for graph in tqdm(graphs, f"{name}: features")]
    for graph in graphs:
        graph.x = graph.x.log1p()
    return graphs


def _search(graphs: list[Data], objective: str) -> tuple[Any, float]:
    """Statistics of the HAG of all graphs together, and seconds of the search."""
    edge_index, num_nodes = as_one_graph(graphs)
    start = time.perf_counter()
    hag = build_hag(edge_index, num_nodes, objective=objective)
    return hag.stats, time.perf_counter() - start
