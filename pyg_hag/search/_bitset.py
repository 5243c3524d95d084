"""Items as bit sets of the rows that contain them: for small, dense components.

Item x is one row of `bits`: bit v of it is set where row v contains x. Two items
share as many rows as the intersection of their sets has bits.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from pyg_hag._jit import jit

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]


@intrinsic
def _popcount(_: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(i64, [i64]), "llvm.ctpop.i64"
        )
        return builder.call(function, [args[0]])

    return types.int64(types.uint64), codegen


@jit
def fill(bits: U64, size: I64, row_ptr: I64, row: I32, num_items: int) -> None:
    """Writes the sets of the first `num_items` items, and their sizes."""
    bits[:num_items] = 0
    size[:num_items] = 0
    for v in range(row_ptr.size - 1):
        bit = np.uint64(1) << np.uint64(v & 63)
        for e in range(row_ptr[v], row_ptr[v + 1]):
            bits[row[e], v >> 6] |= bit
            size[row[e]] += 1


@jit
def count_shared(bits: U64, x: int, y: int) -> int:
    """Number of rows that contain both items."""
    count = 0
    for word in range(bits.shape[1]):
        count += _popcount(bits[x, word] & bits[y, word])
    return count


@jit
def scan(
    bits: U64, size: I64, active: I32, num_active: int, x: int, least: int
) -> tuple[int, int, int, int]:
    """The item that shares most rows with x (the newest of equals).

    Returns the number of shared rows, the item, a bound on the shared rows of all
    other items, and the number of active items left: those in fewer than `least`
    rows are dropped on the way.
    """
    best = 0
    second = 0
    partner = -1
    kept = 0
    for i in range(num_active):
        y = active[i]
        if size[y] < least:
            continue
        active[kept] = y
        kept += 1
        if y == x or (size[y] <= second and size[y] < best):
            continue
        count = count_shared(bits, x, y)
        if count > best or (count == best and y > partner):
            second = best
            best = count
            partner = y
        elif count > second:
            second = count
    return best, partner, second, kept


@jit
def merge(bits: U64, size: I64, x: int, y: int, new: int) -> None:
    """Moves the rows that contain x and y over to the item `new`."""
    count = 0
    for word in range(bits.shape[1]):
        both = bits[x, word] & bits[y, word]
        bits[new, word] = both
        bits[x, word] &= ~both
        bits[y, word] &= ~both
        count += _popcount(both)
    size[new] = count
    size[x] -= count
    size[y] -= count


@jit
def write_rows(bits: U64, num_items: int, row_ptr: I64, row: I32, row_len: I64) -> None:
    """Writes the sets back as rows of ascending items."""
    row_len[:] = 0
    for x in range(num_items):
        for word in range(bits.shape[1]):
            rest = bits[x, word]
            while rest != 0:
                low = rest & (~rest + np.uint64(1))
                v = 64 * word + _popcount(low - np.uint64(1))
                row[row_ptr[v] + row_len[v]] = x
                row_len[v] += 1
                rest ^= low
