"""The graphs that the demo and the benchmarks run on."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.datasets import (
    Amazon,
    Coauthor,
    LINKXDataset,
    Planetoid,
    TUDataset,
)

ROOT_VARIABLE = "PYG_HAG_DATA"

_CLASSES: dict[str, Any] = {
    **dict.fromkeys(("Cora", "CiteSeer", "PubMed"), Planetoid),
    **dict.fromkeys(("Computers", "Photo"), Amazon),
    **dict.fromkeys(("CS", "Physics"), Coauthor),
    **dict.fromkeys(("penn94", "reed98", "amherst41", "cornell5"), LINKXDataset),
}


def find_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the data sets: the argument, $PYG_HAG_DATA, or a cache."""
    chosen = root or os.environ.get(ROOT_VARIABLE)
    if chosen:
        path = Path(chosen).expanduser()
        if not path.is_dir():
            raise ValueError(
                f"'root' is not a folder: '{path}' (from --root or ${ROOT_VARIABLE})"
            )
        return path
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(cache).expanduser() / "pyg_hag"


def load_graphs(name: str, root: str | os.PathLike[str] | None = None) -> list[Data]:
    """Loads a data set through PyG's own class, downloading it where it is not there.

    Args:
        name (str): A data set of Planetoid, Amazon, Coauthor, LINKX or TUDataset, or
            a folder `<root>/<name>/raw/<name>.npz` with `edge_index` and `num_nodes`.
        root (path, optional): See :func:`find_root`.

    Returns:
        list[Data]: Its graphs; one for a node-classification set.
    """
    folder = find_root(root)
    file = folder / name / "raw" / f"{name}.npz"
    if name not in _CLASSES and file.is_file():
        with np.load(file) as arrays:
            edge_index = torch.from_numpy(arrays["edge_index"].astype(np.int64))
            num_nodes = int(
                arrays["num_nodes"] if "num_nodes" in arrays else edge_index.max() + 1
            )
        return [Data(edge_index=edge_index, num_nodes=num_nodes)]
    cls = _CLASSES.get(name, TUDataset)
    with warnings.catch_warnings():  # of PyG's own loading code
        warnings.simplefilter("ignore")
        dataset = cls(str(folder), name)
        return [dataset[i] for i in range(len(dataset))]


def as_one_graph(graphs: list[Data]) -> tuple[Tensor, int]:
    """The `edge_index` and number of nodes of all graphs side by side."""
    if len(graphs) == 1:
        return graphs[0].edge_index, int(graphs[0].num_nodes)
    bare = [Data(edge_index=g.edge_index, num_nodes=g.num_nodes) for g in graphs]
    batch = Batch.from_data_list(bare)
    return batch.edge_index, int(batch.num_nodes)


def generate_ego_networks(num_graphs: int, seed: int = 0) -> list[Data]:
    """Generates ego networks: groups of people who all know each other, and an ego.

    Stands in for collaboration data sets where none can be downloaded. Node 0 knows
    everyone; the others belong to one of several groups, a few to two. Class 0 has
    fewer and larger groups than class 1.
    """
    rng = np.random.default_rng(seed)
    graphs = []
    for i in range(num_graphs):
        label = i % 2
        count, smallest, largest = ((3, 8, 20), (5, 4, 14))[label]
        sizes = rng.integers(smallest, largest, count, endpoint=True)
        group = np.repeat(np.arange(count), sizes)
        member = group[:, None] == np.arange(count)
        guests = rng.random(group.size) < 0.1
        member[guests, rng.integers(0, count, int(guests.sum()))] = True
        known = member @ member.T
        adjacency = np.ones((group.size + 1, group.size + 1), np.bool_)
        adjacency[1:, 1:] = known
        np.fill_diagonal(adjacency, False)
        edge_index = torch.from_numpy(np.stack(adjacency.nonzero()))
        graphs.append(Data(edge_index=edge_index, num_nodes=group.size + 1, y=label))
    return graphs


def generate_social_graph(num_graphs: int, seed: int = 0) -> Data:
    """Generates one graph of ego networks, with node classes and noisy features.

    The class of a node is that of its ego network; features are 16 numbers, two of
    which tell the class, weakly. Half of the nodes are for training.
    """
    batch = Batch.from_data_list(generate_ego_networks(num_graphs, seed))
    generator = torch.Generator().manual_seed(seed)
    y = batch.y[batch.batch]
    x = torch.randn(y.numel(), 16, generator=generator)
    x[:, :2] += 0.5 * torch.nn.functional.one_hot(y, 2)
    train = torch.rand(y.numel(), generator=generator) < 0.5
    return Data(
        x=x, edge_index=batch.edge_index, y=y, train_mask=train, test_mask=~train
    )
