"""Reads and checks a graph in any supported format."""

from typing import Any

from torch import Tensor

from pyg_hag.graph.checks import MAX_NODES, check_edge_index
from pyg_hag.graph.formats import is_unweighted, to_edges
from pyg_hag.utils.checks import check_count


def read_graph(
    graph: Any, num_nodes: int | None = None, size: tuple[int, int] | None = None
) -> tuple[Tensor, tuple[int, int]]:
    """The edges and the size of a graph.

    Args:
        graph: See :func:`pyg_hag.build_hag`.
        num_nodes: Number of nodes.
        size: Alternatively, `(num_src, num_dst)`.

    Returns:
        The edges, `[2, num_edges]`, and `(num_src, num_dst)`.

    Raises:
        TypeError: If the graph is in none of the supported formats.
        ValueError: If it has weights, or does not match the sizes.
    """
    edge_index, size = _edges_of(graph, num_nodes, size)
    size = _checked_size(edge_index, num_nodes, size)
    check_edge_index(edge_index, size)
    return edge_index, size


def _edges_of(
    graph: Any, num_nodes: int | None, size: tuple[int, int] | None
) -> tuple[Any, tuple[int, int] | None]:
    """The edges of a graph in any format, and its size if it is known."""
    edges = to_edges(graph)
    if edges is None:  # the next check raises
        return graph, size
    if not is_unweighted(edges.weight):
        raise ValueError(
            "'edge_index' is a sparse matrix with values other than 1, which a HAG "
            "cannot represent: pass its edges, and the values as 'edge_weight' to the "
            "layer"
        )
    if edges.size is None:
        return edges.edge_index, size
    given = size if num_nodes is None else (num_nodes, num_nodes)
    if given is not None and given != edges.size:
        name = "size" if num_nodes is None else "num_nodes"
        raise ValueError(
            f"'{name}' is {size if num_nodes is None else num_nodes}, but 'edge_index' "
            f"is a graph of {edges.size[0]} sources and {edges.size[1]} destinations"
        )
    return edges.edge_index, edges.size if num_nodes is None else None


def _checked_size(
    edge_index: object, num_nodes: int | None, size: tuple[int, int] | None
) -> tuple[int, int]:
    if num_nodes is not None and size is not None:
        raise ValueError(
            f"pass either 'num_nodes' or 'size', not both (got {num_nodes} and {size})"
        )
    if size is not None:
        if not isinstance(size, tuple) or len(size) != 2:
            raise TypeError(f"'size' must be (num_src, num_dst) (got {size!r})")
    elif num_nodes is not None:
        size = (num_nodes, num_nodes)
    else:
        edges = check_edge_index(edge_index, (MAX_NODES, MAX_NODES))
        n = int(edges.max()) + 1 if edges.numel() else 0
        size = (n, n)
    name = "num_nodes" if num_nodes is not None else "size"
    for value in size:
        if check_count(name, value, 0) > MAX_NODES:
            raise ValueError(f"'{name}' must be less than 2**31 (got {value})")
    return size
