"""HAGs side by side, and further edges in them, without a new search."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyg_hag._derived import FIELDS, pointers
from pyg_hag._jit import jit
from pyg_hag.hag import HAG

I64 = NDArray[np.int64]

_OFFSETS = {"src": "num_src", "agg": "num_aggregates", "dst": "num_dst"}
"""What numbers of each kind are counted by."""


def side_by_side(hags: Sequence[HAG]) -> HAG:
    """One HAG of the disjoint union of the graphs; the nodes of each behind another's.

    Args:
        hags: At least one; on one device.
    """
    signed = any(hag.is_signed for hag in hags)
    flat = []
    for name in FIELDS:
        parts, shift = [], 0
        for hag in hags:
            part = getattr(hag, name)
            if name.endswith("_minus") and signed and not hag.is_signed:
                part = torch.zeros_like(hag.src_count)
            if name in _OFFSETS:
                part = part + shift
                shift += getattr(hag, _OFFSETS[name])
            parts.append(part)
        flat.append(torch.cat(parts))
    return HAG._trusted(sum(hag.num_src for hag in hags), flat)


def with_edges(hag: HAG, src: I64, dst: I64) -> HAG:
    """A HAG of the graph with further edges, which destinations read one by one.

    Groups become one where an edge leads from a source of one to a destination of
    the other.

    Args:
        hag: The HAG; not sequential.
        src: Sources of the edges.
        dst: Their destinations.
    """
    if src.size == 0:
        return hag
    a: Any = hag._arrays()
    rows = a["group_aggs"] + a["group_dsts"]
    group = np.repeat(np.arange(rows.size), rows)
    is_dst = a["kinds"] >= 0
    place = np.empty(a["dst"].size, np.int64)  # the row of each destination
    place[a["kinds"][is_dst]] = is_dst.nonzero()[0]
    owner = np.arange(hag.num_src) + rows.size  # the group of each source, or itself
    owner[a["src"]] = np.repeat(group, a["src_count"])
    root = _roots(rows.size + hag.num_src, group[place[dst]], owner[src])[group]
    order = np.lexsort((np.arange(group.size), is_dst, root))
    new_group = np.unique(root, return_inverse=True)[1]

    added = np.bincount(place[dst], minlength=group.size)
    extra = src[np.argsort(place[dst], kind="stable")]
    nothing = np.zeros_like(added), src[:0]
    flat = {"dst": a["kinds"][order][is_dst[order]]}
    for name, (count, values) in (("src", (added, extra)), ("agg", nothing)):
        flat[f"{name}_count"] = (a[f"{name}_count"] + count)[order]
        own = pointers(count), values
        flat[name] = _reordered(own, (a[f"{name}_ptr"], a[name]), order)
        minus = a[f"{name}_minus"]  # the last ones of a row, which they stay
        flat[f"{name}_minus"] = minus[order] if minus.size else minus
    number = np.cumsum(~is_dst) - 1  # of each row that is an aggregate
    renumbered = np.empty(int((~is_dst).sum()), np.int64)
    renumbered[number[order][~is_dst[order]]] = np.arange(renumbered.size)
    flat["agg"] = renumbered[flat["agg"]]
    groups = int(new_group.max(initial=-1)) + 1
    flat["group_aggs"] = np.bincount(new_group[~is_dst], minlength=groups)
    flat["group_dsts"] = np.bincount(new_group[is_dst], minlength=groups)
    tensors = [
        torch.from_numpy(np.ascontiguousarray(flat[name], np.int64)).to(hag.device)
        for name in FIELDS
    ]
    return HAG._trusted(hag.num_src, tensors)


def _reordered(first: tuple[I64, I64], second: tuple[I64, I64], order: I64) -> I64:
    """Lists in another order, each joined of two, which are pointers and values."""
    counts = [np.diff(ptr)[order] for ptr, _ in (first, second)]
    start = pointers(counts[0] + counts[1])[:-1]
    out = np.empty(int(counts[0].sum() + counts[1].sum()), np.int64)
    for (ptr, values), count in zip((first, second), counts, strict=True):
        inside = np.arange(int(count.sum())) - np.repeat(pointers(count)[:-1], count)
        out[np.repeat(start, count) + inside] = values[
            np.repeat(ptr[:-1][order], count) + inside
        ]
        start = start + count
    return out


@jit
def _roots(size, left, right):  # type: ignore[no-untyped-def]
    """The smallest number that each number is joined with."""
    parent = np.arange(size)
    for i in range(left.size):
        a, b = left[i], right[i]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
    for i in range(size):
        parent[i] = parent[parent[i]]
    return parent
