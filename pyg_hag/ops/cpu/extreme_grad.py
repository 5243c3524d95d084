"""The kernel of the gradients of max and min: group by group, forward and backward."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pyg_hag.ops.cpu.control_flow import load_element, load_index, loop
from pyg_hag.ops.cpu.formats import ACCUMULATORS, FORMATS, I64
from pyg_hag.ops.cpu.operands import Operand, Operands, Sizes
from pyg_hag.ops.cpu.program import Block, Tiled, check_index
from pyg_hag.ops.cpu.tiling import Variant
from pyg_hag.ops.cpu.vectors import Tile, Vectors, extreme


@dataclass(frozen=True, eq=False)
class ExtremeGradient(Tiled):
    """Splits each gradient evenly among the sources that attain the extreme.

    As in PyTorch's `scatter_reduce`, the zero that it starts from takes its part, and
    where the extreme is NaN, which no source equals, all sources get a gradient of NaN.
    Only one thread reads the sources of a group, so it may add to their gradients.

    Attributes:
        reduce: `"max"` or `"min"`.
        dtype: The dtype of features and gradients, float32 or float64.
        has_aggregates: Whether there are aggregates.
        checked: Whether every index is checked.
    """

    reduce: str
    dtype: str
    has_aggregates: bool
    checked: bool

    stream = False

    @property
    def max_vectors(self) -> int:
        """The largest number of vectors of features in a tile."""
        return max(1, min(8, ACCUMULATORS // 3))

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, per vector of the tile."""
        return 3

    def operands(self, sizes: Sizes) -> Operands:
        """The tensors that it reads and writes."""
        _, num_src, num_dst, columns = sizes
        dtype = getattr(torch, self.dtype)
        source = Operand(dtype, num_src * columns, True)
        result = Operand(dtype, num_dst * columns, True)
        return {"x": source, "out": result, "grad": result, "grad_x": source}

    def emit(self, b: Any, block: Block, task: Any, variant: Variant) -> None:
        """Emits the code for one task: groups `first` to `last` of a tile."""
        _GroupEmitter(self, b, block, task, variant).emit()


