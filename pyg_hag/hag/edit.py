"""Edits of HAGs without a new search: disjoint unions and additional edges."""

from collections.abc import Sequence

import numpy as np

from pyg_hag.hag.arrays import FIELDS, Flat
from pyg_hag.hag.host import HostHAG
from pyg_hag.hag.plain import flat_of_rows
from pyg_hag.runtime.jit import jit
from pyg_hag.runtime.union_find import find, union
from pyg_hag.utils.arrays import I32, I64, pointers


def merged(hags: Sequence[HostHAG]) -> Flat:
    """The HAG of the disjoint union of the graphs, whose nodes follow each other.

    Args:
        hags: The HAGs, at least one.
    """
    signed = any(hag.is_signed for hag in hags)
    sizes = {
        "src": [hag.num_src for hag in hags],
        "agg": [hag.flat.src_count.size - hag.num_dst for hag in hags],
        "dst": [hag.num_dst for hag in hags],
    }
    out = []
    for name in FIELDS:
        parts = [getattr(hag.flat, name) for hag in hags]
        if name.endswith("_minus") and signed:
            parts = [
                part if hag.is_signed else np.zeros_like(hag.flat.src_count)
                for part, hag in zip(parts, hags, strict=True)
            ]
        if name in sizes:
            shifts = np.cumsum([0, *sizes[name]])
            parts = [part + by for part, by in zip(parts, shifts[:-1], strict=True)]
        out.append(np.concatenate(parts))
    return Flat(*out)


def with_self_loops(hag: HostHAG) -> Flat:
    """The HAG of the graph in which every node has exactly one self-loop.

    Args:
        hag: A HAG in which no destination subtracts itself.
    """
    if (hag.self_loops > 1).any():  # aggregates may contain the surplus ones
        src, dst = hag.edge_index()
        return flat_of_rows(*_with_one_loop(src, dst, hag.num_dst), hag.num_src)
    missing = (hag.self_loops == 0).nonzero()[0]
    return with_edges(hag, missing, missing)


def _with_one_loop(src: I64, dst: I64, num_nodes: int) -> tuple[I64, I32]:
    keep = src != dst
    loops = np.arange(num_nodes)
    src, dst = np.append(src[keep], loops), np.append(dst[keep], loops)
    order = np.lexsort((src, dst))
    ptr = pointers(np.bincount(dst, minlength=num_nodes))
    return ptr, src[order].astype(np.int32)


def with_edges(hag: HostHAG, src: I64, dst: I64) -> Flat:
    """The HAG of the graph with additional edges, which destinations read one by one.

    Two groups become one if an edge leads from a source of one to a destination of the
    other.

    Args:
        hag: A set HAG.
        src: The sources of the edges.
        dst: The destinations of the edges.
    """
    if src.size == 0:
        return hag.flat
    flat, rows = hag.flat, hag.rows
    is_dst = rows.target >= 0
    row_of = np.empty(hag.num_dst, np.int64)  # the row of each destination
    row_of[rows.target[is_dst]] = is_dst.nonzero()[0]
    group = _joined_groups(hag, src, row_of[dst])
    order = np.lexsort((np.arange(group.size), is_dst, group))
    moved = is_dst[order]

    added = np.bincount(row_of[dst], minlength=group.size)
    extra = src[np.argsort(row_of[dst], kind="stable")]
    agg = _reordered((rows.agg_ptr, flat.agg), order)
    number = np.cumsum(~is_dst) - 1  # of each row that is an aggregate
    renumbered = np.empty(int((~is_dst).sum()), np.int64)
    renumbered[number[order][~moved]] = np.arange(renumbered.size)
    num_groups = int(group.max(initial=-1)) + 1
    # The new sources are added, so they come before those that are subtracted:
    new = _reordered((pointers(added), extra), order, (rows.src_ptr, flat.src))
    return Flat(
        new,
        renumbered[agg],
        (flat.src_count + added)[order],
        flat.agg_count[order],
        rows.target[order][moved],
        np.bincount(group[~is_dst], minlength=num_groups),
        np.bincount(group[is_dst], minlength=num_groups),
        flat.src_minus[order] if hag.is_signed else flat.src_minus,
        flat.agg_minus[order] if hag.is_signed else flat.agg_minus,
    )


def _joined_groups(hag: HostHAG, src: I64, dst_rows: I64) -> I64:
    """The group of each row if row `dst_rows[i]` also reads source `src[i]`."""
    flat = hag.flat
    num_rows = flat.group_aggs + flat.group_dsts
    group = np.repeat(np.arange(num_rows.size), num_rows)
    owner = np.arange(hag.num_src) + num_rows.size  # a source is a group of its own
    owner[flat.src] = np.repeat(group, flat.src_count)
    roots = _roots(num_rows.size + hag.num_src, group[dst_rows], owner[src])[group]
    joined: I64 = np.unique(roots, return_inverse=True)[1]
    return joined


def _reordered(
    first: tuple[I64, I64], order: I64, second: tuple[I64, I64] | None = None
) -> I64:
    """The values of lists in another order.

    Args:
        first: Pointers and values of lists.
        order: The new order.
        second: Lists that follow those of `first`, one by one.
    """
    lists = [first] if second is None else [first, second]
    counts = [np.diff(ptr)[order] for ptr, _ in lists]
    total = sum(counts)
    start = pointers(total)[:-1]
    out = np.empty(int(np.sum(total)), np.int64)
    for (ptr, values), count in zip(lists, counts, strict=True):
        inside = np.arange(int(count.sum())) - np.repeat(pointers(count)[:-1], count)
        out[np.repeat(start, count) + inside] = values[
            np.repeat(ptr[:-1][order], count) + inside
        ]
        start = start + count
    return out


@jit
def _roots(size: int, left: I64, right: I64) -> I64:
    """The root of each of `size` numbers after the union of each `left` and `right`."""
    parent = np.arange(size)
    for i in range(left.size):
        union(parent, find(parent, left[i]), right[i])
    for i in range(size):
        parent[i] = find(parent, i)
    return parent
