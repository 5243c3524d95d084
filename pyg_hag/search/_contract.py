"""Twins contracted, round after round, and expanded again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyg_hag.search import _components, _twins
from pyg_hag.search._rules import Rules

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_LEAST_SHARE = 0.002  # of the rows and items left: a round that merges fewer ends it


class _Round(NamedTuple):
    row_ptr: I64
    row_members: I32
    twin_ptr: I64
    twin_members: I32
    nodes: I32


class Contraction:
    """A graph without its twins, and the way back.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`.
        row: The items of the rows, ascending and different.
        num_items: Number of items.
        num_nodes: Row v and item v belong to one node for `v < num_nodes`.
        arity: Inputs of the sums in the trees over twins.
        most_rounds: 0 leaves the graph as it is.
        control: Stops when the first is not 0.
    """

    def __init__(
        self,
        row_ptr: I64,
        row: I32,
        num_items: int,
        num_nodes: int,
        arity: int,
        most_rounds: int,
        control: I64,
    ) -> None:
        self.row_ptr = row_ptr
        self.row = row
        self.item_id = np.arange(num_items, dtype=np.int32)
        """The item that stands for each item that is left."""
        self.num_ids = num_items
        self._arity = arity
        self._num_nodes = num_nodes
        self._rounds: list[_Round] = []
        self._counts: list[I32] = []
        self._inputs: list[I32] = []
        left = num_items + row_ptr.size
        for _ in range(most_rounds):
            if control[0] != 0:
                break
            merged = self._contract()
            if merged <= _LEAST_SHARE * left:
                break
            left -= merged

    def _contract(self) -> int:
        col_ptr, col = _components.transposed(self.row_ptr, self.row, self.item_id.size)
        row_leader, item_leader, twin, merged = _twins.find_twins(
            self.row_ptr, self.row, col_ptr, col, self._num_nodes
        )
        if merged == 0:
            return 0
        rows = _twins.groups(row_leader)
        items = _twins.groups(item_leader)
        twins = _twins.groups(twin)
        counts, inputs, nodes = _twins.sum_groups(
            *items, *twins, self._arity, self.item_id, self.num_ids
        )
        self.num_ids += counts.size
        self._counts.append(counts)
        self._inputs.append(inputs)
        self._rounds.append(_Round(rows[0], rows[1], twins[0], twins[1], nodes))
        self.row_ptr, self.row = _twins.merged(
            self.row_ptr, self.row, row_leader, item_leader, twin
        )
        return int(merged)

    def expand(
        self, counts: I32, inputs: I32, start: I64, row_len: I64, row: I32
    ) -> Rules:
        """The rules of the whole graph.

        Args:
            counts: Input counts of the items that the search has made, which are
                numbered from `num_ids`.
            inputs: Their inputs.
            start: The rows that are left lie, after the search, at
                `row[start[v] : start[v] + row_len[v]]`; changed in place.
            row_len: Their lengths; changed in place.
            row: Their items.
        """
        all_counts = [*self._counts, counts]
        all_inputs = [*self._inputs, inputs]
        if self._rounds:
            members = sum(r.twin_members.size for r in self._rounds)
            groups = sum(r.row_ptr.size + r.twin_ptr.size for r in self._rounds)
            old = row.size
            pool = np.empty(old + self._arity * members + groups, np.int32)
            pool[:old] = row
            new_counts = np.empty(3 * members + groups, np.int32)
            new_inputs = np.empty(pool.size + 3 * self._arity * members + 16, np.int32)
            first = self.num_ids + counts.size
            done = (old, 0, 0)
            for r in reversed(self._rounds):
                done = _twins.expand(
                    *r,
                    self._arity,
                    start,
                    row_len,
                    pool,
                    done[0],
                    new_counts,
                    new_inputs,
                    done[1],
                    done[2],
                    first,
                )
            row = pool[: done[0]]
            all_counts.append(new_counts[: done[1]])
            all_inputs.append(new_inputs[: done[2]])
        return Rules(
            num_items=self.item_id.size,
            counts=np.concatenate(all_counts),
            inputs=np.concatenate(all_inputs),
            start=start,
            length=row_len,
            row=row,
        )
