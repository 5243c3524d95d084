"""From a graph to its HAG."""

from typing import Any

from torch import Tensor

from pyg_hag.graph.read import read_graph
from pyg_hag.hag import HAG
from pyg_hag.hag.edge_weights import read_weights
from pyg_hag.search.options import (
    SearchOptions,
    collect_options,
    takes_search_options,
)
from pyg_hag.search.progress import run
from pyg_hag.search.select import find_hag
from pyg_hag.search.sequential.build import build_sequential
from pyg_hag.utils.arrays import I64
from pyg_hag.utils.tensors import as_int64


@takes_search_options
def build_hag(
    edge_index: Any,
    num_nodes: int | None = None,
    size: tuple[int, int] | None = None,
    *,
    options: SearchOptions | None = None,
    **search_options: Any,
) -> HAG:
    r"""Finds a HAG of a graph, or returns the graph as it is where none pays.

    First merges what need not be told apart: equal neighbourhoods, nodes in the same
    neighbourhoods, and cliques of nodes that share all their other neighbours. Then
    merges the pair of nodes that most neighbourhoods share into an aggregate, and
    repeats (Jia et al., *Redundancy-Free Computation for Graph Neural Networks*, KDD
    2020, Algorithm 3), with candidates sampled from each node's neighbourhoods and
    exact counts, on the graph or its transpose, whichever is cheaper. Aggregates that
    do not pay under the objective are inlined into their readers.

    A matrix with values, such as a normalised adjacency matrix, gives a HAG with
    weights: sums over it are products with that matrix, and layers use the weights as
    they use the values of an `adj_t` in PyG. The values must be products of a factor of
    the source and one of the destination, so that sums can be shared.

    Components of the graph (the graphs of a batch) are searched side by side.
    Duplicate edges keep their multiplicity. The same graph gives the same HAG for any
    number of threads, unless a time limit cuts the search short.

    Aggregators that read their neighbours in order, such as an LSTM, can share only
    prefixes: with `order="sequential"`, every prefix that several neighbourhoods share
    is an aggregate (Section 4 of the paper). For given lists, no HAG takes fewer steps.

    The first call in a fresh installation compiles the search.

    Args:
        edge_index (torch.Tensor): Integers of shape `[2, num_edges]`: an edge
            (u, v) sends from source u to destination v. Or a
            :class:`torch_geometric.EdgeIndex`; a `torch_sparse.SparseTensor` or sparse
            tensor of PyTorch with the transposed adjacency matrix, as in PyG; or a
            matrix of SciPy, whose entry (u, v) is that edge. A matrix has its own size,
            and its values are the weights of the edges.
        num_nodes (int, optional): Number of nodes; the largest in `edge_index`
            plus one if neither this nor `size` is given.
        size (tuple[int, int], optional): `(num_src, num_dst)` of a bipartite graph.
        options (SearchOptions, optional): How to search.
        **search_options: The fields of :class:`pyg_hag.search.SearchOptions`, which
            documents each, as keywords in place of `options`.

    Returns:
        HAG: On the device of `edge_index`. Its `stats.decision` tells what was
        chosen and why.

    Raises:
        TypeError: If an argument has the wrong type or an unknown name.
        ValueError: If an argument has an invalid value, an option has no effect with
            the others, or a matrix has values that are no such products, unless
            `capacity` is 0; the message names it.

    Example:
        >>> from pyg_hag import build_hag
        >>> # 16 nodes send to each of 16 others:
        >>> src, dst = torch.arange(16), torch.arange(16, 32)
        >>> edge_index = torch.cartesian_prod(src, dst).t()
        >>> build_hag(edge_index, num_nodes=32)
        HAG(num_src=32, num_dst=32, num_aggregates=1, reads=32, saved=88%)
    """
    graph = read_graph(edge_index, num_nodes, size)
    chosen = collect_options(build_hag, options, search_options)
    if graph.weight is None:
        return build_with(graph.edge_index, graph.size, chosen)
    edges = graph.edge_index, graph.weight, graph.size, graph.is_optional
    weights, reason = read_weights(*edges)
    if reason and (chosen.capacity != 0 or chosen.subtract):
        raise ValueError(
            f"the values of 'edge_index', a sparse matrix, cannot be shared: their "
            f"weight {reason}; use 'capacity=0' for sums that are not shared"
        )
    return build_with(graph.edge_index, graph.size, chosen).weighted_by(weights)


def build_with(
    edge_index: Tensor, size: tuple[int, int], options: SearchOptions
) -> HAG:
    """The HAG of a graph whose edges and size are checked already."""
    src, dst = as_int64(edge_index.detach().cpu()).numpy()
    find = build_sequential if options.order == "sequential" else find_hag

    def search(control: I64) -> HAG:
        return find(src, dst, *size, options, control)

    hag = run(search, src.size, options.time_limit, options.progress)
    return hag.to(edge_index.device).in_order_of(edge_index)
