"""Puts rules together: sums of items, sums of those, and rows that read them."""

import numpy as np

from pyg_hag.search.emit.rules import Rules
from pyg_hag.utils.arrays import I32, I64, pointers


class Composition:
    """Rules that grow from the sources on.

    Args:
        num_items: Number of given items.
    """

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items
        self.next_id = num_items
        """The number of the next new item."""
        self._counts: list[I32] = []
        self._inputs: list[I32] = []

    def add(self, counts: I32, inputs: I32) -> I32:
        """Adds new items, given by the number of their inputs, and the inputs.

        Returns:
            Their numbers.
        """
        first = self.next_id
        self.next_id += counts.size
        self._counts.append(counts.astype(np.int32, copy=False))
        self._inputs.append(inputs)
        return np.arange(first, self.next_id, dtype=np.int32)

    def sums(self, ptr: I64, items: I32, wanted: I64 | None = None) -> I32:
        """One item for each of some lists: a new one, or the only one in the list.

        Args:
            ptr: Where the items of each list start, `[num_lists + 1]`.
            items: The items.
            wanted: The lists, none of them empty; all if None.
        """
        if wanted is None:
            wanted = np.arange(ptr.size - 1)
        length = ptr[wanted + 1] - ptr[wanted]
        out = items[ptr[wanted]].astype(np.int32)
        many = wanted[length > 1]
        chosen = np.zeros(ptr.size - 1, np.bool_)
        chosen[many] = True
        inputs = items[np.repeat(chosen, np.diff(ptr))]
        out[length > 1] = self.add(length[length > 1].astype(np.int32), inputs)
        return out

    def rules(self, start: I64, length: I64, row: I32) -> Rules:
        """The rules of these rows."""
        none = np.empty(0, np.int32)
        counts = np.concatenate([none, *self._counts])
        inputs = np.concatenate([none, *self._inputs])
        return Rules(self.num_items, counts, inputs, start, length, row)

    def repeated(
        self, start: I64, length: I64, row: I32, row_of: I32
    ) -> tuple[I64, I64, I32]:
        """The rows of all destinations, of which several may have the same one.

        A row that several have becomes an item.

        Args:
            start: Where each distinct row starts.
            length: How many items it has.
            row: The items.
            row_of: The row of each destination, or -1, `[num_dst]`.
        """
        readers = np.bincount(row_of[row_of >= 0], minlength=length.size)
        many = ((readers > 1) & (length > 1)).nonzero()[0]
        ptr = pointers(length[many])
        place = np.arange(ptr[-1]) - np.repeat(ptr[:-1] - start[many], length[many])
        sums = self.add(length[many].astype(np.int32), row[place])
        start, length = start.copy(), length.copy()
        start[many] = row.size + np.arange(many.size)
        length[many] = 1
        row = np.concatenate([row, sums])
        start, length = np.append(start, 0), np.append(length, 0)  # of no row
        return start[row_of], length[row_of], row
