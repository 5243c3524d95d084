"""GNN aggregation without redundant work, for PyTorch Geometric."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyg_hag._warmup import warmup
    from pyg_hag.analysis import analyze, plot_savings
    from pyg_hag.cost import CostModel
    from pyg_hag.data import HAGData, HAGHeteroData
    from pyg_hag.hag import HAG, HAGStats, to_networkx
    from pyg_hag.nn import from_hag, hag_support, to_hag
    from pyg_hag.ops import aggregate
    from pyg_hag.runtime.memory import release_memory
    from pyg_hag.search import SearchOptions, build_hag, build_hag_of_product
    from pyg_hag.transforms import HAGMetaPaths, HAGTransform

__version__ = "0.2.0"

__all__ = [
    "HAG",  # hierarchically aggregated graph: the container
    "CostModel",  # predicts the time of a HAG and of the graph as it is
    "HAGData",  # a `Data` object that carries its HAG
    "HAGHeteroData",  # a `HeteroData` object that carries one per edge type
    "HAGMetaPaths",  # builds the HAGs of meta-paths, in place of `T.AddMetaPaths`
    "HAGStats",  # what a HAG costs, next to the graph as it is
    "HAGTransform",  # builds the HAG of a `Data` object
    "SearchOptions",  # how to search, for `build_hag` and `HAGTransform`
    "aggregate",  # sum, mean, max, ... over a HAG
    "analyze",  # what a graph has to gain, before anything is changed
    "build_hag",  # from an edge_index to its HAG
    "build_hag_of_product",  # from the factors of a product of graphs to its HAG
    "from_hag",  # the model of PyG's own layers again
    "hag_support",  # which layers of a model share work, and why others do not
    "plot_savings",  # what `analyze` has found, as a figure
    "release_memory",  # gives memory kept for large results back to the system
    "to_hag",  # makes any model of PyG's layers take a HAG
    "to_networkx",  # a HAG as a graph of networkx
    "warmup",  # compiles ahead of the first call
]

_HOMES = {
    "_warmup": ["warmup"],
    "analysis": ["analyze", "plot_savings"],
    "cost": ["CostModel"],
    "data": ["HAGData", "HAGHeteroData"],
    "hag": ["HAG", "HAGStats", "to_networkx"],
    "nn": ["from_hag", "hag_support", "to_hag"],
    "ops": ["aggregate"],
    "runtime.memory": ["release_memory"],
    "search": ["SearchOptions", "build_hag", "build_hag_of_product"],
    "transforms": ["HAGMetaPaths", "HAGTransform"],
}
"""The modules of the names, in the order in which they are imported."""


def __getattr__(name: str) -> Any:
    # Names are imported when the first is used: the command line prints its help
    # without them, at a tenth of the time.
    if name not in __all__ and name not in _packages():
        raise AttributeError(f"module 'pyg_hag' has no attribute '{name}'")
    _import_all()
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_packages()})


def _packages() -> set[str]:
    return {home.split(".")[0] for home in _HOMES}


def _import_all() -> None:
    for home, names in _HOMES.items():
        module = importlib.import_module(f"pyg_hag.{home}")
        globals().update({name: getattr(module, name) for name in names})


if "torch" in sys.modules:  # whose `torch.load` then knows the classes
    _import_all()
