"""The edges of a graph as rows, for kernels that need every edge."""

from functools import cached_property

import numpy as np

from pyg_hag.hag import HAG
from pyg_hag.hag.memo import once_per_hag
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import I32, I64

AHEAD = 8
"""Entries of `col` behind the last one: kernels prefetch what edges ahead read."""


class EdgeRows:
    """Edges in rows: of destinations, or of sources.

    Args:
        ptr: Row r is `col[ptr[r] : ptr[r + 1]]`, `[num_rows + 1]`.
        col: The other ends of the edges, with :data:`AHEAD` zeros behind.
        number: The number of each edge in the order of the graph, `[num_edges]`.
    """

    def __init__(self, ptr: I64, col: I32, number: I64) -> None:
        self.ptr, self.col, self.number = ptr, col, number
        self._cuts: dict[int, list[int]] = {}

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.ptr.size - 1

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return self.number.size

    @cached_property
    def longest(self) -> int:
        """The largest number of edges in a row."""
        return int(np.diff(self.ptr).max(initial=0))

    def cuts(self, count: int) -> list[int]:
        """Bounds of ranges of rows with about equally much work."""
        if count not in self._cuts:
            work = self.ptr + 2 * np.arange(self.ptr.size)
            targets = np.linspace(0, work[-1], count + 1)
            cuts = np.searchsorted(work, targets[1:-1])
            self._cuts[count] = np.unique([0, *cuts, self.num_rows]).tolist()
        return self._cuts[count]


@once_per_hag
def edge_ends(hag: HAG, loops: bool) -> tuple[I64, I64]:
    """Sources and destinations of the edges, in the order in which they were given.

    Args:
        hag: The graph.
        loops: Whether each node that is both source and destination has exactly one
            self-loop, instead of those of the graph; these then come last.
    """
    src, dst = hag.edge_index_of_any_order().detach().cpu().long().numpy()
    if loops:
        keep = src != dst
        nodes = np.arange(min(hag.num_src, hag.num_dst))
        src, dst = np.append(src[keep], nodes), np.append(dst[keep], nodes)
    return src, dst


@once_per_hag
def edge_rows(hag: HAG, loops: bool, by_source: bool) -> EdgeRows:
    """The edges of a graph, in rows; see :func:`edge_ends`."""
    src, dst = edge_ends(hag, loops)
    if by_source:
        return EdgeRows(*_in_rows(src, dst, hag.num_src, AHEAD))
    return EdgeRows(*_in_rows(dst, src, hag.num_dst, AHEAD))


@jit
def _in_rows(row: I64, other: I64, num_rows: int, ahead: int) -> tuple[I64, I32, I64]:
    """Puts edges into rows, each in the order of the edges."""
    ptr = np.zeros(num_rows + 1, np.int64)
    for e in range(row.size):
        ptr[row[e] + 1] += 1
    for r in range(num_rows):
        ptr[r + 1] += ptr[r]
    fill = ptr[:num_rows].copy()
    col = np.zeros(row.size + ahead, np.int32)
    number = np.empty(row.size, np.int64)
    for e in range(row.size):
        place = fill[row[e]]
        col[place] = other[e]
        number[place] = e
        fill[row[e]] += 1
    return ptr, col, number
