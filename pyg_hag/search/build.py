"""From a graph to its HAG."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._forms import is_unweighted, to_edges
from pyg_hag._validation import check_count, check_edge_index
from pyg_hag.cost import CostModel
from pyg_hag.hag import HAG, MAX_NODES
from pyg_hag.search._find import find_hag
from pyg_hag.search._options import Options
from pyg_hag.search._watch import watched
from pyg_hag.search.sequential import build_sequential

I64 = NDArray[np.int64]


_WATCHED = 1 << 19  # edges from which a search may take long enough to look after


def build_hag(
    edge_index: Any,
    num_nodes: int | None = None,
    size: tuple[int, int] | None = None,
    *,
    objective: str = "time",
    method: str = "auto",
    num_features: int = 64,
    capacity: int | None = None,
    min_redundancy: int | None = None,
    cost_model: CostModel | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
    progress: bool | None = None,
    order: str = "set",
    neighbor_order: str | None = None,
    subtract: bool = False,
    num_passes: int | None = None,
) -> HAG:
    r"""Finds a HAG of a graph, or returns the graph as it is where none pays.

    First merges what cannot be told apart: equal neighbourhoods, nodes in the same
    neighbourhoods, and cliques of nodes with a common surrounding. Then merges the
    pair of nodes that most neighbourhoods share into an aggregate, and repeats (Jia
    et al., *Redundancy-Free Computation for Graph Neural Networks*, KDD 2020,
    Algorithm 3), with candidates sampled from each node's neighbourhoods and exact
    counts, on the graph or its transpose, whichever is cheaper. Aggregates that do
    not pay under the objective are inlined into their readers.

    Components of the graph (the graphs of a batch) are searched side by side.
    Duplicate edges keep their multiplicity. The same graph gives the same HAG, for
    any number of threads, unless a time limit cuts the search.

    Aggregators that read their neighbours in order, such as an LSTM, can share only
    what stands first: with `order="sequential"`, every prefix that several
    neighbourhoods share is an aggregate (the paper's second case). For given lists
    that takes the fewest steps. `capacity` then keeps the prefixes that save most
    steps, and `min_redundancy` those of so many destinations; `objective`, `method`,
    `num_features`, `cost_model` and the limits and progress have no effect.

    The first call in a fresh installation compiles the search.

    Args:
        edge_index (torch.Tensor): Integers of shape `[2, num_edges]`: an edge
            (u, v) sends from source u to destination v. Or a
            :class:`torch_geometric.EdgeIndex`; a `torch_sparse.SparseTensor` or sparse
            tensor of PyTorch with the transposed adjacency matrix, as PyG has them; or
            a matrix of SciPy, whose entry (u, v) is that edge. A matrix has no values
            but 1, and its own size.
        num_nodes (int, optional): Number of nodes; the largest in `edge_index`
            plus one if neither this nor `size` is given.
        size (tuple[int, int], optional): `(num_src, num_dst)` of a bipartite graph.
        objective (str): `"time"` keeps the aggregates that save time, as
            `cost_model` predicts it, and none at all if the whole does not pay;
            `"aggregations"` makes binary operations as few as it can.
        method (str): `"auto"` as above; `"greedy"` is the published search alone,
            exact: no merging in advance, no sampling. Its time and quality are a
            reference.
        num_features (int): Features per node for which `"time"` is predicted.
        capacity (int, optional): Largest number of aggregates; unlimited if None.
            0 gives the plain graph as a HAG.
        min_redundancy (int, optional): Least number of neighbourhoods that share a
            pair, at least 2. If None, 2 for fewest aggregations and 6 for least
            time: what fewer share hardly pays, and takes most of the search.
        cost_model (CostModel, optional): What reads and rows cost; measured
            constants of a common machine if None.
        time_limit (float, optional): Seconds after which the search stops and
            returns the best HAG so far. Reading the graph and writing the HAG are
            not cut short.
        memory_limit (int, optional): Bytes that the search may take, about. It
            searches part by part where it must, which finds less, and returns the
            graph as it is where even that takes more.
        progress (bool, optional): Whether to show a progress bar; if None, once a
            search of a large graph takes more than two seconds.
        order (str): `"set"`, or `"sequential"` for aggregators that read neighbours
            in order: a row is then one aggregate at most, followed by sources in
            order, and `hag.is_sequential` is true.
        neighbor_order (str, optional): The order of a sequential HAG: `"given"`
            (also if None) is that of `edge_index`; `"degree"` puts sources first
            that the most destinations read (of equals, the smaller number);
            `"shared"` lets each destination have an order of its own, such that
            prefixes are shared as much as it can find.
        subtract (bool): Whether rows may subtract, for sum and mean alone. A row may
            then be that of the closed neighbourhood less the node itself, or one that
            similar rows share and a few corrections, as in the compressed binary
            matrix format (Alves et al., 2024). See `docs/search.md` for what that
            does to values that are very large or not finite.
        num_passes (int, optional): How many sums will run over the HAG, forward and
            backward. If they cannot pay for the search, the graph is left as it is, at
            once; for graphs that are used once, such as sampled batches. If None, the
            search is taken to be free. For least time alone.

    Returns:
        HAG: On the device of `edge_index`. Its `stats.decision` says what was
        chosen and why.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has a value that makes no sense; the message
            names it.

    Example:
        >>> from pyg_hag import build_hag
        >>> # 16 nodes send to each of 16 others:
        >>> src, dst = torch.arange(16), torch.arange(16, 32)
        >>> edge_index = torch.cartesian_prod(src, dst).t()
        >>> build_hag(edge_index, num_nodes=32)
        HAG(num_src=32, num_dst=32, num_aggregates=1, reads=32, saved=88%)
    """
    edge_index, size = _read(edge_index, num_nodes, size)
    sizes = _check_size(edge_index, num_nodes, size)
    options = Options(
        objective=objective,
        method=method,
        num_features=num_features,
        capacity=capacity,
        min_redundancy=min_redundancy,
        cost_model=cost_model,
        time_limit=time_limit,
        memory_limit=memory_limit,
        progress=progress,
        order=order,
        neighbor_order=neighbor_order,
        subtract=subtract,
        num_passes=num_passes,
    )
    return build_with(edge_index, sizes, options)


def build_with(edge_index: Tensor, size: tuple[int, int], options: Options) -> HAG:
    """:func:`build_hag` with its options in one object."""
    edges = check_edge_index(edge_index, size).cpu().numpy()

    def run(control: I64) -> HAG:
        return find_hag(edges[0], edges[1], *size, options, control)

    if options.order == "sequential":
        hag = build_sequential(edges[0], edges[1], *size, options)
        return hag.to(edge_index.device)._knows(edge_index)
    small = edges.shape[1] < _WATCHED
    if small and options.time_limit is None and not options.progress:
        hag = run(np.zeros(2, np.int64))
    else:
        hag = watched(run, options.time_limit, options.progress)
    return hag.to(edge_index.device)._knows(edge_index)


def _read(
    graph: Any, num_nodes: int | None, size: tuple[int, int] | None
) -> tuple[Any, tuple[int, int] | None]:
    """The edges of a graph in any form, and its size where that is known."""
    edges = to_edges(graph)
    if edges is None:  # which the next check says
        return graph, size
    if not is_unweighted(edges.weight):
        raise ValueError(
            "'edge_index' is a sparse matrix with values other than 1, which a HAG "
            "does not stand for: pass its edges, and the values as 'edge_weight' to "
            "the layer"
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


def _check_size(
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
