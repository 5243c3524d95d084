"""The kernel of attention over quantized features, with all that follows in registers.

Features are bytes, a quarter of what is read in float32. With coefficients p_ij whose
sum is 1, codes c_j of the sources and their zero point z,

    sum_j p_ij (c_j - z) = sum_j p_ij c_j - z

so that zero points are subtracted once per row. Scores are rounded before the leaky
ReLU, sums after the last edge, both as in training.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from pyg_hag.ops.cpu.attention.epilogue import RowEnd
from pyg_hag.ops.cpu.attention.lookup import Lookup
from pyg_hag.ops.cpu.attention.program import AttentionProgram, Edge, RowEmitter
from pyg_hag.ops.cpu.formats import I64
from pyg_hag.ops.cpu.program import PROGRESS, Block
from pyg_hag.ops.cpu.tiling import Variant

PLACES = (
    *("ptr", "col", "edge", "key", "value", "query", "edge_term", "out"),
    *("channel_scale", "bias", "table"),
)
"""The arrays that the kernel reads and writes. `key` and `query` have rows of twice the
scores of a node; `value` is codes, a byte each; `table` is that of :mod:`.lookup`."""
NUMBERS = (
    *("slope", "score_inverse", "score_zero", "score_max", "score_scale"),
    *("score_low", "score_high", "zero_point", "ratio", "sum_zero", "sum_max"),
    *("lowest", "out_inverse", "out_zero", "out_max"),
)
"""Its parameters, float32: how scores, sums and results are rounded; the zero point of
the values; and their scale over that of the sums."""


@dataclass(frozen=True, eq=False)
class QuantizedForward(AttentionProgram):
    """Rows are destinations; see :class:`AttentionProgram`.

    Attributes:
        num_heads: The number of heads, without padding.
        num_channels: Channels of each head.
        mean: Whether results are means over the heads, which are one group then.
        quantizes: Whether results are quantized.
        bounded: Whether exponentials of all scores are normal numbers, so that none
            has to be subtracted.
        looked_up: Whether exponentials are found in a table.
    """

    num_heads: int = 1
    num_channels: int = 1
    mean: bool = False
    quantizes: bool = False
    bounded: bool = False
    looked_up: bool = False

    fields: ClassVar = (*PROGRESS, *PLACES, "buffer_bytes", *NUMBERS)
    num_buffers: ClassVar = 1

    @property
    def result_heads(self) -> int:
        """The heads in a row of the results: those of the last group may be padding."""
        if self.mean:
            return 1
        return self.num_heads if self.groups == 1 else self.groups * self.width

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task."""
        _Emitter(self, b, block, task).emit()


class _Emitter(RowEmitter):
    program: QuantizedForward

    def __init__(
        self, program: QuantizedForward, b: Any, block: Block, task: Any
    ) -> None:
        super().__init__(program, b, block, task)
        self.group_bytes = program.vectors * self.lanes.count
        self.row_bytes = program.groups * self.group_bytes
        self.first_feature = b.mul(task.feature, I64(self.group_bytes))
        self.term_bytes = self.score_bytes
        self.score_bytes *= 2
        self.finish = RowEnd(self)

    def _row(self) -> None:
        self._gather_scores()
        if self.program.bounded:
            total = self._powers(None)
        else:
            total = self._powers(self._find_top())
        inverse = self.b.fdiv(self.lanes.constant(1.0), total)
        for tile in self.tiles:
            self.finish.store(self._sums(tile, inverse), tile)

    def _gather_scores(self) -> None:
        """Copies the sources' part of the scores to the buffer."""
        lanes = self.lanes

        def body(edge: Edge, _: list[Any]) -> list[Any]:
            score = lanes.load_heads(self.scores_of(self.block.key, edge.other))
            if self.program.has_edges:
                place = self._place(
                    self.block.edge_term, edge.number, self.term_bytes, self.first_head
                )
                score = self.b.fadd(score, lanes.load_heads(place))
            lanes.store(score, edge.place(0))
            return []

        self.over_edges([], body)
        self.fill_tail(0, lanes.constant(-math.inf))

    def _rounded_scores(self, place: Any, query: Any) -> Any:
        """Scores at a place in the buffer: -inf where there is no edge."""
        b, lanes = self.b, self.lanes
        key = lanes.load(place)
        steps = lanes.steps(
            b.fmul(lanes.add(key, query), self.number("score_inverse")),
            self.number("score_zero"),
            self.number("score_max"),
        )
        score = lanes.mul(steps, self.number("score_scale"))
        score = lanes.leaky(score, self.number("slope"))
        nothing = lanes.constant(-math.inf)
        return b.select(b.fcmp_ordered("==", key, nothing), nothing, score)

    def _query(self) -> Any:
        place = self.scores_of(self.block.query, self.row)
        return self.lanes.repeat(self.lanes.load_heads(place))

    def _find_top(self) -> Any:
        """Completes the scores; returns the largest of each head."""
        b, lanes, query = self.b, self.lanes, self._query()

        def body(offset: Any, running: list[Any]) -> list[Any]:
            place = b.add(self.buffer(0), offset)
            score = self._rounded_scores(place, query)
            lanes.store(score, place)
            return [lanes.maximum(running[0], score)]

        (top,) = self.over_buffers([lanes.constant(-math.inf)], body)
        return lanes.fold(top, lanes.maximum)

    def _powers(self, top: Any) -> Any:
        """Replaces scores by their exponentials; returns the sum for each head."""
        b, lanes = self.b, self.lanes
        query = self._query() if top is None else None
        lookup = Lookup(self) if self.program.looked_up else None

        def power_of(place: Any) -> Any:
            if lookup is not None:
                return lookup.power(lanes.load(place), query)
            if top is None:
                return lanes.exp(self._rounded_scores(place, query))
            return lanes.exp(b.fsub(lanes.load(place), top))

        def body(offset: Any, running: list[Any]) -> list[Any]:
            place = b.add(self.buffer(0), offset)
            power = power_of(place)
            lanes.store(power, place)
            return [lanes.add(running[0], power)]

        (total,) = self.over_buffers([lanes.constant(0.0)], body)
        return lanes.fold(total, lanes.add)

    def _sums(self, tile: range, inverse: Any) -> list[Any]:
        """The weighted means of the values, in steps of their scale."""
        lanes = self.lanes

        def body(edge: Edge, running: list[Any]) -> list[Any]:
            if tile.start == 0:
                edge.prefetch(self.block.value)
            factor = edge.get(0)
            place = self.features_of(self.block.value, edge.other)
            return [
                lanes.fma(factor, lanes.load_bytes(place, t), total)
                for t, total in zip(tile, running, strict=True)
            ]

        sums = self.over_edges([lanes.constant(0.0)] * len(tile), body)
        zero_point = self.number("zero_point")
        return [self.b.fsub(lanes.mul(s, inverse), zero_point) for s in sums]

    def _empty_row(self) -> None:
        for tile in self.tiles:
            self.finish.store([self.lanes.constant(0.0)] * len(tile), tile)
