"""Emits LLVM code: loops that keep vectors in registers, and tiles of features.

LLVM does not keep an array's elements in registers across a loop over inputs, and
prefers narrow vectors; what is emitted here spells out what it should do. The width
follows from the instruction set.
"""

import functools
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils


def _target_features() -> dict[str, bool]:
    """The instruction sets for which Numba compiles: the host's, or what it is told."""
    told = numba.config.CPU_FEATURES
    if told is None:
        return dict(llvm.get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in told.split(",") if name}


_features = _target_features()
_wide = _features.get("avx512f", False) and _features.get("avx512bw", False)
_x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
VECTOR_BYTES = 64 if _wide else 32 if _features.get("avx2", False) else 16
"""Bytes of a vector register of this machine."""
ACCUMULATORS = 16 if _wide else 8
"""Registers that may hold sums: what is left is for inputs and factors."""
HALF = _features.get("f16c", False) or platform.machine() in ("arm64", "aarch64")
"""Whether the machine converts float16."""
CACHE_LINE = 64

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
PREFETCH_INTO_L1 = I32(0), I32(3), I32(1)


def loop(
    b: Any,
    begin: Any,
    end: Any,
    values: list[Any],
    body: Callable[[Any, list[Any]], list[Any]],
) -> list[Any]:
    """`for i in range(begin, end): values = body(i, values)`, in registers."""
    before = b.block
    inside, after = b.append_basic_block("loop"), b.append_basic_block("loop.done")
    b.cbranch(b.icmp_signed("<", begin, end), inside, after)
    b.position_at_end(inside)
    i = b.phi(I64)
    i.add_incoming(begin, before)
    running = [b.phi(value.type) for value in values]
    for phi, value in zip(running, values, strict=True):
        phi.add_incoming(value, before)
    updated = body(i, running)
    following = b.add(i, I64(1))
    last = b.block
    i.add_incoming(following, last)
    for phi, value in zip(running, updated, strict=True):
        phi.add_incoming(value, last)
    b.cbranch(b.icmp_signed("<", following, end), inside, after)
    b.position_at_end(after)
    return [
        joined(b, (value, before), (new, last))
        for value, new in zip(values, updated, strict=True)
    ]


def joined(b: Any, *pairs: Any) -> Any:
    """The value that belongs to the block from which control comes."""
    phi = b.phi(pairs[0][0].type)
    for value, block in pairs:
        phi.add_incoming(value, block)
    return phi


def chosen(
    b: Any,
    condition: Any,
    values: list[Any],
    body: Callable[[list[Any]], list[Any]],
) -> list[Any]:
    """`body(values) if condition else values`, by a branch."""
    before = b.block
    with b.if_then(condition):
        updated = body(values)
        last = b.block
    return [
        joined(b, (new, last), (value, before))
        for value, new in zip(values, updated, strict=True)
    ]


def element(b: Any, array: Any, kind: Any, i: Any) -> Any:
    """`array[i]` for the address of an array."""
    return b.load(b.gep(b.inttoptr(array, kind.as_pointer()), [i]))


def integer(b: Any, array: Any, i: Any) -> Any:
    """`array[i]` for the address of an array of 32-bit numbers."""
    return b.sext(element(b, array, I32, i), I64)


def extreme(b: Any, which: str, old: Any, new: Any) -> Any:
    """The larger (or smaller) of two vectors, element by element, or NaN if one is."""
    kind = old.type
    if not _x86:  # one instruction
        name = f"llvm.{which}imum.v{kind.count}f{64 if kind.element is F64 else 32}"
        return b.call(_function(b, name, kind, [kind, kind]), [old, new])
    letter = "d" if kind.element is F64 else "s"
    if VECTOR_BYTES == 64:
        name = f"llvm.x86.avx512.{which}.p{letter}.512"
        last = [I32(4)]  # rounds as usual
    elif VECTOR_BYTES == 32:
        name, last = f"llvm.x86.avx.{which}.p{letter}.256", []
    else:
        name, last = f"llvm.x86.sse{2 * (letter == 'd') or ''}.{which}.p{letter}", []
    kinds = [kind, kind, *(value.type for value in last)]
    better = b.call(_function(b, name, kind, kinds), [new, old, *last])
    # That is `old` where one is NaN. Whether `new` is, is known before `old` is.
    return b.select(b.fcmp_unordered("uno", new, new), new, better)


