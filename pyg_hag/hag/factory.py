"""HAGs without aggregates, made without a search."""

from typing import Any

from pyg_hag.graph.read import read_graph
from pyg_hag.hag.container import HAG
from pyg_hag.hag.decision import Decision, Reason
from pyg_hag.hag.edge_weights import read_weights
from pyg_hag.hag.plain import plain_flat
from pyg_hag.utils.tensors import as_int64


def plain_hag(
    graph: Any,
    num_nodes: int | None = None,
    size: tuple[int, int] | None = None,
    sequential: bool = False,
) -> HAG:
    """The plain HAG of a graph: without aggregates.

    Args:
        graph: See :func:`pyg_hag.build_hag`.
        num_nodes: The number of nodes, or None.
        size: The numbers of sources and destinations, instead of `num_nodes`.
        sequential: Whether inputs are in the order of the edges.
    """
    edge_index, size, weight, is_optional = read_graph(graph, num_nodes, size)
    src, dst = as_int64(edge_index.detach().cpu()).numpy()
    flat = plain_flat(src, dst, size, sequential)
    hag = HAG.from_arrays(size[0], flat, sequential).to(edge_index.device)
    hag = hag.in_order_of(edge_index).decided(Decision(Reason.NO_SEARCH))
    if weight is None:
        return hag
    weights, _ = read_weights(edge_index, weight, size, is_optional)
    return hag.weighted_by(weights)
