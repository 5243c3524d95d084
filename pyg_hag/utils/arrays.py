"""Array types, and functions of counts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def pointers(counts: Any) -> I64:
    """Row pointers: where the entries of each row start, and the end of the last.

    Args:
        counts: Number of entries of each row, `[num_rows]`.

    Returns:
        int64 of shape `[num_rows + 1]`.
    """
    out = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=out[1:])
    return out


def total(counts: Any) -> int:
    """The sum of counts, which may exceed 64 bits."""
    return int(counts.sum() if counts.max(initial=0) < 2**31 else sum(counts.tolist()))
