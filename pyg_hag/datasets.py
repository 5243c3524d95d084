"""Graphs for the demo and the benchmarks."""

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


_GROUPS = ((3, 8, 20), (5, 4, 14))  # number, smallest and largest, of each class
_LARGE_GROUPS = ((2, 25, 60), (4, 15, 30))  # as dense as COLLAB


def generate_ego_networks(
    num_graphs: int, seed: int = 0, large: bool = False
) -> list[Data]:
    """Generates ego networks: groups of people who all know each other, and an ego.

    They replace collaboration data sets where these cannot be downloaded. Node 0 knows
    everyone; each of the others belongs to one of several groups, a few to two. Graphs
    of class 0 have fewer and larger groups than those of class 1.

    Args:
        num_graphs (int): Number of graphs.
        seed (int): Seed of the random numbers.
        large (bool): Whether they are as large and dense as those of COLLAB, rather
            than those of IMDB-BINARY.
    """
    rng = np.random.default_rng(seed)
    graphs = []
    for i in range(num_graphs):
        label = i % 2
        count, smallest, largest = (_LARGE_GROUPS if large else _GROUPS)[label]
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

    The class of a node is that of its ego network. There are 16 features, two of which
    depend weakly on the class. Half of the nodes are for training.
    """
    batch = Batch.from_data_list(generate_ego_networks(num_graphs, seed))
    generator = torch.Generator().manual_seed(seed)
    y = batch.y[batch.batch]
    x = torch.randn(y.numel(), 16, generator=generator, device="cpu")
    x[:, :2] += 0.5 * torch.nn.functional.one_hot(y, 2)
    train = torch.rand(y.numel(), generator=generator, device="cpu") < 0.5
    return Data(
        x=x, edge_index=batch.edge_index, y=y, train_mask=train, test_mask=~train
    )


def generate_meta_path(num_nodes: int, num_venues: int = 20, seed: int = 0) -> Data:
    """Generates the graph of a meta-path: authors who publish at the same venue.

    Most authors have one venue, some two; venues differ in size. A third of all pairs
    are edges, as in author-paper-conference-paper-author of DBLP. The class of a node
    is that of its venue; two of its 16 features depend weakly on it.

    Args:
        num_nodes (int): Number of authors.
        num_venues (int): Number of venues.
        seed (int): Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    size = 1 / np.arange(1, num_venues + 1) ** 1.5
    first, second = rng.choice(num_venues, (2, num_nodes), p=size / size.sum())
    member = first[:, None] == np.arange(num_venues)
    guests = rng.random(num_nodes) < 0.2
    member[guests, second[guests]] = True
    edge_index = torch.from_numpy(np.stack((member @ member.T).nonzero()))
    y = torch.from_numpy(first % 2)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, 16, generator=generator, device="cpu")
    x[:, :2] += 0.5 * torch.nn.functional.one_hot(y, 2)
    return Data(x=x, edge_index=edge_index, y=y)


def generate_products(
    num_papers: int, num_authors: int, num_each: int = 3, seed: int = 0
) -> Data:
    """Generates a graph of papers that have an author in common.

    Its adjacency matrix is a product of two sparse ones, papers by authors and authors
    by papers, without its diagonal. A HAG can undo the product, but for the paper
    itself and for papers that have several authors in common. It fits into caches.

    Args:
        num_papers (int): Number of papers, the nodes.
        num_authors (int): Number of authors.
        num_each (int): Number of authors of a paper, of whom any are as likely.
        seed (int): Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    author = rng.integers(0, num_authors, (num_papers, num_each))
    paper = np.repeat(np.arange(num_papers), num_each)
    order = np.argsort(author.reshape(-1), kind="stable")
    papers_of = np.split(paper[order], np.bincount(author.reshape(-1))[:-1].cumsum())
    pairs = [np.stack([p.repeat(p.size), np.tile(p, p.size)]) for p in papers_of]
    src, dst = np.concatenate(pairs, axis=1)
    codes = np.unique(src[src != dst] * num_papers + dst[src != dst])
    edges = np.stack([codes // num_papers, codes % num_papers])
    return Data(edge_index=torch.from_numpy(edges), num_nodes=num_papers)


def generate_communities(
    num_nodes: int, num_edges: int, num_communities: int, seed: int = 0
) -> Data:
    """Generates an undirected graph of communities with skewed degrees.

    A degree-corrected stochastic block model: degrees follow a power law of exponent
    3.2, cut off at 60 times the mean; communities differ in size; the other end of an
    edge is any node with probability 0.1, else one of the same community.

    Args:
        num_nodes (int): Number of nodes.
        num_edges (int): Approximate number of edges, counting both directions.
        num_communities (int): Number of communities.
        seed (int): Seed of the random numbers.

    Returns:
        Data: The graph, without self-loops and duplicate edges.

    Raises:
        ValueError: If `num_edges` exceeds a tenth of all pairs of nodes.
    """
    if 10 * num_edges > num_nodes * (num_nodes - 1):
        raise ValueError(
            f"'num_edges' must be at most a tenth of all pairs of {num_nodes} nodes "
            f"(got {num_edges})"
        )
    rng = np.random.default_rng(seed)
    weight = (1 - rng.random(num_nodes)) ** (-1 / 2.2)
    weight = np.minimum(weight, 60 * weight.mean())
    community = np.sort((rng.random(num_nodes) ** 1.5 * num_communities).astype(int))
    first = np.searchsorted(community, np.arange(num_communities + 1))
    ends = np.concatenate([[0], np.cumsum(weight)])
    wanted = num_edges // 2
    codes = np.empty(0, np.int64)
    while codes.size < wanted:  # some edges are drawn twice
        count = min(int(1.1 * (wanted - codes.size)) + 1000, _MAX_AT_ONCE)
        u = np.searchsorted(ends, rng.random(count) * ends[-1], side="right") - 1
        low, high = ends[first[community[u]]], ends[first[community[u] + 1]]
        anywhere = rng.random(count) < 0.1
        low, high = np.where(anywhere, 0, low), np.where(anywhere, ends[-1], high)
        place = low + rng.random(count) * (high - low)
        v = np.minimum(np.searchsorted(ends, place, side="right") - 1, num_nodes - 1)
        pairs = np.minimum(u, v) * num_nodes + np.maximum(u, v)
        codes = np.concatenate([codes, np.unique(pairs[u != v])])
        codes.sort(kind="stable")  # a merge sort, fast on sorted runs
        codes = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    if codes.size > wanted:
        codes = np.delete(codes, rng.choice(codes.size, codes.size - wanted, False))
    number = rng.permutation(num_nodes)
    u, v = number[codes // num_nodes], number[codes % num_nodes]
    edges = np.stack([np.concatenate([u, v]), np.concatenate([v, u])])
    return Data(edge_index=torch.from_numpy(edges), num_nodes=num_nodes)


_MAX_AT_ONCE = 16_000_000  # edges that are drawn together, to limit memory
