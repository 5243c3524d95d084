"""The parameters of a sweep, and scalars and arrays in memory that is given by address.

All tasks of a call read one array of numbers: counts, addresses of tensors and of the
plan's arrays, and where each array lies in the scratch.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from pyg_hag.ops.cpu.formats import I64
from pyg_hag.runtime.jit import jit, jit_inlined

ENTRY_BYTES = 64, 128
"""Bytes of a narrow and of a wide entry of a table: sums of one side, then the other.

The channels of a wide one fill a cache line.
"""
DIGIT = 11
"""Bits of a key that one pass of a sort looks at."""
BINS = 1 << DIGIT


class Fields(NamedTuple):
    """Where each number lies in the block.

    Attributes up to `stage` change from stage to stage; those up to `table` hold the
    sizes; the others addresses: of tensors, of the plan's arrays, and of scratch.
    """

    thread: int
    next_task: int
    num_tasks: int
    stage: int
    pieces: int
    failed: int
    is_backward: int
    num_in: int
    num_out: int
    num_aggs: int
    heads: int
    channels: int
    chunks: int
    is_wide: int
    entry_bytes: int
    slope: int
    slot_bytes: int
    table_bytes: int
    slots: int
    tables: int
    # tensors
    x: int
    s: int
    t: int
    top: int
    inverse: int
    out: int
    positive: int
    share: int
    grad: int
    grad_s: int
    delta: int
    # the plan: a side
    in_nodes: int
    out_nodes: int
    in_ptr: int
    in_aggs: int
    out_ptr: int
    out_aggs: int
    out_slots: int
    reader_ptr: int
    readers: int
    direct_ptr: int
    direct: int
    agg_ptr: int
    in_component: int
    out_component: int
    in_middle: int
    out_middle: int
    parts: int
    # the plan: what rows read
    read_ptr: int
    reads: int
    row_direct_ptr: int
    row_direct: int
    leaf_ptr: int
    leaves: int
    # offsets in a slot of the scratch
    scores: int
    keys: int
    new_keys: int
    ids: int
    new_ids: int
    bins: int
    cursors: int
    listed: int
    places: int
    sides: int
    in_scales: int
    out_scales: int
    values: int
    sums: int
    largest: int
    reference: int
    is_far: int
    dots: int


F = Fields(*range(len(Fields._fields)))
"""The place of each number in the block."""


@intrinsic
def view(_: Any, address: Any, size: Any, dtype: Any) -> Any:
    """The array of `size` elements of a dtype at an address."""
    array = types.Array(dtype.instance_type, 1, "C")

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        made = arrayobj.make_array(array)(context, b)
        element = context.get_data_type(array.dtype)
        bytes_ = context.get_constant(types.intp, context.get_abi_sizeof(element))
        arrayobj.populate_array(
            made,
            data=b.inttoptr(args[0], element.as_pointer()),
            shape=[args[1]],
            strides=[bytes_],
            itemsize=bytes_,
            meminfo=None,
        )
        return made._getvalue()

    return array(types.int64, types.int64, dtype), codegen


@intrinsic
def add_atomic(_: Any, address: Any, value: Any) -> Any:
    """Adds to the int64 at an address, and returns what it was."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        place = b.inttoptr(args[0], I64.as_pointer())
        return b.atomic_rmw("add", place, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def address_of(_: Any, pointer: Any) -> Any:
    """The address that a `voidptr` holds."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return b.ptrtoint(args[0], I64)

    return types.int64(types.voidptr), codegen


@intrinsic
def _from_bits(_: Any, bits: Any) -> Any:
    """The float64 with these bits."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return b.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


_LOG2_E = math.log2(math.e)
_LN2_HIGH = 6.93147180369123816490e-01  # its last bits are 0: times an integer, exact
_LN2_LOW = 1.90821492927058770002e-10
_C = tuple(1 / math.factorial(k) for k in range(14))
_LEAST = -708.0


@jit_inlined
def exp(x: float) -> float:
    """The exponential function, of numbers below 700; 0 where it is less than 1e-307.

    A Taylor series of the rest to the next multiple of log(2), which loops compute in
    vectors.
    """
    y = max(x, _LEAST)
    n = math.floor(y * _LOG2_E + 0.5)
    r = (y - n * _LN2_HIGH) - n * _LN2_LOW
    p = _C[12] + r * _C[13]
    p = _C[11] + r * p
    p = _C[10] + r * p
    p = _C[9] + r * p
    p = _C[8] + r * p
    p = _C[7] + r * p
    p = _C[6] + r * p
    p = _C[5] + r * p
    p = _C[4] + r * p
    p = _C[3] + r * p
    p = _C[2] + r * p
    p = 1.0 + r * (1.0 + r * p)
    scaled = p * _from_bits((int(n) + 1023) << 52)
    return scaled if x >= _LEAST else 0.0


@jit
def exp_all(values: Any, begin: int, end: int) -> None:
    """Replaces the values from `begin` to `end` by their exponentials."""
    some = values[begin:end]  # counted from 0, the loop becomes one of vectors
    for i in range(some.size):
        some[i] = exp(np.float64(some[i]))
