"""Rows that read a source and subtract it: neither is left."""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

I64 = NDArray[np.int64]


@jit
def cancel(src: I64, src_count: I64) -> tuple[I64, I64, I64]:
    """Cancels what rows both add and subtract, and puts what they subtract last.

    `-1 - u` in `src` subtracts source u. Returns the sources, and per row how many
    there are and how many are subtracted; the latter is empty if there are none.
    """
    out = np.empty(src.size, np.int64)
    count = np.empty(src_count.size, np.int64)
    minus = np.empty(src_count.size, np.int64)
    lost = np.empty(src_count.max() if src_count.size > 0 else 0, np.int64)
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
        num_lost = 0
        for e in range(middle, end):
            while m >= s and -1 - src[m] < src[e]:
                lost[num_lost] = -1 - src[m]
                num_lost += 1
                m -= 1
            if m >= s and -1 - src[m] == src[e]:
                m -= 1
            else:
                out[n] = src[e]
                n += 1
        while m >= s:
            lost[num_lost] = -1 - src[m]
            num_lost += 1
            m -= 1
        for i in range(num_lost):
            out[n] = lost[i]
            n += 1
        count[r] = n - begin
        minus[r] = num_lost
        total += num_lost
        s = end
    if total == 0:
        minus = minus[:0]
    return out[:n].copy(), count, minus.copy()
