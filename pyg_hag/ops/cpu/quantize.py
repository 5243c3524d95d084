"""Quantization to uint8, after integer sums and in programs of its own."""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from llvmlite import ir

from pyg_hag.ops.cpu.control_flow import apply_if, intrinsic_of, load_element, loop
from pyg_hag.ops.cpu.formats import F32, I8, I32, I64, Format
from pyg_hag.ops.cpu.operands import Operand, Operands, Sizes
from pyg_hag.ops.cpu.program import Block, Tiled
from pyg_hag.ops.cpu.tiling import Variant
from pyg_hag.ops.cpu.vectors import Tile, Vectors

PARAMETERS = (
    "scale", "zero_point", "lower_bound", "residual_scale", "residual_zero_point",
    "inverse_out_scale", "out_zero_point", "out_qmax",
)  # fmt: skip
"""Float32 parameters of a call: scale and zero point of the inputs, the lower bound of
the results, scale and zero point of the residual, and one over the scale, the zero
point and the largest quantized value of the results."""
NAN_MESSAGE = (
    "'x' has NaN, for which there is no value in INT8: replace it first, as in "
    "x.nan_to_num()"
)
MAX_VECTORS = 8
"""The largest number of vectors in a tile."""
_PREFETCH_DISTANCE = 4096
"""Bytes of features that are prefetched before they are quantized: on their own,
processors prefetch no further than the end of a page."""


@dataclass(frozen=True, eq=False)
class Quantization(Tiled):
    """Quantizes float32 features, after factors of features and rows and a bias.

    Fails if one is NaN.

    Attributes:
        stream: Whether results are written past the caches.
        checked: Whether every index is checked; the program has none.
    """

    stream: bool
    checked: bool

    max_vectors = MAX_VECTORS
    slot_vectors = 0
    format = Format(F32, F32, 4)
    failure = ValueError, NAN_MESSAGE

    def operands(self, sizes: Sizes) -> Operands:
        """The tensors that it reads and writes."""
        _, num_src, num_dst, columns = sizes
        feature = Operand(torch.float32, columns)
        return {
            "x": Operand(torch.float32, num_src * columns, True),
            "out": Operand(torch.uint8, num_dst * columns),
            "channel_scale": feature,
            "bias": feature,
            "next_scale": Operand(torch.float32, num_dst),
            "parameters": Operand(torch.float32, len(PARAMETERS), True),
        }

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        reads = Tile(b, self.format, variant, task.width)
        writes = Tile(b, Format(I8, F32, 1), variant, task.width)
        params = Parameters(b, block, reads)
        flags = ir.VectorType(I32, reads.format.lanes)
        stride = b.mul(block.columns, I64(4))
        step = I64(reads.count * reads.format.lanes)

        def row(r: Any, invalid: list[Any]) -> list[Any]:
            x = b.add(block.x, b.mul(r, stride))
            out = b.add(block.out, b.mul(r, block.columns))

            def part(k: Any, invalid: list[Any]) -> list[Any]:
                feature = b.add(task.feature, b.mul(k, step))
                if reads.is_exact:  # the last part overlaps the one before
                    last = b.sub(block.columns, step)
                    late = b.icmp_signed(">", feature, last)
                    feature = b.select(late, last, feature)
                place = b.add(x, b.mul(feature, I64(4)))
                reads.prefetch(b.add(place, I64(_PREFETCH_DISTANCE)))
                y = reads.load(place)
                y = per_feature(b, reads, y, feature, block.channel_scale, b.fmul)
                y = per_feature(b, reads, y, feature, block.bias, b.fadd)
                y = params.scale_row(y, block.next_scale, r)
                writes.store(b.add(out, feature), params.quantize(y), self.stream)
                found = [b.sext(b.fcmp_unordered("uno", v, v), flags) for v in y]
                return [functools.reduce(b.or_, found, *invalid)]

            parts = I64(1)
            if reads.is_exact:
                parts = b.sdiv(b.add(task.width, b.sub(step, I64(1))), step)
            return loop(b, I64(0), parts, invalid, part)

        none = ir.Constant(flags, [0] * reads.format.lanes)
        invalid = loop(b, task.first, task.last, [none], row)
        name = f"llvm.vector.reduce.or.v{reads.format.lanes}i32"
        any_invalid = b.call(intrinsic_of(b, name, I32, [flags]), invalid)
        with b.if_then(b.icmp_signed("!=", any_invalid, I32(0))):
            block.fail(b)


