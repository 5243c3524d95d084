"""The kernels of INT8: integer reductions of quantized values, and their epilogue.

The epilogue of a row follows its inputs in registers: scales, bias, residual, ReLU, and
quantization for the operation that reads the result. Integer sums do not depend on the
order of their inputs, so a HAG gives the same bits as the plain graph.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from llvmlite import ir

from pyg_hag.ops.cpu.control_flow import apply_if, load_element
from pyg_hag.ops.cpu.formats import F32, I8, I32, I64, Format
from pyg_hag.ops.cpu.operands import UNUSED, Operand, Operands, Sizes
from pyg_hag.ops.cpu.program import Block, Tiled
from pyg_hag.ops.cpu.quantize import MAX_VECTORS, PARAMETERS, Parameters, per_feature
from pyg_hag.ops.cpu.rows import RowEmitter, flatten
from pyg_hag.ops.cpu.tiling import Variant
from pyg_hag.ops.cpu.vectors import Tile, Vectors


@dataclass(frozen=True, eq=False)
class IntegerReduction(Tiled):
    """A kernel that reduces quantized values, stored as one byte each.

    Attributes:
        reduce: `"sum"`, `"max"` or `"min"`.
        accumulator: Bits of the integers: 8 (for max and min), 16, 32 or 64.
        quantizes: Whether results are quantized; if not, they are float32.
        signed: Whether rows subtract some of their inputs.
        has_aggregates: Whether there are aggregates.
        prefetch: Whether inputs are prefetched.
        stream: Whether results are written past the caches.
        checked: Whether every index is checked.
        packed: Whether a byte holds two values, see
            :class:`~pyg_hag.ops.cpu.quantize.NibblePacking`.
    """

    reduce: str
    accumulator: int
    quantizes: bool
    signed: bool
    has_aggregates: bool
    prefetch: bool
    stream: bool
    checked: bool
    packed: bool

    weighted = False
    num_results = 1
    factor = F32

    @property
    def max_vectors(self) -> int:
        """The largest number of vectors of bytes in a tile."""
        return MAX_VECTORS // len(self.statistics)

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, per vector of the tile."""
        return len(self.statistics)

    @property
    def statistics(self) -> tuple[str, ...]:
        """The reduction, once for each value in a byte."""
        return (self.reduce, self.reduce) if self.packed else (self.reduce,)

    @cached_property
    def format(self) -> Format:
        """The format of quantized values, and the integers that they are added in."""
        return Format(I8, ir.IntType(self.accumulator), 1)

    def operands(self, sizes: Sizes) -> Operands:
        """The tensors that it reads and writes."""
        _, num_src, num_dst, columns = sizes
        width = columns * len(self.statistics)
        row, feature = Operand(torch.float32, num_dst), Operand(torch.float32, width)
        is_sum, size = self.reduce == "sum", num_dst * width
        own = Operand(torch.int32, num_dst) if num_dst <= num_src else UNUSED
        return {
            "x": Operand(torch.uint8, num_src * columns, True),
            "dst_scale": row,
            "self_scale": own,
            "out": Operand(torch.uint8 if self.quantizes else torch.float32, size),
            "counts": Operand(torch.int32, num_dst, is_sum),
            "channel_scale": feature,
            "bias": feature,
            "residual": Operand(torch.uint8, size),
            "residual_channel_scale": feature,
            "next_scale": row,
            "parameters": Operand(torch.float32, len(PARAMETERS), True),
        }

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        _IntegerEmitter(self, b, block, task, variant).emit()


