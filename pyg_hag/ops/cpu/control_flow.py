"""Emits control flow and loads of scalars.

`b` is the `llvmlite` builder that the code is appended to, here and in the other
modules of this folder.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from pyg_hag.ops.cpu.formats import I32, I64


def loop(
    b: Any,
    begin: Any,
    end: Any,
    values: list[Any],
    body: Callable[[Any, list[Any]], list[Any]],
) -> list[Any]:
    """`for i in range(begin, end): values = body(i, values)`, with values in registers.

    LLVM does not keep the elements of an array in registers across a loop: here each
    value is a phi node of its own.
    """
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
        phi_of(b, (value, before), (new, last))
        for value, new in zip(values, updated, strict=True)
    ]


def phi_of(b: Any, *pairs: Any) -> Any:
    """A phi node of pairs `(value, block)`: the value of the preceding block."""
    phi = b.phi(pairs[0][0].type)
    for value, block in pairs:
        phi.add_incoming(value, block)
    return phi


def apply_if(
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
        phi_of(b, (new, last), (value, before))
        for value, new in zip(values, updated, strict=True)
    ]


def load_element(b: Any, array: Any, dtype: Any, i: Any) -> Any:
    """`array[i]` of an array of an LLVM type, given by its address."""
    return b.load(b.gep(b.inttoptr(array, dtype.as_pointer()), [i]))


def load_index(b: Any, array: Any, i: Any) -> Any:
    """`array[i]` of an array of int32, as int64."""
    return b.sext(load_element(b, array, I32, i), I64)


def intrinsic_of(b: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Declares an LLVM intrinsic by its name and types."""
    return cgutils.get_or_insert_function(
        b.module, ir.FunctionType(result, arguments), name
    )
