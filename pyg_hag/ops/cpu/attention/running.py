"""Runs programs that are not tied to a HAG on all threads."""

import struct
from array import array
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from pyg_hag.ops.cpu.formats import FORMATS, VECTOR_BYTES
from pyg_hag.ops.cpu.program import PROGRESS, entry_of
from pyg_hag.plan.attention import EdgeRows
from pyg_hag.plan.cpu import pays_threads
from pyg_hag.runtime import memory, openmp, thread_pool

TASKS_PER_THREAD = 8


def run(
    program: Any,
    tasks: list[tuple[int, int, int]],
    fields: Mapping[str, int],
    scratch_bytes: int = 0,
) -> None:
    """Runs a program.

    Args:
        program: What to run.
        tasks: Ranges of rows, and for each the group of heads.
        fields: Its parameters: numbers, and addresses of arrays, which stay alive.
        scratch_bytes: Bytes of scratch of each thread.
    """
    if not tasks:
        return
    threads = thread_pool.num_threads()
    numbers = np.zeros((len(tasks), 5), np.int64)
    numbers[:, :3] = tasks
    place = 0
    if scratch_bytes:
        scratch = memory.scratch(scratch_bytes * threads + VECTOR_BYTES)
        place = scratch.ctypes.data
        place += -place % VECTOR_BYTES
    team = openmp.team() if len(tasks) > 1 else None
    progress = {
        "number": 0 if team is None else team.number,
        "threads": threads,
        "num_tasks": len(tasks),
        "tasks": numbers.ctypes.data,
        "scratch": place,
        "scratch_bytes": scratch_bytes,
    }
    first = [progress.get(name, 0) for name in PROGRESS]
    others = [fields.get(name, 0) for name in program.fields[len(PROGRESS) :]]
    block = array("q", [*first, *others, *[0] * len(tasks)])
    entry = entry_of(program)
    if len(tasks) == 1:
        entry.ctypes(block.buffer_info()[0])
    else:
        openmp.run(entry, block.buffer_info()[0], len(tasks), team)


def run_rows(
    program: Any, layout: Any, rows: EdgeRows, fields: Mapping[str, int]
) -> None:
    """Runs a program over the edges of a graph, for all groups of heads.

    Args:
        program: What to run: a kernel of attention.
        layout: The layout of the features.
        rows: The edges.
        fields: Addresses of tensors, which have been made or checked for it, and
            numbers.
    """
    threads = thread_pool.num_threads()
    work = rows.num_edges + rows.num_rows
    several = pays_threads(work, layout.columns, threads)
    cuts = rows.cuts(TASKS_PER_THREAD * threads if several else 1)
    tasks = [
        (first, last, group)
        for group in range(layout.groups)
        for first, last in pairwise(cuts)
    ]
    head_bytes = layout.width * FORMATS[layout.dtype].size
    size = -(-rows.longest * head_bytes // VECTOR_BYTES) * VECTOR_BYTES
    buffer_bytes = size + 2 * VECTOR_BYTES
    graph = {
        "ptr": rows.ptr.ctypes.data,
        "col": rows.col.ctypes.data,
        "edge": rows.number.ctypes.data,
        "buffer_bytes": buffer_bytes,
    }
    run(program, tasks, {**fields, **graph}, program.num_buffers * buffer_bytes)


def bits_of(value: float, wide: bool = False) -> int:
    """A floating-point number as an integer of the same bits."""
    size = ("<d", "<q") if wide else ("<f", "<i")
    number: int = struct.unpack(size[1], struct.pack(size[0], value))[0]
    return number