@dataclass(frozen=True, eq=False)
class NibblePacking(Tiled):
    """Packs two quantized values below 16 into a byte.

    Feature f takes the lower four bits; the feature half the width further takes the
    upper four.

    Attributes:
        stream: Whether bytes are written past the caches.
        checked: Whether every index is checked; the program has none.
    """

    stream: bool
    checked: bool

    max_vectors = MAX_VECTORS
    slot_vectors = 0
    format = Format(I8, I8, 1)

    def operands(self, sizes: Sizes) -> Operands:
        """The tensors that it reads and writes."""
        _, num_src, num_dst, columns = sizes
        return {
            "x": Operand(torch.uint8, 2 * num_src * columns, True),
            "out": Operand(torch.uint8, num_dst * columns),
        }

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        tile = Tile(b, self.format, variant, task.width)
        four = tile.constant(4)
        x, out = (b.add(at, task.feature) for at in (block.x, block.out))

        def row(r: Any, values: list[Any]) -> list[Any]:
            offset = b.mul(r, block.columns)
            place = b.add(x, b.add(offset, offset))
            pairs = zip(
                tile.load(place), tile.load(b.add(place, block.columns)), strict=True
            )
            packed = [b.or_(low, b.shl(high, four)) for low, high in pairs]
            tile.store(b.add(out, offset), packed, self.stream)
            return values

        loop(b, task.first, task.last, [], row)


class Parameters:
    """The :data:`PARAMETERS` of a call, loaded, and the computations that use them.

    Args:
        b: The builder.
        block: The parameters of the program.
        tile: The tile that they are applied to.
    """

    def __init__(self, b: Any, block: Block, tile: Tile) -> None:
        self.b, self.tile = b, tile
        self.lanes = tile.format.lanes
        pointer = b.inttoptr(block.parameters, F32.as_pointer())
        self._values = {
            name: b.load(b.gep(pointer, [I64(i)])) for i, name in enumerate(PARAMETERS)
        }

    def splat(self, name: str) -> Any:
        """A parameter in every lane."""
        return self.tile.splat(self._values[name])

    def integer(self, name: str) -> Any:
        """A parameter as int64."""
        return self.b.fptosi(self._values[name], I64)

    def constant(self, value: float) -> Any:
        """A float32 vector whose elements all equal a Python number."""
        return ir.Constant(ir.VectorType(F32, self.lanes), [value] * self.lanes)

    def scale_row(self, vectors: Vectors, factors: Any, r: Any) -> Vectors:
        """Multiplies by the factor of row r, if there are factors."""
        b = self.b

        def scaled(vectors: Vectors) -> Vectors:
            factor = self.tile.splat(load_element(b, factors, F32, r))
            return [b.fmul(vector, factor) for vector in vectors]

        return apply_if(b, b.icmp_signed("!=", factors, I64(0)), vectors, scaled)

    def quantize(self, vectors: Vectors) -> Vectors:
        """`round(y / out_scale) + out_zero_point`, ties to even, clamped to the range.

        NaN becomes 0.
        """
        b = self.b
        inverse, zero_point = (
            self.splat("inverse_out_scale"),
            self.splat("out_zero_point"),
        )
        qmin, qmax = self.constant(0.0), self.splat("out_qmax")
        floats, ints, bytes_ = (
            ir.VectorType(dtype, self.lanes) for dtype in (F32, I32, I8)
        )
        name = f"llvm.roundeven.v{self.lanes}f32"
        round_even = intrinsic_of(b, name, floats, [floats])
        out = []
        for vector in vectors:
            q = b.fadd(b.call(round_even, [b.fmul(vector, inverse)]), zero_point)
            q = b.select(b.fcmp_ordered(">", q, qmin), q, qmin)  # NaN is not greater
            q = b.select(b.fcmp_ordered("<", q, qmax), q, qmax)
            out.append(b.trunc(b.fptosi(q, ints), bytes_))
        return out


def per_feature(
    b: Any, tile: Tile, vectors: Vectors, feature: Any, array: Any, function: Any
) -> Vectors:
    """Combines features with an array of one number for each, if there is one.

    Args:
        b: The builder.
        tile: The tile of the array.
        vectors: The features.
        feature: The number of the first feature.
        array: The address of the array, or 0.
        function: The instruction.
    """

    def combined(vectors: Vectors) -> Vectors:
        numbers = tile.load(b.add(array, b.mul(feature, I64(4))))
        return [function(v, n) for v, n in zip(vectors, numbers, strict=True)]

    return apply_if(b, b.icmp_signed("!=", array, I64(0)), vectors, combined)
