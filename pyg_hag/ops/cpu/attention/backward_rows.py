"""What the rows of all kernels of the backward pass share."""

from typing import Any

from pyg_hag.ops.cpu.attention.program import (
    INVERSE,
    LAST,
    TOP,
    Edge,
    RowEmitter,
)

SCORES, PRODUCTS, TOP_BUFFER, INVERSE_BUFFER, LAST_BUFFER, KEPT = range(6)
"""The buffers: values of the row's edges, for each head."""
COEFFICIENTS, SLOPES = TOP_BUFFER, INVERSE_BUFFER
"""Take the place of others."""


class BackwardEmitter(RowEmitter):
    """What both kinds of scores share: coefficients, and gradients of scores."""

    @property
    def at_dst(self) -> bool:
        """Whether rows are destinations."""
        return self.program.option

    def copy_stats(self, edge: Edge) -> None:
        """Copies what is known of an edge's destination to the buffers."""
        for number, buffer in (
            (TOP, TOP_BUFFER),
            (INVERSE, INVERSE_BUFFER),
            (LAST, LAST_BUFFER),
        ):
            edge.copy(buffer, self.stats_of(self.block.stats, edge.other, number))

    def stat(self, number: int) -> Any:
        """A number of the row, which is a destination, as a vector."""
        place = self.stats_of(self.block.stats, self.row, number)
        return self.lanes.repeat(self.lanes.load_heads(place))

    def buffered(self, number: int, offset: Any) -> Any:
        """A vector of a buffer."""
        return self.lanes.load(self.b.add(self.buffer(number), offset))

    def put_buffered(self, number: int, offset: Any, value: Any) -> None:
        """Writes a vector of a buffer."""
        self.lanes.store(value, self.b.add(self.buffer(number), offset))

    def clear_tails(self) -> None:
        """Makes what buffers have beyond the edges add nothing."""
        zero = self.lanes.constant(0.0)
        for number in range(self.program.num_buffers):
            self.fill_tail(number, zero)
