"""Graphs for the demo and the benchmarks."""

from pyg_hag.datasets.bibliography import generate_bibliography
from pyg_hag.datasets.groups import (
    generate_ego_networks,
    generate_meta_path,
    generate_social_graph,
)
from pyg_hag.datasets.load import (
    GENERATED,
    GENERATED_SMALL,
    ROOT_VARIABLE,
    as_one_graph,
    find_root,
    is_there,
    load_graphs,
)
from pyg_hag.datasets.sparse import generate_communities, generate_products

__all__ = [
    "GENERATED",
    "GENERATED_SMALL",
    "ROOT_VARIABLE",
    "as_one_graph",
    "find_root",
    "generate_bibliography",
    "generate_communities",
    "generate_ego_networks",
    "generate_meta_path",
    "generate_products",
    "generate_social_graph",
    "is_there",
    "load_graphs",
]
