"""The kernel of all reductions: the rows of a HAG back to back on one thread.

One pass over the inputs of a row makes several statistics, kept in registers for a
tile of features; aggregates hold them in a scratch that stays in cache. Each element
is computed by one thread in a fixed order, so the result has the same bits for any
number of threads.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from pyg_hag.ops._composed import LEAST_VARIANCE
from pyg_hag.ops._ir import (
    ACCUMULATORS,
    FORMATS,
    I64,
    Format,
    Tile,
    Variant,
    chosen,
    element,
    extreme,
    integer,
    joined,
    loop,
)
from pyg_hag.ops._tasks import Block, guarded

STATISTICS = {
    "sum": ("sum",),
    "scaled_sum": ("sum",),
    "mean": ("sum",),
    "var": ("sum", "square"),
    "std": ("sum", "square"),
    "max": ("max",),
    "min": ("min",),
    "symnorm": ("norm",),
}
"""What must be known of the inputs for each result. `scaled_sum` and the moments
multiply by the factor of the destination, which for the latter is one over its degree.
`symnorm` has a factor of its own, which stands where others have that of the node.
"""


@dataclass(frozen=True, eq=False)
class Reduction:
    """What a kernel computes; each is compiled when it is first asked for.

    Attributes:
        results: Some of :data:`STATISTICS`, stored side by side in each row.
        dtype: That of features and results, one of :data:`FORMATS`.
        scaled: Whether each source has a factor, or each input where `weighted`.
        signed: Whether rows subtract some of their inputs.
        shared: Whether there are aggregates.
        prefetch: Whether inputs are brought near before they are read.
        stream: Whether results are written past the caches, which would not hold them.
        checked: Whether every index is checked.
        weighted: Whether factors belong to inputs, of graphs without aggregates.
    """

    results: tuple[str, ...]
    dtype: str
    scaled: bool
    signed: bool
    shared: bool
    prefetch: bool
    stream: bool
    checked: bool
    weighted: bool = False

    @cached_property
    def statistics(self) -> tuple[str, ...]:
        """What is kept of the inputs."""
        return tuple(dict.fromkeys(s for r in self.results for s in STATISTICS[r]))

    @cached_property
    def most_vectors(self) -> int:
        """Vectors of features in a tile."""
        return min(16, ACCUMULATORS // len(self.statistics))

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, for a tile of one vector."""
        return len(self.statistics)

    @cached_property
    def format(self) -> Format:
        """How features and results lie in memory."""
        return FORMATS[self.dtype]

    @property
    def factor(self) -> Any:
        """The type of factors."""
        return self.format.computed

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        Rows(self, b, block, task, variant).emit()


