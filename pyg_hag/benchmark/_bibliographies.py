"""The graphs of the meta-paths that are measured, all of them generated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch_geometric.data import HeteroData

from pyg_hag.benchmark._benchmark import Settings
from pyg_hag.datasets import generate_bibliography

TYPES = {"A": "author", "P": "paper", "V": "venue", "T": "term"}
"""The node types, by the letters of a meta-path such as `APVPA`."""


@dataclass(frozen=True)
class Bibliography:
    """A graph and its meta-paths.

    Args:
        make: Generates it.
        paths: The meta-paths.
        computes: Whether sums and layers are measured as well, or HAGs are made only.
    """

    make: Callable[[], HeteroData]
    paths: tuple[str, ...]
    computes: bool = True


_MANY: dict[str, Any] = {"authors_each": (3, 3), "author_sigma": 1.05, "loyalty": 0.0}
BIBLIOGRAPHIES = {
    "DBLP-shaped": Bibliography(
        partial(
            generate_bibliography,
            *(14_328, 4_057, 20, 7_723),
            authors_each=(1, 2),
            terms_each=6,
            venue_sigma=1.2,
        ),
        ("APA", "APVPA", "APTPA"),
    ),
    "ACM-shaped": Bibliography(
        partial(
            generate_bibliography,
            *(3_025, 5_959, 56),
            author_sigma=0.7,
            venue_sigma=2.0,
        ),
        ("PAP", "PVP"),
    ),
    "IMDB-shaped": Bibliography(
        partial(
            generate_bibliography,
            *(4_278, 5_257, 2_081),
            authors_each=(3, 3),
            venue_sigma=0.6,
            loyalty=0.0,
        ),
        ("PAP", "PVP"),
    ),
    "1M-papers": Bibliography(
        partial(generate_bibliography, 1_000_000, 200_000, 100, **_MANY), ("PAP",)
    ),
    "5M-papers": Bibliography(
        partial(generate_bibliography, 5_000_000, 200_000, 100, **_MANY),
        ("PAP",),
        computes=False,
    ),
}
"""The numbers of nodes of data sets of meta-paths, movies as papers, actors as authors
and directors as venues; and papers of three authors each."""
QUICK = {
    "300-papers": Bibliography(
        partial(generate_bibliography, 300, 100, 12), ("APA", "PVP")
    )
}


def chosen(settings: Settings) -> dict[str, Bibliography]:
    """The graphs that were named, or the default ones.

    Raises:
        ValueError: If there is no such graph.
    """
    if not settings.graphs:
        return QUICK if settings.quick else BIBLIOGRAPHIES
    known = {**BIBLIOGRAPHIES, **QUICK}
    unknown = [name for name in settings.graphs if name not in known]
    if unknown:
        raise ValueError(
            f"'metapaths' has no graph {', '.join(unknown)}: its graphs are generated, "
            f"name some of {', '.join(known)}"
        )
    return {name: known[name] for name in settings.graphs}


def bare(data: HeteroData) -> HeteroData:
    """The edges and the numbers of nodes alone."""
    out = HeteroData()
    for node_type in data.node_types:
        out[node_type].num_nodes = data[node_type].num_nodes
    for edge_type in data.edge_types:
        out[edge_type].edge_index = data[edge_type].edge_index
    return out


def steps(path: str) -> list[tuple[str, str, str]]:
    """The edge types of a meta-path."""
    return [(TYPES[a], "to", TYPES[b]) for a, b in pairwise(path)]


def ends(path: str) -> tuple[str, str, str]:
    """The edge type that a meta-path becomes if it is the only one."""
    return TYPES[path[0]], "metapath_0", TYPES[path[-1]]


def most_edges(data: HeteroData, path: str) -> int:
    """An upper bound of the number of edges of a meta-path: of paths, or of pairs."""
    num_nodes = [data[TYPES[letter]].num_nodes for letter in path]
    paths = torch.ones(num_nodes[0], dtype=torch.float64)
    for edge_type, number in zip(steps(path), num_nodes[1:], strict=True):
        src, dst = data[edge_type].edge_index
        paths = torch.zeros(number, dtype=paths.dtype).index_add_(0, dst, paths[src])
    return min(int(paths.sum()), num_nodes[0] * num_nodes[-1])
