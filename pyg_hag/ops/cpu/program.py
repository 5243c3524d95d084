"""Native programs: the loop that each thread runs, and its block of parameters.

A program is an object that emits code for one task; the loop around it is emitted here.
Each thread starts with its own share of the tasks, so that it finds in its cache what
it read in the previous call, and then takes tasks that others have not started.
"""

import functools
import hashlib
from abc import ABC, abstractmethod
from array import array
from typing import Any, Protocol

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from pyg_hag.ops.cpu.control_flow import load_element, phi_of
from pyg_hag.ops.cpu.formats import I32, I64, VECTOR_BYTES
from pyg_hag.ops.cpu.operands import (
    OPERANDS,
    Operands,
    Sizes,
    listed,
    refuse,
    result_of,
)
from pyg_hag.ops.cpu.tiling import Variant, variants
from pyg_hag.plan.cpu import Plan
from pyg_hag.runtime import memory, openmp
from pyg_hag.runtime.jit import native

TASK = ("first", "last", "feature", "width", "variant")
"""A task: a range of rows (or parts), its first feature and number of features, and the
index of the variant of the code."""

PROGRESS = (
    *("thread", "number", "threads", "failed", "num_tasks", "tasks"),
    *("scratch", "scratch_bytes"),
)
"""The first parameters of every program: how far it is, and memory of the threads."""
_ROWS = ("target", "ptr", "mid", "inputs", "part_ptr")
_SIZES = ("num_slots", "num_src", "num_dst", "columns", "ahead")
FIELDS = (*PROGRESS, *_ROWS, *_SIZES, *OPERANDS)
"""The numbers in a block of parameters: counts, and addresses of arrays. They are
followed by one flag per task: whether a thread has taken it."""
_NUMBER, _FAILED = FIELDS.index("number"), FIELDS.index("failed")
_SCRATCH_FIELD = FIELDS.index("scratch")
_OUT, _OUT_FIELD = OPERANDS.index("out"), FIELDS.index("out")
_NO_TENSORS = [0] * len(OPERANDS)
_BEYOND = IndexError, "a HAG reads beyond its inputs: was it changed in place?"


class Program(Protocol):
    """An object from which native code is generated."""

    def __hash__(self) -> int:
        """Identifies the program, which is compiled once."""

    @property
    def checked(self) -> bool:
        """Whether every index is checked."""

    @property
    def stream(self) -> bool:
        """Whether results are written past the caches."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its parameters, of which the first are :data:`PROGRESS`."""

    @property
    def variants(self) -> list[Variant]:
        """The variants of its code, in the order of the numbers in tasks."""

    def emit(self, b: Any, block: "Block", task: Any, variant: Variant) -> None:
        """Emits the code for one task."""


class Tiled(ABC):
    """A program whose tasks are tiles of the features of the rows of a HAG."""

    fields = FIELDS

    @property
    def variants(self) -> list[Variant]:
        """One variant for each number of vectors of a tile."""
        return variants(self.max_vectors)

    @property
    @abstractmethod
    def max_vectors(self) -> int:
        """The largest number of vectors of features in a tile."""

    @property
    @abstractmethod
    def slot_vectors(self) -> int:
        """Vectors of each aggregate in the scratch, per vector of the tile."""

    @abstractmethod
    def operands(self, sizes: Sizes) -> Operands:
        """The tensors that it reads and writes, by their names in :data:`OPERANDS`."""


class Block:
    """The fields of a block of parameters, loaded.

    Args:
        b: The builder.
        fields: The names of its fields.
        at: The address of the block.
        failure: The code to jump to if an index is wrong; None if none is checked.
    """

    def __init__(self, b: Any, fields: tuple[str, ...], at: Any, failure: Any) -> None:
        self.at = at
        self.failure = failure
        for i, name in enumerate(fields):
            setattr(self, name, b.load(b.gep(at, [I64(i)])))

    def fail(self, b: Any) -> None:
        """Emits the code that notes a failure."""
        b.store(I64(1), b.gep(self.at, [I64(_FAILED)]))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a block of parameters has no field {name!r}")


class _Task:
    """The numbers of a task, loaded, and the scratch of the thread."""

    def __init__(self, b: Any, block: Block, i: Any, scratch: Any) -> None:
        self.scratch = scratch
        for k, name in enumerate(TASK):
            place = b.add(b.mul(i, I64(len(TASK))), I64(k))
            setattr(self, name, load_element(b, block.tasks, I64, place))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a task has no field {name!r}")


def check_index(b: Any, block: Block, index: Any, limit: Any) -> Any:
    """Returns the index; if indices are checked, stops the program if it is wrong."""
    if block.failure is not None:
        valid = b.append_basic_block("index.valid")
        b.cbranch(b.icmp_unsigned("<", index, limit), valid, block.failure)
        b.position_at_end(valid)
    return index


