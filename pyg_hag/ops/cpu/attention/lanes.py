"""Emits vectors in which heads lie side by side: see :mod:`.layout`.

The heads of a vector repeat: lane l belongs to head `l % width`. `<width>` values, one
for each head, are *repeated* to a vector, and a vector is *folded* to the sum (or
maximum) of the lanes of each head.
"""

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from pyg_hag.ops.cpu.control_flow import intrinsic_of
from pyg_hag.ops.cpu.formats import CACHE_LINE, F64, FORMATS, I8, I32, I64

_TERMS = {"float32": 7, "float64": 13}  # of the series of exp, up to half of log 2
_LOG2 = {"float32": (0.693359375, -2.12194440e-4), "float64": (
    0.693147180369123816490, 1.90821492927058770002e-10,
)}  # fmt: skip
_MANTISSA = {"float32": 23, "float64": 52}
_LOWEST = {"float32": -87.0, "float64": -708.0}  # below, exp is taken for 0
_PREFETCH = I32(0), I32(3), I32(1)


class Lanes:
    """Emits vectors of one dtype and number of heads.

    Args:
        b: The builder.
        dtype: `"float32"` or `"float64"`.
        width: Heads in a vector.
    """

    def __init__(self, b: Any, dtype: str, width: int) -> None:
        fmt = FORMATS[dtype]
        self.b, self.dtype, self.width = b, dtype, width
        self.size, self.count = fmt.size, fmt.lanes
        self.scalar = fmt.computed
        self.integer = I64 if fmt.computed is F64 else I32
        self.vector = ir.VectorType(fmt.computed, fmt.lanes)
        self.head = ir.VectorType(fmt.computed, width)
        self.bytes = self.size * self.count
        self.head_bytes = self.size * width
        self._name = f"v{fmt.lanes}f{8 * fmt.size}"

    # Memory; addresses are integers:

    def load(self, address: Any, t: int = 0) -> Any:
        """Vector t at an address."""
        return self._load(address, self.vector, t * self.bytes)

    def load_heads(self, address: Any) -> Any:
        """One value for each head at an address."""
        return self._load(address, self.head, 0)

    def store(self, value: Any, address: Any, t: int = 0) -> None:
        """Writes a vector, or one value for each head, as vector t at an address."""
        pointer = self._pointer(address, value.type, t * self.bytes)
        self.b.store(value, pointer, align=self.size)

    def load_bytes(self, address: Any, t: int = 0) -> Any:
        """Vector t of unsigned bytes at an address, as floating-point numbers."""
        stored = ir.VectorType(I8, self.count)
        pointer = self._pointer(address, stored, t * self.count)
        return self.b.uitofp(self.b.load(pointer, align=1), self.vector)

    def prefetch(self, address: Any, size: int) -> None:
        """Prefetches bytes at an address into the first-level cache."""
        types = [I8.as_pointer(), I32, I32, I32]
        function = intrinsic_of(self.b, "llvm.prefetch.p0", ir.VoidType(), types)
        for place in range(0, size, CACHE_LINE):
            pointer = self._pointer(address, I8, place)
            self.b.call(function, [pointer, *_PREFETCH])

    def _load(self, address: Any, kind: Any, place: int) -> Any:
        return self.b.load(self._pointer(address, kind, place), align=self.size)

    def _pointer(self, address: Any, kind: Any, place: int) -> Any:
        address = self.b.add(address, I64(place)) if place else address
        return self.b.inttoptr(address, kind.as_pointer())

    # Heads and vectors:

    def repeat(self, heads: Any) -> Any:
        """A vector of one value for each head."""
        return self._shuffled(heads, [i % self.width for i in range(self.count)])

    def first(self, vector: Any) -> Any:
        """The first value of each head in a vector."""
        return self._shuffled(vector, list(range(self.width)))

    def once(self, heads: Any) -> Any:
        """A vector of one value for each head, with zeros where they would repeat."""
        zeros = ir.Constant(heads.type, None)
        lanes = [i if i < self.width else self.width for i in range(self.count)]
        mask = ir.Constant(ir.VectorType(I32, self.count), lanes)
        return self.b.shuffle_vector(heads, zeros, mask)

    def fold(self, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """A vector in which each lane has the combined lanes of its head."""
        step = self.count // 2
        while step >= self.width:
            turned = [(i + step) % self.count for i in range(self.count)]
            vector = combine(vector, self._shuffled(vector, turned))
            step //= 2
        return vector

    def _shuffled(self, value: Any, lanes: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
        undefined = ir.Constant(value.type, ir.Undefined)
        return self.b.shuffle_vector(value, undefined, mask)

    def splat(self, value: Any) -> Any:
        """A vector whose elements all equal a scalar."""
        undefined = ir.Constant(ir.VectorType(value.type, self.count), ir.Undefined)
        first = self.b.insert_element(undefined, value, I32(0))
        return self._shuffled(first, [0] * self.count)

    def constant(self, value: float) -> Any:
        """A vector whose elements all equal a Python number."""
        return ir.Constant(self.vector, [value] * self.count)

    # Arithmetic:

    def add(self, x: Any, y: Any) -> Any:
        """`x + y`."""
        return self.b.fadd(x, y)

    def mul(self, x: Any, y: Any) -> Any:
        """`x * y`."""
        return self.b.fmul(x, y)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """`x * y + z`, rounded once."""
        name = f"llvm.fma.{self._name}"
        function = intrinsic_of(self.b, name, self.vector, [self.vector] * 3)
        return self.b.call(function, [x, y, z])

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of both; NaN where one is NaN."""
        b = self.b
        larger = b.select(b.fcmp_ordered(">", x, y), x, y)
        return b.select(b.fcmp_unordered("uno", x, x), x, larger)

    def positive(self, x: Any, yes: Any, no: Any) -> Any:
        """`yes` where x is positive, else `no`."""
        is_positive = self.b.fcmp_ordered(">", x, self.constant(0.0))
        return self.b.select(is_positive, yes, no)

    def leaky(self, x: Any, slope: Any) -> Any:
        """`x` where it is positive, else `slope * x`."""
        return self.positive(x, x, self.mul(slope, x))

    def codes(self, x: Any, zero_point: Any, largest: Any) -> Any:
        """`round(x) + zero_point`, ties to even, from 0 to the largest; NaN is 0.

        For float32 vectors of any number of lanes.
        """
        b = self.b
        name = f"llvm.roundeven.v{x.type.count}f32"
        rounded = b.call(intrinsic_of(b, name, x.type, [x.type]), [x])
        code = b.fadd(rounded, zero_point)
        zero = ir.Constant(x.type, [0.0] * x.type.count)
        code = b.select(b.fcmp_ordered(">", code, zero), code, zero)
        return b.select(b.fcmp_ordered("<", code, largest), code, largest)

    def steps(self, x: Any, zero_point: Any, largest: Any) -> Any:
        """:meth:`codes` minus the zero point."""
        return self.b.fsub(self.codes(x, zero_point, largest), zero_point)

    def exp(self, x: Any) -> Any:
        """The exponential of numbers up to about 0.

        A power of two times a series around 0, after Cody and Waite, *Software Manual
        for the Elementary Functions* (1980), chapter 6. Results that are no normal
        numbers are 0.
        """
        b, dtype = self.b, self.dtype
        lowest = self.constant(_LOWEST[dtype])
        is_low = b.fcmp_ordered("<", x, lowest)
        bounded = b.select(is_low, lowest, x)
        high = b.fcmp_ordered(">", bounded, self.constant(80.0))
        bounded = b.select(high, self.constant(80.0), bounded)
        shift = self.constant(1.5 * 2.0 ** _MANTISSA[dtype])
        shifted = self.fma(bounded, self.constant(1 / math.log(2)), shift)
        n = b.fsub(shifted, shift)
        more, less = _LOG2[dtype]
        rest = self.fma(n, self.constant(-more), bounded)
        rest = self.fma(n, self.constant(-less), rest)
        terms = _TERMS[dtype]
        series = self.constant(1 / math.factorial(terms))
        for k in range(terms - 1, -1, -1):
            series = self.fma(series, rest, self.constant(1 / math.factorial(k)))
        integers = ir.VectorType(self.integer, self.count)
        exponent = b.sub(b.bitcast(shifted, integers), b.bitcast(shift, integers))
        by = ir.Constant(integers, [_MANTISSA[dtype]] * self.count)
        scaled = b.add(b.bitcast(series, integers), b.shl(exponent, by))
        power = b.bitcast(scaled, self.vector)
        power = b.select(is_low, self.constant(0.0), power)
        return b.select(b.fcmp_unordered("uno", x, x), x, power)
