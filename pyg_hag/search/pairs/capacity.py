"""Arrays with room for items that are yet to be made."""

from typing import Any

import numpy as np

from pyg_hag.runtime.jit import jit


@jit
def grown(old: Any, size: int) -> Any:
    """A copy of a vector with `size` elements, the new ones zero."""
    new = np.zeros(size, old.dtype)
    for i in range(old.size):
        new[i] = old[i]
    return new


@jit
def grown_rows(old: Any, size: int) -> Any:
    """A copy of a matrix with `size` rows, the new ones zero."""
    new = np.zeros((size, old.shape[1]), old.dtype)
    for i in range(old.shape[0]):
        for j in range(old.shape[1]):
            new[i, j] = old[i, j]
    return new
