"""The kernels of the backward pass.

With coefficients p_ij, gradients g_i of the results out_i and kept factors k_ij (1
without dropout), the gradient of a score is

    p_ij (k_ij g_i . v_j - g_i . out_i)

so that a row needs the features at the other ends of its edges, and three numbers of
each destination: its largest score, one over its sum, and g_i . out_i. Scores are
computed again; nothing is kept per edge.
"""

from dataclasses import dataclass
from functools import cached_property
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

_SCORES, _PRODUCTS, _TOP, _INVERSE, _LAST, _KEPT = range(6)  # the buffers
_COEFFICIENTS, _SLOPES = _TOP, _INVERSE  # take their place


@dataclass(frozen=True, eq=False)
class Backward(AttentionProgram):
    """Gradients of what belongs to rows; see :class:`AttentionProgram`.

    Attributes:
        option: Whether rows are destinations. They are sources else, and gradients of
            the edges' own terms are written, too.
    """

    num_buffers: ClassVar = 6

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task."""
        kind = _GATEmitter if self.kind == "gat" else _FeatureEmitter
        kind(self, b, block, task).emit()


class _BackwardEmitter(RowEmitter):
    """What both kinds of scores share: coefficients, and gradients of scores."""

    @property
    def at_dst(self) -> bool:
        """Whether rows are destinations."""
        return self.program.option

    def _copy_stats(self, edge: Edge) -> None:
        """Copies what is known of an edge's destination to the buffers."""
        for number, buffer in ((TOP, _TOP), (INVERSE, _INVERSE), (LAST, _LAST)):
            edge.copy(buffer, self.stats_of(self.block.stats, edge.other, number))

    def _stat(self, number: int) -> Any:
        """A number of the row, which is a destination, as a vector."""
        place = self.stats_of(self.block.stats, self.row, number)
        return self.lanes.repeat(self.lanes.load_heads(place))

    def _buffered(self, number: int, offset: Any) -> Any:
        return self.lanes.load(self.b.add(self.buffer(number), offset))

    def _put_buffered(self, number: int, offset: Any, value: Any) -> None:
        self.lanes.store(value, self.b.add(self.buffer(number), offset))

    def _clear_tails(self) -> None:
        """Makes what buffers have beyond the edges add nothing."""
        zero = self.lanes.constant(0.0)
        for number in range(self.program.num_buffers):
            self.fill_tail(number, zero)


class _GATEmitter(_BackwardEmitter):
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
            lanes.store(score, edge.place(_SCORES))
            self._copy_stats(edge)
            if self.program.drops:
                drop(self, edge, _KEPT)
            return []

        self.over_edges([], body)
        self._clear_tails()

    def _coefficients(self) -> None:
        """Coefficients, and what they are times the slope of the leaky ReLU."""
        b, lanes = self.b, self.lanes
        key = lanes.repeat(lanes.load_heads(self.scores_of(self.block.key, self.row)))
        slope, one = self.number("slope"), lanes.constant(1.0)

        def body(offset: Any, _: list[Any]) -> list[Any]:
            argument = lanes.add(key, self._buffered(_SCORES, offset))
            score = lanes.leaky(argument, slope)
            power = lanes.exp(b.fsub(score, self._buffered(_TOP, offset)))
            power = lanes.mul(power, self._buffered(_INVERSE, offset))
            kept = power
            if self.program.drops:
                kept = lanes.mul(power, self._buffered(_KEPT, offset))
            steep = lanes.mul(power, lanes.positive(argument, one, slope))
            self._put_buffered(_COEFFICIENTS, offset, kept)
            self._put_buffered(_SLOPES, offset, steep)
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
                factor = edge.get(_COEFFICIENTS)
                grads = [self.ends.vector("grad", edge, t) for t in tile]
                product = lanes.constant(0.0)
                if not is_first:
                    product = lanes.once(lanes.load_heads(edge.place(_PRODUCTS)))
                for t, grad in zip(tile, grads, strict=True):
                    value = self.ends.vector("value", edge, t)
                    product = lanes.fma(grad, value, product)
                edge.put(_PRODUCTS, lanes.fold(product, lanes.add))
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
            product = self._buffered(_PRODUCTS, offset)
            if self.program.drops:
                product = lanes.mul(product, self._buffered(_KEPT, offset))
            rest = b.fsub(product, self._buffered(_LAST, offset))
            grad = lanes.mul(self._buffered(_SLOPES, offset), rest)
            self._put_buffered(_SCORES, offset, grad)
            return [lanes.add(running[0], grad)]

        (total,) = self.over_buffers([lanes.constant(0.0)], body)
        return lanes.fold(total, lanes.add)

    def _store_edges(self) -> None:
        def body(edge: Edge, _: list[Any]) -> list[Any]:
            heads = self.lanes.load_heads(edge.place(_SCORES))
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


