"""Vector code for the CPU kernels: one row's inputs reduced in registers.

LLVM does not keep an array's elements in registers across a loop over inputs, and
prefers narrow vectors; this intrinsic spells out what it should do. The width
follows from the host's instruction set.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SUM = 0
SCALED_SUM = 1
SIGNED_SUM = 2
SCALED_SIGNED_SUM = 3
MAX = 4

PREFETCH = 16  # inputs ahead

_features = llvm.get_host_cpu_features()
_wide = _features.get("avx512f", False)
VECTOR_BYTES = 64 if _wide else 32 if _features.get("avx", False) else 16
"""Bytes of a vector register of this machine."""
TILES = (16, 8, 4, 1) if _wide else (8, 4, 1)
"""Numbers of accumulators: at most half of the registers."""

_I8 = ir.IntType(8)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_BYTES = _I8.as_pointer()


@intrinsic(prefer_literal=True)
def reduce_row(
    _: Any,
    op: Any,
    to: Any,
    width: Any,
    x: Any,
    x_stride: Any,
    src: Any,
    s0: Any,
    sm: Any,
    s1: Any,
    src_size: Any,
    scale: Any,
    scratch: Any,
    scratch_stride: Any,
    agg: Any,
    a0: Any,
    am: Any,
    a1: Any,
    factor: Any,
) -> Any:
    """Reduces the inputs of one row, a tile of features at a time, in registers.

    `to[:width] = factor * reduce(x[src[s0:s1], :width], scratch[agg[a0:a1], :width])`.
    `op` is a constant: scaled sums multiply x[u] by scale[u], MAX by scale[0]; signed
    sums subtract the inputs from `sm` and `am` on, which others do not look at.

    All arrays are addresses (array arguments would be reference-counted for every
    row): elements of the type of `factor`, 32-bit inputs, strides in bytes.
    `src_size` bounds what is read ahead of `src`.
    """
    if not isinstance(factor, types.Float):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, width, x, *inputs = args[1:]
        x_stride, src, s0, sm, s1, src_size, scale, scratch, *rest = inputs
        scratch_stride, agg, a0, am, a1, factor_ = rest
        element = context.get_value_type(factor)
        size = factor.bitwidth // 8
        moving = [cgutils.alloca_once_value(builder, v) for v in (to, x, scratch)]
        left = cgutils.alloca_once_value(builder, width)

        def emit(tile: int) -> None:
            to, x, scratch = (builder.load(place) for place in moving)
            code = _Tile(
                builder, element, size, op.literal_value, tile, builder.load(left)
            )
            sources = x, x_stride, src
            aggregates = scratch, scratch_stride, agg
            ends = (sm, am) if code.is_signed else (s1, a1)
            sums = code.start()
            sums = code.loop(sums, *sources, s0, ends[0], scale, src_size)
            sums = code.loop(sums, *aggregates, a0, ends[1])
            if code.is_signed:
                code.minus = True
                sums = code.loop(sums, *sources, sm, s1, scale, src_size)
                sums = code.loop(sums, *aggregates, am, a1)
            code.store(sums, factor_, to)

        lanes = VECTOR_BYTES // size
        for tile in TILES:
            test = builder.append_basic_block("tile.test")
            body = builder.append_basic_block("tile")
            done = builder.append_basic_block("tile.done")
            builder.branch(test)
            builder.position_at_end(test)
            enough = builder.icmp_signed(">=", builder.load(left), _I64(tile * lanes))
            builder.cbranch(enough, body, done)
            builder.position_at_end(body)
            emit(tile)
            for place in moving:
                step = _I64(tile * VECTOR_BYTES)
                builder.store(builder.add(builder.load(place), step), place)
            builder.store(builder.sub(builder.load(left), _I64(tile * lanes)), left)
            builder.branch(test)
            builder.position_at_end(done)
        with builder.if_then(builder.icmp_signed(">", builder.load(left), _I64(0))):
            emit(0)
        return context.get_dummy_value()

    return types.void(op, *[types.intp] * 16, factor), codegen


class _Tile:
    """Emits the code for one tile: `width` vectors, or, if 0, `lanes` elements."""

    def __init__(
        self,
        builder: Any,
        element: Any,
        size: int,
        kind: int,
        width: int,
        lanes: Any,
    ) -> None:
        self.builder = builder
        self.kind = kind
        self.is_signed = kind in (SIGNED_SUM, SCALED_SIGNED_SUM)
        self.minus = False
        self.count = max(width, 1)
        self.bytes = size
        self.scalar = element
        self.vector = ir.VectorType(self.scalar, VECTOR_BYTES // self.bytes)
        self.mask = None
        if width == 0:
            numbers = ir.Constant(
                ir.VectorType(_I64, self.vector.count), list(range(self.vector.count))
            )
            self.mask = builder.icmp_signed("<", numbers, self.splat(lanes))

    def splat(self, value: Any) -> Any:
        vector = ir.VectorType(value.type, self.vector.count)
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, self.vector.count), None)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def start(self) -> list[Any]:
        value = float("-inf") if self.kind == MAX else 0.0
        return [ir.Constant(self.vector, [value] * self.vector.count)] * self.count

    def pointer(self, address: Any, element: Any, index: Any) -> Any:
        """Pointer to element `index` of the array at `address`."""
        array = self.builder.inttoptr(address, element.as_pointer())
        return self.builder.gep(array, [index])

    def part(self, address: Any, t: int) -> Any:
        return self.pointer(address, self.vector, _I64(t))

    def load(self, address: Any, t: int) -> Any:
        pointer = self.part(address, t)
        if self.mask is None:
            return self.builder.load(pointer, align=self.bytes)
        name = f"llvm.masked.load.v{self.vector.count}f{8 * self.bytes}.p0"
        zero = ir.Constant(self.vector, [0.0] * self.vector.count)
        kinds = [pointer.type, _I32, self.mask.type, self.vector]
        function = self.function(name, self.vector, kinds)
        return self.builder.call(function, [pointer, _I32(self.bytes), self.mask, zero])

    def function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(result, arguments), name
        )

    def index(self, col: Any, e: Any) -> Any:
        return self.builder.sext(self.builder.load(self.pointer(col, _I32, e)), _I64)

    def loop(
        self,
        sums: list[Any],
        x: Any,
        stride: Any,
        col: Any,
        begin: Any,
        end: Any,
        scale: Any = None,
        size: Any = None,
    ) -> list[Any]:
        """`for e in range(begin, end): sums = combine(sums, x[col[e]])`.

        Sources come with a `scale` and the `size` of all of `col`.
        """
        b = self.builder
        body = b.append_basic_block("inputs")
        after = b.append_basic_block("inputs.done")
        scaled = self.kind in (SCALED_SUM, SCALED_SIGNED_SUM)
        by_source = scale is not None and scaled
        factor = None
        if scale is not None and self.kind == MAX:
            factor = self.splat(b.load(self.pointer(scale, self.scalar, _I64(0))))
        before = b.block
        b.cbranch(b.icmp_signed("<", begin, end), body, after)
        b.position_at_end(body)
        e = b.phi(_I64)
        e.add_incoming(begin, before)
        running = [b.phi(self.vector) for _ in sums]
        for phi, value in zip(running, sums, strict=True):
            phi.add_incoming(value, before)
        row = self.index(col, e)
        if size is not None:
            self.prefetch(x, stride, col, e, size)
        if by_source:
            factor = self.splat(b.load(self.pointer(scale, self.scalar, row)))
        address = b.add(x, b.mul(row, stride))
        updated = []
        for t, old in enumerate(running):
            value = self.load(address, t)
            if factor is not None:
                value = b.fmul(factor, value)
            updated.append(self.combine(old, value))
        following = b.add(e, _I64(1))
        e.add_incoming(following, b.block)
        for phi, value in zip(running, updated, strict=True):
            phi.add_incoming(value, b.block)
        last = b.block
        b.cbranch(b.icmp_signed("<", following, end), body, after)
        b.position_at_end(after)
        results = []
        for value, new in zip(sums, updated, strict=True):
            phi = b.phi(self.vector)
            phi.add_incoming(value, before)
            phi.add_incoming(new, last)
            results.append(phi)
        return results

    def combine(self, old: Any, value: Any) -> Any:
        if self.minus:
            return self.builder.fsub(old, value)
        if self.kind != MAX:
            return self.builder.fadd(old, value)
        larger = self.builder.fcmp_ordered(">", value, old)
        invalid = self.builder.fcmp_unordered("uno", value, value)
        return self.builder.select(self.builder.or_(larger, invalid), value, old)

    def prefetch(self, x: Any, stride: Any, col: Any, e: Any, size: Any) -> None:
        b = self.builder
        ahead = b.add(e, _I64(PREFETCH))
        ahead = b.select(b.icmp_signed("<", ahead, size), ahead, e)
        address = b.add(x, b.mul(self.index(col, ahead), stride))
        function = self.function(
            "llvm.prefetch.p0", ir.VoidType(), [_BYTES, _I32, _I32, _I32]
        )
        step = max(1, 64 // VECTOR_BYTES)  # once in a cache line
        for t in range(0, self.count, step):
            place = self.pointer(address, _I8, _I64(t * VECTOR_BYTES))
            b.call(function, [place, _I32(0), _I32(3), _I32(1)])

    def store(self, sums: list[Any], factor: Any, to: Any) -> None:
        b = self.builder
        factors = self.splat(factor)
        for t, value in enumerate(sums):
            value = b.fmul(value, factors)
            pointer = self.part(to, t)
            if self.mask is None:
                b.store(value, pointer, align=self.bytes)
            else:
                name = f"llvm.masked.store.v{self.vector.count}f{8 * self.bytes}.p0"
                kinds = [self.vector, pointer.type, _I32, self.mask.type]
                function = self.function(name, ir.VoidType(), kinds)
                b.call(function, [value, pointer, _I32(self.bytes), self.mask])
