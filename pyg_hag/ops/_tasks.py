"""Native programs: what each thread runs, and the block of parameters that it reads.

A program is an object that emits code for one task; here is the loop around it. Each
thread begins with a share of the tasks that is its own, so that from call to call it
finds in its cache what it has read before, and then helps others with theirs.
"""

import functools
from array import array
from typing import Any, Protocol

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from pyg_hag import _memory, _parallel
from pyg_hag._jit import native
from pyg_hag._plan import Plan
from pyg_hag.ops._ir import (
    I32,
    I64,
    VECTOR_BYTES,
    Variant,
    element,
    joined,
    variants,
)

TASK = ("first", "last", "feature", "width", "variant")
"""A task: a range of rows (or groups), the first feature, how many, and the code."""

_PROGRESS = ("thread", "number", "threads", "failed", "num_tasks", "tasks")
_SCRATCH = ("scratch", "scratch_bytes")
_ROWS = ("kind", "ptr", "mid", "inputs", "part_ptr")
_SIZES = ("num_slots", "num_src", "num_dst", "columns", "ahead")
_TENSORS = ("x", "before", "after", "own", "out", "grad", "to")
_CODES = ("count", "gain", "bias", "rest", "rest_gain", "next", "numbers")
FIELDS = (*_PROGRESS, *_SCRATCH, *_ROWS, *_SIZES, *_TENSORS, *_CODES)
"""The numbers in a block of parameters: counts, and addresses of arrays. Behind them is
one more for each task: whether a thread has taken it."""
_NUMBER, _FAILED = FIELDS.index("number"), FIELDS.index("failed")
_SCRATCH_FIELD = FIELDS.index("scratch")
_FIRST_TENSOR = FIELDS.index(_TENSORS[0])
_NO_TENSORS = [0] * len(_TENSORS + _CODES)


