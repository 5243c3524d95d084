"""The memory that each stage of a search takes, counted before it starts.

Counts depend on the graph alone, not on what the process has allocated, so that the
same graph and limit give the same HAG.
"""

from pyg_hag.search.pairs.tries import most_copied

# Bytes, of int32 and int64 arrays and of what is freed too late; measured on large
# graphs:
_PER_EDGE = 8  # for sorting edges into rows
_PER_NODE = 40  # a source or a destination of them
_PER_TWIN = 60  # a row or an item, for finding twins
_PER_ENTRY = 28  # of rows that are searched
_PER_COPY = 12  # of an entry, where a component is searched several times
_PER_ITEM = 160  # given or new, of such rows
_PER_INPUT = 20  # of a row or an aggregate of the HAG, for its arrays and its plan
_PER_ROW = 100
_KEPT = 32 << 20  # allocators return larger blocks only
_MAX_PARTS = 256


class TooLittleMemory(Exception):
    """A search does not fit into its limit."""


class Memory:
    """What a search may allocate.

    Args:
        limit: In bytes; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.held = 0
        """Bytes of the arrays that live until the end of the search."""

    @classmethod
    def for_sample(cls, limit: int | None, num_src: int) -> "Memory":
        """What the search of a sample of a graph may allocate."""
        memory = cls(limit)
        memory.held = _PER_NODE * num_src
        return memory

    def require(self, size: int) -> None:
        """Raises :class:`TooLittleMemory` where arrays of `size` bytes do not fit."""
        if self.limit is not None and self._taken(size) > self.limit:
            raise TooLittleMemory

    def _taken(self, size: int) -> int:
        """The bytes that are taken for arrays of `size` bytes and those that stay."""
        size += self.held
        return size + min(size, _KEPT)

    def for_rows(self, num_edges: int, num_nodes: int) -> None:
        """Checks the room for sorting edges into rows."""
        self.require(_PER_EDGE * num_edges + _PER_NODE * num_nodes)

    def for_twins(self, num_entries: int, num_nodes: int) -> None:
        """Checks the room for a round of looking for twins.

        Args:
            num_entries: Number of entries of the rows.
            num_nodes: Number of rows and of items.
        """
        self.require(4 * num_entries + _PER_TWIN * num_nodes)

    def count_parts(self, num_entries: int, num_rows: int, num_items: int) -> int:
        """The number of parts that the search of some rows needs.

        Args:
            num_entries: Number of entries of the rows.
            num_rows: Number of rows.
            num_items: Number of items.

        Raises:
            TooLittleMemory: If no number is enough.
        """
        if self.limit is None:
            return 1
        num_used = min(num_items + num_rows, num_entries)  # others are in no row
        # At worst every second entry becomes an item; a sixteenth is common:
        wanted = (_PER_ENTRY + _PER_ITEM // 16) * num_entries + _PER_ITEM * num_used
        wanted += _PER_COPY * min(num_entries, most_copied(num_rows))
        if self._taken(wanted) <= self.limit:
            return 1
        pieces = 8 * num_entries  # of all parts, and the rows joined from them
        left = self.limit - self._taken(pieces)
        if left <= 0 or wanted > _MAX_PARTS * left:
            raise TooLittleMemory
        return max(2, -(-wanted // left))

    def for_hag(self, num_inputs: int, num_rows: int) -> None:
        """Checks the room for the arrays of a HAG and for its plan.

        Args:
            num_inputs: Number of inputs of its rows.
            num_rows: Number of its rows, those of aggregates included.
        """
        self.require(_PER_INPUT * num_inputs + _PER_ROW * num_rows)
