"""Nodes that a product cannot tell apart: those with the same middle nodes.

Sources of the same set of middle nodes are an *atom*: whatever reads one of them reads
all. Destinations of the same set of middle nodes have the same row.
"""

from typing import NamedTuple

import numpy as np

from pyg_hag.graph.csr import transposed
from pyg_hag.runtime.jit import jit
from pyg_hag.search.product.factors import Factor, renumbered
from pyg_hag.search.twins.find import label_equal
from pyg_hag.utils.arrays import I32, I64, pointers

_SORTED_BY = 3  # middle nodes of an atom, the largest first
_COMPARED = 64  # middle nodes of two rows


class Quotient(NamedTuple):
    """A product of two factors in which nodes that are equal are one.

    Attributes:
        atom_ptr: Atom a is `member[atom_ptr[a] : atom_ptr[a + 1]]`.
        member: The sources of the atoms.
        list_ptr: Middle node m reaches the atoms `atom[list_ptr[m] : list_ptr[m + 1]]`.
        atom: The atoms of the middle nodes, ascending.
        row_ptr: Row r reads the middle nodes `middle[row_ptr[r] : row_ptr[r + 1]]`.
        middle: The middle nodes of the distinct rows, those of most atoms first; rows
            are in lexicographic order of their first ones.
        row_of: The row of each destination, -1 where it is empty, `[num_dst]`.
    """

    atom_ptr: I64
    member: I32
    list_ptr: I64
    atom: I32
    row_ptr: I64
    middle: I32
    row_of: I32

    @property
    def num_atoms(self) -> int:
        """Number of atoms."""
        return self.atom_ptr.size - 1


def to_quotient(left: Factor, right: Factor, merge: bool = True) -> Quotient:
    """The quotient of the product of two factors.

    Args:
        left: From sources to middle nodes, without duplicates.
        right: From middle nodes to destinations, without duplicates.
        merge: Whether nodes that are equal become one; else each source is an atom
            and each destination has a row of its own.
    """
    size = np.diff(left.ptr)
    read = np.zeros(size.size, np.bool_)
    read[right.idx] = True
    live = (read & (size > 0)).nonzero()[0]
    by_size = live[np.argsort(-size[live], kind="stable")].astype(np.int32)
    rank = np.full(size.size, -1, np.int32)
    rank[by_size] = np.arange(by_size.size, dtype=np.int32)
    # Middle nodes are numbered by their ranks, so that rows have large ones first:
    right_ptr, middle = renumbered(right.ptr, right.idx, rank)
    list_ptr = pointers(size[by_size])
    lists = _permuted(left.ptr, left.idx, by_size, list_ptr)
    ptr, idx = transposed(list_ptr, lists, left.num_src)
    leader = _leaders(ptr, idx, list_ptr.size - 1, merge)
    atom_of, atom_ptr, member = _number_atoms(ptr, idx, leader)
    firsts = np.where(leader == np.arange(leader.size), atom_of, -1).astype(np.int32)
    list_ptr, atom = renumbered(list_ptr, lists, firsts)
    leader = _leaders(right_ptr, middle, list_ptr.size - 1, merge)
    row_ptr, middle, row_of = _distinct_rows(right_ptr, middle, leader)
    row_ptr, middle, row_of = _in_order(row_ptr, middle, row_of)
    return Quotient(atom_ptr, member, list_ptr, atom, row_ptr, middle, row_of)


def _leaders(ptr: I64, idx: I32, num_cols: int, merge: bool) -> I32:
    """The first of the rows that equal each row: itself unless they are merged."""
    if merge:
        return label_equal(ptr, idx, num_cols)
    return np.arange(ptr.size - 1, dtype=np.int32)


@jit
def _permuted(ptr: I64, idx: I32, order: I32, out_ptr: I64) -> I32:
    """The rows in another order."""
    out = np.empty(idx.size, np.int32)
    for i in range(order.size):
        first = ptr[order[i]]
        for e in range(out_ptr[i + 1] - out_ptr[i]):
            out[out_ptr[i] + e] = idx[first + e]
    return out


def _number_atoms(ptr: I64, idx: I32, leader: I32) -> tuple[I32, I64, I32]:
    """Numbers atoms so that those of the same middle nodes are side by side.

    Args:
        ptr: Where the middle nodes of each source start, `[num_src + 1]`.
        idx: The middle nodes, those of most sources first.
        leader: The first source of each one's atom, `[num_src]`.

    Returns:
        The atom of each source, -1 for those of none; and the sources of the atoms.
    """
    is_first = (leader == np.arange(leader.size)) & (np.diff(ptr) > 0)
    first = is_first.nonzero()[0]
    keys = [_nth(ptr, idx, first, n) for n in range(_SORTED_BY)]
    first = first[np.lexsort(keys[::-1])]
    atom_of = np.full(leader.size, -1, np.int32)
    atom_of[first] = np.arange(first.size, dtype=np.int32)
    used = (np.diff(ptr) > 0).nonzero()[0]
    atom_of[used] = atom_of[leader[used]]
    order = used[np.argsort(atom_of[used], kind="stable")].astype(np.int32)
    return atom_of, pointers(np.bincount(atom_of[used], minlength=first.size)), order


def _in_order(ptr: I64, idx: I32, row_of: I32) -> tuple[I64, I32, I32]:
    """The rows in lexicographic order, as far as their first entries go."""
    lengths = np.diff(ptr)
    length = np.minimum(lengths, _COMPARED)
    by_length = np.argsort(length, kind="stable")
    ends = np.searchsorted(length[by_length], np.arange(length.max(initial=0) + 2))
    order = np.empty(0, np.int64)  # of the rows that are longer than n
    for n in range(ends.size - 2, -1, -1):
        ending = by_length[ends[n + 1] : ends[n + 2] if n + 2 < ends.size else None]
        order = np.concatenate([ending, order])
        order = order[np.argsort(idx[ptr[order] + n], kind="stable")]
    place = np.empty(order.size + 1, np.int32)
    place[order] = np.arange(order.size, dtype=np.int32)
    place[-1] = -1
    out_ptr = pointers(lengths[order])
    return out_ptr, _permuted(ptr, idx, order.astype(np.int32), out_ptr), place[row_of]


def _nth(ptr: I64, idx: I32, rows: I64, n: int) -> I32:
    """The n-th entry of some rows, -1 where there is none."""
    place = np.minimum(ptr[rows] + n, ptr[rows + 1] - 1)
    return np.where(ptr[rows] + n < ptr[rows + 1], idx[place], -1)


@jit
def _distinct_rows(ptr: I64, idx: I32, leader: I32) -> tuple[I64, I32, I32]:
    """The rows that are the first of their kind and not empty, and those of all."""
    row_of = np.full(ptr.size - 1, -1, np.int32)
    out_ptr = np.zeros(ptr.size, np.int64)
    out = np.empty(idx.size, np.int32)
    n, r = 0, 0
    for v in range(ptr.size - 1):
        if ptr[v] == ptr[v + 1]:
            continue
        if leader[v] == v:
            for e in range(ptr[v], ptr[v + 1]):
                out[n] = idx[e]
                n += 1
            row_of[v] = r
            r += 1
            out_ptr[r] = n
        else:
            row_of[v] = row_of[leader[v]]
    return out_ptr[: r + 1].copy(), out[:n].copy(), row_of
