"""Kernels over nodes: from one layout of features to the other, and inner products."""

from dataclasses import dataclass
from typing import Any, ClassVar

from llvmlite import ir

from pyg_hag.ops.cpu.attention.program import (
    INVERSE,
    LAST,
    TOP,
    AttentionProgram,
    RowEmitter,
)
from pyg_hag.ops.cpu.control_flow import loop
from pyg_hag.ops.cpu.formats import FORMATS, I64
from pyg_hag.ops.cpu.program import PROGRESS, Block
from pyg_hag.ops.cpu.tiling import Variant

_ONE = [Variant(1, "exact", 1)]


@dataclass(frozen=True, eq=False)
class Relayout:
    """Copies features `[N, H, C]` to vectors with heads side by side, or back.

    See :class:`pyg_hag.ops.cpu.attention.layout.Layout`.

    Attributes:
        dtype: `"float32"` or `"float64"`.
        width: Heads in a vector.
        num_heads: Heads.
        num_channels: Channels of each head.
        padded: Channels of each head in vectors.
        to_natural: Whether the result is `[N, H, C]`.
    """

    dtype: str
    width: int
    num_heads: int
    num_channels: int
    padded: int
    to_natural: bool

    fields: ClassVar = (*PROGRESS, "natural", "vectors")
    variants: ClassVar = _ONE
    checked: ClassVar = False
    stream: ClassVar = False

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: nodes `first` to `last`."""
        fmt = FORMATS[self.dtype]
        groups = -(-self.num_heads // self.width)
        columns = groups * self.width * self.padded
        natural = b.inttoptr(block.natural, fmt.stored.as_pointer())
        vectors = b.inttoptr(block.vectors, fmt.stored.as_pointer())

        def node(v: Any, _: list[Any]) -> list[Any]:
            mine = b.gep(natural, [b.mul(v, I64(self.num_heads * self.num_channels))])
            theirs = b.gep(vectors, [b.mul(v, I64(columns))])
            for head in range(groups * self.width):
                first = head // self.width * self.padded * self.width
                place = b.gep(theirs, [I64(first + head % self.width)])
                start = b.gep(mine, [I64(head * self.num_channels)])
                used = self.num_channels if head < self.num_heads else 0
                self._copy(b, start, place, I64(0), I64(used))
                if not self.to_natural and used < self.padded:
                    self._clear(b, place, I64(used), I64(self.padded))
            return []

        loop(b, task.first, task.last, [], node)

    def _copy(self, b: Any, natural: Any, vectors: Any, begin: Any, end: Any) -> None:
        def channel(c: Any, _: list[Any]) -> list[Any]:
            pair = b.gep(natural, [c]), b.gep(vectors, [b.mul(c, I64(self.width))])
            source, target = pair[::-1] if self.to_natural else pair
            b.store(b.load(source), target)
            return []

        loop(b, begin, end, [], channel)

    def _clear(self, b: Any, vectors: Any, begin: Any, end: Any) -> None:
        zero = ir.Constant(FORMATS[self.dtype].stored, 0.0)

        def channel(c: Any, _: list[Any]) -> list[Any]:
            b.store(zero, b.gep(vectors, [b.mul(c, I64(self.width))]))
            return []

        loop(b, begin, end, [], channel)


@dataclass(frozen=True, eq=False)
class Products(AttentionProgram):
    """The inner products of results and their gradients, for each head.

    Reads `grad`, the results as `value`, and `stats` of the forward pass; writes what
    the backward pass reads to `out_stats`.

    Attributes:
        option: Whether to write the gradient of the query of `gat`, too: for the part
            of the result with positive scores, which is read as `key`, and the share of
            these, `(1 - slope) (g . part - share g . out)`.
    """

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task."""
        _ProductEmitter(self, b, block, task).emit()


class _ProductEmitter(RowEmitter):
    def emit(self) -> None:
        """Emits the loop over the destinations of the task."""

        def body(row: Any, _: list[Any]) -> list[Any]:
            self.row = row
            self._row()
            return []

        loop(self.b, self.task.first, self.task.last, [], body)

    def _row(self) -> None:
        b, lanes, block = self.b, self.lanes, self.block
        product = self._product(block.value)
        for number in (TOP, INVERSE):
            known = lanes.load_heads(self.stats_of(block.stats, self.row, number))
            lanes.store(known, self.stats_of(block.out_stats, self.row, number))
        place = self.stats_of(block.out_stats, self.row, LAST)
        lanes.store(lanes.first(product), place)
        if not self.program.option:
            return
        place = self.stats_of(block.stats, self.row, LAST)
        share = lanes.repeat(lanes.load_heads(place))
        rest = b.fsub(self._product(block.key), lanes.mul(product, share))
        factor = b.fsub(lanes.constant(1.0), self.number("slope"))
        place = self.scores_of(block.grad_query, self.row)
        lanes.store(lanes.first(lanes.mul(factor, rest)), place)

    def _product(self, array: Any) -> Any:
        lanes, total = self.lanes, self.lanes.constant(0.0)
        for t in range(self.program.vectors):
            grad = lanes.load(self.features_of(self.block.grad, self.row), t)
            value = lanes.load(self.features_of(array, self.row), t)
            total = lanes.fma(grad, value, total)
        return lanes.fold(total, lanes.add)
