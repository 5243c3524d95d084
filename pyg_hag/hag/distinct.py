"""The graph with one edge where there is at least one path of a HAG."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pyg_hag.hag.arrays import Rows
from pyg_hag.hag.multiplicity import (
    Scratch,
    count_sources,
    list_sources,
    new_scratch,
)
from pyg_hag.hag.paths import aggregate_rows
from pyg_hag.utils.arrays import F32, I64, pointers, total


class _Counts(NamedTuple):
    degree: I64
    loops: I64
    negative: tuple[int, int]


class DistinctEdges:
    """The edges of a HAG whose paths with the same ends are one edge, each once.

    Nothing has the size of the number of paths.

    Args:
        num_src: Number of sources.
        num_dst: Number of destinations.
        rows: The rows of the HAG.
        spans: Ranges of rows, of which one is walked at once; see Ctrl-C.
    """

    def __init__(
        self, num_src: int, num_dst: int, rows: Rows, spans: Sequence[tuple[int, int]]
    ) -> None:
        self._num_dst = num_dst
        self._spans = spans
        self._row_of = aggregate_rows(rows.target, rows.target.size - num_dst)
        if num_src > 4 * rows.src.size:  # no array of all sources
            self._names, numbers = np.unique(rows.src, return_inverse=True)
            rows = rows._replace(src=numbers)
        else:
            self._names = np.arange(num_src)
        self._rows = rows

    @property
    def degree(self) -> I64:
        """Number of edges into each destination, `[num_dst]`."""
        return self._counts.degree

    @property
    def self_loops(self) -> I64:
        """Number of self-loops of each node, which is 0 or 1, `[num_dst]`."""
        return self._counts.loops

    @property
    def negative(self) -> tuple[int, int]:
        """Some (u, v) with more subtracted than added paths, or (-1, -1)."""
        return self._counts.negative

    @cached_property
    def num_edges(self) -> int:
        """Number of edges."""
        return total(self.degree)

    def listed(self) -> tuple[I64, F32]:
        """The edges by destination and then by source, and their numbers of paths."""
        ptr = pointers(self.degree)
        edge_index = np.empty((2, int(ptr[-1])), np.int64)
        edge_index[1] = np.repeat(np.arange(self._num_dst), self.degree)
        paths = np.empty(edge_index.shape[1], np.float32)
        scratch = self._scratch()
        for begin, end in self._spans:
            known = self._row_of, self._names, scratch
            list_sources(self._rows, begin, end, *known, ptr, edge_index[0], paths)
        return edge_index, paths

    @cached_property
    def _counts(self) -> _Counts:
        degree = np.zeros(self._num_dst, np.int64)
        loops = np.zeros(self._num_dst, np.int64)
        scratch = self._scratch()
        negative = -1, -1
        for begin, end in self._spans:
            known = self._row_of, self._names, scratch
            u, v = count_sources(self._rows, begin, end, *known, degree, loops)
            if v >= 0:
                negative = int(u), int(v)
                break
        return _Counts(degree, loops, negative)

    def _scratch(self) -> Scratch:
        num_aggs = self._row_of.size
        return new_scratch(self._rows.target.size, num_aggs, self._names.size)
