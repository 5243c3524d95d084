"""Arrays with room for items that are yet to be made."""

from typing import Any

import numpy as np

from pyg_hag.runtime.jit import jit


@jit
def grown(old: Any, size: int) -> Any:
    """A copy of an array with `size` rows, the new ones zero."""
    new = np.zeros((size, *old.shape[1:]), old.dtype)
    new[: old.shape[0]] = old
    return new
