"""Contraction: twins become one, round by round, and are expanded again."""

import numpy as np

from pyg_hag.graph.csr import transposed
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.memory import Memory
from pyg_hag.search.progress import STOP
from pyg_hag.search.twins.expand import ENTRIES, INPUTS, ITEMS, Expansion, Round, expand
from pyg_hag.search.twins.find import find_twins
from pyg_hag.search.twins.sums import contract, group_by_leader, sum_groups
from pyg_hag.utils.arrays import I32, I64

_MIN_SHARE = 0.002  # of the rows and items left that a round must merge to go on


class Contraction:
    """A graph without its twins, and the way back.

    Args:
        row_ptr: Row v is `row[row_ptr[v] : row_ptr[v + 1]]`, `[num_rows + 1]`.
        row: The items of the rows, ascending and without duplicates.
        num_items: Number of items.
        num_nodes: Row v and item v belong to the same node for `v < num_nodes`.
        arity: Inputs of the sums in the trees over twins.
        max_rounds: Largest number of rounds; 0 leaves the graph as it is.
        control: Stops the contraction when `control[STOP]` is not 0.
        memory: What it may allocate.

    Raises:
        TooLittleMemory: If that is not enough.
    """

    def __init__(
        self,
        row_ptr: I64,
        row: I32,
        num_items: int,
        num_nodes: int,
        arity: int,
        max_rounds: int,
        control: I64,
        memory: Memory,
    ) -> None:
        self.row_ptr = row_ptr
        self.row = row
        self.item_id = np.arange(num_items, dtype=np.int32)
        """The number of the sum for which each item stands, `[num_items]`."""
        self.num_ids = num_items
        self._arity = arity
        self._num_nodes = num_nodes
        self._rounds: list[Round] = []
        self._counts: list[I32] = []
        self._inputs: list[I32] = []
        left = num_items + row_ptr.size
        for _ in range(max_rounds):
            if control[STOP] != 0:
                break
            own = self.row.size if self._rounds else 0  # not those of the caller
            memory.for_twins(own + self.row.size, num_items + row_ptr.size)
            num_merged = self._contract()
            if num_merged <= _MIN_SHARE * left:
                break
            left -= num_merged

    def _contract(self) -> int:
        """Runs one round and returns how many rows, items and nodes it has merged."""
        columns = transposed(self.row_ptr, self.row, self.item_id.size)
        twins = find_twins(self.row_ptr, self.row, *columns, self._num_nodes)
        del columns
        if twins.num_merged == 0:
            return 0
        items = group_by_leader(twins.item_leader)
        nodes = group_by_leader(twins.node_leader)
        sums = sum_groups(items, nodes, self._arity, self.item_id, self.num_ids)
        self.num_ids += sums.counts.size
        self._counts.append(sums.counts)
        self._inputs.append(sums.inputs)
        rows = group_by_leader(twins.row_leader)
        self._rounds.append(Round(rows, nodes, sums.tree_nodes))
        self.row_ptr, self.row = contract(self.row_ptr, self.row, twins)
        return int(twins.num_merged)

    @property
    def num_bytes(self) -> int:
        """The bytes of the rows that are left; 0 if they are those that were given."""
        return self.row_ptr.nbytes + self.row.nbytes if self._rounds else 0

    def expand(
        self, counts: I32, inputs: I32, start: I64, length: I64, row: I32
    ) -> Rules:
        """The rules of the whole graph.

        Args:
            counts: Number of inputs of each item that the search has made; these are
                numbered from `num_ids` on.
            inputs: Their inputs, one item after the other.
            start: The rows after the search: row v of the contracted graph is
                `row[start[v] : start[v] + length[v]]`; changed in place.
            length: Length of each row; changed in place.
            row: Items of the rows.
        """
        all_counts = [*self._counts, counts]
        all_inputs = [*self._inputs, inputs]
        if self._rounds:
            out = self._make_space(start, length, row, self.num_ids + counts.size)
            for groups in reversed(self._rounds):
                expand(groups, self._arity, out)
            row = out.row[: out.used[ENTRIES]]
            all_counts.append(out.counts[: out.used[ITEMS]])
            all_inputs.append(out.inputs[: out.used[INPUTS]])
        return Rules(
            num_items=self.item_id.size,
            counts=np.concatenate(all_counts),
            inputs=np.concatenate(all_inputs),
            start=start,
            length=length,
            row=row,
        )

    def _make_space(
        self, start: I64, length: I64, row: I32, first_id: int
    ) -> Expansion:
        """The rows, with space for what their expansion adds at most."""
        rounds = self._rounds
        members = sum(r.twins.members.size for r in rounds)
        groups = sum(r.rows.ptr.size + r.twins.ptr.size for r in rounds)
        space = np.empty(row.size + self._arity * members + groups, np.int32)
        space[: row.size] = row
        return Expansion(
            start=start,
            length=length,
            row=space,
            counts=np.empty(3 * members + groups, np.int32),
            inputs=np.empty(space.size + 3 * self._arity * members + 16, np.int32),
            used=np.array([row.size, 0, 0]),
            first_id=first_id,
        )
