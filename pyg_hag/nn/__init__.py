"""PyG's layers over a HAG."""

from pyg_hag.nn.conv import HAGGCNConv, HAGGINConv, HAGSAGEConv

__all__ = ["HAGGCNConv", "HAGGINConv", "HAGSAGEConv"]
