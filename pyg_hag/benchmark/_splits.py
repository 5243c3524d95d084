"""Data sets and their splits for the accuracy benchmark."""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm.auto import tqdm

from pyg_hag.benchmark._benchmark import Settings
from pyg_hag.benchmark._graphs import load
from pyg_hag.benchmark._networks import degrees_as_features
from pyg_hag.transforms import HAGTransform

NODE_DATASETS = ("Cora", "CiteSeer", "PubMed", "social")
"""Data sets whose nodes are classified, with a split of their own."""
NUM_FOLDS = 10


class Split(NamedTuple):
    """The data of one run: batches for training, validation and test."""

    train: Any
    validation: list[Any]
    test: list[Any]
    num_features: int
    num_classes: int
    is_of_nodes: bool


def prepare_graphs(name: str, settings: Settings) -> list[Data]:
    """The graphs of a data set, with features and HAGs."""
    graphs = load(name, settings)
    transforms: list[Any] = []
    if name == "social":  # generated, without a validation set
        graphs[0].val_mask = graphs[0].test_mask
    elif name in NODE_DATASETS:
        transforms.append(T.NormalizeFeatures())
    elif graphs[0].x is None:
        transforms.append(degrees_as_features(graphs))
    transform = T.Compose([*transforms, HAGTransform()])
    return [transform(graph) for graph in tqdm(graphs, f"{name}, HAGs")]


def make_split(name: str, graphs: list[Data], fold: int, batch: int | None) -> Split:
    """The split of a data set of nodes, or one fold of a data set of graphs.

    Args:
        name: The data set.
        graphs: Its graphs.
        fold: The fold for testing; the next one is for validation.
        batch: Graphs in a batch of training; None for all at once.
    """
    if name in NODE_DATASETS:
        (data,) = graphs
        num_classes = int(data.y.max()) + 1
        return Split([data], [data], [data], data.num_features, num_classes, True)
    y = torch.cat([torch.as_tensor(graph.y).view(1) for graph in graphs])
    folds = assign_folds(y.numpy())
    next_fold = (fold + 1) % NUM_FOLDS

    def graphs_in(chosen: Any) -> list[Data]:
        return [graphs[i] for i in np.flatnonzero(chosen)]

    train = graphs_in((folds != fold) & (folds != next_fold))
    return Split(
        DataLoader(train, batch or len(train), shuffle=True),
        [Batch.from_data_list(graphs_in(folds == next_fold))],
        [Batch.from_data_list(graphs_in(folds == fold))],
        graphs[0].num_features,
        int(y.max()) + 1,
        False,
    )


def assign_folds(y: Any) -> Any:
    """The fold of each graph, with evenly spread labels; always the same."""
    rng = np.random.default_rng(12345)
    fold = np.empty(y.size, np.int64)
    start = 0
    for label in np.unique(y):
        places = rng.permutation(np.flatnonzero(y == label))
        fold[places] = (start + np.arange(places.size)) % NUM_FOLDS
        start += places.size
    return fold
