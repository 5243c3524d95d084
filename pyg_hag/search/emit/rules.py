"""What a search returns: new items as sums of items, and rows as lists of items."""

from typing import NamedTuple

from pyg_hag.utils.arrays import I32, I64, pointers


class IndexedRules(NamedTuple):
    """Rules in the form that jitted code takes.

    Attributes:
        num_items: Number of given items.
        in_ptr: New item k is the sum of `inputs[in_ptr[k] : in_ptr[k + 1]]`,
            `[num_new + 1]`.
        inputs: Inputs of the new items, one item after the other.
        start: Row v is `row[start[v] : start[v] + length[v]]`, `[num_rows]`.
        length: Length of each row, `[num_rows]`.
        row: Items of the rows.
    """

    num_items: int
    in_ptr: I64
    inputs: I32
    start: I64
    length: I64
    row: I32


class Rules(NamedTuple):
    """New items as sums of items, and the rows as lists of items.

    Given items (sources and copies of sources) are numbered first, then the new
    ones, each after its inputs.

    Attributes:
        num_items: Number of given items.
        counts: Number of inputs of each new item, `[num_new]`.
        inputs: Inputs of the new items, one item after the other.
        start: Row v is `row[start[v] : start[v] + length[v]]`, `[num_rows]`.
        length: Length of each row, `[num_rows]`.
        row: Items of the rows.
    """

    num_items: int
    counts: I32
    inputs: I32
    start: I64
    length: I64
    row: I32

    def indexed(self) -> IndexedRules:
        """The same rules with pointers to the inputs of the new items."""
        return IndexedRules(
            self.num_items,
            pointers(self.counts),
            self.inputs,
            self.start,
            self.length,
            self.row,
        )
