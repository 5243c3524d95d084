"""A binary max-heap of items by bounds, for jitted code.

The heap is an array `[1 + capacity]`: its first value is the number of entries, the
others hold them. An entry is one integer, of a bound in its upper half and an item in
its lower half; of equal bounds, the largest item comes first.
"""

import numpy as np

from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I64

_ITEM = np.int64(0x7FFFFFFF)


@jit
def push(heap: I64, bound: int, item: int) -> None:
    """Adds an item with its bound."""
    key = (np.int64(bound) << 32) | np.int64(item)
    heap[0] += 1
    i = heap[0]
    while i > 1:
        parent = i >> 1
        if heap[parent] >= key:
            break
        heap[i] = heap[parent]
        i = parent
    heap[i] = key


@jit
def pop(heap: I64) -> tuple[int, int]:
    """Removes the item of the largest bound; returns the bound and the item."""
    top = heap[1]
    size = heap[0] - 1
    heap[0] = size
    key = heap[size + 1]
    i = 1
    while True:
        child = 2 * i
        if child > size:
            break
        if child < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return top >> 32, top & _ITEM
