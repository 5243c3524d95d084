"""Emits the dropout of coefficients."""

from typing import Any

from llvmlite import ir

from pyg_hag.ops.cpu.attention.program import Edge, RowEmitter
from pyg_hag.ops.cpu.formats import I32, I64


def drop(emitter: RowEmitter, edge: Edge, number: int) -> None:
    """Writes the factors of an edge's coefficients to a buffer: 0, or the kept scale.

    A hash of the seed, the edge and the head decides, so that every pass finds the
    same: see :func:`pyg_hag.ops.attention.dropout.kept`.
    """
    b, lanes, block = emitter.b, emitter.lanes, emitter.block
    width = lanes.width
    kind = ir.VectorType(I32, width)

    def splat(value: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(I32, width), ir.Undefined)
        first = b.insert_element(undefined, value, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, width), [0] * width)
        return b.shuffle_vector(first, undefined, zeros)

    def constant(value: int) -> Any:
        return ir.Constant(kind, [value] * width)

    def mixed(x: Any, shift: int, factor: int) -> Any:
        return b.mul(b.xor(x, b.lshr(x, constant(shift))), constant(factor))

    state = b.add(block.seed, b.mul(edge.number, I64(0x9E3779B97F4A7C15)))
    state = b.mul(b.xor(state, b.lshr(state, I64(30))), I64(0xBF58476D1CE4E5B9))
    state = b.mul(b.xor(state, b.lshr(state, I64(27))), I64(0x94D049BB133111EB))
    state = b.xor(state, b.lshr(state, I64(31)))
    first = b.mul(b.trunc(emitter.task.feature, I32), I32(width))
    heads = b.add(splat(first), ir.Constant(kind, list(range(width))))
    x = b.add(splat(b.trunc(state, I32)), b.mul(heads, constant(0x9E3779B9)))
    x = mixed(mixed(x, 16, 0x85EBCA6B), 13, 0xC2B2AE35)
    x = b.xor(x, b.lshr(x, constant(16)))
    is_kept = b.icmp_unsigned(">=", x, splat(b.trunc(block.threshold, I32)))
    zero = ir.Constant(lanes.head, None)
    factor = b.select(is_kept, lanes.first(emitter.number("kept")), zero)
    lanes.store(factor, edge.place(number))
