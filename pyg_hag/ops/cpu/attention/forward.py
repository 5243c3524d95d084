"""The kernel of the forward pass: softmax over the edges of a row, and weighted sum."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from pyg_hag.ops.cpu.attention.dropout import drop
from pyg_hag.ops.cpu.attention.program import (
    INVERSE,
    LAST,
    TOP,
    AttentionProgram,
    Edge,
    RowEmitter,
)
from pyg_hag.ops.cpu.attention.scores import Ends
from pyg_hag.ops.cpu.program import Block
from pyg_hag.ops.cpu.tiling import Variant

_SCORES, _POSITIVE, _KEPT = range(3)  # the buffers
_EPSILON = 1e-16  # as in PyG's softmax


@dataclass(frozen=True, eq=False)
class Forward(AttentionProgram):
    """Rows are destinations; see :class:`AttentionProgram`."""

    num_buffers: ClassVar = 3

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task."""
        _ForwardEmitter(self, b, block, task).emit()


class _ForwardEmitter(RowEmitter):
    def _row(self) -> None:
        self.ends = Ends(self, at_dst=True)
        self._gather_scores()
        top = self._find_top()
        total, share = self._exponentials(top)
        lanes, b = self.lanes, self.b
        inverse = b.fdiv(
            lanes.constant(1.0), lanes.add(total, lanes.constant(_EPSILON))
        )
        self._sum(inverse)
        self._store_stats(top, inverse, lanes.mul(share, inverse))

    def _gather_scores(self) -> None:
        program, lanes = self.program, self.lanes
        if program.kind == "gatv2":
            self.ends.hold("query", "att")
        elif program.kind == "dot":
            self.ends.hold("query")

        def body(edge: Edge, _: list[Any]) -> list[Any]:
            if program.kind == "gat":
                score = lanes.load_heads(self.scores_of(self.block.key, edge.other))
                if program.has_edges:
                    term = self.scores_of(self.block.edge_term, edge.number)
                    score = self.b.fadd(score, lanes.load_heads(term))
                lanes.store(score, edge.place(_SCORES))
            else:
                edge.prefetch(self.block.key)
                edge.put(_SCORES, self.ends.score(edge))
            if program.drops:
                drop(self, edge, _KEPT)
            return []

        self.over_edges([], body)

    def _find_top(self) -> Any:
        """Completes the scores; returns the largest of each head."""
        b, lanes, program = self.b, self.lanes, self.program
        scores = self.buffer(_SCORES)
        self.fill_tail(_SCORES, lanes.repeat(lanes.load_heads(scores)))
        query = slope = None
        if program.kind == "gat":
            place = self.scores_of(self.block.query, self.row)
            query = lanes.repeat(lanes.load_heads(place))
            slope = self.number("slope")

        def body(offset: Any, running: list[Any]) -> list[Any]:
            place = b.add(scores, offset)
            score = lanes.load(place)
            if program.kind == "gat":
                score = lanes.add(score, query)
                if program.option:
                    lanes.store(score, b.add(self.buffer(_POSITIVE), offset))
                score = lanes.leaky(score, slope)
                lanes.store(score, place)
            return [lanes.maximum(running[0], score)]

        (top,) = self.over_buffers([lanes.constant(-math.inf)], body)
        self.fill_tail(_SCORES, lanes.constant(-math.inf))
        return lanes.fold(top, lanes.maximum)

    def _exponentials(self, top: Any) -> tuple[Any, Any]:
        """Replaces scores by coefficients; returns their sum, and of positive ones."""
        b, lanes, program = self.b, self.lanes, self.program
        zero = lanes.constant(0.0)

        def body(offset: Any, running: list[Any]) -> list[Any]:
            total, share = running
            place = b.add(self.buffer(_SCORES), offset)
            power = lanes.exp(b.fsub(lanes.load(place), top))
            total = lanes.add(total, power)
            kept = power
            if program.drops:
                factor = lanes.load(b.add(self.buffer(_KEPT), offset))
                kept = lanes.mul(power, factor)
            lanes.store(kept, place)
            if program.option:
                place = b.add(self.buffer(_POSITIVE), offset)
                score = lanes.load(place)
                share = lanes.add(share, lanes.positive(score, power, zero))
                lanes.store(lanes.positive(score, kept, zero), place)
            return [total, share]

        if program.drops:
            self.fill_tail(_KEPT, zero)
        total, share = self.over_buffers([zero, zero], body)
        return lanes.fold(total, lanes.add), lanes.fold(share, lanes.add)

    def _sum(self, inverse: Any) -> None:
        """Writes the weighted sums of the values."""
        lanes, program = self.lanes, self.program
        arrays = [self.block.out, *([self.block.positive] if program.option else [])]
        for tile in self.tiles:

            def body(edge: Edge, running: list[Any], tile: range = tile) -> list[Any]:
                if tile.start == 0 and program.kind != "gatv2":
                    edge.prefetch(self.block.value)
                values = [self.ends.value(edge, t) for t in tile]
                sums = []
                for i in range(len(arrays)):
                    factor = edge.get(_POSITIVE if i else _SCORES)
                    part = running[i * len(tile) : (i + 1) * len(tile)]
                    sums += [
                        lanes.fma(factor, value, total)
                        for value, total in zip(values, part, strict=True)
                    ]
                return sums

            zeros = [lanes.constant(0.0)] * (len(arrays) * len(tile))
            sums = self.over_edges(zeros, body)
            for i, array in enumerate(arrays):
                place = self.features_of(array, self.row)
                for k, t in enumerate(tile):
                    total = lanes.mul(sums[i * len(tile) + k], inverse)
                    lanes.store(total, place, t)

    def _store_stats(self, top: Any, inverse: Any, share: Any) -> None:
        for number, value in ((TOP, top), (INVERSE, inverse), (LAST, share)):
            place = self.stats_of(self.block.out_stats, self.row, number)
            self.lanes.store(self.lanes.first(value), place)

    def _empty_row(self) -> None:
        lanes, zero = self.lanes, self.lanes.constant(0.0)
        names = ["out", *(["positive"] if self.program.option else [])]
        for name in names:
            place = self.features_of(getattr(self.block, name), self.row)
            for t in range(self.program.vectors):
                lanes.store(zero, place, t)
        self._store_stats(zero, zero, zero)
