"""Items as bit sets of the rows that contain them: for small, dense components.

Two items share as many rows as the intersection of their sets has bits.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from pyg_hag.runtime.jit import jit
from pyg_hag.search.pairs.components import Component
from pyg_hag.utils.arrays import I32, I64, U64


class BitSets(NamedTuple):
    """The rows that contain each item.

    Attributes:
        bits: Bit `v % 64` of `bits[x, v // 64]` is set where row v contains item x,
            `[capacity, ceil(num_rows / 64)]`.
        size: Number of rows that contain each item, `[capacity]`.
        active: The items that may still be worth a merge, `[capacity]`.
        num_active: Number of them, `[1]`.
    """

    bits: U64
    size: I64
    active: I32
    num_active: I64


def _popcount(word: Any) -> int:
    """The number of bits that are set, where this runs as Python."""
    return int(word).bit_count()


@overload(_popcount)
def _compiled_popcount(word: Any) -> Any:
    def popcount(word: Any) -> Any:
        return _count_bits(word)

    return popcount


@intrinsic
def _count_bits(_: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(i64, [i64]), "llvm.ctpop.i64"
        )
        return builder.call(function, [args[0]])

    return types.int64(types.uint64), codegen


@jit
def fill(sets: BitSets, component: Component) -> None:
    """Writes the sets of the given items, and their sizes; all were zero."""
    for v in range(component.row_ptr.size - 1):
        bit = np.uint64(1) << np.uint64(v & 63)
        for e in range(component.row_ptr[v], component.row_ptr[v + 1]):
            x = component.row[e]
            sets.bits[x, v >> 6] |= bit
            sets.size[x] += 1


@jit
def activate(sets: BitSets, x: int) -> None:
    """Adds item x to the active ones."""
    sets.active[sets.num_active[0]] = x
    sets.num_active[0] += 1


@jit
def count_shared(bits: U64, x: int, y: int) -> int:
    """Number of rows that contain both items; `bits` is that of :class:`BitSets`."""
    count = 0
    for word in range(bits.shape[1]):
        count += _popcount(bits[x, word] & bits[y, word])
    return count


@jit
def find_best(sets: BitSets, x: int, min_redundancy: int) -> tuple[int, int, int]:
    """Finds the item that shares most rows with x, the newest among equals.

    Drops active items in fewer than `min_redundancy` rows on the way.

    Returns:
        The number of shared rows, the item, and an upper bound on the rows that x
        shares with any other item.
    """
    bits, active, size = sets.bits, sets.active, sets.size
    best = 0
    second = 0
    partner = -1
    kept = 0
    for i in range(sets.num_active[0]):
        y = active[i]
        if size[y] < min_redundancy:
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
    sets.num_active[0] = kept
    return best, partner, second


@jit
def merge(sets: BitSets, x: int, y: int, new: int) -> None:
    """Moves the rows that contain x and y over to the item `new`."""
    bits, size = sets.bits, sets.size
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
    activate(sets, new)


@jit
def write_rows(sets: BitSets, component: Component, num_items: int) -> None:
    """Writes the sets back as rows of ascending items."""
    row_ptr, row, row_len = component.row_ptr, component.row, component.row_len
    row_len[:] = 0
    for x in range(num_items):
        for word in range(sets.bits.shape[1]):
            rest = sets.bits[x, word]
            while rest != 0:
                low = rest & (~rest + np.uint64(1))
                v = 64 * word + _popcount(low - np.uint64(1))
                row[row_ptr[v] + row_len[v]] = x
                row_len[v] += 1
                rest ^= low