class _FeatureEmitter(_BackwardEmitter):
    """Gradients of scores that are inner products: of `gatv2` and `dot`."""

    def _row(self) -> None:
        self.ends = Ends(self, self.at_dst)
        self._gather()
        self._score_gradients()
        for name in self._outputs:
            for tile in self.tiles:
                self._sum(name, tile)
        if self.program.has_edges and not self.at_dst:
            self._store_edges()

    @cached_property
    def _outputs(self) -> list[str]:
        """The arrays of gradients that belong to rows."""
        is_gatv2 = self.program.kind == "gatv2"
        if self.at_dst:
            return ["grad_query", *(["grad_att"] if is_gatv2 else [])]
        return ["grad_key", *([] if is_gatv2 else ["grad_value"])]

    def _gather(self) -> None:
        """Scores and inner products with the gradients."""
        own = ["query", "grad"] if self.at_dst else ["key", "value"]
        if self.program.kind == "gatv2":
            own = ["query", "grad", "att"] if self.at_dst else ["key", "att"]
        self.ends.hold(*own)

        def body(edge: Edge, _: list[Any]) -> list[Any]:
            if self.at_dst:
                edge.prefetch(self.block.key)
            else:
                edge.prefetch(self.block.query)
                edge.prefetch(self.block.grad)
                self._copy_stats(edge)
            edge.put(_SCORES, self.ends.score(edge))
            edge.put(_PRODUCTS, self.ends.product(edge))
            if self.program.drops:
                drop(self, edge, _KEPT)
            return []

        self.over_edges([], body)
        self._clear_tails()

    def _score_gradients(self) -> None:
        """Replaces scores by their gradients, and writes the coefficients."""
        b, lanes = self.b, self.lanes
        known = [self._stat(number) for number in (TOP, INVERSE, LAST) if self.at_dst]
        scale = self.number("scale") if self.program.kind == "dot" else None

        def body(offset: Any, _: list[Any]) -> list[Any]:
            top, inverse, last = known or [
                self._buffered(number, offset) for number in (_TOP, _INVERSE, _LAST)
            ]
            power = lanes.exp(b.fsub(self._buffered(_SCORES, offset), top))
            power = kept = lanes.mul(power, inverse)
            product = self._buffered(_PRODUCTS, offset)
            if self.program.drops:
                factor = self._buffered(_KEPT, offset)
                kept, product = lanes.mul(power, factor), lanes.mul(product, factor)
            grad = lanes.mul(power, b.fsub(product, last))
            if scale is not None:
                grad = lanes.mul(grad, scale)
            self._put_buffered(_SCORES, offset, grad)
            self._put_buffered(_COEFFICIENTS, offset, kept)
            return []

        self.over_buffers([], body)

    def _steepness(self, edge: Edge, t: int) -> Any:
        """The derivative of GATv2's score by its argument, vector t."""
        lanes, att = self.lanes, self.ends.att(t)
        argument = self.ends.argument(edge, t)
        return lanes.positive(argument, att, lanes.mul(att, self.number("slope")))

    def _part(self, name: str, edge: Edge, t: int, total: Any) -> Any:
        """The gradient of an array's vector t, with what an edge adds to it."""
        lanes, ends, kind = self.lanes, self.ends, self.program.kind
        grad = edge.get(_SCORES)
        if name == "grad_value":
            grad_out = ends.vector("grad", edge, t)
            return lanes.fma(edge.get(_COEFFICIENTS), grad_out, total)
        if name == "grad_att":
            active = lanes.leaky(ends.argument(edge, t), self.number("slope"))
            return lanes.fma(grad, active, total)
        if kind == "gatv2":
            total = lanes.fma(grad, self._steepness(edge, t), total)
            if name == "grad_key":  # which is the value, too
                grad_out = ends.vector("grad", edge, t)
                total = lanes.fma(edge.get(_COEFFICIENTS), grad_out, total)
            return total
        if name == "grad_query":
            key = ends.with_term(ends.vector("key", edge, t), edge, t)
            return lanes.fma(grad, key, total)
        return lanes.fma(grad, ends.vector("query", edge, t), total)

    def _sum(self, name: str, tile: range) -> None:
        """Writes the gradient of an array, a tile of vectors."""

        def body(edge: Edge, running: list[Any]) -> list[Any]:
            return [
                self._part(name, edge, t, total)
                for t, total in zip(tile, running, strict=True)
            ]

        sums = self.over_edges([self.lanes.constant(0.0)] * len(tile), body)
        place = self.features_of(getattr(self.block, name), self.row)
        for t, total in zip(tile, sums, strict=True):
            self.lanes.store(total, place, t)

    def _store_edges(self) -> None:
        """Writes the gradients of the edges' own terms."""
        lanes = self.lanes

        def body(edge: Edge, _: list[Any]) -> list[Any]:
            place = self.features_of(self.block.grad_edge, edge.number)
            for t in range(self.program.vectors):
                if self.program.kind == "gatv2":
                    grad = lanes.mul(edge.get(_SCORES), self._steepness(edge, t))
                else:
                    query = self.ends.vector("query", edge, t)
                    grad = lanes.mul(edge.get(_SCORES), query)
                    grad_out = self.ends.vector("grad", edge, t)
                    grad = lanes.fma(edge.get(_COEFFICIENTS), grad_out, grad)
                lanes.store(grad, place, t)
            return []

        self.over_edges([], body)

    def _empty_row(self) -> None:
        zero = self.lanes.constant(0.0)
        for name in self._outputs:
            place = self.features_of(getattr(self.block, name), self.row)
            for t in range(self.program.vectors):
                self.lanes.store(zero, place, t)
