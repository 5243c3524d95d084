"""A binary max-heap of 64-bit keys in an array."""

import numpy as np
from numpy.typing import NDArray

from pyg_hag._jit import jit

Keys = NDArray[np.int64]


@jit
def push(heap: Keys, size: int, key: int) -> int:
    """Adds a key to the `size` keys of the heap and returns the new size."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if heap[parent] >= key:
            break
        heap[i] = heap[parent]
        i = parent
    heap[i] = key
    return size + 1


@jit
def pop(heap: Keys, size: int) -> int:
    """Returns the largest key and removes it: `size - 1` keys are left."""
    top = heap[0]
    size -= 1
    key = heap[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return top
