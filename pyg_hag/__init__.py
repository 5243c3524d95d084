"""GNN aggregation without redundant work, for PyTorch Geometric."""

from pyg_hag.hag import HAG
from pyg_hag.search import build_hag

__version__ = "0.1.0"
