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

from pyg_hag.ops.cpu.attention.backward_gat import GATEmitter
from pyg_hag.ops.cpu.attention.backward_rows import (
    COEFFICIENTS,
    INVERSE_BUFFER,
    KEPT,
    LAST_BUFFER,
    PRODUCTS,
    SCORES,
    TOP_BUFFER,
    BackwardEmitter,
)
from pyg_hag.ops.cpu.attention.dropout import drop
from pyg_hag.ops.cpu.attention.program import (
    INVERSE,
    LAST,
    TOP,
    AttentionProgram,
    Edge,
)
from pyg_hag.ops.cpu.attention.scores import Ends
from pyg_hag.ops.cpu.program import Block
from pyg_hag.ops.cpu.tiling import Variant


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
        kind = GATEmitter if self.kind == "gat" else _FeatureEmitter
        kind(self, b, block, task).emit()


class _FeatureEmitter(BackwardEmitter):
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
                self.copy_stats(edge)
            edge.put(SCORES, self.ends.score(edge))
            edge.put(PRODUCTS, self.ends.product(edge))
            if self.program.drops:
                drop(self, edge, KEPT)
            return []

        self.over_edges([], body)
        self.clear_tails()

    def _score_gradients(self) -> None:
        """Replaces scores by their gradients, and writes the coefficients."""
        b, lanes = self.b, self.lanes
        known = [self.stat(number) for number in (TOP, INVERSE, LAST) if self.at_dst]
        scale = self.number("scale") if self.program.kind == "dot" else None

        def body(offset: Any, _: list[Any]) -> list[Any]:
            top, inverse, last = known or [
                self.buffered(number, offset)
                for number in (TOP_BUFFER, INVERSE_BUFFER, LAST_BUFFER)
            ]
            power = lanes.exp(b.fsub(self.buffered(SCORES, offset), top))
            power = kept = lanes.mul(power, inverse)
            product = self.buffered(PRODUCTS, offset)
            if self.program.drops:
                factor = self.buffered(KEPT, offset)
                kept, product = lanes.mul(power, factor), lanes.mul(product, factor)
            grad = lanes.mul(power, b.fsub(product, last))
            if scale is not None:
                grad = lanes.mul(grad, scale)
            self.put_buffered(SCORES, offset, grad)
            self.put_buffered(COEFFICIENTS, offset, kept)
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
        grad = edge.get(SCORES)
        if name == "grad_value":
            grad_out = ends.vector("grad", edge, t)
            return lanes.fma(edge.get(COEFFICIENTS), grad_out, total)
        if name == "grad_att":
            active = lanes.leaky(ends.argument(edge, t), self.number("slope"))
            return lanes.fma(grad, active, total)
        if kind == "gatv2":
            total = lanes.fma(grad, self._steepness(edge, t), total)
            if name == "grad_key":  # which is the value, too
                grad_out = ends.vector("grad", edge, t)
                total = lanes.fma(edge.get(COEFFICIENTS), grad_out, total)
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
                    grad = lanes.mul(edge.get(SCORES), self._steepness(edge, t))
                else:
                    query = self.ends.vector("query", edge, t)
                    grad = lanes.mul(edge.get(SCORES), query)
                    grad_out = self.ends.vector("grad", edge, t)
                    grad = lanes.fma(edge.get(COEFFICIENTS), grad_out, grad)
                lanes.store(grad, place, t)
            return []

        self.over_edges([], body)

    def _empty_row(self) -> None:
        zero = self.lanes.constant(0.0)
        for name in self._outputs:
            place = self.features_of(getattr(self.block, name), self.row)
            for t in range(self.program.vectors):
                self.lanes.store(zero, place, t)
