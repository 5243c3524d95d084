"""A HAG as a list of nodes and arrows, for pictures and for networkx."""

from typing import Any

from pyg_hag.drawing.diagram import (
    AGGREGATE,
    DESTINATION,
    SOURCE,
    Arrow,
    Diagram,
    Node,
)
from pyg_hag.hag.base import FlatHAG
from pyg_hag.hag.host import HostHAG

_KEYS = {SOURCE: "src", AGGREGATE: "agg", DESTINATION: "dst"}


def diagram_of(host: HostHAG) -> Diagram:
    """Lists the nodes of a HAG, kind by kind in the order of numbers, and its inputs.

    Args:
        host: The arrays of the HAG.
    """
    level, depth = host.paths.level.tolist(), int(host.paths.level.max(initial=0))
    nodes = [
        *(Node(SOURCE, u, 0) for u in range(host.num_src)),
        *(Node(AGGREGATE, k, level[k]) for k in range(len(level))),
        *(Node(DESTINATION, v, depth + 1) for v in range(host.num_dst)),
    ]
    target, *pointers = host.rows
    src_ptr, src_mid, src, agg_ptr, agg_mid, agg = (p.tolist() for p in pointers)
    first_agg, first_dst = host.num_src, host.num_src + len(level)
    arrows = []
    for row, end in enumerate(target.tolist()):
        head = first_agg - 1 - end if end < 0 else first_dst + end
        inputs = [  # the aggregate of a sequential row is read first
            *((first_agg + agg[e], e < agg_mid[row]) for e in _range(agg_ptr, row)),
            *((src[e], e < src_mid[row]) for e in _range(src_ptr, row)),
        ]
        arrows += [
            Arrow(tail, head, 1 if is_added else -1, order)
            for order, (tail, is_added) in enumerate(inputs)
        ]
    return Diagram(nodes, arrows, host.is_sequential)


def _range(pointers: list[int], row: int) -> range:
    return range(pointers[row], pointers[row + 1])


def to_networkx(hag: FlatHAG) -> Any:
    """Converts a HAG to a directed multigraph of networkx.

    Nodes are `("src", u)`, `("agg", k)` and `("dst", v)` with the attributes `kind`
    (`"source"`, `"aggregate"` or `"destination"`) and `level` (0 for sources, one more
    than the highest level that they read for aggregates, one more than the highest of
    all for destinations). Every input of a row is an edge, inputs that are read twice
    are two, with the attributes `sign` (1, or -1 if the input is subtracted) and
    `order`, its position in the row, which matters in a sequential HAG.

    Args:
        hag (HAG): Any HAG. Weights of its edges are no part of the result.

    Returns:
        networkx.MultiDiGraph: The graph, of `num_src + num_aggregates + num_dst` nodes
        and `stats.reads` edges.

    Raises:
        TypeError: If `hag` is not a HAG.
        ImportError: If networkx is not installed.

    Example:
        >>> import networkx as nx
        >>> graph = to_networkx(hag)
        >>> nx.draw(graph, nx.multipartite_layout(graph, subset_key="level"))
    """
    if not isinstance(hag, FlatHAG):
        raise TypeError(f"'hag' must be a HAG (got {type(hag).__name__})")
    try:
        import networkx
    except ImportError as error:
        raise ImportError(
            f"'to_networkx' needs networkx: pip install networkx ({error})"
        ) from None
    diagram = diagram_of(hag.host)
    graph = networkx.MultiDiGraph()
    keys = [(_KEYS[node.kind], node.number) for node in diagram.nodes]
    for key, node in zip(keys, diagram.nodes, strict=True):
        graph.add_node(key, kind=node.kind, level=node.level)
    for tail, head, sign, order in diagram.arrows:
        graph.add_edge(keys[tail], keys[head], sign=sign, order=order)
    return graph
