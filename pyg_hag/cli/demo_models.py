"""The models of the demo: the same network of PyG's layers and of ours."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv, global_mean_pool

from pyg_hag.nn import HAGGCNConv, HAGGINConv


class GIN(nn.Module):
    """Three GIN layers, the mean over nodes of each, and a linear classifier."""

    def __init__(self, use_hag: bool, in_channels: int, hidden: int, classes: int):
        super().__init__()
        conv = HAGGINConv if use_hag else GINConv
        self.use_hag = use_hag
        self.convs = nn.ModuleList()
        for channels in (in_channels, hidden, hidden):
            mlp = nn.Sequential(
                nn.Linear(channels, hidden, bias=False),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
            )
            self.convs.append(conv(mlp))
        self.lin = nn.Linear(3 * hidden, classes)

    def forward(self, data: Any) -> Tensor:
        """Class scores of each graph of a batch."""
        graph = data.hag if self.use_hag else data.edge_index
        x, pooled = data.x, []
        for conv in self.convs:
            x = conv(x, graph)
            pooled.append(global_mean_pool(x, data.batch))
        return self.lin(torch.cat(pooled, dim=1))


class GCN(nn.Module):
    """Two GCN layers with dropout."""

    def __init__(self, use_hag: bool, in_channels: int, hidden: int, classes: int):
        super().__init__()
        conv = HAGGCNConv if use_hag else GCNConv
        self.use_hag = use_hag
        self.conv1 = conv(in_channels, hidden)
        self.conv2 = conv(hidden, classes)

    def forward(self, data: Any) -> Tensor:
        """Class scores of each node."""
        graph = data.hag if self.use_hag else data.edge_index
        x = F.dropout(data.x, training=self.training)
        x = F.dropout(self.conv1(x, graph).relu(), training=self.training)
        return self.conv2(x, graph)
