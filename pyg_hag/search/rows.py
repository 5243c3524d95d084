"""Searches rows of items: twins become one, then pairs are merged."""

from pyg_hag.search.emit.choose import choose_cheaper, costs_of, label_components
from pyg_hag.search.emit.rules import Rules
from pyg_hag.search.memory import Memory
from pyg_hag.search.options import SearchOptions
from pyg_hag.search.pairs.parts import merge_in_parts
from pyg_hag.search.pairs.search import MergedPairs
from pyg_hag.search.pairs.tries import SMALL
from pyg_hag.search.twins.contraction import Contraction
from pyg_hag.utils.arrays import I32, I64

_MAX_ROUNDS = 16  # in which twins are contracted


class RowSearch:
    """The search of rows under some options.

    Args:
        options: How to search.
        num_nodes: Row v and item v belong to the same node for `v < num_nodes`.
        control: Stops a search when `control[STOP]` is not 0.
        memory: What searches may allocate.
    """

    def __init__(
        self, options: SearchOptions, num_nodes: int, control: I64, memory: Memory
    ) -> None:
        self._options = options
        self.num_nodes = num_nodes
        self._control = control
        self._memory = memory
        self.most_parts = 1
        """The largest number of parts in which rows were searched."""
        self.merged: MergedPairs | None = None
        """The pairs of the exact search, if it was made in one part."""

    @property
    def write(self) -> int:
        """What an aggregate costs beside its reads: see `costs_of`."""
        return -1 if self._options.objective == "aggregations" else 1

    def __call__(self, row_ptr: I64, row: I32, num_items: int) -> Rules:
        """The rules of rows without duplicates, in ascending order.

        Raises:
            TooLittleMemory: If no number of parts keeps to the limit.
        """
        if self._options.method == "greedy":
            return self._search(row_ptr, row, num_items, 0)[0]
        rules, has_twins = self._search(row_ptr, row, num_items, _MAX_ROUNDS)
        if not has_twins or row.size > SMALL:
            return rules
        others, _ = self._search(row_ptr, row, num_items, 0)
        labels = label_components(row_ptr, row, num_items)
        costs = costs_of(rules, self.write)
        return choose_cheaper(rules, costs, others, *labels, self.write)[0]

    def _search(
        self, row_ptr: I64, row: I32, num_items: int, max_rounds: int
    ) -> tuple[Rules, bool]:
        """The rules, and whether there were twins, merged in `max_rounds` rounds."""
        memory, options = self._memory, self._options
        contraction = Contraction(
            row_ptr,
            row,
            num_items,
            num_nodes=self.num_nodes,
            arity=2 if options.objective == "aggregations" else 4,
            max_rounds=max_rounds,
            control=self._control,
            memory=memory,
        )
        memory.held += contraction.num_bytes
        num_rows = row_ptr.size - 1
        num_parts = memory.count_parts(contraction.row.size, num_rows, num_items)
        self.most_parts = max(self.most_parts, num_parts)
        memory.held -= contraction.num_bytes
        exact = options.method == "greedy"
        lists, merged = merge_in_parts(
            contraction,
            num_parts,
            exact,
            options.effective_min_redundancy,
            self._control,
        )
        if exact and num_parts == 1:
            self.merged = merged
        return contraction.expand(*lists), contraction.num_bytes > 0
