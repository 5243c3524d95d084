"""Networks for the quantization benchmarks, and node features made of degrees."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GINConv, global_mean_pool
from torch_geometric.transforms import OneHotDegree
from torch_geometric.utils import degree

MAX_ONE_HOT = 1000


class AttentionNet(nn.Module):
    """Two layers of GAT: eight heads of eight features, then one."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = GATConv(num_features, 8, heads=8, dropout=0.6)
        self.conv2 = GATConv(64, num_classes, dropout=0.6)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """Logits of the nodes."""
        x = F.dropout(x, 0.6, self.training)
        x = F.elu(self.conv1(x, edge_index))
        x = F.dropout(x, 0.6, self.training)
        out: Tensor = self.conv2(x, edge_index)
        return out


class SumNet(nn.Module):
    """Two layers of GIN, with dropout before each."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            GINConv(
                nn.Sequential(nn.Linear(inner, 64), nn.ReLU(), nn.Linear(64, outer))
            )
            for inner, outer in ((num_features, 64), (64, num_classes))
        )

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """Logits of the nodes."""
        x = F.dropout(x, 0.5, self.training)
        x = F.relu(self.conv1(x, edge_index))
        x = F.dropout(x, 0.5, self.training)
        out: Tensor = self.conv2(x, edge_index)
        return out


class GraphClassifier(nn.Module):
    """A basic GNN of PyG with batch norms, mean pooling and two linear layers."""

    def __init__(
        self, gnn: Any, num_features: int, hidden: int, layers: int, num_classes: int
    ) -> None:
        super().__init__()
        self.layers = gnn(num_features, hidden, layers, norm="batch_norm")
        self.norm = nn.BatchNorm1d(hidden)
        self.lin1 = nn.Linear(hidden, hidden)
        self.lin2 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor, edge_index: Any, batch: Tensor) -> Tensor:
        """Logits of the graphs."""
        x = F.relu(self.norm(self.layers(x, edge_index)))
        x = F.relu(self.lin1(global_mean_pool(x, batch)))
        x = F.dropout(x, 0.5, self.training)
        out: Tensor = self.lin2(x)
        return out


class GINClassifier(nn.Module):
    """GIN layers as in Degree-Quant, each with a norm at the end of its MLP.

    Followed by mean pooling and two linear layers.
    """

    def __init__(
        self, num_features: int, hidden: int, layers: int, num_classes: int
    ) -> None:
        super().__init__()
        widths = [num_features] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(
            GINConv(
                nn.Sequential(
                    nn.Linear(width, hidden),
                    nn.ReLU(),
                    nn.Linear(hidden, hidden),
                    nn.ReLU(),
                    nn.BatchNorm1d(hidden),
                ),
                train_eps=True,
            )
            for width in widths
        )
        self.lin1 = nn.Linear(hidden, hidden)
        self.lin2 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor, edge_index: Any, batch: Tensor) -> Tensor:
        """Logits of the graphs."""
        for layer in self.layers:
            x = layer(x, edge_index)
        x = F.relu(self.lin1(global_mean_pool(x, batch)))
        x = F.dropout(x, 0.5, self.training)
        out: Tensor = self.lin2(x)
        return out


class NormalizedDegree:
    """Appends in-degrees as features, with mean 0 and standard deviation 1."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.std = mean, std

    def __call__(self, data: Data) -> Data:
        """Adds the feature to the graph."""
        count = degree(data.edge_index[1], data.num_nodes)
        data.x = ((count - self.mean) / self.std).view(-1, 1)
        return data


def degrees_as_features(graphs: list[Data]) -> Any:
    """A transform to features: one-hot degrees, or normalized if some are large."""
    counts = torch.cat([degree(g.edge_index[1], g.num_nodes) for g in graphs])
    largest = int(counts.max())
    if largest < MAX_ONE_HOT:
        return OneHotDegree(largest)
    return NormalizedDegree(float(counts.mean()), float(counts.std()))
