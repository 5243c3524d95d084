"""Rounding to codes, behind sums in INT8 and in programs of its own."""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils

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
    loop,
)
from pyg_hag.ops._tasks import Block

NUMBERS = ("scale", "zero", "lowest", "rest_scale", "rest_zero", "inverse", "to_zero")
"""Float32 parameters of a call: what a step of the codes is worth, the code of zero,
the least result, the same two of the further codes, one over the scale of the results'
codes, and their zero. The last is followed by the largest code."""
MOST_VECTORS = 8
"""Vectors in a tile."""
_AHEAD = 4096
"""Bytes of features that are brought near before they are rounded: processors fetch no
further than to the end of a page on their own."""


@dataclass(frozen=True, eq=False)
class Rounding:
    """Rounds float32 to codes, with factors of features and rows, and a bias.

    Attributes:
        stream: Whether codes are written past the caches.
        checked: Whether every index is checked: there is none.
    """

    stream: bool
    checked: bool

    most_vectors = MOST_VECTORS
    slot_vectors = 0
    format = Format(F32, F32, 4)

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        reads = Tile(b, self.format, variant, task.width)
        writes = Tile(b, Format(I8, F32, 1), variant, task.width)
        numbers = Numbers(b, block, reads)
        stride = b.mul(block.columns, I64(4))
        step = I64(reads.count * reads.format.lanes)

        def row(r: Any, values: list[Any]) -> list[Any]:
            x = b.add(block.x, b.mul(r, stride))
            out = b.add(block.out, b.mul(r, block.columns))

            def part(k: Any, values: list[Any]) -> list[Any]:
                feature = b.add(task.feature, b.mul(k, step))
                if reads.is_exact:  # the last part overlaps the one before
                    last = b.sub(block.columns, step)
                    late = b.icmp_signed(">", feature, last)
                    feature = b.select(late, last, feature)
                place = b.add(x, b.mul(feature, I64(4)))
                reads.prefetch(b.add(place, I64(_AHEAD)))
                found = reads.load(place)
                found = along(b, reads, found, feature, block.gain, b.fmul)
                found = along(b, reads, found, feature, block.bias, b.fadd)
                found = numbers.times_row(found, block.next, r)
                writes.store(b.add(out, feature), numbers.codes(found), self.stream)
                return values

            parts = I64(1)
            if reads.is_exact:
                parts = b.sdiv(b.add(task.width, b.sub(step, I64(1))), step)
            return loop(b, I64(0), parts, values, part)

        loop(b, task.first, task.last, [], row)


@dataclass(frozen=True, eq=False)
class Packing:
    """Puts two codes into a byte, that of feature f and that half the width further.

    Attributes:
        stream: Whether bytes are written past the caches.
        checked: Whether every index is checked: there is none.
    """

    stream: bool
    checked: bool

    most_vectors = MOST_VECTORS
    slot_vectors = 0
    format = Format(I8, I8, 1)

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        tile = Tile(b, self.format, variant, task.width)
        four = tile.constant(4)
        x, out = (b.add(at, task.feature) for at in (block.x, block.out))

        def row(r: Any, values: list[Any]) -> list[Any]:
            to = b.mul(r, block.columns)
            place = b.add(x, b.add(to, to))
            pairs = zip(
                tile.load(place), tile.load(b.add(place, block.columns)), strict=True
            )
            both = [b.or_(low, b.shl(high, four)) for low, high in pairs]
            tile.store(b.add(out, to), both, self.stream)
            return values

        loop(b, task.first, task.last, [], row)


class Numbers:
    """The parameters of a call, loaded, and what is done with them."""

    def __init__(self, b: Any, block: Block, tile: Tile) -> None:
        self.b, self.block, self.tile = b, block, tile
        self.lanes = tile.format.lanes
        names = (*NUMBERS, "most")
        place = b.inttoptr(block.numbers, F32.as_pointer())
        self.of = {name: b.load(b.gep(place, [I64(i)])) for i, name in enumerate(names)}

    def splat(self, name: str) -> Any:
        """A parameter in every lane."""
        return self.tile.splat(self.of[name])

    def whole(self, name: str) -> Any:
        """A parameter as a whole number."""
        return self.b.fptosi(self.of[name], I64)

    def constant(self, value: float) -> Any:
        """A vector of equal numbers."""
        return ir.Constant(ir.VectorType(F32, self.lanes), [value] * self.lanes)

    def times_row(self, vectors: list[Any], factors: Any, r: Any) -> list[Any]:
        """Multiplies by the factor of row r, if there are factors."""
        b = self.b

        def times(vectors: list[Any]) -> list[Any]:
            factor = self.tile.splat(element(b, factors, F32, r))
            return [b.fmul(vector, factor) for vector in vectors]

        return chosen(b, b.icmp_signed("!=", factors, I64(0)), vectors, times)

    def codes(self, vectors: list[Any]) -> list[Any]:
        """Rounds to codes, ties to even."""
        b = self.b
        inverse, zero = self.splat("inverse"), self.splat("to_zero")
        least, most = self.constant(0.0), self.splat("most")
        floats, ints, bytes_ = (
            ir.VectorType(kind, self.lanes) for kind in (F32, I32, I8)
        )
        name = f"llvm.roundeven.v{self.lanes}f32"
        kind = ir.FunctionType(floats, [floats])
        nearest = cgutils.get_or_insert_function(b.module, kind, name)
        codes = []
        for vector in vectors:
            code = b.fadd(b.call(nearest, [b.fmul(vector, inverse)]), zero)
            # NaN is no more than anything:
            code = b.select(b.fcmp_ordered(">", code, least), code, least)
            code = b.select(b.fcmp_ordered("<", code, most), code, most)
            codes.append(b.trunc(b.fptosi(code, ints), bytes_))
        return codes


def along(
    b: Any, tile: Tile, vectors: list[Any], feature: Any, array: Any, function: Any
) -> list[Any]:
    """Combines with one number for each feature, if there are any."""

    def combined(vectors: list[Any]) -> list[Any]:
        numbers = tile.load(b.add(array, b.mul(feature, I64(4))))
        return [function(v, n) for v, n in zip(vectors, numbers, strict=True)]

    return chosen(b, b.icmp_signed("!=", array, I64(0)), vectors, combined)
