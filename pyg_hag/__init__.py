"""GNN aggregation without redundant work, for PyTorch Geometric."""

from pyg_hag._memory import release_memory
from pyg_hag._warmup import warmup
from pyg_hag.data import HAGData, HAGHeteroData
from pyg_hag.hag import HAG
from pyg_hag.nn import to_hag
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag
from pyg_hag.transforms import HAGTransform

__version__ = "0.1.0"

__all__ = [
    "HAG",  # hierarchically aggregated graph: the container
    "HAGData",  # a `Data` object that carries its HAG
    "HAGHeteroData",  # a `HeteroData` object that carries one per edge type
    "HAGTransform",  # builds the HAG of a `Data` object
    "aggregate",  # sum, mean, max, ... over a HAG
    "build_hag",  # from an edge_index to its HAG
    "release_memory",  # gives memory kept for large results back to the system
    "to_hag",  # has any model of PyG's layers take a HAG
    "warmup",  # compiles ahead of the first call
]
