"""Emits the rows of a HAG, back to back on one thread.

One pass over the inputs of a row computes several statistics, which stay in registers
for a tile of features; those of aggregates are kept in a scratch that stays in cache.
Each element is computed by one thread in a fixed order, so the result has the same
bits for any number of threads. What the statistics and the results are is up to a
subclass of :class:`RowEmitter`.
"""

from abc import ABC, abstractmethod
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from pyg_hag.ops.cpu.control_flow import load_element, load_index, loop, phi_of
from pyg_hag.ops.cpu.formats import I64
from pyg_hag.ops.cpu.program import Block, check_index
from pyg_hag.ops.cpu.tiling import Variant
from pyg_hag.ops.cpu.vectors import Tile, Vectors


class RowEmitter(ABC):
    """Emits the rows of a task.

    Where an aggregate is stored as one row of features, like a source, code that reads
    inputs or writes rows selects an address without a branch: a processor cannot
    predict which of them are aggregates. An aggregate stores statistics, a destination
    stores results; if there are several results of one statistic (sum and mean), the
    scratch of an aggregate has fewer rows than a destination.

    Args:
        program: What is computed.
        b: The builder.
        block: The parameters of the call.
        task: The rows and features of the task.
        variant: The variant of the code.
    """

    def __init__(
        self, program: Any, b: Any, block: Block, task: Any, variant: Variant
    ) -> None:
        self.program: Any = program
        self.b, self.block, self.task = b, block, task
        self.tile = Tile(b, program.format, variant, task.width)
        size = I64(program.format.size)
        offset = b.mul(task.feature, size)
        self.x = b.add(block.x, offset)
        self.out = b.add(block.out, offset)
        self.x_stride = b.mul(block.columns, size)
        self.out_stride = b.mul(self.x_stride, I64(program.num_results))
        self.slot_bytes = I64(len(program.statistics) * self.tile.bytes)
        self.one = cgutils.alloca_once_value(b, ir.Constant(program.factor, 1.0))
        self.same_layout = len(program.statistics) == 1 and program.format.is_wide
        """Whether aggregates are stored in the scratch as features are in memory."""

    @abstractmethod
    def _start(self) -> list[Vectors]:
        """The statistics of a row without inputs."""

    @abstractmethod
    def _statistics_of(
        self, row: Any, factor: Any, is_aggregate: Any = None
    ) -> list[Vectors]:
        """The statistics of one input.

        Args:
            row: The address of its features.
            factor: The index of its factor.
            is_aggregate: Whether it may be an aggregate and is one, which has none.
        """

    @abstractmethod
    def _combined(
        self, old: list[Vectors], new: list[Vectors], subtract: bool
    ) -> list[Vectors]:
        """The statistics of a row with one more input, added or subtracted."""

    @abstractmethod
    def _finish(
        self,
        address: Any,
        v: Any,
        values: list[Vectors],
        is_empty: Any,
        is_aggregate: Any = None,
    ) -> None:
        """Computes the results of destination v from its statistics and stores them.

        A row that may be an aggregate, and is one, is stored without factors.
        """

    # Rows:

    def emit(self) -> None:
        """Emits the loop over the rows of the task."""
        begin = load_element(self.b, self.block.ptr, I64, self.task.first)
        loop(self.b, self.task.first, self.task.last, [begin], self._row)

    def _row(self, r: Any, begins: list[Any]) -> list[Any]:
        """Reduces one row; returns where the inputs of the next one begin."""
        b, block = self.b, self.block
        (begin,) = begins
        end = load_element(b, block.ptr, I64, b.add(r, I64(1)))
        values = self._start()
        if self.program.signed:
            mid = load_element(b, block.mid, I64, r)
            values = self._add_inputs(values, begin, mid, False)
            values = self._add_inputs(values, mid, end, True)
        else:
            values = self._add_inputs(values, begin, end, False)
        target = load_index(b, block.target, r)
        is_aggregate = b.icmp_signed("<", target, I64(0))
        is_empty = b.icmp_signed("==", begin, end)
        self._store_row(target, is_aggregate, values, is_empty)
        return [end]

    def _store_row(
        self, target: Any, is_aggregate: Any, values: list[Vectors], is_empty: Any
    ) -> None:
        b, program = self.b, self.program
        if not program.has_aggregates:
            self._finish(self._result_address(target), target, values, is_empty)
        elif self.same_layout and program.num_results == 1 and not program.stream:
            v = b.select(is_aggregate, I64(0), target)
            out = self._result_address(v)
            address = b.select(is_aggregate, self._slot_address(target), out)
            self._finish(address, v, values, is_empty, is_aggregate)
        else:
            with b.if_else(is_aggregate) as (aggregate, destination):
                with aggregate:
                    self._store_statistics(self._slot_address(target), values)
                with destination:
                    out = self._result_address(target)
                    self._finish(out, target, values, is_empty)

    def _store_statistics(self, slot: Any, values: list[Vectors]) -> None:
        for i, vectors in enumerate(values):
            address = self.b.add(slot, I64(i * self.tile.bytes))
            if self.same_layout:
                self.tile.store(address, vectors)
            else:
                self.tile.store_wide(address, vectors)

    # Inputs:

    def _add_inputs(
        self, values: list[Vectors], begin: Any, end: Any, subtract: bool
    ) -> list[Vectors]:
        """Adds (or subtracts) some inputs of a row to its statistics."""

        def body(e: Any, running: list[Any]) -> list[Any]:
            old, new = self._split(running), self._read_input(e)
            return flatten(self._combined(old, new, subtract))

        return self._split(loop(self.b, begin, end, flatten(values), body))

    def _split(self, flat: list[Any]) -> list[Vectors]:
        """Vectors by statistic: the inverse of :func:`flatten`."""
        count = self.tile.count
        return [flat[i : i + count] for i in range(0, len(flat), count)]

    def _read_input(self, e: Any) -> list[Vectors]:
        """The statistics of input e alone."""
        b, block, program = self.b, self.block, self.program
        if program.prefetch:
            ahead = load_index(b, block.inputs, b.add(e, block.ahead))
            self.tile.prefetch(self._input_address(ahead))
        i = load_index(b, block.inputs, e)
        if not program.has_aggregates:
            u = check_index(b, block, i, block.num_src)
            row = b.add(self.x, b.mul(u, self.x_stride))
            return self._statistics_of(row, e if program.weighted else u)
        is_aggregate = b.icmp_signed("<", i, I64(0))
        limit = b.select(is_aggregate, block.num_slots, block.num_src)
        check_index(b, block, b.select(is_aggregate, b.not_(i), i), limit)
        if self.same_layout:
            return self._statistics_of(self._input_address(i), i, is_aggregate)
        with b.if_else(is_aggregate) as (aggregate, source):
            with aggregate:
                kept = flatten(self._load_statistics(self._slot_address(i)))
                from_aggregate = b.block
            with source:
                row = b.add(self.x, b.mul(i, self.x_stride))
                own = flatten(self._statistics_of(row, i))
                from_source = b.block
        pairs = zip(kept, own, strict=True)
        return self._split(
            [phi_of(b, (a, from_aggregate), (s, from_source)) for a, s in pairs]
        )

    def _load_statistics(self, slot: Any) -> list[Vectors]:
        return [
            self.tile.load_wide(self.b.add(slot, I64(i * self.tile.bytes)))
            for i in range(len(self.program.statistics))
        ]

    # Addresses:

    def _input_address(self, i: Any) -> Any:
        """The address of the features of an input."""
        b = self.b
        base, stride = self.x, self.x_stride
        if self.program.has_aggregates:
            is_aggregate = b.icmp_signed("<", i, I64(0))
            slots = b.sub(self.task.scratch, self.slot_bytes)
            base = b.select(is_aggregate, slots, base)
            stride = b.select(is_aggregate, b.neg(self.slot_bytes), stride)
        return b.add(base, b.mul(i, stride))

    def _slot_address(self, number: Any) -> Any:
        """The address in the scratch of slot `-1 - number`."""
        b = self.b
        return b.add(self.task.scratch, b.mul(b.not_(number), self.slot_bytes))

    def _result_address(self, v: Any) -> Any:
        """The address of the results of destination v."""
        v = check_index(self.b, self.block, v, self.block.num_dst)
        return self.b.add(self.out, self.b.mul(v, self.out_stride))

    def _load_factor(self, factors: Any, v: Any, is_aggregate: Any) -> Any:
        """The factor of destination v; 1 if there are none, and for an aggregate."""
        b = self.b
        pointer = b.inttoptr(factors, self.program.factor.as_pointer())
        without = b.icmp_signed("==", factors, I64(0))
        if is_aggregate is not None:
            without = b.or_(without, is_aggregate)
        pointer = b.select(without, self.one, b.gep(pointer, [v]))
        return self.tile.splat(b.load(pointer))


def flatten(values: list[Vectors]) -> list[Any]:
    """The vectors of all statistics in one list."""
    return [vector for vectors in values for vector in vectors]
