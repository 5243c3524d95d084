"""Rows that both add and subtract a source: neither of the two is left."""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64


@jit
def cancel(src: I64, src_count: I64) -> tuple[I64, I64, I64]:
    """Cancels what rows both add and subtract, and moves subtracted sources last.

    Args:
        src: Sources of all rows, those of each row ascending; `-1 - u` subtracts
            source u.
        src_count: Number of sources of each row, `[num_rows]`.

    Returns:
        The sources, and for each row how many there are and how many of them are
        subtracted; the latter is empty if none is.
    """
    out = np.empty(src.size, np.int64)
    count = np.empty(src_count.size, np.int64)
    minus = np.empty(src_count.size, np.int64)
    subtracted = np.empty(src_count.max() if src_count.size > 0 else 0, np.int64)
    total = 0
    n = 0
    s = 0
    for r in range(src_count.size):
        begin = n
        end = s + src_count[r]
        middle = s  # subtracted ones come first, in descending order of u
        while middle < end and src[middle] < 0:
            middle += 1
        m = middle - 1
        num_subtracted = 0
        for e in range(middle, end):
            while m >= s and -1 - src[m] < src[e]:
                subtracted[num_subtracted] = -1 - src[m]
                num_subtracted += 1
                m -= 1
            if m >= s and -1 - src[m] == src[e]:
                m -= 1
            else:
                out[n] = src[e]
                n += 1
        while m >= s:
            subtracted[num_subtracted] = -1 - src[m]
            num_subtracted += 1
            m -= 1
        for i in range(num_subtracted):
            out[n] = subtracted[i]
            n += 1
        count[r] = n - begin
        minus[r] = num_subtracted
        total += num_subtracted
        s = end
    if total == 0:
        minus = minus[:0]
    return out[:n].copy(), count, minus.copy()