class Call:
    """A call of a program without its tensors: made once per HAG and width.

    Args:
        program: The program to run.
        tasks: Tuples of the numbers of :data:`TASK`.
        plan: The rows that the program reads.
        sizes: Numbers of slots, sources, destinations and columns, and how many inputs
            ahead the program prefetches.
        scratch: Bytes of scratch of each thread.
        threads: The largest number of threads.
    """

    def __init__(
        self,
        program: Tiled,
        tasks: list[tuple[int, ...]],
        plan: Plan,
        sizes: tuple[int, int, int, int, int],
        scratch: int,
        threads: int,
    ) -> None:
        _, num_src, num_dst, columns, _ = sizes
        self.tasks = len(tasks)
        num_inputs = int(plan.ptr[-1]) if plan.ptr.size else 0
        known = program.operands(Sizes(num_inputs, num_src, num_dst, columns))
        self.operands = listed(known, FIELDS.index(OPERANDS[0]))
        row = program.operands(Sizes(num_inputs, num_src, 1, columns))["out"]
        self.result = result_of(known, sizes[1::2], num_dst, row.numel)
        self.scratch = scratch
        self.memory = scratch * threads + VECTOR_BYTES if scratch else 0
        self.failure = getattr(program, "failure", _BEYOND)
        self.entry: Any = entry_of(program) if tasks else None
        self._array = np.array(tasks, np.int64)
        self._plan = plan  # keeps its arrays alive
        progress = 0, 0, threads, 0, len(tasks), self._array.ctypes.data
        fields = *progress, 0, scratch, *plan.addresses, *sizes, *_NO_TENSORS
        is_taken = [0] * len(tasks)
        self.block = array("q", [*fields, *is_taken])


def run(call: Call, *tensors: Tensor | None) -> Tensor:
    """Runs the tasks of a call on all threads, or on this one if there is one task.

    Kernels know nothing of tensors but their addresses, so that each tensor is checked
    here: none can be read or written beyond its end.

    Args:
        call: The call.
        tensors: As many of :data:`OPERANDS` as the program reads, in this order. The
            result may be None: memory for it is made.

    Returns:
        The result.

    Raises:
        TypeError: If a tensor does not have the dtype that the program reads.
        ValueError: If one has another length or device, has gaps, or is missing.
        IndexError: If the program checks its indices and one is wrong.
    """
    block = call.block[:]
    operands = zip(tensors, call.operands, strict=False)
    for tensor, (dtype, numel, place, required) in operands:
        if tensor is not None:
            if (
                tensor.dtype is not dtype
                or tensor.numel() != numel
                or not tensor.is_contiguous()
                or not tensor.is_cpu
            ):
                refuse(FIELDS[place], dtype, numel, tensor)
            block[place] = tensor.data_ptr()
        elif required:
            refuse(FIELDS[place], dtype, numel, None)
    out = tensors[_OUT] if len(tensors) > _OUT else None
    if out is None:
        like, rows, columns = call.result
        if like is None:
            out = torch.empty_like(tensors[0])  # type: ignore[arg-type]
        else:
            out = memory.empty(like, rows, columns)
        block[_OUT_FIELD] = out.data_ptr()
    if not call.tasks:
        return out
    if call.scratch:
        scratch = memory.scratch(call.memory)
        place = scratch.ctypes.data
        block[_SCRATCH_FIELD] = place + -place % VECTOR_BYTES
    address = block.buffer_info()[0]
    if call.tasks == 1:
        call.entry.ctypes(address)
    else:
        team = openmp.team()
        if team is not None:
            block[_NUMBER] = team.number
        openmp.run(call.entry, address, call.tasks, team)
    if block[_FAILED]:
        kind, message = call.failure
        raise kind(message)
    return out


_programs: dict[str, Program] = {}


@functools.cache
def entry_of(program: Program) -> Any:
    """The native function of a program, compiled or loaded from disk."""
    name = str(program)
    _programs[name] = program

    def entry(at: Any) -> None:
        _task_loop(name, at)

    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    entry.__qualname__ = f"{type(program).__name__}_{digest}"
    return native(entry)


@intrinsic(prefer_literal=True)
def _task_loop(_: Any, name: Any, at: Any) -> Any:
    """Emits the loop in which one thread takes tasks."""
    program = _programs[name.literal_value]

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        at = b.bitcast(args[1], I64.as_pointer())
        names = ("tasks", "take", "task", "tasks.failed", "tasks.done")
        head, take, body, failed, done = (b.append_basic_block(n) for n in names)
        block = Block(b, program.fields, at, failed if program.checked else None)
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
        flag = b.gep(at, [b.add(i, I64(len(program.fields)))])
        before = b.atomic_rmw("xchg", flag, I64(1), "monotonic")
        b.cbranch(b.icmp_signed("==", before, I64(0)), body, head)

        b.position_at_end(body)
        task = _Task(b, block, i, scratch)
        switch = b.switch(task.variant, failed)
        for number, variant in enumerate(program.variants):
            place = b.append_basic_block(f"variant.{number}")
            switch.add_case(I64(number), place)
            b.position_at_end(place)
            program.emit(b, block, task, variant)
            if program.stream:
                b.fence("seq_cst")  # orders what is written past the caches
            b.branch(head)

        b.position_at_end(failed)
        block.fail(b)
        b.branch(done)
        b.position_at_end(done)
        return context.get_dummy_value()

    return types.void(name, at), codegen


def _thread(b: Any, block: Block) -> Any:
    """The number of this thread: as its runtime reports it, or else the next one."""
    has_runtime = b.icmp_signed("!=", block.number, I64(0))
    with b.if_else(has_runtime) as (reported, counted):
        with reported:
            function = ir.FunctionType(I32, []).as_pointer()
            number = b.sext(b.call(b.inttoptr(block.number, function), []), I64)
            from_reported = b.block
        with counted:
            counter = b.gep(block.at, [I64(FIELDS.index("thread"))])
            following = b.atomic_rmw("add", counter, I64(1), "monotonic")
            from_counted = b.block
    return phi_of(b, (number, from_reported), (following, from_counted))
