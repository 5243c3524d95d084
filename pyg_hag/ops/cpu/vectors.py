"""Emits vectors: the features of a tile, loaded, converted, computed and stored.

LLVM prefers narrow vectors: these have the full width of the machine's registers.
"""

from typing import Any

from llvmlite import ir

from pyg_hag.ops.cpu.control_flow import intrinsic_of
from pyg_hag.ops.cpu.formats import (
    CACHE_LINE,
    F16,
    F64,
    I8,
    I16,
    I32,
    I64,
    IS_X86,
    VECTOR_BYTES,
    Format,
)
from pyg_hag.ops.cpu.tiling import Variant

Vectors = list[Any]
"""The features of a tile, as LLVM vectors."""

_PREFETCH_INTO_L1 = I32(0), I32(3), I32(1)


def extreme(b: Any, reduce: str, old: Any, new: Any) -> Any:
    """The elementwise `"max"` or `"min"` of two vectors; NaN where either is NaN."""
    vector = old.type
    if not IS_X86:  # one instruction
        bits = 64 if vector.element is F64 else 32
        name = f"llvm.{reduce}imum.v{vector.count}f{bits}"
        return b.call(intrinsic_of(b, name, vector, [vector, vector]), [old, new])
    letter = "d" if vector.element is F64 else "s"
    if VECTOR_BYTES == 64:
        name = f"llvm.x86.avx512.{reduce}.p{letter}.512"
        mode = [I32(4)]  # the default rounding
    elif VECTOR_BYTES == 32:
        name, mode = f"llvm.x86.avx.{reduce}.p{letter}.256", []
    else:
        name, mode = f"llvm.x86.sse{2 * (letter == 'd') or ''}.{reduce}.p{letter}", []
    arguments = [vector, vector, *(value.type for value in mode)]
    better = b.call(intrinsic_of(b, name, vector, arguments), [new, old, *mode])
    # The instruction returns `old` where one is NaN. Testing `new` instead of the
    # result keeps the test out of the chain from one input to the next.
    return b.select(b.fcmp_unordered("uno", new, new), new, better)


