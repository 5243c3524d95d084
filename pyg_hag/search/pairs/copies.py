"""Rows as sets: copies of an edge's source become items of their own."""

import numpy as np

from pyg_hag.graph.csr import transposed
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64


def separate_copies(row_ptr: I64, row: I32, num_src: int) -> tuple[I32, I32]:
    """Makes the k-th copy of an edge's source an item of its own.

    Rows are then sets, and what two rows share is shared with its multiplicity.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The sources of the rows, ascending.
        num_src: Number of sources.

    Returns:
        The items of the rows, ascending, and the source that each item stands for,
        `[num_items]`.
    """
    origin = np.arange(num_src, dtype=np.int32)
    copy = _number_copies(row_ptr, row)
    extra = copy.nonzero()[0]
    if extra.size == 0:
        return row, origin
    codes = copy[extra].astype(np.int64) * num_src + row[extra]
    distinct, numbers = np.unique(codes, return_inverse=True)
    row = row.copy()
    row[extra] = (num_src + numbers).astype(np.int32)
    origin = np.concatenate([origin, (distinct % num_src).astype(np.int32)])
    col = transposed(row_ptr, row, origin.size)
    return transposed(*col, row_ptr.size - 1)[1], origin  # ascending


@jit
def _number_copies(row_ptr: I64, row: I32) -> I32:
    """For each entry of the ascending rows, how many equal ones precede it."""
    copy = np.zeros(row.size, np.int32)
    for v in range(row_ptr.size - 1):
        for e in range(row_ptr[v] + 1, row_ptr[v + 1]):
            if row[e] == row[e - 1]:
                copy[e] = copy[e - 1] + 1
    return copy
