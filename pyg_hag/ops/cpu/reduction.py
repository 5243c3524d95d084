"""The kernel of all floating-point reductions: statistics of inputs, then results."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from llvmlite import ir

from pyg_hag.ops.cpu.control_flow import apply_if, load_element
from pyg_hag.ops.cpu.formats import ACCUMULATORS, FORMATS, I64, Format
from pyg_hag.ops.cpu.operands import Operand, Operands, Sizes
from pyg_hag.ops.cpu.program import Block, Tiled
from pyg_hag.ops.cpu.rows import RowEmitter
from pyg_hag.ops.cpu.tiling import Variant
from pyg_hag.ops.cpu.vectors import Vectors, extreme
from pyg_hag.ops.reductions import MIN_VARIANCE

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
"""The statistics of the inputs that each result is computed from. `scaled_sum` and the
moments are multiplied by the destination's factor, for moments one over its degree.
`symnorm` has a factor of its own, which is passed in place of that of the node itself.
"""


@dataclass(frozen=True, eq=False)
class Reduction(Tiled):
    """A kernel that reduces features; it is compiled when it is first used.

    Attributes:
        results: Some of :data:`STATISTICS`, stored side by side in each row.
        dtype: The dtype of features and results, one of :data:`FORMATS`.
        scaled: Whether each source has a factor, or each input if `weighted`.
        signed: Whether rows subtract some of their inputs.
        has_aggregates: Whether there are aggregates.
        prefetch: Whether inputs are prefetched.
        stream: Whether results are written past the caches, which would not hold them.
        checked: Whether every index is checked.
        weighted: Whether factors belong to inputs, in graphs without aggregates.
    """

    results: tuple[str, ...]
    dtype: str
    scaled: bool
    signed: bool
    has_aggregates: bool
    prefetch: bool
    stream: bool
    checked: bool
    weighted: bool = False

    @cached_property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that are computed of the inputs of each row."""
        return tuple(dict.fromkeys(s for r in self.results for s in STATISTICS[r]))

    @property
    def num_results(self) -> int:
        """The number of results of each destination."""
        return len(self.results)

    @cached_property
    def max_vectors(self) -> int:
        """The largest number of vectors of features in a tile."""
        return min(16, ACCUMULATORS // len(self.statistics))

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, per vector of the tile."""
        return len(self.statistics)

    @cached_property
    def format(self) -> Format:
        """The format of features and results."""
        return FORMATS[self.dtype]

    @property
    def factor(self) -> Any:
        """The LLVM type of factors."""
        return self.format.computed

    def operands(self, sizes: Sizes) -> Operands:
        """The tensors that it reads and writes."""
        num_inputs, num_src, num_dst, columns = sizes
        dtype = getattr(torch, self.dtype)
        factor = torch.float64 if self.dtype == "float64" else torch.float32
        own = Operand(factor, num_dst)
        known = {
            "x": Operand(dtype, num_src * columns, True),
            "dst_scale": own,
            "out": Operand(dtype, self.num_results * num_dst * columns),
        }
        if num_dst <= num_src:  # each destination reads its own features
            known["self_scale"] = own
        if self.scaled:
            rows = num_inputs if self.weighted else num_src
            known["src_scale"] = Operand(factor, rows, True)
        return known

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: rows `first` to `last` of a tile."""
        _ReductionEmitter(self, b, block, task, variant).emit()


class _ReductionEmitter(RowEmitter):
    """Emits the statistics and results of a :class:`Reduction`."""

    def _start(self) -> list[Vectors]:
        start = {"max": -math.inf, "min": math.inf}
        return [
            [self.tile.constant(start.get(s, 0.0))] * self.tile.count
            for s in self.program.statistics
        ]

    def _statistics_of(
        self, row: Any, factor: Any, is_aggregate: Any = None
    ) -> list[Vectors]:
        b, program = self.b, self.program
        x = self.tile.load(row)
        scaled = x
        if program.scaled:
            dtype = program.format.computed
            pointer = b.inttoptr(self.block.src_scale, dtype.as_pointer())
            pointer = b.gep(pointer, [factor])
            if is_aggregate is not None:
                pointer = b.select(is_aggregate, self.one, pointer)
            scale = self.tile.splat(b.load(pointer))
            scaled = [b.fmul(scale, value) for value in x]
        if "norm" not in program.statistics:  # whose factors belong to it alone
            x = scaled
        known = {"norm": scaled}
        if "square" in program.statistics:
            known["square"] = [b.fmul(v, v) for v in x]
        return [known.get(s, x) for s in program.statistics]

    def _combined(
        self, old: list[Vectors], new: list[Vectors], subtract: bool
    ) -> list[Vectors]:
        b = self.b
        add = b.fsub if subtract else b.fadd
        return [
            [
                extreme(b, s, o, n) if s in ("max", "min") else add(o, n)
                for o, n in zip(*vectors, strict=True)
            ]
            for s, *vectors in zip(self.program.statistics, old, new, strict=True)
        ]

    def _finish(
        self,
        address: Any,
        v: Any,
        values: list[Vectors],
        is_empty: Any,
        is_aggregate: Any = None,
    ) -> None:
        b, block, program = self.b, self.block, self.program
        known = dict(zip(program.statistics, values, strict=True))
        factor = None
        if {"scaled_sum", "mean", "var", "std"} & {*program.results}:
            factor = self._load_factor(block.dst_scale, v, is_aggregate)
        for i, name in enumerate(program.results):
            if name == "symnorm":
                norm = self._load_factor(block.self_scale, v, is_aggregate)
                vectors = [b.fmul(value, norm) for value in known["norm"]]
            else:
                vectors = self._result(name, known, factor, is_empty)
            if name == "scaled_sum":
                vectors = self._add_self(v, vectors, is_aggregate)
            place = b.add(address, b.mul(self.x_stride, I64(i)))
            self.tile.store(place, vectors, program.stream)

    def _add_self(self, v: Any, vectors: Vectors, is_aggregate: Any) -> Vectors:
        """Adds `self_scale[v] * x[v]`, and nothing where `self_scale[v]` is 0."""
        b, block = self.b, self.block

        def add_if_scaled(vectors: Vectors) -> Vectors:
            scale = load_element(b, block.self_scale, self.program.factor, v)
            wanted = b.fcmp_unordered("!=", scale, ir.Constant(scale.type, 0.0))
            if is_aggregate is not None:
                wanted = b.and_(wanted, b.not_(is_aggregate))

            def add(vectors: Vectors) -> Vectors:
                factor = self.tile.splat(scale)
                x = self.tile.load(b.add(self.x, b.mul(v, self.x_stride)))
                scaled = [b.fmul(factor, value) for value in x]
                return [b.fadd(s, o) for s, o in zip(vectors, scaled, strict=True)]

            return apply_if(b, wanted, vectors, add)

        has_scales = b.icmp_signed("!=", block.self_scale, I64(0))
        return apply_if(b, has_scales, vectors, add_if_scaled)

    def _result(self, name: str, known: Any, factor: Any, is_empty: Any) -> Vectors:
        """One result of the statistics that are known by name."""
        b = self.b
        if name == "sum":
            return list(known["sum"])
        if name in ("max", "min"):
            zero = self.tile.constant(0.0)
            return [b.select(is_empty, zero, value) for value in known[name]]
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
        """The standard deviation as in PyG: 0 for variances up to 1e-5, NaN for NaN."""
        b, vector = self.b, self.tile.vector
        lanes, bits = vector.count, 64 if "double" in str(vector) else 32
        function = ir.FunctionType(vector, [vector])
        name = f"llvm.sqrt.v{lanes}f{bits}"
        root = b.module.globals.get(name) or ir.Function(b.module, function, name)
        lowest = self.tile.constant(MIN_VARIANCE)
        is_small = b.fcmp_ordered("<=", variance, lowest)
        value = b.call(root, [b.select(is_small, lowest, variance)])
        limit = self.tile.constant(math.sqrt(MIN_VARIANCE))
        is_small = b.fcmp_ordered("<=", value, limit)
        return b.select(is_small, self.tile.constant(0.0), value)