class Program(Protocol):
    """Something that native code can be made of."""

    def __hash__(self) -> int:
        """It is compiled once."""

    @property
    def checked(self) -> bool:
        """Whether every index is checked."""

    @property
    def stream(self) -> bool:
        """Whether results are written past the caches."""

    @property
    def most_vectors(self) -> int:
        """Vectors of features in a tile."""

    @property
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, for a tile of one vector."""

    def emit(self, b: Any, block: "Block", task: Any, variant: Variant) -> None:
        """Emits the code for one task."""


class Block:
    """The fields of a block of parameters, loaded."""

    def __init__(self, b: Any, at: Any, failure: Any) -> None:
        self.at = at
        self.failure = failure
        """Where to go if an index is wrong, or None if none is checked."""
        for i, name in enumerate(FIELDS):
            setattr(self, name, b.load(b.gep(at, [I64(i)])))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no parameter is called {name!r}")


class _Task:
    """The numbers of a task, loaded, and the scratch of the thread."""

    def __init__(self, b: Any, block: Block, i: Any, scratch: Any) -> None:
        self.scratch = scratch
        for k, name in enumerate(TASK):
            place = b.add(b.mul(i, I64(len(TASK))), I64(k))
            setattr(self, name, element(b, block.tasks, I64, place))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no number of a task is called {name!r}")


def guarded(b: Any, block: Block, index: Any, limit: Any) -> Any:
    """The index; where indices are checked, leaves the program if it is wrong."""
    if block.failure is not None:
        fine = b.append_basic_block("index.fine")
        b.cbranch(b.icmp_unsigned("<", index, limit), fine, block.failure)
        b.position_at_end(fine)
    return index


class Call:
    """All that a call of a program needs but its tensors: made once per HAG and width.

    Args:
        program: What to run.
        tasks: One tuple of :data:`TASK` each.
        plan: The arrays that the program reads.
        sizes: Slots, sources, destinations, columns, and how many inputs ahead they
            are brought near.
        scratch: Bytes of scratch of each thread.
        threads: How many there may be.
    """

    def __init__(
        self,
        program: Program,
        tasks: list[tuple[int, ...]],
        plan: Plan,
        sizes: tuple[int, int, int, int, int],
        scratch: int,
        threads: int,
    ) -> None:
        self.num_dst = sizes[2]
        self.tasks = len(tasks)
        self.scratch = scratch
        self.memory = scratch * threads + VECTOR_BYTES if scratch else 0
        self.checked = program.checked
        self.entry: Any = entry_of(program) if tasks else None
        self._array = np.array(tasks, np.int64)
        self._plan = plan  # keeps its arrays alive
        progress = 0, 0, threads, 0
        fields = *progress, len(tasks), self._array.ctypes.data, 0, scratch
        rest = *plan.addresses, *sizes, *_NO_TENSORS, *([0] * len(tasks))
        self.block = array("q", [*fields, *rest])


def run(call: Call, *tensors: Tensor | None) -> None:
    """Runs the tasks of a call on all threads, or here if there is one task.

    Args:
        call: What to run.
        tensors: x, factors of sources, of destinations and of nodes themselves, the
            result, its gradient and that of x, and what belongs to codes (see
            :mod:`pyg_hag.ops._integer`), as far as the program knows them.

    Raises:
        IndexError: If the program checks its indices and one is wrong.
    """
    block = call.block[:]
    for i, tensor in enumerate(tensors, _FIRST_TENSOR):
        if tensor is not None:
            block[i] = tensor.data_ptr()
    if call.scratch:
        memory = _memory.scratch(call.memory)
        place = memory.ctypes.data
        block[_SCRATCH_FIELD] = place + -place % VECTOR_BYTES
    address = block.buffer_info()[0]
    if call.tasks == 1:
        call.entry.ctypes(address)
    else:
        team = _parallel.team()
        if team is not None:
            block[_NUMBER] = team.number
        _parallel.run(call.entry, address, call.tasks, team)
    if call.checked and block[_FAILED]:
        raise IndexError("a HAG reads beyond its inputs: was it changed in place?")


_programs: dict[str, Program] = {}


@functools.cache
def entry_of(program: Program) -> Any:
    """The native function of a program, compiled or from disk."""
    name = str(program)
    _programs[name] = program

    def entry(at: Any) -> None:
        _emitted(name, at)

    return native(entry)


@intrinsic(prefer_literal=True)
def _emitted(_: Any, name: Any, at: Any) -> Any:
    """The loop in which one thread takes tasks."""
    program = _programs[name.literal_value]

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        at = b.bitcast(args[1], I64.as_pointer())
        names = ("tasks", "take", "task", "tasks.failed", "tasks.done")
        head, take, body, failed, done = (b.append_basic_block(n) for n in names)
        block = Block(b, at, failed if program.checked else None)
        thread = _thread(b, block)
        scratch = b.add(block.scratch, b.mul(thread, block.scratch_bytes))
        share = b.sdiv(b.mul(thread, block.num_tasks), block.threads)
        steps = cgutils.alloca_once_value(b, I64(0))
        b.branch(head)

        b.position_at_end(head)
        step = b.load(steps)
        b.cbranch(b.icmp_signed("<", step, block.num_tasks), take, done)

        b.position_at_end(take)
        b.store(b.add(step, I64(1)), steps)
        i = b.add(share, step)
        beyond = b.icmp_signed(">=", i, block.num_tasks)
        i = b.select(beyond, b.sub(i, block.num_tasks), i)
        flag = b.gep(at, [b.add(i, I64(len(FIELDS)))])
        before = b.atomic_rmw("xchg", flag, I64(1), "monotonic")
        b.cbranch(b.icmp_signed("==", before, I64(0)), body, head)

        b.position_at_end(body)
        task = _Task(b, block, i, scratch)
        switch = b.switch(task.variant, failed)
        for number, variant in enumerate(variants(program.most_vectors)):
            place = b.append_basic_block(f"variant.{number}")
            switch.add_case(I64(number), place)
            b.position_at_end(place)
            program.emit(b, block, task, variant)
            if program.stream:
                b.fence("seq_cst")  # what is written past the caches is seen first
            b.branch(head)

        b.position_at_end(failed)
        b.store(I64(1), b.gep(at, [I64(_FAILED)]))
        b.branch(done)
        b.position_at_end(done)
        return context.get_dummy_value()

    return types.void(name, at), codegen


def _thread(b: Any, block: Block) -> Any:
    """The number of this thread: what its runtime says, or the next one."""
    known = b.icmp_signed("!=", block.number, I64(0))
    with b.if_else(known) as (told, counted):
        with told:
            function = ir.FunctionType(I32, []).as_pointer()
            theirs = b.sext(b.call(b.inttoptr(block.number, function), []), I64)
            from_told = b.block
        with counted:
            place = b.gep(block.at, [I64(FIELDS.index("thread"))])
            ours = b.atomic_rmw("add", place, I64(1), "monotonic")
            from_counted = b.block
    return joined(b, (theirs, from_told), (ours, from_counted))
