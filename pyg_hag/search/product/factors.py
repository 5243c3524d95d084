"""The factors of a product of graphs, and products of two of them that are small."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyg_hag.graph.sort import to_rows
from pyg_hag.runtime.jit import jit
from pyg_hag.utils.arrays import F64, I32, I64


class Factor(NamedTuple):
    """A graph from one kind of nodes to the next one, as rows.

    Attributes:
        ptr: Where the sources of each destination start, `[num_dst + 1]`.
        idx: The sources of each destination, ascending.
        num_src: Number of sources.
    """

    ptr: I64
    idx: I32
    num_src: int

    @property
    def num_dst(self) -> int:
        """Number of destinations."""
        return self.ptr.size - 1

    def distinct(self) -> "Factor":
        """The factor without duplicates."""
        ptr, idx = distinct_rows(self.ptr, self.idx)
        return Factor(ptr, idx, self.num_src)


def to_factor(src: I64, dst: I64, size: tuple[int, int], distinct: bool) -> Factor:
    """The factor of an `edge_index`.

    Args:
        src: The sources of the edges.
        dst: The destinations of the edges.
        size: The numbers of sources and destinations.
        distinct: Whether duplicates are left out.
    """
    ptr, idx = to_rows(src, dst, *size)
    factor = Factor(ptr, idx, size[0])
    return factor.distinct() if distinct else factor


@jit
def renumbered(ptr: I64, idx: I32, number: I32) -> tuple[I64, I32]:
    """The rows with other numbers, ascending, without entries whose number is -1."""
    out_ptr = np.zeros(ptr.size, np.int64)
    out = np.empty(idx.size, np.int32)
    n = 0
    for v in range(ptr.size - 1):
        begin = n
        for e in range(ptr[v], ptr[v + 1]):
            if number[idx[e]] >= 0:
                out[n] = number[idx[e]]
                n += 1
        out[begin:n].sort()
        out_ptr[v + 1] = n
    return out_ptr, out[:n].copy()


@jit
def distinct_rows(ptr: I64, idx: I32) -> tuple[I64, I32]:
    """The rows, which are ascending, without duplicates."""
    out_ptr = np.zeros(ptr.size, np.int64)
    out = np.empty(idx.size, np.int32)
    n = 0
    for v in range(ptr.size - 1):
        for e in range(ptr[v], ptr[v + 1]):
            if e == ptr[v] or idx[e] != idx[e - 1]:
                out[n] = idx[e]
                n += 1
        out_ptr[v + 1] = n
    return out_ptr, (out if n == out.size else out[:n].copy())


def fold(factors: Sequence[Factor]) -> tuple[Factor, Factor]:
    """Two factors whose product has the same edges as that of all.

    The chain is cut where the paths of both halves are fewest, and the halves are
    multiplied.
    """
    cut = min(
        range(1, len(factors)),
        key=lambda i: _work(factors[:i]) + _work(factors[i:]),
    )
    return product(factors[:cut]), product(factors[cut:])


def _work(factors: Sequence[Factor]) -> float:
    """About how many steps the product takes: its paths."""
    paths: F64 = np.ones(factors[0].num_src)
    steps = 0.0
    for factor in factors:
        dst = np.repeat(np.arange(factor.num_dst), np.diff(factor.ptr))
        paths = np.bincount(dst, paths[factor.idx], factor.num_dst).astype(np.float64)
        steps += float(paths.sum())
    return steps


def product(factors: Sequence[Factor]) -> Factor:
    """The product of factors without duplicates."""
    out = factors[0]
    for factor in factors[1:]:
        ptr, idx = _product(out.ptr, out.idx, out.num_src, factor.ptr, factor.idx)
        out = Factor(ptr, idx, out.num_src)
    return out


@jit
def _product(
    left_ptr: I64, left: I32, num_src: int, right_ptr: I64, right: I32
) -> tuple[I64, I32]:
    """The distinct sources that each destination reaches, ascending."""
    num_dst = right_ptr.size - 1
    seen = np.full(num_src, -1, np.int32)
    ptr = np.zeros(num_dst + 1, np.int64)
    for v in range(num_dst):
        count = 0
        for e in range(right_ptr[v], right_ptr[v + 1]):
            for i in range(left_ptr[right[e]], left_ptr[right[e] + 1]):
                if seen[left[i]] != v:
                    seen[left[i]] = v
                    count += 1
        ptr[v + 1] = ptr[v] + count
    out = np.empty(ptr[num_dst], np.int32)
    seen[:] = -1
    for v in range(num_dst):
        n = ptr[v]
        for e in range(right_ptr[v], right_ptr[v + 1]):
            for i in range(left_ptr[right[e]], left_ptr[right[e] + 1]):
                if seen[left[i]] != v:
                    seen[left[i]] = v
                    out[n] = left[i]
                    n += 1
        out[ptr[v] : n].sort()
    return ptr, out
