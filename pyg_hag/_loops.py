"""A self-loop on every node of a HAG, without a new search."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.utils import add_self_loops, remove_self_loops

from pyg_hag._derived import FIELDS, pointers
from pyg_hag._jit import jit
from pyg_hag._views import View
from pyg_hag.hag import HAG

I64 = NDArray[np.int64]


def looped(hag: HAG) -> HAG:
    """The HAG of the graph in which every node has exactly one self-loop.

    That is what `add_remaining_self_loops` of PyG makes of it. Computed once per HAG.
    """
    if torch.compiler.is_compiling():
        return View(hag, "looped")
    return hag._cached("looped", lambda: _looped(hag))


def _looped(hag: HAG) -> HAG:
    hag, _ = hag.closed()
    loops = hag.self_loops
    if bool((loops > 1).any()):  # too many, which aggregates may contain
        from pyg_hag.search import build_hag

        edge_index, _ = remove_self_loops(hag.to_edge_index())
        edge_index, _ = add_self_loops(edge_index, num_nodes=hag.num_dst)
        return build_hag(edge_index, hag.num_dst, capacity=0)
    missing = (loops == 0).nonzero().flatten().cpu().numpy()
    if missing.size == 0:
        return hag
    flat = _with_loops(hag._arrays(), hag.num_src, missing)
    return HAG._trusted(hag.num_src, [torch.from_numpy(t).to(hag.device) for t in flat])


def _with_loops(a: dict[str, Any], num_src: int, missing: I64) -> list[I64]:
    """The tensors of a HAG in which some destinations also read their own source.

    Groups whose sources are read by others then become one.

    Args:
        a: The arrays of the HAG.
        num_src: Number of its sources.
        missing: The destinations.
    """
    rows = a["group_aggs"] + a["group_dsts"]
    group = np.repeat(np.arange(rows.size), rows)
    owner = np.full(num_src, -1)
    owner[a["src"]] = np.repeat(group, a["src_count"])
    is_dst = a["kinds"] >= 0
    place = np.empty(a["dst"].size, np.int64)  # the row of each destination
    place[a["kinds"][is_dst]] = is_dst.nonzero()[0]
    joined = np.stack([group[place[missing]], owner[missing]])
    root = _roots(rows.size, *joined[:, joined[1] >= 0])
    order = np.lexsort((np.arange(group.size), is_dst, root[group]))
    new_group = np.unique(root[group], return_inverse=True)[1]
    extra = np.zeros(group.size, np.int64)
    extra[place[missing]] = 1
    flat = {"dst": a["kinds"][order][is_dst[order]]}
    for name in ("src", "agg"):
        added = extra if name == "src" else np.zeros_like(extra)
        flat[f"{name}_count"] = (a[f"{name}_count"] + added)[order]
        flat[name] = _reordered(a[f"{name}_ptr"], a[name], added, a["kinds"], order)
        minus = a[f"{name}_minus"]
        flat[f"{name}_minus"] = minus[order] if minus.size else minus
    number = np.cumsum(~is_dst) - 1  # of each row that is an aggregate
    renumbered = np.empty(int((~is_dst).sum()), np.int64)
    renumbered[number[order][~is_dst[order]]] = np.arange(renumbered.size)
    flat["agg"] = renumbered[flat["agg"]]
    groups = int(new_group.max(initial=-1)) + 1
    flat["group_aggs"] = np.bincount(new_group[~is_dst], minlength=groups)
    flat["group_dsts"] = np.bincount(new_group[is_dst], minlength=groups)
    return [np.ascontiguousarray(flat[name], np.int64) for name in FIELDS]


def _reordered(ptr: I64, values: I64, added: I64, own: I64, order: I64) -> I64:
    """Rows in another order, with a value of its own in front of some."""
    count = np.diff(ptr)[order]
    start = pointers(count + added[order])
    out = np.empty(int(start[-1]), np.int64)
    begin = start[:-1] + added[order]
    inside = np.arange(int(count.sum())) - np.repeat(pointers(count)[:-1], count)
    entries = np.repeat(ptr[order], count) + inside
    out[np.repeat(begin, count) + inside] = values[entries]
    some = added[order] > 0
    out[start[:-1][some]] = own[order][some]
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
