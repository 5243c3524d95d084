"""Data sets from a folder, and generated ones by name."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.datasets import (
    PPI,
    Amazon,
    Coauthor,
    LINKXDataset,
    Planetoid,
    Reddit,
    TUDataset,
)

from pyg_hag.datasets.groups import generate_ego_networks, generate_social_graph
from pyg_hag.datasets.sparse import generate_communities, generate_products

ROOT_VARIABLE = "PYG_HAG_DATA"
GENERATED = {"Reddit-sized": (232_965, 114_600_000, 41)}
"""Nodes, edges and communities of the graphs that are generated, not loaded."""

GENERATED_SMALL: dict[str, Callable[[], list[Data]]] = {
    "ego-networks": lambda: generate_ego_networks(20),
    "communities": lambda: [generate_communities(1000, 10_000, 5)],
    "social": lambda: [generate_social_graph(4)],
    "products": lambda: [generate_products(8000, 1500)],
}
"""Small graphs that are generated: many graphs, a sparse one, one with classes, and a
product of two sparse matrices."""

_CLASSES: dict[str, Any] = {
    **dict.fromkeys(("Cora", "CiteSeer", "PubMed"), Planetoid),
    **dict.fromkeys(("Computers", "Photo"), Amazon),
    **dict.fromkeys(("CS", "Physics"), Coauthor),
    **dict.fromkeys(("penn94", "reed98", "amherst41", "cornell5"), LINKXDataset),
}


def find_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the data sets: `root`, else $PYG_HAG_DATA, else a cache.

    Raises:
        ValueError: If the folder was named but does not exist.
    """
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


def is_there(name: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Whether the folder of the data sets contains this one."""
    return (find_root(root) / name).is_dir()


def load_graphs(name: str, root: str | os.PathLike[str] | None = None) -> list[Data]:
    """Loads a data set through PyG's class, which downloads it if necessary.

    Args:
        name (str): A data set of Planetoid, Amazon, Coauthor, LINKX or TUDataset, PPI
            (the graphs of its three parts) or Reddit, a folder
            `<root>/<name>/raw/<name>.npz` with `edge_index` and `num_nodes`,
            or a graph that is generated: `"Reddit-sized"`, with 232,965 nodes in 41
            communities and 114.6 million edges (:func:`generate_communities`), or one
            of :data:`GENERATED_SMALL`.
        root (path, optional): See :func:`find_root`.

    Returns:
        list[Data]: Its graphs; one for a node-classification set.
    """
    if name in GENERATED_SMALL:
        return GENERATED_SMALL[name]()
    if name in GENERATED:
        return [generate_communities(*GENERATED[name])]
    folder = find_root(root)
    file = folder / name / "raw" / f"{name}.npz"
    if name not in _CLASSES and file.is_file():
        with np.load(file) as arrays:
            edge_index = torch.from_numpy(arrays["edge_index"].astype(np.int64))
            num_nodes = int(
                arrays["num_nodes"] if "num_nodes" in arrays else edge_index.max() + 1
            )
        return [Data(edge_index=edge_index, num_nodes=num_nodes)]
    with warnings.catch_warnings():  # from PyG's own loading code
        warnings.simplefilter("ignore")
        return [
            dataset[i]
            for dataset in _datasets(folder, name)
            for i in range(len(dataset))
        ]


def _datasets(folder: Path, name: str) -> list[Any]:
    """PyG's data sets of a name: several where it keeps the parts apart."""
    if name == "PPI":
        return [PPI(str(folder / name), part) for part in ("train", "val", "test")]
    if name == "Reddit":
        return [Reddit(str(folder / name))]
    return [_CLASSES.get(name, TUDataset)(str(folder), name)]


def as_one_graph(graphs: list[Data]) -> tuple[Tensor, int]:
    """The `edge_index` and number of nodes of all graphs side by side."""
    if len(graphs) == 1:
        return graphs[0].edge_index, int(graphs[0].num_nodes)
    bare = [Data(edge_index=g.edge_index, num_nodes=g.num_nodes) for g in graphs]
    batch = Batch.from_data_list(bare)
    return batch.edge_index, int(batch.num_nodes)
