"""Sorting in jitted code: NumPy's stable sort takes ten seconds to compile there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_hag.runtime.jit import jit

_BITS = 8  # of a number that one pass sorts by
_PASSES = 64 // _BITS


@jit
def stable_order(order: NDArray[Any], keys: NDArray[Any]) -> NDArray[Any]:
    """`order`, sorted by the keys: equal ones stay as they are.

    Args:
        order: Indices into `keys`, int64.
        keys: Of type uint64.
    """
    digit = np.uint64((1 << _BITS) - 1)
    out = order
    for step in range(_PASSES):
        shift = np.uint64(step * _BITS)
        fill = np.zeros((1 << _BITS) + 1, np.int64)
        for i in range(out.size):
            fill[np.int64((keys[out[i]] >> shift) & digit) + 1] += 1
        for d in range(1 << _BITS):
            fill[d + 1] += fill[d]
        moved = np.empty(out.size, np.int64)
        for i in range(out.size):
            d = np.int64((keys[out[i]] >> shift) & digit)
            moved[fill[d]] = out[i]
            fill[d] += 1
        out = moved
    return out
