"""PyG's layers and models on a HAG."""

from pyg_hag.nn.aggr import HAGLSTMAggregation
from pyg_hag.nn.conv import (
    HAGEGConv,
    HAGGCNConv,
    HAGGINConv,
    HAGSAGEConv,
    HAGTreeLSTMConv,
)
from pyg_hag.nn.convert import from_hag, to_hag
from pyg_hag.nn.support import hag_support

__all__ = [
    "HAGEGConv",
    "HAGGCNConv",
    "HAGGINConv",
    "HAGLSTMAggregation",
    "HAGSAGEConv",
    "HAGTreeLSTMConv",
    "from_hag",
    "hag_support",
    "to_hag",
]
