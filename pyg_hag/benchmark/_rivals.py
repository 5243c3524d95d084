"""How PyTorch and PyG aggregate, for comparison."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import SimpleConv

BASELINE = "embedding_bag"
MAX_MESSAGE_BYTES = 4 << 30  # edges x features: PyG's messages on an edge_index
_SPARSE_REDUCES = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}


class Rivals:
    """A graph in the formats of PyTorch and PyG, and their operators on it."""

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        order = edge_index[1].argsort(stable=True)
        self.edge_index = edge_index
        self.num_nodes = num_nodes
        self.col = edge_index[0][order]
        self.ptr = torch.zeros(num_nodes + 1, dtype=torch.long)
        self.ptr[1:] = torch.bincount(edge_index[1], minlength=num_nodes).cumsum(0)
        self.adjacency = torch.sparse_csr_tensor(
            self.ptr,
            self.col,
            torch.ones(self.col.numel()),
            (num_nodes, num_nodes),
            check_invariants=False,
        )

    def to(self, device: str) -> "Rivals":
        """Moves the graph to a device."""
        moved = copy.copy(self)
        for name in ("edge_index", "col", "ptr", "adjacency"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def embedding_bag(self, x: Tensor) -> Any:
        """Sums of rows of x by `F.embedding_bag`, PyTorch's fastest way on a CPU."""
        bag = F.embedding_bag
        return bag(self.col, x, self.ptr, mode="sum", include_last_offset=True)

    def csr(self, x: Tensor) -> Any:
        """The product of the sparse adjacency matrix and x."""
        return self.adjacency @ x

    def sparse_reduce(self, x: Tensor, reduce: str) -> Any:
        """Any reduction by `torch.sparse.mm`, as PyG does with a sparse matrix."""
        return torch.sparse.mm(self.adjacency, x, _SPARSE_REDUCES[reduce])

    def messages_fit(self, x: Tensor) -> bool:
        """Whether the messages on `edge_index` fit into :data:`MAX_MESSAGE_BYTES`."""
        return self.col.numel() * x[0].nbytes <= MAX_MESSAGE_BYTES

    def pyg(self, x: Tensor, reduce: str) -> Any:
        """PyG's `SimpleConv` on `edge_index`."""
        return SimpleConv(aggr=reduce)(x, self.edge_index)

    def sums(self, x: Tensor) -> dict[str, Callable[[], Any]]:
        """All ways to sum, by name, and a copy of x as the lower bound."""
        out = torch.empty_like(x)
        ways: dict[str, Callable[[], Any]] = {
            BASELINE: partial(self.embedding_bag, x),
            "CSR @": partial(self.csr, x),
            "sparse.mm": partial(self.sparse_reduce, x, "sum"),
            "copy of x": partial(out.copy_, x),
        }
        if self.messages_fit(x):
            ways["edge_index"] = partial(self.pyg, x, "sum")
        return ways
