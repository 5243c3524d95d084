"""The frame of all attention kernels: rows of a graph, their edges, and buffers.

A row is visited with few steps per edge: what an edge needs is gathered into buffers of
the thread, one value for each head, whose contents are then computed in full vectors,
and the features of the row are summed in registers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pyg_hag.ops.cpu.attention.lanes import Lanes
from pyg_hag.ops.cpu.control_flow import load_element, load_index, loop
from pyg_hag.ops.cpu.formats import ACCUMULATORS, I32, I64
from pyg_hag.ops.cpu.program import PROGRESS, Block
from pyg_hag.ops.cpu.tiling import Variant
from pyg_hag.plan.attention import AHEAD

_GRAPH = ("ptr", "col", "edge")
_INPUTS = ("key", "value", "query", "att", "edge_term", "grad", "stats")
_OUTPUTS = (
    *("out", "positive", "out_stats", "grad_key", "grad_value", "grad_query"),
    *("grad_att", "grad_edge"),
)
_NUMBERS = ("buffer_bytes", "slope", "scale", "seed", "threshold", "kept")
ADDRESSES = (*_GRAPH, *_INPUTS, *_OUTPUTS)
"""The arrays that kernels read and write.

`ptr`, `col` and `edge` are the rows, the other ends of their edges, and the edges'
numbers. `key` and `value` belong to sources; `query`, `grad` (of the results) and
`stats` to destinations: for each head the largest score, one over the sum of
exponentials, and the inner product of the result and its gradient. `edge_term` belongs
to edges.
"""
FIELDS = (*PROGRESS, *ADDRESSES, *_NUMBERS)
"""All parameters of attention kernels."""
TOP, INVERSE, LAST = range(3)
NUM_STATS = 3
"""Numbers in `stats` of a destination and head; the last one is the share of positive
scores in `out_stats`, and the inner product in `stats`."""


@dataclass(frozen=True, eq=False)
class AttentionProgram:
    """A kernel over the rows of a graph.

    Attributes:
        kind: How scores are computed: `"gat"`, `"gatv2"` or `"dot"`.
        dtype: `"float32"` or `"float64"`.
        width: Heads in a vector.
        groups: Groups of heads.
        vectors: Vectors of the features of one group.
        has_edges: Whether edges have a term of their own.
        drops: Whether coefficients are dropped at random.
        prefetch: Whether features are prefetched.
        option: Whether the forward pass also sums what has a positive score.
    """

    kind: str
    dtype: str
    width: int
    groups: int
    vectors: int
    has_edges: bool
    drops: bool
    prefetch: bool
    option: bool = False

    fields: ClassVar[tuple[str, ...]] = FIELDS
    variants: ClassVar = [Variant(1, "exact", 1)]
    checked: ClassVar = False
    stream: ClassVar = False
    num_buffers: ClassVar = 0

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: the rows `first` to `last` of a group."""
        raise NotImplementedError


