"""Rows of clusters as the mean of their cluster and a few corrections."""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.search.signed.similar_rows import Clusters
from pyg_hag.utils.arrays import I32, I64, pointers


def correct(
    row_ptr: I64, row: I32, clusters: Clusters, num_items: int
) -> tuple[I64, I32]:
    """The rows of clusters as the cluster's mean and corrections, then the means.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending.
        clusters: The clusters.
        num_items: Number of items.

    Returns:
        Pointers `[num_rows + num_clusters + 1]`, and the items, ascending in each
        row. Item `num_items + x` subtracts item x; item `2 * num_items + c` is the
        mean of cluster c.
    """
    in_cluster = clusters.label >= 0
    lengths = np.where(in_cluster, clusters.difference + 1, np.diff(row_ptr))
    out_ptr = pointers(np.concatenate([lengths, np.diff(clusters.row_ptr)]))
    out = _correct(row_ptr, row, clusters, num_items, int(out_ptr[-1]))
    return out_ptr, out


@jit
def _correct(
    row_ptr: I64, row: I32, clusters: Clusters, num_items: int, num_entries: int
) -> I32:
    """The items of the corrected rows and of the means, `[num_entries]`."""
    out = np.empty(num_entries, np.int32)
    n = 0
    for v in range(clusters.label.size):
        own = row[row_ptr[v] : row_ptr[v + 1]]
        c = clusters.label[v]
        if c < 0:
            out[n : n + own.size] = own
            n += own.size
            continue
        mean = clusters.row[clusters.row_ptr[c] : clusters.row_ptr[c + 1]]
        n = _write_missing(own, mean, 0, out, n)
        n = _write_missing(mean, own, num_items, out, n)
        out[n] = 2 * num_items + c
        n += 1
    out[n:] = clusters.row[: clusters.row_ptr[-1]]
    return out


@jit
def _write_missing(a: I32, b: I32, offset: int, out: I32, n: int) -> int:
    """Writes the items of `a` that `b` lacks, plus `offset`, to `out[n:]`.

    Args:
        a: Items, ascending.
        b: Items, ascending.
        offset: What is added to the items.
        out: Where they go.
        n: How much of it is in use.

    Returns:
        How much is in use afterwards.
    """
    f = 0
    for e in range(a.size):
        while f < b.size and b[f] < a[e]:
            f += 1
        if f == b.size or b[f] != a[e]:
            out[n] = a[e] + offset
            n += 1
    return n
