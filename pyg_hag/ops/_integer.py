"""The kernels of INT8: sums of codes in whole numbers, and what becomes of them.

Behind the inputs of a row come its scales, bias, further codes, ReLU and the rounding
to the codes of what reads it, in registers. Whole numbers add up to the same in any
order, so a HAG gives the bits of the plain graph.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llvmlite import ir

from pyg_hag.ops._ir import (
    F32,
    I8,
    I32,
    I64,
    Format,
    Tile,
    Variant,
    chosen,
    element,
)
from pyg_hag.ops._reduce import Rows
from pyg_hag.ops._rounding import MOST_VECTORS, Numbers, along
from pyg_hag.ops._tasks import Block


@dataclass(frozen=True, eq=False)
class IntegerReduction:
    """What a kernel computes of codes, one byte each.

    Attributes:
        reduce: `"sum"`, `"max"` or `"min"`.
        accumulator: Bits of the whole numbers, 8 (for the last two), 16, 32 or 64.
        rounds: Whether results are codes; else float32.
        signed: Whether rows subtract some of their inputs.
        shared: Whether there are aggregates.
        prefetch: Whether inputs are brought near before they are read.
        stream: Whether results are written past the caches.
        checked: Whether every index is checked.
        packed: Whether two codes share a byte: that of feature f and that of the
            feature half the width further, which has the upper four bits.
    """

    reduce: str
    accumulator: int
    rounds: bool
    signed: bool
    shared: bool
    prefetch: bool
    stream: bool
    checked: bool
    packed: bool

    scaled = False
    weighted = False
    factor = F32

    @property
    def most_vectors(self) -> int:
        """Vectors of bytes in a tile."""
        return MOST_VECTORS // len(self.statistics)

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, for a tile of one vector."""
        return len(self.statistics)

    @property
    def results(self) -> tuple[str, ...]:
        """One."""
        return (self.reduce,)

    @property
    def statistics(self) -> tuple[str, ...]:
        """One for each code of a byte."""
        return (self.reduce, self.reduce) if self.packed else (self.reduce,)

    @cached_property
    def format(self) -> Format:
        """How codes lie in memory, and in what they are added."""
        return Format(I8, ir.IntType(self.accumulator), 1)

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        _IntegerRows(self, b, block, task, variant).emit()