class _GroupEmitter:
    """Emits the groups of a task.

    For each aggregate, the scratch holds its value, the number of sources that attain
    it, and the gradient of each of these sources. One more slot holds ones: the count
    of a source.

    Args:
        program: What is computed.
        b: The builder.
        block: The parameters of the call.
        task: The groups and features of the task.
        variant: The variant of the code.
    """

    def __init__(
        self,
        program: ExtremeGradient,
        b: Any,
        block: Block,
        task: Any,
        variant: Variant,
    ) -> None:
        self.program, self.b, self.block, self.task = program, b, block, task
        fmt = FORMATS[program.dtype]
        self.tile = Tile(b, fmt, variant, task.width)
        offset = b.mul(task.feature, I64(fmt.size))
        self.x, self.out, self.grad, self.grad_x = (
            b.add(address, offset)
            for address in (block.x, block.out, block.grad, block.grad_x)
        )
        self.stride = b.mul(block.columns, I64(fmt.size))
        self.slot_bytes = I64(program.slot_vectors * self.tile.bytes)
        self.ones = self._slot_address(b.not_(block.num_slots))

    def emit(self) -> None:
        """Emits the loop over the groups of the task."""
        if self.program.has_aggregates:
            self.tile.store(self.ones, self._constants(1.0))
        loop(self.b, self.task.first, self.task.last, [], self._group)

    def _group(self, g: Any, _: list[Any]) -> list[Any]:
        b, block = self.b, self.block
        begin = load_element(b, block.part_ptr, I64, g)
        end = load_element(b, block.part_ptr, I64, b.add(g, I64(1)))
        if self.program.has_aggregates:
            loop(b, begin, end, [], self._forward_row)

        def backward(i: Any, _: list[Any]) -> list[Any]:
            self._backward_row(b.sub(b.sub(b.add(begin, end), I64(1)), i))
            return []

        loop(b, begin, end, [], backward)
        return []

    def _for_inputs(
        self,
        r: Any,
        values: list[Any],
        body: Callable[[Any, Any, Any, list[Any]], list[Any]],
    ) -> list[Any]:
        """Runs `values = body(x, counts, grad_x, values)` over the inputs of row r.

        The arguments are addresses: of the values, counts and gradients of the input.
        """
        b, block = self.b, self.block

        def read_input(e: Any, values: list[Any]) -> list[Any]:
            i = load_index(b, block.inputs, e)
            offset = b.mul(i, self.stride)
            x, grad_x = b.add(self.x, offset), b.add(self.grad_x, offset)
            if not self.program.has_aggregates:
                check_index(b, block, i, block.num_src)
                return body(x, None, grad_x, values)
            is_aggregate = b.icmp_signed("<", i, I64(0))
            limit = b.select(is_aggregate, block.num_slots, block.num_src)
            check_index(b, block, b.select(is_aggregate, b.not_(i), i), limit)
            slot = self._slot_address(i)
            x = b.select(is_aggregate, slot, x)
            counts = b.select(is_aggregate, self._part(slot, 1), self.ones)
            grad_x = b.select(is_aggregate, self._part(slot, 2), grad_x)
            return body(x, counts, grad_x, values)

        begin = load_element(b, block.ptr, I64, r)
        end = load_element(b, block.ptr, I64, b.add(r, I64(1)))
        return loop(b, begin, end, values, read_input)

    def _slot_address(self, number: Any) -> Any:
        """The address in the scratch of slot `-1 - number`."""
        b = self.b
        return b.add(self.task.scratch, b.mul(b.not_(number), self.slot_bytes))

    def _part(self, slot: Any, i: int) -> Any:
        """The address of the value (0), count (1) or gradient (2) in a slot."""
        return self.b.add(slot, I64(i * self.tile.bytes))

    def _constants(self, value: float) -> Vectors:
        return [self.tile.constant(value)] * self.tile.count

    def _equal(self, values: Vectors, others: Vectors) -> Vectors:
        """1.0 where two values are equal, else 0.0."""
        b, tile = self.b, self.tile
        one, zero = tile.constant(1.0), tile.constant(0.0)
        pairs = zip(values, others, strict=True)
        return [b.select(b.fcmp_ordered("==", v, o), one, zero) for v, o in pairs]

    def _product(self, values: Vectors, others: Vectors) -> Vectors:
        pairs = zip(values, others, strict=True)
        return [self.b.fmul(v, o) for v, o in pairs]

    # Forward, over the aggregates, which come first in their group:

    def _forward_row(self, r: Any, _: list[Any]) -> list[Any]:
        """Computes the value and the count of row r, if it is an aggregate."""
        b, tile, reduce = self.b, self.tile, self.program.reduce
        target = load_index(b, self.block.target, r)
        with b.if_then(b.icmp_signed("<", target, I64(0))):
            count = tile.count
            start = -math.inf if reduce == "max" else math.inf

            def combine(x: Any, counts: Any, _: Any, values: list[Any]) -> list[Any]:
                best, number = values[:count], values[count:]
                new, new_number = tile.load(x), tile.load(counts)
                pairs = zip(best, new, strict=True)
                better = [extreme(b, reduce, o, n) for o, n in pairs]
                kept = self._product(self._equal(best, better), number)
                added = self._product(self._equal(new, better), new_number)
                pairs = zip(kept, added, strict=True)
                return better + [b.fadd(k, a) for k, a in pairs]

            values = self._constants(start) + self._constants(0.0)
            values = self._for_inputs(r, values, combine)
            slot = self._slot_address(target)
            tile.store(slot, values[:count])
            tile.store(self._part(slot, 1), values[count:])
            tile.store(self._part(slot, 2), self._constants(0.0))
        return []

    # Backward:

    def _backward_row(self, r: Any) -> None:
        """Passes the gradient of row r back to its inputs."""
        b = self.b
        target = load_index(b, self.block.target, r)
        if not self.program.has_aggregates:
            self._backward_destination(r, target)
            return
        with b.if_else(b.icmp_signed("<", target, I64(0))) as (aggregate, destination):
            with aggregate:
                slot = self._slot_address(target)
                share = self.tile.load(self._part(slot, 2))
                self._add_share(r, self.tile.load(slot), share)
            with destination:
                self._backward_destination(r, target)

    def _backward_destination(self, r: Any, v: Any) -> None:
        b, tile = self.b, self.tile
        v = check_index(b, self.block, v, self.block.num_dst)
        offset = b.mul(v, self.stride)
        best = tile.load(b.add(self.out, offset))

        def count(x: Any, new_counts: Any, _: Any, counts: list[Any]) -> list[Any]:
            equal = self._equal(tile.load(x), best)
            if new_counts is not None:
                equal = self._product(equal, tile.load(new_counts))
            return [b.fadd(c, e) for c, e in zip(counts, equal, strict=True)]

        # The zero that `scatter_reduce` starts from takes its part:
        counts = self._equal(best, self._constants(0.0))
        counts = self._for_inputs(r, counts, count)
        grad = tile.load(b.add(self.grad, offset))
        share = [b.fdiv(g, c) for g, c in zip(grad, counts, strict=True)]
        self._add_share(r, best, share)

    def _add_share(self, r: Any, best: Vectors, share: Vectors) -> None:
        """Adds a row's share to the gradients of the inputs that attain its extreme."""
        b, tile = self.b, self.tile

        def add(x: Any, _: Any, grad_x: Any, values: list[Any]) -> list[Any]:
            parts = self._product(self._equal(tile.load(x), best), share)
            old = tile.load(grad_x)
            new = [b.fadd(o, p) for o, p in zip(old, parts, strict=True)]
            tile.store(grad_x, new)
            return values

        self._for_inputs(r, [], add)
