"""From a graph to its HAG."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyg_hag import _threads
from pyg_hag._jit import jit
from pyg_hag._validation import check_count, check_edge_index
from pyg_hag.hag import HAG, MAX_NODES
from pyg_hag.search import _components, _layout
from pyg_hag.search._greedy import merge_pairs

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_CHUNKS_PER_THREAD = 16  # components differ in work; threads take chunks in turn


def build_hag(
    edge_index: Tensor,
    num_nodes: int | None = None,
    size: tuple[int, int] | None = None,
    *,
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

    row_ptr, row = _components.to_rows(edges[0], edges[1], num_src, num_dst)
    row, origin = _separate_copies(row_ptr, row, num_src)
    rows_ptr, rows, items_ptr, entry_ptr, entries, items = _components.components(
        row_ptr, row, origin.size
    )
    del row_ptr, row
    row_len = np.diff(entry_ptr)
    pairs = np.empty((entries.size // 2, 2), np.int32)
    shared = np.empty(entries.size // 2, np.int32)
    num_new = np.zeros(rows_ptr.size - 1, np.int64)

    if capacity != 0:
        bounds = _chunks(entry_ptr[rows_ptr])
        _threads.run(
            lambda i: _search(
                bounds[i],
                bounds[i + 1],
                rows_ptr,
                items_ptr,
                entry_ptr,
                entries,
                row_len,
                least,
                pairs,
                shared,
                num_new,
            ),
            len(bounds) - 1,
        )
    allowed = num_new
    if capacity is not None and num_new.sum() > capacity:
        allowed = _most_shared(shared, entry_ptr[rows_ptr[:-1]] // 2, num_new, capacity)
    keep = np.empty(len(pairs), np.bool_)
    totals = _layout.measure(
        rows_ptr, items_ptr, entry_ptr, entries, row_len, pairs, num_new, allowed, keep
    )
    flat = _layout.write(
        rows,
        rows_ptr,
        items,
        items_ptr,
        origin,
        entry_ptr,
        entries,
        row_len,
        pairs,
        num_new,
        keep,
        num_dst,
        totals,
    )
    device = edge_index.device
    return HAG._trusted(num_src, [torch.from_numpy(t).to(device) for t in flat])


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
    Returns the rows' items and the source that each item stands for.
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
    return row, np.concatenate([origin, (distinct % num_src).astype(np.int32)])


def _chunks(first_entry: I64) -> list[int]:
    """Cuts the components into runs of about equally many entries."""
    num_chunks = _CHUNKS_PER_THREAD * _threads.num_threads()
    targets = np.linspace(0, first_entry[-1], num_chunks + 1)
    cuts = np.searchsorted(first_entry, targets[1:-1])
    return np.unique([0, *cuts, first_entry.size - 1]).tolist()


def _most_shared(shared: I32, base: I64, num_new: I64, capacity: int) -> I64:
    """How many pairs of each component are among the `capacity` most shared ones.

    The pairs of a component come in descending order, so these are its first.
    """
    component = np.repeat(np.arange(num_new.size), num_new)
    rank = np.arange(component.size) - np.repeat(np.cumsum(num_new) - num_new, num_new)
    order = np.argsort(-shared[base[component] + rank], kind="stable")[:capacity]
    return np.bincount(component[order], minlength=num_new.size).astype(np.int64)


@jit
def _search(
    begin: int,
    end: int,
    rows_ptr: I64,
    items_ptr: I64,
    entry_ptr: I64,
    entries: I32,
    row_len: I64,
    least: int,
    pairs: I32,
    shared: I32,
    num_new: I64,
) -> None:
    for c in range(begin, end):
        lo, hi = rows_ptr[c], rows_ptr[c + 1]
        if hi - lo < 2:
            continue
        num_items = items_ptr[c + 1] - items_ptr[c]
        num_entries = entry_ptr[hi] - entry_ptr[lo]
        base = entry_ptr[lo] // 2
        # What a scan of one item reads, as bit sets and as lists:
        as_bits = num_items * ((hi - lo + 63) // 64)
        as_lists = (num_entries / num_items) * (num_entries / (hi - lo))
        num_new[c] = merge_pairs(
            entry_ptr[lo : hi + 1],
            entries,
            row_len[lo:hi],
            num_items,
            as_bits <= as_lists,
            least,
            pairs[base:],
            shared[base:],
        )
