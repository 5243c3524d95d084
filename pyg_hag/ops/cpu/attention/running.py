"""Runs programs that are not tied to a HAG on all threads."""

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyg_hag.ops.cpu.formats import VECTOR_BYTES
from pyg_hag.ops.cpu.program import PROGRESS, entry_of
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
