"""From a graph to its HAG."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag._validation import check_count, check_edge_index
from pyg_hag.hag import HAG, MAX_NODES
from pyg_hag.search import _components
from pyg_hag.search._choose import choose, layout
from pyg_hag.search._contract import Contraction
from pyg_hag.search._rules import from_pairs
from pyg_hag.search._search import Found, merge_pairs

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


def build_hag(
    edge_index: Tensor,
    num_nodes: int | None = None,
    size: tuple[int, int] | None = None,
    *,
    method: str = "auto",
    capacity: int | None = None,
    min_redundancy: int = 2,
) -> HAG:
    r"""Finds the HAG of a graph by exact greedy search.

    Merges the pair of nodes that most neighbourhoods share into an aggregate, and
    repeats until no pair is shared by `min_redundancy` neighbourhoods (Jia et al.,
    *Redundancy-Free Computation for Graph Neural Networks*, KDD 2020, Algorithm 3).
    Components of the graph (the graphs of a batch) are searched side by side. An
    aggregate that ends up being read once is inlined into its reader, so aggregates
    have two or more inputs. Duplicate edges keep their multiplicity. The same graph
    gives the same HAG, for any number of threads.

    The first call in a fresh installation compiles the search.

    Args:
        edge_index (torch.Tensor): Integers of shape `[2, num_edges]`: an edge
            (u, v) sends from source u to destination v.
        num_nodes (int, optional): Number of nodes; the largest in `edge_index`
            plus one if neither this nor `size` is given.
        size (tuple[int, int], optional): `(num_src, num_dst)` of a bipartite graph.
        capacity (int, optional): Largest number of aggregates; unlimited if None.
            0 gives the plain graph as a HAG.
        min_redundancy (int): Least number of neighbourhoods that share a pair,
            at least 2.

    Returns:
        HAG: On the device of `edge_index`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has a value that makes no sense; the message
            names it.

    Example:
        >>> import torch
        >>> from pyg_hag import build_hag
        >>> # Nodes 0, 1 and 2 send to each of 3, 4 and 5:
        >>> src, dst = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
        >>> edge_index = torch.cartesian_prod(src, dst).t()
        >>> build_hag(edge_index, num_nodes=6)
        HAG(num_src=6, num_dst=6, num_aggregates=1, reads=6, saved=33%)
    """
    num_src, num_dst = _check_size(edge_index, num_nodes, size)
    edges = check_edge_index(edge_index, (num_src, num_dst)).cpu().numpy()
    least = check_count("min_redundancy", min_redundancy, 2)
    if capacity is not None:
        check_count("capacity", capacity, 0)

    flip = method == "auto" and _components.is_cheaper_transposed(
        edges[0], edges[1], num_src, num_dst
    )
    control = np.zeros(2, np.int64)
    if flip:
        flat = _search(
            edges[1], edges[0], num_dst, num_src, method, least, capacity, control
        )
        hag = HAG._trusted(num_dst, [torch.from_numpy(t) for t in flat]).t()
    else:
        flat = _search(
            edges[0], edges[1], num_src, num_dst, method, least, capacity, control
        )
        hag = HAG._trusted(num_src, [torch.from_numpy(t) for t in flat])
    return hag.to(edge_index.device)


def _search(
    src: I64,
    dst: I64,
    num_src: int,
    num_dst: int,
    method: str,
    least: int,
    capacity: int | None,
    control: I64,
) -> tuple[I64, ...]:
    """The flat arrays of the HAG of a graph."""
    row_ptr, row = _components.to_rows(src, dst, num_src, num_dst)
    row, origin = _separate_copies(row_ptr, row, num_src)
    exact = method == "greedy"
    parts = Contraction(
        row_ptr,
        row,
        origin.size,
        num_nodes=num_src if num_src == num_dst else 0,
        arity=2,
        most_rounds=0 if exact or capacity == 0 else 16,
    )
    if capacity == 0:
        control[0] = 1
    found = merge_pairs(
        parts.row_ptr, parts.row, origin.size, exact, least, MAX_NODES, control
    )
    rules = parts.expand(
        *from_pairs(
            found.rows,
            found.rows_ptr,
            found.items,
            found.items_ptr,
            found.entry_ptr,
            found.entries,
            found.row_len,
            found.pairs,
            found.num_new,
            parts.item_id,
            parts.num_ids,
            num_dst,
        ),
        found.entries,
    )
    if exact and capacity is not None:
        keep = _most_shared(found, capacity)
    else:
        keep = choose(rules, capacity)
    return layout(rules, keep, origin)


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


def _separate_copies(row_ptr: I64, row: I32, num_src: int) -> tuple[I32, I32]:
    """Makes the k-th copy of an edge's source an item of its own.

    Rows are then sets, and what two rows share is shared with its multiplicity.
    Returns the rows' items, ascending, and the source that each item stands for.
    """
    origin = np.arange(num_src, dtype=np.int32)
    copy = _components.number_copies(row_ptr, row)
    extra = copy.nonzero()[0]
    if extra.size == 0:
        return row, origin
    codes = copy[extra].astype(np.int64) * num_src + row[extra]
    distinct, numbers = np.unique(codes, return_inverse=True)
    row = row.copy()
    row[extra] = (num_src + numbers).astype(np.int32)
    origin = np.concatenate([origin, (distinct % num_src).astype(np.int32)])
    col = _components.transposed(row_ptr, row, origin.size)
    return _components.transposed(*col, row_ptr.size - 1)[1], origin  # ascending


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