class _IntegerRows(Rows):
    """Emits the rows of a task; see there."""

    def __init__(
        self,
        what: IntegerReduction,
        b: Any,
        block: Block,
        task: Any,
        variant: Variant,
    ) -> None:
        super().__init__(what, b, block, task, variant)
        self.alike = False
        computed = what.format.computed
        stored = (I8, 1) if what.rounds else (F32, 4)
        self.results = Tile(
            b, Format(stored[0], computed, stored[1]), variant, task.width
        )
        self.wide = Tile(b, Format(F32, computed, 4), variant, task.width)
        self.numbers = Numbers(b, block, self.tile)
        self.out = b.add(block.out, b.mul(task.feature, I64(stored[1])))
        self.halves = [I64(0)] + [block.columns] * what.packed
        """Where the features of each code of a byte begin."""
        self.width = b.mul(block.columns, I64(len(self.halves)))
        self.out_stride = b.mul(self.width, I64(stored[1]))
        self.stored = I64(stored[1])

    def _start(self) -> list[list[Any]]:
        start = -1 if self.what.reduce == "min" else 0  # all bits
        vectors = [self.tile.constant(start)] * self.tile.count
        return [vectors] * len(self.halves)

    def _source(self, row: Any, u: Any, is_aggregate: Any = None) -> list[list[Any]]:
        codes = self.tile.load(row)
        if not self.what.packed:
            return [codes]
        b, four, low = self.b, self.tile.constant(4), self.tile.constant(15)
        return [[b.and_(c, low) for c in codes], [b.lshr(c, four) for c in codes]]

    def _combined(
        self, old: list[list[Any]], new: list[list[Any]], minus: bool
    ) -> list[list[Any]]:
        b, reduce = self.b, self.what.reduce

        def both(o: Any, n: Any) -> Any:
            if reduce == "sum":
                return (b.sub if minus else b.add)(o, n)
            sign = ">" if reduce == "max" else "<"
            return b.select(b.icmp_unsigned(sign, o, n), o, n)

        return [list(map(both, *pair)) for pair in zip(old, new, strict=True)]

    def _finish(
        self,
        to: Any,
        v: Any,
        values: list[list[Any]],
        empty: Any,
        is_aggregate: Any = None,
    ) -> None:
        b = self.b
        if self.what.reduce == "sum":
            values = self._with_own_codes(v, values)
        for half, vectors in zip(self.halves, values, strict=True):
            at = b.add(to, b.mul(half, self.stored))
            self._finish_half(at, half, v, vectors, empty)

    def _finish_half(
        self, to: Any, half: Any, v: Any, values: list[Any], empty: Any
    ) -> None:
        """Makes and stores the results of one code of each byte."""
        b, numbers = self.b, self.numbers
        steps = self._steps(v, values)
        if self.what.reduce != "sum":
            zero = numbers.constant(0.0)
            steps = [b.select(empty, zero, vector) for vector in steps]
        factor = b.fmul(self._factor_of(v), numbers.splat("scale"))
        out = [b.fmul(vector, factor) for vector in steps]
        out = self._along(out, half, self.block.gain, b.fmul)
        out = self._along(out, half, self.block.bias, b.fadd)
        out = self._with_rest(v, half, out)
        lowest = numbers.splat("lowest")
        out = [b.select(b.fcmp_ordered(">", o, lowest), o, lowest) for o in out]
        if self.what.rounds:
            out = numbers.codes(numbers.times_row(out, self.block.next, v))
        self.results.store(to, out, self.what.stream)

    def _steps(self, v: Any, acc: list[Any]) -> list[Any]:
        """The sum of the messages in steps: without the zeros of their codes."""
        b, bits = self.b, self.what.accumulator
        zero = self.numbers.whole("zero")
        if self.what.reduce == "sum":
            there = b.icmp_signed("!=", zero, I64(0))
            count = [self.tile.splat(I64(0))]

            def counted(_: list[Any]) -> list[Any]:
                number = b.sext(element(b, self.block.count, I32, v), I64)
                return [self.tile.splat(b.mul(number, zero))]

            (zeros,) = chosen(b, there, count, counted)
        else:
            zeros = self.tile.splat(zero)
        kind = ir.VectorType(ir.IntType(max(32, bits)), self.tile.format.lanes)
        if bits < 64:
            zeros = b.trunc(zeros, kind)
        if bits < 32:
            acc = [b.zext(vector, kind) for vector in acc]
        floats = ir.VectorType(F32, self.tile.format.lanes)
        return [b.sitofp(b.sub(vector, zeros), floats) for vector in acc]

    def _with_own_codes(self, v: Any, values: list[list[Any]]) -> list[list[Any]]:
        """Adds the node's own codes as often as they count."""
        b, block = self.b, self.block

        def added(flat: list[Any]) -> list[Any]:
            number = element(b, block.own, I32, v)
            kind = self.what.format.computed
            if kind.width > 32:
                number = b.sext(number, kind)
            elif kind.width < 32:
                number = b.trunc(number, kind)
            times = self.tile.splat(number)
            own = self._source(b.add(self.x, b.mul(v, self.x_stride)), v)
            pairs = zip(flat, [o for half in own for o in half], strict=True)
            return [b.add(s, b.mul(times, o)) for s, o in pairs]

        flat = [vector for half in values for vector in half]
        there = b.icmp_signed("!=", block.own, I64(0))
        return self._split(chosen(b, there, flat, added))

    def _factor_of(self, v: Any) -> Any:
        return self._factor(self.block.after, v, None)

    def _with_rest(self, v: Any, half: Any, out: list[Any]) -> list[Any]:
        """Adds the further codes."""
        b, block, numbers = self.b, self.block, self.numbers

        def added(out: list[Any]) -> list[Any]:
            place = b.add(block.rest, b.add(self.task.feature, half))
            place = b.add(place, b.mul(v, self.width))
            kind = ir.VectorType(F32, self.tile.format.lanes)
            zero, scale = numbers.splat("rest_zero"), numbers.splat("rest_scale")
            rest = [b.uitofp(vector, kind) for vector in self.tile.load(place)]
            rest = [b.fmul(scale, b.fsub(vector, zero)) for vector in rest]
            rest = self._along(rest, half, block.rest_gain, b.fmul)
            return [b.fadd(o, r) for o, r in zip(out, rest, strict=True)]

        return chosen(b, b.icmp_signed("!=", block.rest, I64(0)), out, added)

    def _along(self, out: list[Any], half: Any, array: Any, function: Any) -> list[Any]:
        place = self.b.add(self.task.feature, half)
        return along(self.b, self.wide, out, place, array, function)
