"""Reads and checks a graph in any supported format."""

from typing import Any, NamedTuple

from torch import Tensor

from pyg_hag.graph.checks import MAX_NODES, check_edge_index
from pyg_hag.graph.formats import Edges, is_unweighted, to_edges
from pyg_hag.utils.checks import check_count
from pyg_hag.utils.tensors import ends


class Graph(NamedTuple):
    """A graph that has been read and checked."""

    edge_index: Tensor
    """Sources and destinations, `[2, num_edges]`."""
    size: tuple[int, int]
    """`(num_src, num_dst)`."""
    weight: Tensor | None
    """The values of a matrix, `[num_edges]`; None if all are 1."""
    is_optional: bool
    """See :class:`pyg_hag.graph.formats.Edges`."""


def read_graph(
    graph: Any, num_nodes: int | None = None, size: tuple[int, int] | None = None
) -> Graph:
    """The edges, the size and the weights of a graph.

    Args:
        graph: See :func:`pyg_hag.build_hag`.
        num_nodes: Number of nodes.
        size: Alternatively, `(num_src, num_dst)`.

    Returns:
        The graph.

    Raises:
        TypeError: If the graph is in none of the supported formats.
        ValueError: If it does not match the sizes, or is a matrix of vectors.
    """
    edges = to_edges(graph) or Edges(graph, None, None)  # the next check raises
    weight = None if is_unweighted(edges.weight) else edges.weight
    if weight is not None and weight.dim() != 1:
        raise ValueError(
            f"'edge_index' is a sparse matrix with several values per edge (their "
            f"shape is {list(weight.shape)}): pass its edges, and the values as "
            f"'edge_attr' to the layer"
        )
    known = _known_size(edges, num_nodes, size)
    size = _checked_size(edges.edge_index, num_nodes, known)
    check_edge_index(edges.edge_index, size)
    return Graph(edges.edge_index, size, weight, edges.is_optional)


def _known_size(
    edges: Edges, num_nodes: int | None, size: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The size of a graph if it is known, except for `num_nodes`."""
    if edges.size is None:
        return size
    given = size if num_nodes is None else (num_nodes, num_nodes)
    if given is not None and tuple(given) != edges.size:
        name = "size" if num_nodes is None else "num_nodes"
        raise ValueError(
            f"'{name}' is {size if num_nodes is None else num_nodes}, but 'edge_index' "
            f"is a graph of {edges.size[0]} sources and {edges.size[1]} destinations"
        )
    return edges.size if num_nodes is None else None


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
        n = ends(edges)[1] + 1 if edges.numel() else 0
        size = (n, n)
    name = "num_nodes" if num_nodes is not None else "size"
    num_src, num_dst = (check_count(name, value, 0) for value in size)
    if max(num_src, num_dst) > MAX_NODES:
        raise ValueError(
            f"'{name}' must be less than 2**31 (got {max(num_src, num_dst)})"
        )
    return num_src, num_dst
