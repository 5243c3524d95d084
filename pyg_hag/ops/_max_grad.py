"""The kernel of the gradient of max and min: groups of rows, walked back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyg_hag.ops._ir import (
    ACCUMULATORS,
    FORMATS,
    I64,
    Tile,
    Variant,
    element,
    extreme,
    integer,
    loop,
)
from pyg_hag.ops._tasks import Block, guarded


@dataclass(frozen=True, eq=False)
class ExtremeGradient:
    """Splits each gradient evenly among the sources that attain the extreme.

    As PyTorch's `scatter_reduce` does: the zero that it starts from takes its part,
    and a NaN, or a count of 0, spreads to all. Only one thread reads the sources of a
    group, so it may add to their gradients.

    Attributes:
        which: `"max"` or `"min"`.
        dtype: That of features and gradients, float32 or float64.
        shared: Whether there are aggregates.
        checked: Whether every index is checked.
    """

    which: str
    dtype: str
    shared: bool
    checked: bool

    stream = False

    @property
    def most_vectors(self) -> int:
        """Vectors of features in a tile."""
        return max(1, min(8, ACCUMULATORS // 3))

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, for a tile of one vector."""
        return 3

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: groups `first` to `last` of a tile."""
        _Groups(self, b, block, task, variant).emit()


class _Groups:
    """Emits the groups of a task.

    Per aggregate, the scratch holds its value, how many sources attain it, and the
    gradient of each of these. One row more holds ones: the count of a source.
    """

    def __init__(
        self, what: ExtremeGradient, b: Any, block: Block, task: Any, variant: Variant
    ) -> None:
        self.what, self.b, self.block, self.task = what, b, block, task
        fmt = FORMATS[what.dtype]
        self.tile = Tile(b, fmt, variant, task.width)
        offset = b.mul(task.feature, I64(fmt.size))
        self.x, self.out, self.grad, self.to = (
            b.add(place, offset) for place in (block.x, block.out, block.grad, block.to)
        )
        self.stride = b.mul(block.columns, I64(fmt.size))
        self.slot = I64(what.slot_vectors * self.tile.bytes)
        self.ones = self._slot(b.not_(block.num_slots))

    def emit(self) -> None:
        if self.what.shared:
            self.tile.store(self.ones, self._constants(1.0))
        loop(self.b, self.task.first, self.task.last, [], self._group)

    def _group(self, g: Any, _: list[Any]) -> list[Any]:
        b, block = self.b, self.block
        begin = element(b, block.part_ptr, I64, g)
        end = element(b, block.part_ptr, I64, b.add(g, I64(1)))
        if self.what.shared:
            loop(b, begin, end, [], self._forward_row)

        def back(i: Any, _: list[Any]) -> list[Any]:
            self._backward_row(b.sub(b.sub(b.add(begin, end), I64(1)), i))
            return []

        loop(b, begin, end, [], back)
        return []

    def _inputs(
        self,
        r: Any,
        values: list[Any],
        body: Callable[[Any, Any, Any, list[Any]], list[Any]],
    ) -> list[Any]:
        """Runs a body over what row r reads.

        It gets the addresses of an input's values, counts and gradient.
        """
        b, block = self.b, self.block

        def one(e: Any, values: list[Any]) -> list[Any]:
            i = integer(b, block.inputs, e)
            offset = b.mul(i, self.stride)
            x, to = b.add(self.x, offset), b.add(self.to, offset)
            if not self.what.shared:
                guarded(b, block, i, block.num_src)
                return body(x, None, to, values)
            is_aggregate = b.icmp_signed("<", i, I64(0))
            limit = b.select(is_aggregate, block.num_slots, block.num_src)
            guarded(b, block, b.select(is_aggregate, b.not_(i), i), limit)
            slot = self._slot(i)
            x = b.select(is_aggregate, slot, x)
            count = b.select(is_aggregate, self._part(slot, 1), self.ones)
            to = b.select(is_aggregate, self._part(slot, 2), to)
            return body(x, count, to, values)

        begin = element(b, block.ptr, I64, r)
        end = element(b, block.ptr, I64, b.add(r, I64(1)))
        return loop(b, begin, end, values, one)

    def _slot(self, number: Any) -> Any:
        """The row of the scratch for slot `-1 - number`."""
        b = self.b
        return b.add(self.task.scratch, b.mul(b.not_(number), self.slot))

    def _part(self, place: Any, i: int) -> Any:
        return self.b.add(place, I64(i * self.tile.bytes))

    def _constants(self, value: float) -> list[Any]:
        return [self.tile.constant(value)] * self.tile.count

    def _equal(self, values: list[Any], others: list[Any]) -> list[Any]:
        """1.0 where two values are equal, else 0.0."""
        b, tile = self.b, self.tile
        one, zero = tile.constant(1.0), tile.constant(0.0)
        pairs = zip(values, others, strict=True)
        return [b.select(b.fcmp_ordered("==", v, o), one, zero) for v, o in pairs]

    # Forward, over the aggregates, which come first in their group:

    def _forward_row(self, r: Any, _: list[Any]) -> list[Any]:
        b, tile, which = self.b, self.tile, self.what.which
        kind = integer(b, self.block.kind, r)
        with b.if_then(b.icmp_signed("<", kind, I64(0))):
            count = tile.count
            start = -math.inf if which == "max" else math.inf

            def taken(x: Any, counts: Any, _: Any, values: list[Any]) -> list[Any]:
                best, number = values[:count], values[count:]
                new, below = tile.load(x), tile.load(counts)
                pairs = zip(best, new, strict=True)
                better = [extreme(b, which, o, n) for o, n in pairs]
                kept = self._times(self._equal(best, better), number)
                added = self._times(self._equal(new, better), below)
                pairs = zip(kept, added, strict=True)
                return better + [b.fadd(k, a) for k, a in pairs]

            values = self._constants(start) + self._constants(0.0)
            values = self._inputs(r, values, taken)
            place = self._slot(kind)
            tile.store(place, values[:count])
            tile.store(self._part(place, 1), values[count:])
            tile.store(self._part(place, 2), self._constants(0.0))
        return []

    def _times(self, values: list[Any], others: list[Any]) -> list[Any]:
        pairs = zip(values, others, strict=True)
        return [self.b.fmul(v, o) for v, o in pairs]

    # Backward:

    def _backward_row(self, r: Any) -> None:
        b = self.b
        kind = integer(b, self.block.kind, r)
        if not self.what.shared:
            self._destination(r, kind)
            return
        with b.if_else(b.icmp_signed("<", kind, I64(0))) as (aggregate, destination):
            with aggregate:
                place = self._slot(kind)
                share = self.tile.load(self._part(place, 2))
                self._spread(r, self.tile.load(place), share)
            with destination:
                self._destination(r, kind)

    def _destination(self, r: Any, v: Any) -> None:
        b, tile = self.b, self.tile
        v = guarded(b, self.block, v, self.block.num_dst)
        offset = b.mul(v, self.stride)
        best = tile.load(b.add(self.out, offset))

        def counted(x: Any, below: Any, _: Any, counts: list[Any]) -> list[Any]:
            equal = self._equal(tile.load(x), best)
            if below is not None:
                equal = self._times(equal, tile.load(below))
            return [b.fadd(c, e) for c, e in zip(counts, equal, strict=True)]

        # The zero that `scatter_reduce` starts from takes its part:
        counts = self._equal(best, self._constants(0.0))
        counts = self._inputs(r, counts, counted)
        grad = tile.load(b.add(self.grad, offset))
        share = [b.fdiv(g, c) for g, c in zip(grad, counts, strict=True)]
        self._spread(r, best, share)

    def _spread(self, r: Any, best: list[Any], share: list[Any]) -> None:
        """Adds a row's share to those of its inputs that attain its extreme."""
        b, tile = self.b, self.tile

        def added(x: Any, _: Any, to: Any, values: list[Any]) -> list[Any]:
            parts = self._times(self._equal(tile.load(x), best), share)
            old = tile.load(to)
            tile.store(to, [b.fadd(o, p) for o, p in zip(old, parts, strict=True)])
            return values

        self._inputs(r, [], added)
