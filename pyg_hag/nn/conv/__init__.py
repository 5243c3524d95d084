"""Convolutions that accept a HAG in place of an `edge_index`."""

from pyg_hag.nn.conv.eg_conv import HAGEGConv
from pyg_hag.nn.conv.gcn_conv import HAGGCNConv
from pyg_hag.nn.conv.gin_conv import HAGGINConv
from pyg_hag.nn.conv.sage_conv import HAGSAGEConv
from pyg_hag.nn.conv.tree_lstm_conv import HAGTreeLSTMConv

__all__ = ["HAGEGConv", "HAGGCNConv", "HAGGINConv", "HAGSAGEConv", "HAGTreeLSTMConv"]
