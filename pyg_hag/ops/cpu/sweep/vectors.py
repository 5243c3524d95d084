"""Emits the inner loops of a sweep: running sums of an aggregate, and sums of these.

An entry of a table is one vector: sums of some channels over the nodes on the positive
side of a threshold, and then the same over those on the other side.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pyg_hag.ops.cpu.control_flow import load_element, load_index, loop
from pyg_hag.ops.cpu.formats import F32, F64, I32, I64
from pyg_hag.ops.cpu.sweep.block import ENTRY_BYTES

_BIT = ir.IntType(1)
SCALAR, NARROW, WIDE = range(3)
"""One element on each side, or as many as fill half of an entry."""
_BLOCK = 64
"""Terms that are added to each other before they are added to a running sum.

Sums of thousands of terms would lose digits: equal terms are rounded the same way each
time.
"""


class _Pairs:
    """Emits loads and stores of pairs of vectors, or of scalars.

    Args:
        b: The builder.
        dtype: Numba's type of an element.
        kind: A literal: one of :data:`SCALAR`, :data:`NARROW` and :data:`WIDE`.
    """

    def __init__(self, b: Any, dtype: Any, kind: Any) -> None:
        self.b = b
        is_double = dtype.bitwidth == 64
        self.size = 8 if is_double else 4
        lanes = [1, *(count // (2 * self.size) for count in ENTRY_BYTES)]
        self.width = lanes[kind.literal_value]
        self.scalar = F64 if is_double else F32
        self.half = ir.VectorType(self.scalar, self.width)
        self.pair = ir.VectorType(self.scalar, 2 * self.width)
        self.half_bytes = I64(self.width * self.size)
        self.bytes = I64(2 * self.width * self.size)

    def load(self, address: Any, vector: Any) -> Any:
        """The vector at an address."""
        place = self.b.inttoptr(address, vector.as_pointer())
        return self.b.load(place, align=self.size)

    def store(self, address: Any, value: Any) -> None:
        """Writes a vector to an address."""
        place = self.b.inttoptr(address, value.type.as_pointer())
        self.b.store(value, place, align=self.size)

    def at(self, table: Any, i: Any) -> Any:
        """The address of entry i of a table."""
        return self.b.add(table, self.b.mul(i, self.bytes))

    def splat(self, value: Any) -> Any:
        """One side with the same value everywhere."""
        undefined = ir.Constant(self.half, ir.Undefined)
        first = self.b.insert_element(undefined, value, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.width), None)
        return self.b.shuffle_vector(first, undefined, zeros)

    def joined(self, positive: Any, negative: Any) -> Any:
        """Both sides as one vector."""
        places = ir.VectorType(I32, 2 * self.width)
        numbers = ir.Constant(places, list(range(2 * self.width)))
        return self.b.shuffle_vector(positive, negative, numbers)


@intrinsic(prefer_literal=True)
def running_sums(
    _: Any, dtype: Any, kind: Any, table: Any, values: Any, nodes: Any, count: Any
) -> Any:
    """Writes the `count + 1` entries of one aggregate.

    Entry k has the sums over the first k nodes, and over those from k on.

    Args:
        dtype: The class of the elements, such as `np.float32`.
        kind: See :class:`_Pairs`.
        table: The address of the first entry.
        values: The address of the terms of node 0: of one side, then of the other.
        nodes: The address of the nodes, int32.
        count: Number of nodes.
    """
    real = dtype.instance_type

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, table, values, nodes, count = args
        pairs = _Pairs(b, real, kind)
        zero = ir.Constant(pairs.half, None)

        def add(k: Any, low: list[Any], high: list[Any]) -> list[Any]:
            last = b.sub(count, k)
            sums = [b.fadd(h, v) for h, v in zip(high, low, strict=True)]
            pairs.store(pairs.at(table, k), sums[0])
            pairs.store(b.add(pairs.at(table, last), pairs.half_bytes), sums[1])
            first = load_index(b, nodes, k)
            second = load_index(b, nodes, b.sub(last, I64(1)))
            terms = [
                pairs.load(pairs.at(values, first), pairs.half),
                pairs.load(
                    b.add(pairs.at(values, second), pairs.half_bytes), pairs.half
                ),
            ]
            return [b.fadd(v, term) for v, term in zip(low, terms, strict=True)]

        def block(i: Any, high: list[Any]) -> list[Any]:
            begin = b.mul(i, I64(_BLOCK))
            end = b.add(begin, I64(_BLOCK))
            end = b.select(b.icmp_signed("<", end, count), end, count)
            low = loop(b, begin, end, [zero, zero], lambda k, v: add(k, v, high))
            return [b.fadd(h, v) for h, v in zip(high, low, strict=True)]

        blocks = b.sdiv(b.add(count, I64(_BLOCK - 1)), I64(_BLOCK))
        sums = loop(b, I64(0), blocks, [zero, zero], block)
        pairs.store(pairs.at(table, count), sums[0])
        pairs.store(b.add(table, pairs.half_bytes), sums[1])
        return context.get_dummy_value()

    numbers = [types.int64] * 4
    return types.void(dtype, kind, *numbers), codegen


@intrinsic(prefer_literal=True)
def spread_sums(
    _: Any,
    dtype: Any,
    kind: Any,
    out: Any,
    table: Any,
    places: Any,
    nodes: Any,
    count: Any,
) -> Any:
    """Adds entries of a table to what goes out to some nodes.

    Args:
        dtype: The class of the elements.
        kind: See :class:`_Pairs`.
        out: The address of the sums of node 0.
        table: The address of entry 0.
        places: The address of the entries' numbers, int32.
        nodes: The address of the nodes, int32.
        count: Number of nodes.
    """
    real = dtype.instance_type

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, out, table, places, nodes, count = args
        pairs = _Pairs(b, real, kind)

        def add(k: Any, _: list[Any]) -> list[Any]:
            entry = pairs.load(pairs.at(table, load_index(b, places, k)), pairs.pair)
            at = pairs.at(out, load_index(b, nodes, k))
            pairs.store(at, b.fadd(pairs.load(at, pairs.pair), entry))
            return []

        loop(b, I64(0), count, [], add)
        return context.get_dummy_value()

    numbers = [types.int64] * 5
    return types.void(dtype, kind, *numbers), codegen


@intrinsic(prefer_literal=True)
def sum_terms(
    _: Any, dtype: Any, kind: Any, out: Any, values: Any, sides: Any, count: Any
) -> Any:
    """Writes the sums of the terms of some nodes, each on its side.

    Args:
        dtype: The class of the elements.
        kind: See :class:`_Pairs`.
        out: The address for the sums.
        values: See :func:`running_sums`.
        sides: The address of numbers of nodes, int32: twice the node, and 1 more if it
            is on the positive side.
        count: Number of nodes.
    """
    real = dtype.instance_type

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, out, values, sides, count = args
        pairs = _Pairs(b, real, kind)
        masks = ir.VectorType(_BIT, 2 * pairs.width)
        first = ir.Constant(masks, [1] * pairs.width + [0] * pairs.width)
        second = ir.Constant(masks, [0] * pairs.width + [1] * pairs.width)
        zero = ir.Constant(pairs.pair, None)

        def add(k: Any, sums: list[Any]) -> list[Any]:
            code = load_element(b, sides, I32, k)
            is_positive = b.trunc(code, _BIT)
            place = b.sext(b.ashr(code, I32(1)), I64)
            term = pairs.load(pairs.at(values, place), pairs.pair)
            mask = b.select(is_positive, first, second)
            return [b.fadd(sums[0], b.select(mask, term, zero))]

        pairs.store(out, loop(b, I64(0), count, [zero], add)[0])
        return context.get_dummy_value()

    numbers = [types.int64] * 4
    return types.void(dtype, kind, *numbers), codegen


@intrinsic(prefer_literal=True)
def write_terms(
    _: Any, dtype: Any, kind: Any, values: Any, x: Any, positive: Any, negative: Any
) -> Any:
    """Writes what a node adds on either side: its channels times two factors.

    Args:
        dtype: The class of the elements.
        kind: See :class:`_Pairs`.
        values: The address of the terms of the node.
        x: The address of its channels.
        positive: Its factor on the positive side.
        negative: Its factor on the other side.
    """
    real = dtype.instance_type

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, values, x, positive, negative = args
        pairs = _Pairs(b, real, kind)
        row = pairs.load(x, pairs.half)
        sides = [b.fmul(row, pairs.splat(factor)) for factor in (positive, negative)]
        pairs.store(values, pairs.joined(*sides))
        return context.get_dummy_value()

    arguments = (types.int64, types.int64, real, real)
    return types.void(dtype, kind, *arguments), codegen
