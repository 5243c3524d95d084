"""Gradients of GAT's scores, which are numbers of the nodes."""

from typing import Any

from pyg_hag.ops.cpu.attention.backward_rows import (
    COEFFICIENTS,
    INVERSE_BUFFER,
    KEPT,
    LAST_BUFFER,
    PRODUCTS,
    SCORES,
    SLOPES,
    TOP_BUFFER,
    BackwardEmitter,
)
from pyg_hag.ops.cpu.attention.dropout import drop
from pyg_hag.ops.cpu.attention.program import Edge
from pyg_hag.ops.cpu.attention.scores import Ends


class GATEmitter(BackwardEmitter):
    """Gradients of a source's key and value, in one pass over the destinations."""

    def _row(self) -> None:
        self.ends = Ends(self, at_dst=False)
        self._gather()
        self._coefficients()
        self.ends.hold("value")
        self._sum()
        total = self._score_gradients()
        place = self.scores_of(self.block.grad_key, self.row)
        self.lanes.store(self.lanes.first(total), place)
        if self.program.has_edges:
            self._store_edges()

    def _gather(self) -> None:
        lanes = self.lanes

        def body(edge: Edge, _: list[Any]) -> list[Any]:
            score = lanes.load_heads(self.scores_of(self.block.query, edge.other))
            if self.program.has_edges:
                term = self.scores_of(self.block.edge_term, edge.number)
                score = self.b.fadd(score, lanes.load_heads(term))
            lanes.store(score, edge.place(SCORES))
            self.copy_stats(edge)
            if self.program.drops:
                drop(self, edge, KEPT)
            return []

        self.over_edges([], body)
        self.clear_tails()

    def _coefficients(self) -> None:
        """Coefficients, and what they are times the slope of the leaky ReLU."""
        b, lanes = self.b, self.lanes
        key = lanes.repeat(lanes.load_heads(self.scores_of(self.block.key, self.row)))
        slope, one = self.number("slope"), lanes.constant(1.0)

        def body(offset: Any, _: list[Any]) -> list[Any]:
            argument = lanes.add(key, self.buffered(SCORES, offset))
            score = lanes.leaky(argument, slope)
            power = lanes.exp(b.fsub(score, self.buffered(TOP_BUFFER, offset)))
            power = lanes.mul(power, self.buffered(INVERSE_BUFFER, offset))
            kept = power
            if self.program.drops:
                kept = lanes.mul(power, self.buffered(KEPT, offset))
            steep = lanes.mul(power, lanes.positive(argument, one, slope))
            self.put_buffered(COEFFICIENTS, offset, kept)
            self.put_buffered(SLOPES, offset, steep)
            return []

        self.over_buffers([], body)

    def _sum(self) -> None:
        """Gradients of the value, and the inner products with the gradients."""
        lanes = self.lanes
        for tile in self.tiles:
            is_first = tile.start == 0

            def body(
                edge: Edge,
                running: list[Any],
                tile: range = tile,
                is_first: bool = is_first,
            ) -> list[Any]:
                if is_first:
                    edge.prefetch(self.block.grad)
                factor = edge.get(COEFFICIENTS)
                grads = [self.ends.vector("grad", edge, t) for t in tile]
                product = lanes.constant(0.0)
                if not is_first:
                    product = lanes.once(lanes.load_heads(edge.place(PRODUCTS)))
                for t, grad in zip(tile, grads, strict=True):
                    value = self.ends.vector("value", edge, t)
                    product = lanes.fma(grad, value, product)
                edge.put(PRODUCTS, lanes.fold(product, lanes.add))
                return [
                    lanes.fma(factor, grad, total)
                    for grad, total in zip(grads, running, strict=True)
                ]

            sums = self.over_edges([lanes.constant(0.0)] * len(tile), body)
            place = self.features_of(self.block.grad_value, self.row)
            for t, total in zip(tile, sums, strict=True):
                lanes.store(total, place, t)

    def _score_gradients(self) -> Any:
        """Writes the gradients of the scores; returns their sum for each head."""
        b, lanes = self.b, self.lanes

        def body(offset: Any, running: list[Any]) -> list[Any]:
            product = self.buffered(PRODUCTS, offset)
            if self.program.drops:
                product = lanes.mul(product, self.buffered(KEPT, offset))
            rest = b.fsub(product, self.buffered(LAST_BUFFER, offset))
            grad = lanes.mul(self.buffered(SLOPES, offset), rest)
            self.put_buffered(SCORES, offset, grad)
            return [lanes.add(running[0], grad)]

        (total,) = self.over_buffers([lanes.constant(0.0)], body)
        return lanes.fold(total, lanes.add)

    def _store_edges(self) -> None:
        def body(edge: Edge, _: list[Any]) -> list[Any]:
            heads = self.lanes.load_heads(edge.place(SCORES))
            place = self.scores_of(self.block.grad_edge, edge.number)
            self.lanes.store(heads, place)
            return []

        self.over_edges([], body)

    def _empty_row(self) -> None:
        lanes, zero = self.lanes, self.lanes.constant(0.0)
        place = self.features_of(self.block.grad_value, self.row)
        for t in range(self.program.vectors):
            lanes.store(zero, place, t)
        place = self.scores_of(self.block.grad_key, self.row)
        lanes.store(lanes.first(zero), place)
