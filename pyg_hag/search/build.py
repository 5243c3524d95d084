"""From a graph to its HAG."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._validation import check_count, check_edge_index
from pyg_hag.cost import CostModel
from pyg_hag.hag import HAG, MAX_NODES
from pyg_hag.search import _components
from pyg_hag.search._choose import Prices, assemble
from pyg_hag.search._contract import Contraction
from pyg_hag.search._options import Options
from pyg_hag.search._parts import count_parts, search
from pyg_hag.search._rules import Rules
from pyg_hag.search._search import Found
from pyg_hag.search._signed import find_signed
from pyg_hag.search._watch import watched
from pyg_hag.search.sequential import build_sequential

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


_LEAST_GAIN = 0.8  # of plain's time: predictions are off by up to a quarter
_WATCHED = 1 << 19  # edges from which a search may take long enough to look after


def build_hag(
    edge_index: Tensor,
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
            (u, v) sends from source u to destination v.
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

    Returns:
        HAG: On the device of `edge_index`. Its `stats.decision` says what was
        chosen and why.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has a value that makes no sense; the message
            names it.

    Example:
        >>> import torch
        >>> from pyg_hag import build_hag
        >>> # 16 nodes send to each of 16 others:
        >>> src, dst = torch.arange(16), torch.arange(16, 32)
        >>> edge_index = torch.cartesian_prod(src, dst).t()
        >>> build_hag(edge_index, num_nodes=32)
        HAG(num_src=32, num_dst=32, num_aggregates=1, reads=32, saved=88%)
    """
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
    )
    return build_with(edge_index, sizes, options)


def build_with(edge_index: Tensor, size: tuple[int, int], options: Options) -> HAG:
    """:func:`build_hag` with its options in one object."""
    edges = check_edge_index(edge_index, size).cpu().numpy()

    def run(control: I64) -> HAG:
        return _search(edges[0], edges[1], *size, options, control)

    if options.order == "sequential":
        hag = build_sequential(edges[0], edges[1], *size, options)
        return hag.to(edge_index.device)
    small = edges.shape[1] < _WATCHED
    if small and options.time_limit is None and not options.progress:
        hag = run(np.zeros(2, np.int64))
    else:
        hag = watched(run, options.time_limit, options.progress)
    return hag.to(edge_index.device)


def _search(
    src: I64, dst: I64, num_src: int, num_dst: int, options: Options, control: I64
) -> HAG:
    """The best HAG of the graph, or the graph as it is."""
    if options.capacity == 0:
        plain = _plain(src, dst, num_src, num_dst)
        return plain._decided("plain: 'capacity' is 0")
    work = 2 if options.subtract else 1  # what is found is kept for a comparison
    num_parts = count_parts(options.memory_limit, work * src.size, num_src + num_dst)
    if num_parts == 0:
        plain = _plain(src, dst, num_src, num_dst)
        return plain._decided("plain: no search fits into 'memory_limit'")
    if options.method == "auto" and _components.is_cheaper_transposed(
        src, dst, num_src, num_dst
    ):
        hag = _found(dst, src, num_dst, num_src, options, num_parts, control).t()
    else:
        hag = _found(src, dst, num_src, num_dst, options, num_parts, control)
    if options.objective == "aggregations":
        return hag._decided("HAG of fewest aggregations")
    if hag.num_aggregates == 0:
        return hag._decided("plain: no aggregate saves time")
    plain = _plain(src, dst, num_src, num_dst)
    width = options.num_features
    ratio = options.prices.ratio(hag, plain, width)
    share = f"predicted to take {ratio:.2f} of plain's time at {width} features"
    if ratio < _LEAST_GAIN:
        return hag._decided(f"HAG: {share}")
    return plain._decided(
        f"plain: a HAG of {hag.num_aggregates} aggregates was {share}"
    )


def _plain(src: I64, dst: I64, num_src: int, num_dst: int) -> HAG:
    """The graph as it is."""
    row_ptr, row = _components.to_rows(src, dst, num_src, num_dst)
    origin = np.arange(num_src, dtype=np.int32)
    none = np.empty(0, np.int32)
    rules = Rules(num_src, none, none, row_ptr[:-1], np.diff(row_ptr), row)
    return _hag(rules, origin, np.empty(0, np.bool_), None, None)


def _found(
    src: I64,
    dst: I64,
    num_src: int,
    num_dst: int,
    options: Options,
    num_parts: int,
    control: I64,
) -> HAG:
    """The HAG that the search finds."""
    row_ptr, row = _components.to_rows(src, dst, num_src, num_dst)
    row, origin = _components.separate_copies(row_ptr, row, num_src)
    num_nodes = num_src if num_src == num_dst else 0
    exact = options.method == "greedy"

    def find(row_ptr: I64, row: I32, num_items: int) -> tuple[Rules, Found]:
        parts = Contraction(
            row_ptr,
            row,
            num_items,
            num_nodes=num_nodes,
            arity=2 if options.objective == "aggregations" else 4,
            most_rounds=0 if exact else 16,
            control=control,
        )
        lists, found = search(parts, num_parts, exact, options.least, control)
        return parts.expand(*lists), found

    keep = None
    if options.subtract:
        rules = find_signed(
            row_ptr, row, origin.size, num_nodes, lambda *r: find(*r)[0], control
        )
        origin = np.concatenate([origin, -1 - origin])
    else:
        rules, found = find(row_ptr, row, origin.size)
        if exact and options.capacity is not None and num_parts == 1:
            keep = _most_shared(found, options.capacity)
    if keep is None:
        keep = np.ones(rules.counts.size, np.bool_)
    prices = None
    if options.objective == "time":
        prices = Prices(options.prices, options.num_features)
    return _hag(rules, origin, keep, options.capacity, prices)


def _hag(
    rules: Rules,
    origin: I32,
    keep: NDArray[np.bool_],
    capacity: int | None,
    prices: Prices | None,
) -> HAG:
    num_src = int(origin.max(initial=-1)) + 1
    flat = assemble(rules, origin, keep, capacity, prices)
    return HAG._trusted(num_src, [torch.from_numpy(t) for t in flat])


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


def _most_shared(found: Found, capacity: int) -> NDArray[np.bool_]:
    """Which pairs are among the `capacity` most shared ones of all components.

    The pairs of a component come in descending order, so these are its first.
    """
    num_new = found.num_new
    component = np.repeat(np.arange(num_new.size), num_new)
    rank = np.arange(component.size) - np.repeat(np.cumsum(num_new) - num_new, num_new)
    base = found.entry_ptr[found.rows_ptr[:-1]] // 2
    order = np.argsort(-found.shared[base[component] + rank], kind="stable")
    keep = np.zeros(component.size, np.bool_)
    keep[order[:capacity]] = True
    return keep