class Rows:
    """Emits the rows of a task.

    Where an aggregate is one row of features like any other, inputs and results are
    told from aggregates by choosing an address, without a branch: a processor cannot
    foresee which of them are aggregates. An aggregate keeps statistics, a destination
    has results; several results of one statistic (sum and mean) are two rows, for
    which an aggregate has no place.
    """

    def __init__(
        self, what: Any, b: Any, block: Block, task: Any, variant: Variant
    ) -> None:
        self.what: Any = what
        self.b, self.block, self.task = b, block, task
        self.tile = Tile(b, what.format, variant, task.width)
        size = I64(what.format.size)
        offset = b.mul(task.feature, size)
        self.x = b.add(block.x, offset)
        self.out = b.add(block.out, offset)
        self.x_stride = b.mul(block.columns, size)
        self.out_stride = b.mul(self.x_stride, I64(len(what.results)))
        self.slot = I64(len(what.statistics) * self.tile.bytes)
        self.one = cgutils.alloca_once_value(b, ir.Constant(what.factor, 1.0))
        self.alike = len(what.statistics) == 1 and what.format.is_wide
        """Whether aggregates lie in the scratch as features lie in memory."""

    def emit(self) -> None:
        begin = element(self.b, self.block.ptr, I64, self.task.first)
        loop(self.b, self.task.first, self.task.last, [begin], self._row)

    def _row(self, r: Any, begins: list[Any]) -> list[Any]:
        """Reduces one row; returns where the inputs of the next one begin."""
        b, block, what = self.b, self.block, self.what
        (begin,) = begins
        end = element(b, block.ptr, I64, b.add(r, I64(1)))
        values = self._start()
        if what.signed:
            mid = element(b, block.mid, I64, r)
            values = self._inputs(values, begin, mid, False)
            values = self._inputs(values, mid, end, True)
        else:
            values = self._inputs(values, begin, end, False)
        kind = integer(b, block.kind, r)
        is_aggregate = b.icmp_signed("<", kind, I64(0))
        empty = b.icmp_signed("==", begin, end)
        if not what.shared:
            self._finish(self._destination(kind), kind, values, empty)
        elif self.alike and len(what.results) == 1 and not what.stream:
            v = b.select(is_aggregate, I64(0), kind)
            out = self._destination(v)
            to = b.select(is_aggregate, self._scratch_row(kind), out)
            self._finish(to, v, values, empty, is_aggregate)
        else:
            with b.if_else(is_aggregate) as (aggregate, destination):
                with aggregate:
                    place = self._scratch_row(kind)
                    for i, vectors in enumerate(values):
                        at = b.add(place, I64(i * self.tile.bytes))
                        if self.alike:
                            self.tile.store(at, vectors)
                        else:
                            self.tile.store_wide(at, vectors)
                with destination:
                    self._finish(self._destination(kind), kind, values, empty)
        return [end]

    def _start(self) -> list[list[Any]]:
        start = {"max": -math.inf, "min": math.inf}
        return [
            [self.tile.constant(start.get(s, 0.0))] * self.tile.count
            for s in self.what.statistics
        ]

    # Inputs:

    def _inputs(
        self, values: list[list[Any]], begin: Any, end: Any, minus: bool
    ) -> list[list[Any]]:
        """Takes in some inputs of a row."""

        def body(e: Any, flat: list[Any]) -> list[Any]:
            return _flat(self._combined(self._split(flat), self._read(e), minus))

        return self._split(loop(self.b, begin, end, _flat(values), body))

    def _split(self, flat: list[Any]) -> list[list[Any]]:
        count = self.tile.count
        return [flat[i : i + count] for i in range(0, len(flat), count)]

    def _read(self, e: Any) -> list[list[Any]]:
        """The statistics of input e alone."""
        b, block, what = self.b, self.block, self.what
        if what.prefetch:
            ahead = integer(b, block.inputs, b.add(e, block.ahead))
            self.tile.prefetch(self._input_row(ahead))
        i = integer(b, block.inputs, e)
        if not what.shared:
            u = guarded(b, block, i, block.num_src)
            row = b.add(self.x, b.mul(u, self.x_stride))
            return self._source(row, e if what.weighted else u)
        is_aggregate = b.icmp_signed("<", i, I64(0))
        limit = b.select(is_aggregate, block.num_slots, block.num_src)
        guarded(b, block, b.select(is_aggregate, b.not_(i), i), limit)
        if self.alike:
            return self._source(self._input_row(i), i, is_aggregate)
        with b.if_else(is_aggregate) as (aggregate, source):
            with aggregate:
                place = self._scratch_row(i)
                ours = _flat(
                    [
                        self.tile.load_wide(b.add(place, I64(k * self.tile.bytes)))
                        for k in range(len(what.statistics))
                    ]
                )
                from_aggregate = b.block
            with source:
                row = b.add(self.x, b.mul(i, self.x_stride))
                theirs = _flat(self._source(row, i))
                from_source = b.block
        pairs = zip(ours, theirs, strict=True)
        return self._split(
            [joined(b, (a, from_aggregate), (s, from_source)) for a, s in pairs]
        )

    def _source(self, row: Any, u: Any, is_aggregate: Any = None) -> list[list[Any]]:
        """The statistics of the features at an address, with factor u."""
        b, what = self.b, self.what
        x = self.tile.load(row)
        scaled = x
        if what.scaled:
            place = b.inttoptr(self.block.before, what.format.computed.as_pointer())
            place = b.gep(place, [u])
            if is_aggregate is not None:
                place = b.select(is_aggregate, self.one, place)
            factor = self.tile.splat(b.load(place))
            scaled = [b.fmul(factor, value) for value in x]
        if "norm" not in what.statistics:  # whose factors are for nothing else
            x = scaled
        known = {"norm": scaled}
        if "square" in what.statistics:
            known["square"] = [b.fmul(v, v) for v in x]
        return [known.get(s, x) for s in what.statistics]

    def _input_row(self, i: Any) -> Any:
        """Where the features of an input lie."""
        b = self.b
        base, stride = self.x, self.x_stride
        if self.what.shared:
            is_aggregate = b.icmp_signed("<", i, I64(0))
            base = b.select(is_aggregate, b.sub(self.task.scratch, self.slot), base)
            stride = b.select(is_aggregate, b.neg(self.slot), stride)
        return b.add(base, b.mul(i, stride))

    def _scratch_row(self, number: Any) -> Any:
        """The row of the scratch for slot `-1 - number`."""
        b = self.b
        return b.add(self.task.scratch, b.mul(b.not_(number), self.slot))

    def _combined(
        self, old: list[list[Any]], new: list[list[Any]], minus: bool
    ) -> list[list[Any]]:
        b = self.b
        add = b.fsub if minus else b.fadd
        return [
            [
                extreme(b, s, o, n) if s in ("max", "min") else add(o, n)
                for o, n in zip(ours, theirs, strict=True)
            ]
            for s, ours, theirs in zip(self.what.statistics, old, new, strict=True)
        ]

    # Results:

    def _destination(self, v: Any) -> Any:
        """Where the results of destination v lie."""
        v = guarded(self.b, self.block, v, self.block.num_dst)
        return self.b.add(self.out, self.b.mul(v, self.out_stride))

    def _finish(
        self,
        to: Any,
        v: Any,
        values: list[list[Any]],
        empty: Any,
        is_aggregate: Any = None,
    ) -> None:
        """Makes the results of destination v from its statistics and stores them.

        A row that may be an aggregate has no factor then, and nothing of its own.
        """
        b, what = self.b, self.what
        known = dict(zip(what.statistics, values, strict=True))
        factor = None
        if {"scaled_sum", "mean", "var", "std"} & {*what.results}:
            factor = self._factor(self.block.after, v, is_aggregate)
        for i, name in enumerate(what.results):
            if name == "symnorm":
                norm = self._factor(self.block.own, v, is_aggregate)
                vectors = [b.fmul(value, norm) for value in known["norm"]]
            else:
                vectors = self._result(name, known, factor, empty)
            if name == "scaled_sum":
                vectors = self._with_own(v, vectors, is_aggregate)
            at = b.add(to, b.mul(self.x_stride, I64(i)))
            self.tile.store(at, vectors, what.stream)

    def _factor(self, factors: Any, v: Any, is_aggregate: Any) -> Any:
        """The factor of destination v; 1 without one, or for an aggregate."""
        b = self.b
        place = b.inttoptr(factors, self.what.factor.as_pointer())
        without = b.icmp_signed("==", factors, I64(0))
        if is_aggregate is not None:
            without = b.or_(without, is_aggregate)
        place = b.select(without, self.one, b.gep(place, [v]))
        return self.tile.splat(b.load(place))

    def _with_own(self, v: Any, vectors: list[Any], is_aggregate: Any) -> list[Any]:
        """Adds `own[v] * x[v]`, and nothing where `own[v]` is 0."""
        b, block = self.b, self.block

        def scaled(vectors: list[Any]) -> list[Any]:
            weight = element(b, block.own, self.what.format.computed, v)
            wanted = b.fcmp_unordered("!=", weight, ir.Constant(weight.type, 0.0))
            if is_aggregate is not None:
                wanted = b.and_(wanted, b.not_(is_aggregate))

            def added(vectors: list[Any]) -> list[Any]:
                factor = self.tile.splat(weight)
                x = self.tile.load(b.add(self.x, b.mul(v, self.x_stride)))
                own = [b.fmul(factor, value) for value in x]
                return [b.fadd(s, o) for s, o in zip(vectors, own, strict=True)]

            return chosen(b, wanted, vectors, added)

        return chosen(b, b.icmp_signed("!=", block.own, I64(0)), vectors, scaled)

    def _result(self, name: str, known: Any, factor: Any, empty: Any) -> list[Any]:
        b = self.b
        if name == "sum":
            return list(known["sum"])
        if name in ("max", "min"):
            zero = self.tile.constant(0.0)
            return [b.select(empty, zero, value) for value in known[name]]
        means = [b.fmul(value, factor) for value in known["sum"]]
        if name in ("scaled_sum", "mean"):
            return means
        squares = [b.fmul(value, factor) for value in known["square"]]
        pairs = zip(squares, means, strict=True)
        variances = [b.fsub(s, b.fmul(m, m)) for s, m in pairs]
        if name == "var":
            return variances
        return [self._deviation(value) for value in variances]

    def _deviation(self, variance: Any) -> Any:
        """PyG's: 0 where the variance is at most 1e-5; NaN stays one."""
        b, vector = self.b, self.tile.vector
        lanes, bits = vector.count, 64 if "double" in str(vector) else 32
        kind = ir.FunctionType(vector, [vector])
        name = f"llvm.sqrt.v{lanes}f{bits}"
        root = b.module.globals.get(name) or ir.Function(b.module, kind, name)
        least = self.tile.constant(LEAST_VARIANCE)
        small = b.fcmp_ordered("<=", variance, least)
        value = b.call(root, [b.select(small, least, variance)])
        tiny = self.tile.constant(math.sqrt(LEAST_VARIANCE))
        tiny = b.fcmp_ordered("<=", value, tiny)
        return b.select(tiny, self.tile.constant(0.0), value)


def _flat(values: list[list[Any]]) -> list[Any]:
    return [vector for vectors in values for vector in vectors]
