"""GNN aggregation without redundant work, for PyTorch Geometric."""

from pyg_hag.hag import HAG
from pyg_hag.ops import aggregate
from pyg_hag.search import build_hag

__version__ = "0.1.0"

__all__ = ["HAG", "aggregate", "build_hag"]