class Tile:
    """Emits loads, stores and constants for the features of one variant.

    Args:
        b: The builder.
        fmt: The format of the features.
        variant: The variant of the code.
        width: The number of features of the tile, as an LLVM value.
    """

    def __init__(self, b: Any, fmt: Format, variant: Variant, width: Any) -> None:
        self.b = b
        self.format = fmt
        self.count = variant.vectors
        self.is_exact = variant.layout == "exact"
        self.vector = ir.VectorType(fmt.computed, fmt.lanes)
        self.bytes = self.count * VECTOR_BYTES
        """Size of the features in the type in which they are computed."""
        self._mask = None
        if variant.layout == "masked":
            lanes = ir.VectorType(I64, fmt.lanes)
            numbers = ir.Constant(lanes, list(range(fmt.lanes)))
            self._mask = b.icmp_signed("<", numbers, self.splat(width))
        self._offsets = [I64(t * fmt.lanes * fmt.size) for t in range(self.count)]
        if variant.layout == "overlapping":
            end = b.mul(b.sub(width, I64(fmt.lanes)), I64(fmt.size))
            for t in range(variant.min_full, self.count):
                early = b.icmp_signed("<", self._offsets[t], end)
                self._offsets[t] = b.select(early, self._offsets[t], end)

    def splat(self, value: Any) -> Any:
        """A vector whose elements all equal a scalar."""
        b, lanes = self.b, self.format.lanes
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = b.insert_element(undefined, value, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, lanes), None)
        return b.shuffle_vector(first, undefined, zeros)

    def constant(self, value: float) -> Any:
        """A vector whose elements all equal a Python number."""
        return ir.Constant(self.vector, [value] * self.format.lanes)

    # Features in memory, in the type in which they are stored:

    def load(self, address: Any) -> Vectors:
        """The features at an address, converted to the type of the computation."""
        return [self._widened(self._load(address, t)) for t in range(self.count)]

    def store(self, address: Any, values: Vectors, stream: bool = False) -> None:
        """Converts and writes the features to an address.

        Args:
            address: Where they go.
            values: The vectors, in the type of the computation.
            stream: Whether to write past the caches, if the features fill their
                vectors. The address must then be a multiple of the vectors' size.
        """
        stream = stream and self.is_exact
        for t, value in enumerate(values):
            instruction = self._store(address, t, self._narrowed(value))
            if stream:
                size = self.format.lanes * self.format.size
                instruction.align = min(size, VECTOR_BYTES)
                one = self.b.module.add_metadata([I32(1)])
                instruction.set_metadata("nontemporal", one)

    def prefetch(self, address: Any) -> None:
        """Prefetches the features at an address into the first-level cache."""
        b = self.b
        types = [I8.as_pointer(), I32, I32, I32]
        function = intrinsic_of(b, "llvm.prefetch.p0", ir.VoidType(), types)
        stored = self.format.lanes * self.format.size
        for t in range(0, self.count, max(1, CACHE_LINE // stored)):
            pointer = b.inttoptr(b.add(address, self._offsets[t]), I8.as_pointer())
            b.call(function, [pointer, *_PREFETCH_INTO_L1])

    def _pointer(self, address: Any, t: int) -> Any:
        vector = ir.VectorType(self.format.stored, self.format.lanes)
        place = self.b.add(address, self._offsets[t])
        return self.b.inttoptr(place, vector.as_pointer())

    def _load(self, address: Any, t: int) -> Any:
        pointer = self._pointer(address, t)
        if self._mask is None:
            return self.b.load(pointer, align=self.format.size)
        vector = ir.VectorType(self.format.stored, self.format.lanes)
        types = [pointer.type, I32, self._mask.type, vector]
        function = self._masked("load", vector, types)
        zero = ir.Constant(vector, None)
        return self.b.call(function, [pointer, I32(self.format.size), self._mask, zero])

    def _store(self, address: Any, t: int, value: Any) -> Any:
        pointer = self._pointer(address, t)
        if self._mask is None:
            return self.b.store(value, pointer, align=self.format.size)
        types = [value.type, pointer.type, I32, self._mask.type]
        function = self._masked("store", ir.VoidType(), types)
        size = I32(self.format.size)
        return self.b.call(function, [value, pointer, size, self._mask])

    def _masked(self, action: str, result: Any, arguments: list[Any]) -> Any:
        stored = self.format.stored
        letter = "i" if isinstance(stored, ir.IntType) else "f"
        letter = f"{letter}{8 * self.format.size}"
        name = f"llvm.masked.{action}.v{self.format.lanes}{letter}.p0"
        return intrinsic_of(self.b, name, result, arguments)

    def _widened(self, value: Any) -> Any:
        """A vector of the stored type in the type of the computation."""
        b, stored = self.b, self.format.stored
        if stored is F16:
            return b.fpext(value, self.vector)
        if stored is I8:
            return value if self.format.is_wide else b.zext(value, self.vector)
        if stored is I16:  # bfloat16: the upper half of a float32
            wide = ir.VectorType(I32, self.format.lanes)
            return b.bitcast(b.shl(b.zext(value, wide), self._ints(16)), self.vector)
        return value

    def _narrowed(self, value: Any) -> Any:
        """A vector of the type of the computation in the stored type."""
        b, stored = self.b, self.format.stored
        narrow = ir.VectorType(stored, self.format.lanes)
        if stored is F16:
            return b.fptrunc(value, narrow)
        if stored is I16:  # bfloat16, to nearest, ties to even; NaN stays NaN
            bits = b.bitcast(value, ir.VectorType(I32, self.format.lanes))
            upper = b.lshr(bits, self._ints(16))
            odd = b.and_(upper, self._ints(1))
            rounded = b.add(bits, b.add(odd, self._ints(0x7FFF)))
            is_number = b.fcmp_ordered("ord", value, value)
            quiet = b.or_(upper, self._ints(0x40))
            upper = b.select(is_number, b.lshr(rounded, self._ints(16)), quiet)
            return b.trunc(upper, narrow)
        return value

    def _ints(self, value: int) -> Any:
        lanes = self.format.lanes
        return ir.Constant(ir.VectorType(I32, lanes), [value] * lanes)

    # Features in the scratch, as whole vectors of the type of the computation:

    def load_wide(self, address: Any) -> Vectors:
        """The vectors at an address."""
        pointers = self._wide_pointers(address)
        return [self.b.load(pointer, align=VECTOR_BYTES) for pointer in pointers]

    def store_wide(self, address: Any, values: Vectors) -> None:
        """Writes the vectors to an address."""
        for pointer, value in zip(self._wide_pointers(address), values, strict=True):
            self.b.store(value, pointer, align=VECTOR_BYTES)

    def _wide_pointers(self, address: Any) -> list[Any]:
        first = self.b.inttoptr(address, self.vector.as_pointer())
        return [self.b.gep(first, [I64(t)]) for t in range(self.count)]
