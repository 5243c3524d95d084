"""Conversion between an `edge_index` and other formats of graphs."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.typing import WITH_TORCH_SPARSE
from torch_geometric.utils.sparse import index2ptr

from pyg_hag.utils.tensors import is_everywhere

SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


class Edges(NamedTuple):
    """A graph as a list of edges."""

    edge_index: Tensor
    """Sources and destinations, `[2, num_edges]`."""
    size: tuple[int, int] | None
    """`(num_src, num_dst)`, if the format stores it."""
    weight: Tensor | None
    """The values of a sparse matrix, if it has any."""
    is_optional: bool = False
    """Whether PyG's layers use the values only where they take an `edge_weight`."""


def to_edges(graph: Any) -> Edges | None:
    """Reads a graph, or returns None if it is in none of these formats.

    Args:
        graph: A tensor of shape `[2, num_edges]`; a :class:`torch_geometric.EdgeIndex`;
            a :class:`torch_sparse.SparseTensor` or a sparse tensor of PyTorch, which
            in PyG are transposed adjacency matrices (entry (v, u) is the edge from u to
            v); or a SciPy matrix, in which entry (u, v) is that edge.
    """
    if isinstance(graph, Tensor):
        if graph.layout in SPARSE:
            return _of_torch(graph)
        size = getattr(graph, "sparse_size", None)  # an EdgeIndex
        if size is None:
            return Edges(graph, None, None)
        return Edges(graph.as_tensor(), _known(size()), None)  # type: ignore[attr-defined]
    name = f"{type(graph).__module__}.{type(graph).__name__}"
    if name.startswith("torch_sparse.") and hasattr(graph, "coo"):
        row, col, value = graph.coo()
        num_dst, num_src = graph.sparse_sizes()
        return Edges(torch.stack([col, row]), (num_src, num_dst), value, True)
    if name.startswith("scipy.sparse.") and hasattr(graph, "tocoo"):
        matrix = graph.tocoo()
        ends = np.stack([matrix.row, matrix.col]).astype(np.int64)
        value = torch.from_numpy(np.asarray(matrix.data, np.float64))
        return Edges(torch.from_numpy(ends), tuple(matrix.shape), value)
    return None


def edges_of(store: Any, why: str) -> Edges:
    """The edges in a storage of PyG's data, from `edge_index` or `adj_t`.

    Args:
        store: The storage.
        why: What the edges are needed for, for the error.

    Raises:
        ValueError: If it has neither.
    """
    if store.get("edge_index") is not None:
        return Edges(store["edge_index"], None, None)
    edges = to_edges(store.get("adj_t"))
    if edges is None:
        raise ValueError(f"'data' has neither 'edge_index' nor 'adj_t': {why}")
    return edges


def _known(size: tuple[int | None, int | None]) -> tuple[int, int] | None:
    num_src, num_dst = size
    return None if num_src is None or num_dst is None else (num_src, num_dst)


def _of_torch(matrix: Tensor) -> Edges:
    if matrix.layout == torch.sparse_coo:
        matrix = matrix if matrix.is_coalesced() else matrix.coalesce()
        row, col = matrix.indices()
        value = matrix.values()
    elif matrix.layout == torch.sparse_csr:
        value, col = matrix.values(), matrix.col_indices()
        row = _expanded(matrix.crow_indices())
    else:
        value, row = matrix.values(), matrix.row_indices()
        col = _expanded(matrix.ccol_indices())
    num_dst, num_src = matrix.shape[:2]
    return Edges(torch.stack([col.long(), row.long()]), (num_src, num_dst), value)


def _expanded(ptr: Tensor) -> Tensor:
    return torch.arange(ptr.numel() - 1, device=ptr.device).repeat_interleave(
        ptr.diff()
    )


def to_adj_t(
    edge_index: Tensor,
    size: tuple[int, int],
    layout: torch.layout | None,
    weight: Tensor | None = None,
) -> Any:
    """Converts edges, sorted by destination, to a matrix for :func:`to_edges`.

    Args:
        edge_index: The edges, `[2, num_edges]`.
        size: `(num_src, num_dst)`.
        layout: A sparse layout of PyTorch; if None, a `torch_sparse.SparseTensor`, or
            CSR without that package.
        weight: The values of the entries, `[num_edges]`.
    """
    if layout is None and WITH_TORCH_SPARSE:
        from torch_sparse import SparseTensor

        src, dst = edge_index
        return SparseTensor(
            row=dst,
            col=src,
            value=weight,
            sparse_sizes=size[::-1],
            is_sorted=True,
            trust_data=True,
        )
    if layout not in (None, *SPARSE):
        raise ValueError(f"'layout' must be one of {list(SPARSE)} (got {layout})")
    if weight is None:
        weight = torch.ones(edge_index.size(1), device=edge_index.device)
    if layout == torch.sparse_coo:
        return torch.sparse_coo_tensor(edge_index.flip(0), weight, size[::-1])
    by_src = layout == torch.sparse_csc
    if by_src:
        order = edge_index[0].argsort(stable=True)
        edge_index, weight = edge_index[:, order], weight[order]
    compressed, other = (0, 1) if by_src else (1, 0)
    ptr = index2ptr(edge_index[compressed], size[compressed])
    make = torch.sparse_csc_tensor if by_src else torch.sparse_csr_tensor
    return make(ptr, edge_index[other], weight, size=size[::-1])


def is_unweighted(weight: Tensor | None) -> bool:
    """Whether all weights are 1, and stay so."""
    if weight is None:
        return True
    return not weight.requires_grad and is_everywhere(weight, 1)