class RowEmitter:
    """Emits the rows of a task.

    Args:
        program: What is computed.
        b: The builder.
        block: The parameters of the call.
        task: The rows, and the group of heads (`feature`).
    """

    def __init__(
        self, program: AttentionProgram, b: Any, block: Block, task: Any
    ) -> None:
        self.program, self.b, self.block, self.task = program, b, block, task
        self.lanes = lanes = Lanes(b, program.dtype, program.width)
        self.group_bytes = program.vectors * lanes.bytes
        self.row_bytes = program.groups * self.group_bytes
        self.score_bytes = program.groups * lanes.head_bytes
        self.first_head = b.mul(task.feature, I64(lanes.head_bytes))
        self.first_feature = b.mul(task.feature, I64(self.group_bytes))
        self.row: Any = None
        self.begin: Any = None
        self.end: Any = None
        self.num_edges: Any = None

    # Rows and their edges:

    def emit(self) -> None:
        """Emits the loop over the rows of the task."""
        b = self.b

        def body(row: Any, _: list[Any]) -> list[Any]:
            self.row = row
            self.begin = load_element(b, self.block.ptr, I64, row)
            self.end = load_element(b, self.block.ptr, I64, b.add(row, I64(1)))
            self.num_edges = b.sub(self.end, self.begin)
            has_edges = b.icmp_signed(">", self.num_edges, I64(0))
            with b.if_else(has_edges) as (some, none):
                with some:
                    self._row()
                with none:
                    self._empty_row()
            return []

        loop(b, self.task.first, self.task.last, [], body)

    def _row(self) -> None:
        """Emits a row with edges."""
        raise NotImplementedError

    def _empty_row(self) -> None:
        """Emits a row without edges."""
        raise NotImplementedError

    def over_edges(
        self, values: list[Any], body: Callable[["Edge", list[Any]], list[Any]]
    ) -> list[Any]:
        """Emits a loop over the edges of the row, with values in registers."""

        def step(e: Any, running: list[Any]) -> list[Any]:
            return body(Edge(self, e), running)

        return loop(self.b, self.begin, self.end, values, step)

    # Addresses:

    def scores_of(self, array: Any, node: Any) -> Any:
        """The address of the heads' values of a node, or edge."""
        return self._place(array, node, self.score_bytes, self.first_head)

    def features_of(self, array: Any, node: Any) -> Any:
        """The address of the group's features of a node, or edge."""
        return self._place(array, node, self.row_bytes, self.first_feature)

    def stats_of(self, array: Any, node: Any, number: int) -> Any:
        """The address of one of the numbers of a destination, of all heads."""
        node_bytes = NUM_STATS * self.score_bytes
        place = self._place(array, node, node_bytes, self.first_head)
        return self.b.add(place, I64(number * self.score_bytes))

    def _place(self, array: Any, i: Any, size: int, first: Any) -> Any:
        b = self.b
        return b.add(b.add(array, b.mul(i, I64(size))), first)

    def buffer(self, number: int) -> Any:
        """The address of a buffer of the thread: the heads' values of all edges."""
        b = self.b
        place = b.mul(self.block.buffer_bytes, I64(number))
        return b.add(self.task.scratch, place)

    # Numbers:

    def number(self, name: str) -> Any:
        """A parameter that is a floating-point number, in all lanes."""
        bits = getattr(self.block, name)
        lanes = self.lanes
        value = self.b.bitcast(
            bits if lanes.size == 8 else self.b.trunc(bits, I32), lanes.scalar
        )
        return lanes.splat(value)

    @cached_property
    def tiles(self) -> list[range]:
        """The vectors of features, as many as registers hold at a time."""
        count = self.program.vectors
        step = ACCUMULATORS // (2 if self.program.option else 1)
        passes = -(-count // step)
        step = -(-count // passes)
        return [range(t, min(t + step, count)) for t in range(0, count, step)]

    # Buffers in full vectors:

    def over_buffers(
        self, values: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """Emits a loop over the vectors of buffers: `body(offset, values)`."""
        b, lanes = self.b, self.lanes
        used = b.mul(self.num_edges, I64(lanes.head_bytes))
        count = b.udiv(b.add(used, I64(lanes.bytes - 1)), I64(lanes.bytes))

        def step(i: Any, running: list[Any]) -> list[Any]:
            return body(b.mul(i, I64(lanes.bytes)), running)

        return loop(b, I64(0), count, values, step)

    def fill_tail(self, number: int, vector: Any) -> None:
        """Fills what a buffer's last vector has beyond the edges."""
        used = self.b.mul(self.num_edges, I64(self.lanes.head_bytes))
        self.lanes.store(vector, self.b.add(self.buffer(number), used))


class Edge:
    """An edge of a row: its other end, and its values in buffers.

    Args:
        emitter: The emitter of the row.
        e: The place of the edge among those of all rows.
    """

    def __init__(self, emitter: RowEmitter, e: Any) -> None:
        self._emitter, self._e = emitter, e
        self.other = load_index(emitter.b, emitter.block.col, e)
        self._step = emitter.b.sub(e, emitter.begin)

    @cached_property
    def number(self) -> Any:
        """The number of the edge in the order of the graph."""
        emitter = self._emitter
        return load_element(emitter.b, emitter.block.edge, I64, self._e)

    def place(self, number: int) -> Any:
        """The address of its values, one for each head, in a buffer."""
        emitter = self._emitter
        offset = emitter.b.mul(self._step, I64(emitter.lanes.head_bytes))
        return emitter.b.add(emitter.buffer(number), offset)

    def get(self, number: int) -> Any:
        """Its values in a buffer, repeated to a vector."""
        lanes = self._emitter.lanes
        return lanes.repeat(lanes.load_heads(self.place(number)))

    def put(self, number: int, vector: Any) -> None:
        """Writes its values, the first ones of a vector, to a buffer."""
        lanes = self._emitter.lanes
        lanes.store(lanes.first(vector), self.place(number))

    def copy(self, number: int, address: Any) -> None:
        """Copies values, one for each head, from an address to a buffer."""
        lanes = self._emitter.lanes
        lanes.store(lanes.load_heads(address), self.place(number))

    def prefetch(self, array: Any) -> None:
        """Prefetches the features of a later edge's other end, maybe of another row."""
        emitter = self._emitter
        if not emitter.program.prefetch:
            return
        b = emitter.b
        later = b.add(self._e, I64(AHEAD))  # `col` is that much longer
        node = load_index(b, emitter.block.col, later)
        place = emitter.features_of(array, node)
        emitter.lanes.prefetch(place, min(emitter.group_bytes, 8 * emitter.lanes.bytes))
