"""What layers get in place of a HAG where they need its edges."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import add_self_loops, remove_self_loops

from pyg_hag.hag import HAG, AbstractHAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.ops.edges import transforms_are_active


def features_with_loops(conv: Any, hag: AbstractHAG, edge_attr: Tensor) -> Tensor:
    """Features of the edges as PyG's layers have them after they add self-loops.

    Those of self-loops that the graph has are dropped; those of the added ones come
    last.

    Args:
        conv: The layer: its flow and `fill_value`.
        hag: The graph, in the direction of the messages.
        edge_attr: The features, in the order in which the edges were given.
    """
    edges = hag.edge_index_in_order("edge_attr")
    if conv.flow == "target_to_source":
        edges = edges.flip(0)
    edges, kept = remove_self_loops(edges, edge_attr)
    nodes = min(hag.num_src, hag.num_dst)
    fill = conv.fill_value
    _, features = add_self_loops(edges, kept, fill_value=fill, num_nodes=nodes)
    assert features is not None
    return features


def dtype_of(given: dict[str, Any]) -> torch.dtype | None:
    """The dtype of the features among the arguments of a layer, or None."""
    for value in given.values():
        x = value[0] if isinstance(value, (tuple, list)) and value else value
        if isinstance(x, Tensor) and x.is_floating_point():
            return x.dtype
    return None


def to_edges(
    value: Any, ordered: str | None, has_weights: bool, dtype: torch.dtype | None
) -> Any:
    """What an unsupported module gets for a HAG.

    Args:
        value: An argument.
        ordered: The name of an argument that is given edge by edge, if there is one.
        has_weights: Whether the weights of the edges are among the arguments.
        dtype: The dtype of the features, which the values of a matrix then have.
    """
    if isinstance(value, AbstractHAG):
        if ordered is not None:
            return value.edge_index_in_order(ordered)
        if value.weights is None or value.of_paths or has_weights:
            return value.edge_index_of_any_order()
        return _matrix_of(value, dtype)
    if type(value) is dict:
        known = ordered, has_weights, dtype
        return {key: to_edges(item, *known) for key, item in value.items()}
    return value


def _matrix_of(hag: AbstractHAG, dtype: torch.dtype | None) -> Any:
    """The matrix that a HAG stands for: layers have uses of their own for its values.

    Some read them as `edge_attr` or as `edge_type`.
    """
    if not isinstance(hag, HAG):
        raise ValueError(
            "'edge_index' is a HAG with weights of its edges, which layers that need "
            "edges do not take in compiled code: pass 'edge_index' and the weights"
        )
    weights = hag.weights
    assert weights is not None
    # Under transforms layers work on COO alone; on CSR, gradients of values and layers
    # that use the indices twice.
    layout = torch.sparse_coo if transforms_are_active() else torch.sparse_csr
    if weights.edge_weight is not None and weights.edge_weight.requires_grad:
        return _new_matrix(hag, dtype, layout)
    return _kept_matrix(hag, dtype, layout)


def _new_matrix(hag: HAG, dtype: torch.dtype | None, layout: torch.layout) -> Any:
    weights = hag.weights
    assert weights is not None
    if dtype is not None and not weights.is_integral:
        a, b, weight = (None if t is None else t.to(dtype) for t in weights[:3])
        changed = weights._replace(src_scale=a, dst_scale=b, edge_weight=weight)
        hag = hag.unweighted.weighted_by(changed)
    if weights.is_optional:
        return hag.to_adj_t()
    matrix = hag.to_adj_t(torch.sparse_csr)
    return matrix if layout == torch.sparse_csr else matrix.to_sparse_coo()


_kept_matrix = once_per_hag(_new_matrix)