def _function(b: Any, name: str, result: Any, kinds: list[Any]) -> Any:
    return cgutils.get_or_insert_function(
        b.module, ir.FunctionType(result, kinds), name
    )


# Formats ######################################################################


@dataclass(frozen=True)
class Format:
    """How elements lie in memory, and in which type they are computed."""

    stored: Any
    computed: Any
    size: int

    @property
    def lanes(self) -> int:
        """Elements that are computed in one vector."""
        if isinstance(self.computed, ir.IntType):
            return int(8 * VECTOR_BYTES // self.computed.width)
        return VECTOR_BYTES // (8 if self.computed is F64 else 4)

    @property
    def is_wide(self) -> bool:
        """Whether elements are computed as they are stored."""
        return self.stored is self.computed


FORMATS = {
    "float32": Format(F32, F32, 4),
    "float64": Format(F64, F64, 8),
    "bfloat16": Format(I16, F32, 2),
    **({"float16": Format(F16, F32, 2)} if HALF else {}),
}
"""The dtypes that kernels read and write; narrow ones are computed in float32."""


# Tiles ########################################################################


@dataclass(frozen=True)
class Variant:
    """Code for tiles of some number of features.

    Attributes:
        vectors: How many vectors hold them.
        kind: `"exact"` if they fill the vectors; `"masked"` if they are less than one;
            `"loose"` if the last vectors start earlier and overlap others.
        least: Vectors that surely are full.
    """

    vectors: int
    kind: str
    least: int = 0


@functools.cache
def variants(most: int) -> list[Variant]:
    """The variants of a kernel that has registers for so many vectors."""
    sizes = [n for n in (1, 2, 3, 4, 6, 8, 12, 16) if n <= most]
    powers = [n for n in sizes if n & (n - 1) == 0]
    loose = zip(sizes[1:], sizes, strict=False)
    return [
        Variant(1, "masked"),
        *(Variant(n, "exact", n) for n in powers),
        *(Variant(n, "loose", least) for n, least in loose),
    ]


@functools.lru_cache(1000)
def tile(width: int, lanes: int, most: int) -> list[tuple[int, int, int]]:
    """Cuts features into about equal tiles: `(first, width, number of variant)`."""
    known = variants(most)
    most = max(variant.vectors for variant in known)
    vectors = -(-width // lanes)
    passes = max(1, -(-vectors // most))
    step = max(1, -(-vectors // passes) * lanes)
    tiles = []
    for f in range(0, width, step):
        w = min(step, width - f)
        n = -(-w // lanes)
        fits = [known[0]] if w < lanes else [Variant(n, "exact", n)]
        if w % lanes or fits[0] not in known:
            fits = [v for v in known if v.kind == "loose" and v.vectors >= n]
        tiles.append((f, w, known.index(fits[0] if w >= lanes else known[0])))
    return tiles


class Tile:
    """Emits loads, stores and constants for the features of one variant."""

    def __init__(self, b: Any, fmt: Format, variant: Variant, width: Any) -> None:
        self.b = b
        self.format = fmt
        self.count = variant.vectors
        self.is_exact = variant.kind == "exact"
        self.vector = ir.VectorType(fmt.computed, fmt.lanes)
        self.bytes = self.count * VECTOR_BYTES
        """Of the features while they are computed."""
        self._mask = None
        if variant.kind == "masked":
            lanes = ir.VectorType(I64, fmt.lanes)
            numbers = ir.Constant(lanes, list(range(fmt.lanes)))
            self._mask = b.icmp_signed("<", numbers, self.splat(width))
        self._offsets = [I64(t * fmt.lanes * fmt.size) for t in range(self.count)]
        if variant.kind == "loose":
            end = b.mul(b.sub(width, I64(fmt.lanes)), I64(fmt.size))
            for t in range(variant.least, self.count):
                early = b.icmp_signed("<", self._offsets[t], end)
                self._offsets[t] = b.select(early, self._offsets[t], end)

    def splat(self, value: Any) -> Any:
        """A vector of equal elements."""
        b, lanes = self.b, self.format.lanes
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = b.insert_element(undefined, value, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, lanes), None)
        return b.shuffle_vector(first, undefined, zeros)

    def constant(self, value: float) -> Any:
        """The same for a known number."""
        return ir.Constant(self.vector, [value] * self.format.lanes)

    def scalar(self, array: Any, i: Any) -> Any:
        """Element i of an array of what is computed, in every lane."""
        return self.splat(element(self.b, array, self.format.computed, i))

    # Features, as they are stored:

    def load(self, row: Any) -> list[Any]:
        """The features at an address."""
        return [self._widened(self._loaded(row, t)) for t in range(self.count)]

    def store(self, row: Any, values: list[Any], stream: bool = False) -> None:
        """Writes the features to an address, or past the caches.

        The latter only where they fill vectors and lie at a multiple of their size.
        """
        stream = stream and self.is_exact
        for t, value in enumerate(values):
            instruction = self._stored(row, t, self._narrowed(value))
            if stream:
                size = self.format.lanes * self.format.size
                instruction.align = min(size, VECTOR_BYTES)
                one = self.b.module.add_metadata([I32(1)])
                instruction.set_metadata("nontemporal", one)

    def prefetch(self, row: Any) -> None:
        """Has the features at an address brought near."""
        b = self.b
        kinds = [I8.as_pointer(), I32, I32, I32]
        function = _function(self.b, "llvm.prefetch.p0", ir.VoidType(), kinds)
        stored = self.format.lanes * self.format.size
        for t in range(0, self.count, max(1, CACHE_LINE // stored)):
            place = b.inttoptr(b.add(row, self._offsets[t]), I8.as_pointer())
            b.call(function, [place, *PREFETCH_INTO_L1])

    def _place(self, row: Any, t: int) -> Any:
        kind = ir.VectorType(self.format.stored, self.format.lanes)
        address = self.b.add(row, self._offsets[t])
        return self.b.inttoptr(address, kind.as_pointer())

    def _loaded(self, row: Any, t: int) -> Any:
        place = self._place(row, t)
        if self._mask is None:
            return self.b.load(place, align=self.format.size)
        kind = ir.VectorType(self.format.stored, self.format.lanes)
        function = self._masked("load", kind, [place.type, I32, self._mask.type, kind])
        zero = ir.Constant(kind, None)
        return self.b.call(function, [place, I32(self.format.size), self._mask, zero])

    def _stored(self, row: Any, t: int, value: Any) -> Any:
        place = self._place(row, t)
        if self._mask is None:
            return self.b.store(value, place, align=self.format.size)
        kinds = [value.type, place.type, I32, self._mask.type]
        function = self._masked("store", ir.VoidType(), kinds)
        size = I32(self.format.size)
        return self.b.call(function, [value, place, size, self._mask])

    def _masked(self, what: str, result: Any, kinds: list[Any]) -> Any:
        stored = self.format.stored
        letter = "i" if isinstance(stored, ir.IntType) else "f"
        letter = f"{letter}{8 * self.format.size}"
        name = f"llvm.masked.{what}.v{self.format.lanes}{letter}.p0"
        return _function(self.b, name, result, kinds)

    def _widened(self, value: Any) -> Any:
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
        b, stored = self.b, self.format.stored
        narrow = ir.VectorType(stored, self.format.lanes)
        if stored is F16:
            return b.fptrunc(value, narrow)
        if stored is I16:  # to nearest, ties to even; NaN stays one
            bits = b.bitcast(value, ir.VectorType(I32, self.format.lanes))
            upper = b.lshr(bits, self._ints(16))
            odd = b.and_(upper, self._ints(1))
            rounded = b.add(bits, b.add(odd, self._ints(0x7FFF)))
            number = b.fcmp_ordered("ord", value, value)
            quiet = b.or_(upper, self._ints(0x40))
            upper = b.select(number, b.lshr(rounded, self._ints(16)), quiet)
            return b.trunc(upper, narrow)
        return value

    def _ints(self, value: int) -> Any:
        lanes = self.format.lanes
        return ir.Constant(ir.VectorType(I32, lanes), [value] * lanes)

    # Features, as they are computed: whole vectors, in memory of our own.

    def load_wide(self, row: Any) -> list[Any]:
        """The vectors at an address."""
        return [self.b.load(place, align=VECTOR_BYTES) for place in self._wide(row)]

    def store_wide(self, row: Any, values: list[Any]) -> None:
        """Writes the vectors to an address."""
        for place, value in zip(self._wide(row), values, strict=True):
            self.b.store(value, place, align=VECTOR_BYTES)

    def _wide(self, row: Any) -> list[Any]:
        first = self.b.inttoptr(row, self.vector.as_pointer())
        return [self.b.gep(first, [I64(t)]) for t in range(self.count)]