class _IntegerEmitter(RowEmitter):
    """Emits the statistics and the epilogue of an :class:`IntegerReduction`."""

    def __init__(
        self,
        program: IntegerReduction,
        b: Any,
        block: Block,
        task: Any,
        variant: Variant,
    ) -> None:
        super().__init__(program, b, block, task, variant)
        self.same_layout = False
        computed = program.format.computed
        stored, size = (I8, 1) if program.quantizes else (F32, 4)
        self.results = Tile(b, Format(stored, computed, size), variant, task.width)
        self.features = Tile(b, Format(F32, computed, 4), variant, task.width)
        self.params = Parameters(b, block, self.tile)
        self.result_bytes = I64(size)
        self.out = b.add(block.out, b.mul(task.feature, self.result_bytes))
        self.halves = [I64(0)] + [block.columns] * program.packed
        """The first feature of each value in a byte."""
        self.width = b.mul(block.columns, I64(len(self.halves)))
        self.out_stride = b.mul(self.width, self.result_bytes)

    def _start(self) -> list[Vectors]:
        start = -1 if self.program.reduce == "min" else 0  # -1 sets all bits
        vectors = [self.tile.constant(start)] * self.tile.count
        return [vectors] * len(self.halves)

    def _statistics_of(
        self, row: Any, factor: Any, is_aggregate: Any = None
    ) -> list[Vectors]:
        values = self.tile.load(row)
        if not self.program.packed:
            return [values]
        b, four, low = self.b, self.tile.constant(4), self.tile.constant(15)
        return [[b.and_(q, low) for q in values], [b.lshr(q, four) for q in values]]

    def _combined(
        self, old: list[Vectors], new: list[Vectors], subtract: bool
    ) -> list[Vectors]:
        b, reduce = self.b, self.program.reduce

        def combine(o: Any, n: Any) -> Any:
            if reduce == "sum":
                return (b.sub if subtract else b.add)(o, n)
            sign = ">" if reduce == "max" else "<"
            return b.select(b.icmp_unsigned(sign, o, n), o, n)

        return [list(map(combine, *pair)) for pair in zip(old, new, strict=True)]

    def _finish(
        self,
        address: Any,
        v: Any,
        values: list[Vectors],
        is_empty: Any,
        is_aggregate: Any = None,
    ) -> None:
        b = self.b
        if self.program.reduce == "sum":
            values = self._add_self(v, values)
        for half, vectors in zip(self.halves, values, strict=True):
            place = b.add(address, b.mul(half, self.result_bytes))
            self._finish_half(place, half, v, vectors, is_empty)

    def _finish_half(
        self, address: Any, half: Any, v: Any, values: Vectors, is_empty: Any
    ) -> None:
        """Computes and stores the results of one value of each byte."""
        b, block, params = self.b, self.block, self.params
        steps = self._steps(v, values)
        if self.program.reduce != "sum":
            zero = params.constant(0.0)
            steps = [b.select(is_empty, zero, vector) for vector in steps]
        dst_scale = self._load_factor(block.dst_scale, v, None)
        factor = b.fmul(dst_scale, params.splat("scale"))
        out = [b.fmul(vector, factor) for vector in steps]
        out = self._per_feature(out, half, block.channel_scale, b.fmul)
        out = self._per_feature(out, half, block.bias, b.fadd)
        out = self._add_residual(v, half, out)
        bound = params.splat("lower_bound")
        out = [b.select(b.fcmp_ordered(">", o, bound), o, bound) for o in out]
        if self.program.quantizes:
            out = params.quantize(params.scale_row(out, block.next_scale, v))
        self.results.store(address, out, self.program.stream)

    def _steps(self, v: Any, accumulators: Vectors) -> Vectors:
        """The result as float32 multiples of the scale: without the zero points."""
        b, bits = self.b, self.program.accumulator
        zero_point = self.params.integer("zero_point")
        if self.program.reduce == "sum":
            has_zero_point = b.icmp_signed("!=", zero_point, I64(0))
            none = [self.tile.splat(I64(0))]

            def per_input(_: list[Any]) -> list[Any]:
                count = b.sext(load_element(b, self.block.counts, I32, v), I64)
                return [self.tile.splat(b.mul(count, zero_point))]

            (zeros,) = apply_if(b, has_zero_point, none, per_input)
        else:
            zeros = self.tile.splat(zero_point)
        ints = ir.VectorType(ir.IntType(max(32, bits)), self.tile.format.lanes)
        if bits < 64:
            zeros = b.trunc(zeros, ints)
        if bits < 32:
            accumulators = [b.zext(vector, ints) for vector in accumulators]
        floats = ir.VectorType(F32, self.tile.format.lanes)
        return [b.sitofp(b.sub(vector, zeros), floats) for vector in accumulators]

    def _add_self(self, v: Any, values: list[Vectors]) -> list[Vectors]:
        """Adds the values of the node itself, `self_scale[v]` times."""
        b, block = self.b, self.block

        def add(sums: list[Any]) -> list[Any]:
            scale = load_element(b, block.self_scale, I32, v)
            dtype = self.program.format.computed
            if dtype.width > 32:
                scale = b.sext(scale, dtype)
            elif dtype.width < 32:
                scale = b.trunc(scale, dtype)
            times = self.tile.splat(scale)
            row = b.add(self.x, b.mul(v, self.x_stride))
            x = flatten(self._statistics_of(row, v))
            pairs = zip(sums, x, strict=True)
            return [b.add(s, b.mul(times, o)) for s, o in pairs]

        has_scales = b.icmp_signed("!=", block.self_scale, I64(0))
        return self._split(apply_if(b, has_scales, flatten(values), add))

    def _add_residual(self, v: Any, half: Any, out: Vectors) -> Vectors:
        """Adds the residual, if there is one."""
        b, block, params = self.b, self.block, self.params

        def add(out: Vectors) -> Vectors:
            place = b.add(block.residual, b.add(self.task.feature, half))
            place = b.add(place, b.mul(v, self.width))
            floats = ir.VectorType(F32, self.tile.format.lanes)
            zero_point = params.splat("residual_zero_point")
            scale = params.splat("residual_scale")
            values = [b.uitofp(vector, floats) for vector in self.tile.load(place)]
            values = [b.fmul(scale, b.fsub(q, zero_point)) for q in values]
            channel_scale = block.residual_channel_scale
            values = self._per_feature(values, half, channel_scale, b.fmul)
            return [b.fadd(o, r) for o, r in zip(out, values, strict=True)]

        return apply_if(b, b.icmp_signed("!=", block.residual, I64(0)), out, add)

    def _per_feature(
        self, out: Vectors, half: Any, array: Any, function: Any
    ) -> Vectors:
        feature = self.b.add(self.task.feature, half)
        return per_feature(self.b, self.features, out, feature, array, function)
