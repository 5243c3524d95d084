"""Exponentials of rounded scores, of which there are 256: from a table in registers.

A score is its scale times n = 16 h + l, with a negative h where n is negative, so that

    exp(leaky_relu(scale n)) = exp(a scale 16 h) exp(a scale l),    a = 1 or the slope

is the product of two numbers, each from 32 that two vectors hold: one instruction of
AVX-512 finds them for all lanes. A tenth of the instructions of the series.
"""

import functools
from typing import Any

import torch
from llvmlite import ir
from torch import Tensor

from pyg_hag.ops.cpu.control_flow import intrinsic_of
from pyg_hag.ops.cpu.formats import F32, I32, IS_X86, VECTOR_BYTES

HAS_LOOKUP = IS_X86 and VECTOR_BYTES == 64
"""Whether this machine has the instruction."""
_SHIFT = 1.5 * 2.0**23  # in this range, float32 are the integers
_MIDDLE = 256  # of the numbers of scores: of nine bits


@functools.lru_cache(1000)
def table_of(scale: float, slope: float) -> Tensor:
    """The factors by the upper five bits of a number, then those by the others."""
    n = torch.arange(32, dtype=torch.float64, device="cpu")
    high, low = 16 * (n - 16), n % 16
    rates = torch.where(n < 16, slope * scale, scale)
    return torch.cat([rates * high, rates * low]).exp().float()


class Lookup:
    """Emits exponentials of the scores of a row.

    Args:
        emitter: The emitter of the row.
    """

    def __init__(self, emitter: Any) -> None:
        self.emitter, self.b, self.lanes = emitter, emitter.b, emitter.lanes
        self.vectors = [self.lanes.load(emitter.block.table, t) for t in range(4)]
        self.integers = ir.VectorType(I32, self.lanes.count)

    def power(self, key: Any, query: Any) -> Any:
        """The exponentials of scores, rounded; 0 where there is no edge (-inf)."""
        b, lanes, number = self.b, self.lanes, self.emitter.number
        steps = b.fmul(lanes.add(key, query), number("score_inverse"))
        low, high = number("score_low"), number("score_high")
        steps = b.select(b.fcmp_ordered(">", steps, low), steps, low)
        steps = b.select(b.fcmp_ordered("<", steps, high), steps, high)
        shifted = b.fadd(steps, lanes.constant(_SHIFT + _MIDDLE))  # rounds
        bits = b.bitcast(shifted, self.integers)
        upper = b.lshr(bits, self._constant(4))
        sign = b.and_(upper, self._constant(16))
        lower = b.or_(b.and_(bits, self._constant(15)), sign)
        power = lanes.mul(self._found(0, upper), self._found(2, lower))
        nothing = b.fcmp_ordered("==", key, lanes.constant(-float("inf")))
        return b.select(nothing, lanes.constant(0.0), power)

    def _constant(self, value: int) -> Any:
        return ir.Constant(self.integers, [value] * self.lanes.count)

    def _found(self, t: int, index: Any) -> Any:
        """Elements of two vectors by the lower five bits of their index."""
        first, second = self.vectors[t : t + 2]
        kind = ir.VectorType(F32, self.lanes.count)
        name = "llvm.x86.avx512.vpermi2var.ps.512"
        function = intrinsic_of(self.b, name, kind, [kind, self.integers, kind])
        return self.b.call(function, [first, index, second])
