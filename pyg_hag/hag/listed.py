"""The edges that a HAG represents, and their weights."""

from typing import Any

import torch
from torch import Tensor

from pyg_hag.graph.formats import to_adj_t
from pyg_hag.hag.weighted import WeightedHAG
from pyg_hag.utils.tensors import kept_property


class ListedHAG(WeightedHAG):
    """A HAG that lists the edges of its graph."""

    def to_edge_index(self, max_edges: int | None = None) -> Tensor:
        """Expands the HAG to the edges of the graph, duplicates included.

        If it :attr:`is_count` or :attr:`is_cover`, there are no duplicates.

        Args:
            max_edges (int, optional): The largest number of edges to list, as a HAG of
                a few kilobytes can represent more than fit into memory. If None,
                2**26, or 1,000 for each input of the HAG if that is more.

        Returns:
            torch.Tensor: int64 of shape `[2, num_edges]` (sources, destinations),
            sorted by destination and then by source.

        Raises:
            ValueError: If there are more edges, or the HAG represents no graph.
        """
        if self.of_paths:
            edge_index, _ = self.host.distinct_edges(max_edges)
        else:
            edge_index = self.host.edge_index(max_edges)
        return torch.from_numpy(edge_index).to(self.device)

    def edge_index_of_any_order(self) -> Tensor:
        """The edges in the order they were given in, or sorted if it is unknown.

        For layers that need edges and for which their order makes no difference.
        """
        if self.given_edge_index is not None:
            return self.given_edge_index
        return self._edge_index

    def edge_index_in_order(self, name: str) -> Tensor:
        """The edges in the order in which they were given.

        Args:
            name (str): The argument that is in the order of the edges, for the error.

        Raises:
            ValueError: If the order is unknown.
        """
        if self.of_paths:
            raise ValueError(
                f"'{name}' is given edge by edge, but this HAG is a {self.of_paths}: "
                f"its edges are made of its paths and have no order; leave '{name}' out"
            )
        if self.given_edge_index is None:
            raise ValueError(
                f"'{name}' is given edge by edge, but this HAG does not know the "
                f"order of its edges (it was loaded or copied): use 'data.hag' or "
                f"'build_hag(edge_index)'"
            )
        return self.given_edge_index

    def to_adj_t(self, layout: torch.layout | None = None) -> Any:
        """Expands the HAG to the transposed adjacency matrix, as PyG's layers take it.

        Args:
            layout (torch.layout, optional): `torch.sparse_csr`, `torch.sparse_csc` or
                `torch.sparse_coo`. If None, a `torch_sparse.SparseTensor` if that
                package is installed, else `torch.sparse_csr`.

        Returns:
            torch_sparse.SparseTensor or torch.Tensor: Of shape `[num_dst, num_src]`,
            with an entry (v, u) for each edge from u to v, duplicates included: its
            weight. Without weights, the entries of a `torch.Tensor` are 1.
        """
        size, edge_index = (self.num_src, self.num_dst), self.to_edge_index()
        return to_adj_t(edge_index, size, layout, self.to_edge_weight(edge_index))

    def to_edge_weight(self, edge_index: Tensor) -> Tensor | None:
        """The weights of the edges of :meth:`to_edge_index`, or None if all are 1.

        In the dtype of the matrix that the HAG stands for, or int64 if its values were
        whole numbers. Numbers of paths are float32, as in PyG's `AddMetaPaths`.
        """
        weights = self.weights
        if weights is None or self.of_paths:
            return self._edge_paths if self.is_count else None
        if weights.edge_weight is not None:
            out = self._sorted_weights(weights.edge_weight)
        else:
            out = weights.of_edges(edge_index)
        return out.round().long() if weights.is_integral else out

    def edge_weight_of_any_order(self) -> Tensor | None:
        """The weights of :meth:`edge_index_of_any_order`, or None if all are 1."""
        weights = self.weights
        if weights is None or self.of_paths:
            return self._edge_paths if self.is_count else None
        return weights.of_edges(self.edge_index_of_any_order())

    @kept_property
    def _edge_index(self) -> Tensor:
        if self.of_paths:
            return self.unweighted._distinct[0]
        return self.to_edge_index()

    @kept_property
    def _distinct(self) -> tuple[Tensor, Tensor]:
        """The edges of which each is at least one path, and how many it is."""
        edge_index, paths = self.host.distinct_edges()
        tensors = torch.from_numpy(edge_index), torch.from_numpy(paths)
        return tensors[0].to(self.device), tensors[1].to(self.device)

    @property
    def _edge_paths(self) -> Tensor:
        return self.unweighted._distinct[1]
