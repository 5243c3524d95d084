"""A HAG on the host: its arrays, and what is computed from them, each once."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NoReturn

import numpy as np
import torch

from pyg_hag.hag.arrays import Flat
from pyg_hag.hag.distinct import DistinctEdges
from pyg_hag.hag.paths import (
    count_paths,
    count_self_loops,
    expand,
    expand_signed,
    first_repeated_path,
    keep_self,
    shortcuts,
)
from pyg_hag.hag.rows import HostRows
from pyg_hag.hag.stats import HAGStats
from pyg_hag.hag.transpose import is_symmetric, transpose
from pyg_hag.utils.arrays import F32, I64, Bool, pointers, total

_MAX_EDGES = 2**26  # are listed without being asked, or more if the HAG is as large:
_PER_INPUT = 1000
_EXACT = 2**53  # paths that floating-point numbers count
_AT_ONCE = 2**21  # paths in a call of compiled code, which Ctrl-C cannot end


class HostHAG(HostRows):
    """A HAG on the host, whatever its device: its rows, and the graph it represents."""

    @classmethod
    def from_arrays(cls, num_src: int, arrays: Sequence[I64]) -> "HostHAG":
        """Makes a set HAG of flat arrays."""
        return cls(num_src, [torch.from_numpy(array) for array in arrays], False)

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether the graph is its own transpose."""
        if self.num_src != self.num_dst:
            return False
        return bool(is_symmetric(self.num_dst, self.rows))

    @cached_property
    def self_loops(self) -> I64:
        """Number of self-loops of each node, `[num_dst]`."""
        out = np.zeros(self.num_dst, np.int64)
        if self.num_src > 0 and self.num_dst > 0:
            for begin, end in self._spans(self._checked_paths()):
                count_self_loops(self.rows, begin, end, *self._shortcuts, out)
        if (out < 0).any():
            v = int((out < 0).argmax())
            _raise_negative(v, v)
        return out

    def stats(self, decision: str, degree: I64) -> HAGStats:
        """The cost of the HAG.

        Args:
            decision: What the search chose and why.
            degree: Number of edges into each destination, `[num_dst]`.
        """
        flat = self.flat
        inputs = flat.src_count + flat.agg_count
        return HAGStats(
            num_edges=total(degree),
            num_aggregates=flat.src_count.size - self.num_dst,
            num_groups=flat.group_aggs.size,
            depth=int(self.paths.depth),
            max_inputs=int(inputs.max(initial=0)),
            plain_aggregations=total((degree - 1).clip(min=0)),
            aggregations=int((inputs - 1).clip(min=0).sum()),
            reads=int(inputs.sum()),
            subtractions=int(flat.src_minus.sum() + flat.agg_minus.sum()),
            steps=flat.src.size if self.is_sequential else None,
            decision=decision,
        )

    def transposed(self) -> Flat:
        """The HAG with every edge reversed.

        Raises:
            MemoryError: If it has more destinations than fit into memory.
        """
        if 64 * self.num_src > _memory():
            raise MemoryError(
                f"the transpose of the HAG has {self.num_src:,} destinations, which "
                f"do not fit into memory: make the HAG with a smaller 'num_src'"
            )
        return transpose(self.num_src, self.rows, self.flat, self.is_signed)

    def closed(self) -> tuple[Flat, I64]:
        """The HAG in which no destination subtracts itself.

        Also returns the number of self-loops that this adds to each destination,
        `[num_dst]`.
        """
        src, src_count, src_minus, added = keep_self(self.rows, self.num_dst)
        agg_minus = self.flat.agg_minus
        if not src_minus.any() and not agg_minus.any():
            src_minus = agg_minus = src_minus[:0]
        flat = self.flat._replace(
            src=src, src_count=src_count, src_minus=src_minus, agg_minus=agg_minus
        )
        return flat, added

    def csr(self, max_edges: int | None = None) -> tuple[I64, I64]:
        """The graph in CSR form: row pointers by destination, sorted sources.

        Args:
            max_edges: The largest number of edges to list. None stands for 2**26, or
                1,000 for each input of the HAG if that is more: a HAG of a few
                kilobytes can represent more edges than fit into memory.

        Raises:
            ValueError: If the HAG represents no graph, or more edges.
        """
        num_paths = self._checked_paths(max_edges)
        ptr = pointers(self.paths.degree)
        col = np.empty(int(ptr[-1]), np.int64)
        row_of, minus_of = self._shortcuts
        largest = int(num_paths.max(initial=0))
        for begin, end in self._spans(num_paths):
            if self.is_signed:
                known = begin, end, row_of, minus_of, largest
                u, v = expand_signed(self.rows, *known, ptr, col)
                if v >= 0:
                    _raise_negative(u, v)
            else:
                expand(self.rows, begin, end, row_of, ptr, col)
        return ptr, col

    def _checked_paths(self, max_edges: int | None = None) -> I64:
        """The number of paths to each destination, of either sign, if not too many."""
        degree = num_paths = self.paths.degree
        if self.is_signed:
            num_paths = self._paths_of_either_sign()
            if (degree < 0).any():
                _raise_negative(-1, int((degree < 0).nonzero()[0][0]))
        self.check_size(num_paths, max_edges)
        return num_paths

    def check_size(self, num_paths: I64, max_edges: int | None) -> None:
        """Raises a ValueError if there are more paths than may be listed."""
        inputs = self.flat.src.size + self.flat.agg.size
        limit = max(_MAX_EDGES, _PER_INPUT * inputs)
        limit = limit if max_edges is None else max_edges
        if total(num_paths) > limit:
            raise ValueError(
                f"the HAG represents {total(num_paths):.3g} edges with {inputs:,} "
                f"inputs, more than the {limit:,} that are listed without being asked: "
                f"pass a larger 'max_edges' to 'to_edge_index' or 'validate'"
            )

    @cached_property
    def _shortcuts(self) -> tuple[I64, Bool]:
        return shortcuts(self.rows, self.rows.target.size - self.num_dst)

    def _spans(self, num_paths: I64) -> Iterator[tuple[int, int]]:
        """Ranges of rows, of about as many paths each; between them Ctrl-C is seen."""
        target = self.rows.target
        work = np.ones(target.size, np.int64)
        is_dst = target >= 0
        work[is_dst] += np.minimum(num_paths[target[is_dst]], 8 * _AT_ONCE)
        done = np.cumsum(work)
        begin = 0
        while begin < target.size:
            before = done[begin - 1] if begin else 0
            end = int(np.searchsorted(done, before + _AT_ONCE, side="right"))
            end = max(end, begin + 1)
            yield begin, end
            begin = end

    def repeated_path(self, max_edges: int | None = None) -> tuple[int, int]:
        """Some source and destination with two paths, or (-1, -1).

        Args:
            max_edges: See :meth:`csr`.
        """
        num_paths = np.minimum(self.paths.degree, self.num_src + 1)  # then it is found
        self.check_size(num_paths, max_edges)
        rows, num_src, used = self.rows, self.num_src, None
        if num_src > 4 * rows.src.size:  # no array of all sources
            used, numbers = np.unique(rows.src, return_inverse=True)
            rows, num_src = rows._replace(src=numbers), used.size
        seen = np.zeros(num_src, np.int64)
        row_of, _ = self._shortcuts
        for begin, end in self._spans(num_paths):
            u, v = first_repeated_path(rows, begin, end, row_of, seen)
            if u >= 0:
                return int(u if used is None else used[u]), int(v)
        return -1, -1

    def _paths_of_either_sign(self) -> I64:
        rows = self.rows
        added = rows._replace(src_mid=rows.src_ptr[1:], agg_mid=rows.agg_ptr[1:])
        return count_paths(added, self.num_dst).degree

    @cached_property
    def distinct(self) -> DistinctEdges:
        """The graph with one edge where there is at least one path.

        Raises:
            ValueError: If the HAG represents no graph, or subtracts too many paths.
        """
        num_paths = self.paths.degree
        if self.is_signed:
            num_paths = self._paths_of_either_sign()
            if num_paths.max(initial=0) > _EXACT:
                raise ValueError(
                    f"the HAG adds and subtracts {num_paths.max():.3g} paths to a "
                    f"destination, of which up to {_EXACT:.3g} can be counted"
                )
        spans = [*self._spans(num_paths)]
        out = DistinctEdges(self.num_src, self.num_dst, self.rows, spans)
        if out.negative[1] >= 0:
            _raise_negative(*out.negative)
        return out

    def distinct_edges(self, max_edges: int | None = None) -> tuple[I64, F32]:
        """The edges of :attr:`distinct`, as :meth:`edge_index` lists them.

        Also returns the number of paths of each, `[num_edges]`.
        """
        self.check_size(self.distinct.degree, max_edges)
        return self.distinct.listed()

    def edge_index(self, max_edges: int | None = None) -> I64:
        """The edges, `[2, num_edges]`, sorted by destination and then by source."""
        ptr, col = self.csr(max_edges)
        return np.stack([col, np.repeat(np.arange(self.num_dst), np.diff(ptr))])


def _memory() -> float:
    """The bytes of memory of this machine; infinite where it does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


def _raise_negative(u: int, v: int) -> NoReturn:
    """Raises the error of a HAG that subtracts paths that it does not add."""
    paths = "paths" if u < 0 else f"paths from source {u}"
    raise ValueError(
        f"the HAG subtracts more {paths} to destination {v} than it adds, so it "
        f"represents no graph; use 'build_hag' to build a valid one"
    )
